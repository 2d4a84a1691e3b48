"""The environment is read once, all of its mistakes come together, and no value is shown."""

import pytest
from celery.bin.celery import celery

from runtime import foreign, settings


@pytest.fixture
def load(monkeypatch):
    """Load with these variables, as if the process had just begun."""

    def load(*required, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        settings._read_all.cache_clear()
        return settings.load(*required)

    yield load
    settings._read_all.cache_clear()


def test_all_mistakes_come_at_once_with_what_is_expected(load, tmp_path):
    with pytest.raises(settings.SettingsError) as failed:
        load(
            METRICS_PORT="planted",
            RUN_MAX_WAITING="0",
            RUN_EXPIRES_S="inf",
            GENESYS_ALLOW_HTTP="planted",
            WEBHOOK_SECRETS_FILE=tmp_path / "none",
        )
    assert str(failed.value).splitlines() == [
        "GENESYS_ALLOW_HTTP: Expected `bool`",
        f"WEBHOOK_SECRETS_FILE: {tmp_path / 'none'} cannot be read (FileNotFoundError)",
        "METRICS_PORT: Expected `int`",
        "RUN_EXPIRES_S: Expected `float` <= 604800.0",
        "RUN_MAX_WAITING: Expected `int` >= 1",
    ]


def test_what_is_missing_is_named_and_an_empty_value_is_none(load):
    with pytest.raises(settings.SettingsError, match=r"^REDIS_URL: is not set \(or REDIS_URL_FILE"):
        load("REDIS_URL", REDIS_URL="")


def test_a_value_comes_from_the_environment_or_from_a_file(load, tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    values = load(
        REDIS_URL="redis://here",
        REDIS_URL_FILE=tmp_path / "not looked at",
        GENESYS_CLIENT_SECRET_FILE=tmp_path / "secret",
        DATABASE_URL_CRM_FILE=tmp_path / "secret",
        TOOLS_DIR=tmp_path,
        RUN_ANSWER_BY_S="12.5",
    )
    assert values.broker() == "redis://here"
    assert values.genesys_client_secret.reveal() == "from a file"
    assert values.database_urls() == {"crm": "from a file"}
    assert values.tools_dir == tmp_path
    assert values.run_answer_by_s == 12.5


def test_a_byte_order_mark_is_no_part_of_a_secret(load, tmp_path):
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbfplanted\r\n")
    assert load(WEBHOOK_SECRETS_FILE=tmp_path / "secret").secrets() == [b"planted"]


def test_a_proxy_in_lower_case_comes_first_as_for_requests_and_curl(load):
    values = load(https_proxy="http://planted:1", HTTPS_PROXY="http://upper:1", NO_PROXY="h")
    assert values.https_proxy.reveal() == "http://planted:1"
    assert values.no_proxy == "h"
    assert "planted" not in f"{values!r}"


@pytest.mark.parametrize("name", ["FLOWER_PASSWORD", "DATABASE_URL", "GENESYS_CLIENT_SECRET"])
def test_an_empty_file_is_no_secret(load, tmp_path, name):
    file = tmp_path / "empty"
    file.write_text(" \n")
    with pytest.raises(settings.SettingsError, match=rf"^{name}: is not set"):
        load(
            name,
            **{f"{name}_FILE": file, "DATABASE_URL_CRM_FILE": file},
        )
    assert load().databases == {}


@pytest.mark.parametrize("name", ["METRICS_PORT", "WEBHOOK_SECRETS", "DATABASE_URL_CRM"])
def test_a_value_that_is_not_utf_8_is_a_mistake_of_its_setting(load, name):
    with pytest.raises(settings.SettingsError, match=rf"^{name}: is not UTF-8$"):
        load(**{name: "9\udcff"})


def test_spaces_around_a_value_are_no_part_of_it(load):
    assert load(RUN_ANSWER_BY_S=" 20\r\n").run_answer_by_s == 20


def test_the_word_null_is_a_text_like_any_other(load):
    values = load(GENESYS_REGION="null", WEBHOOK_SECRETS="null")
    assert values.genesys_region == "null"
    assert values.secrets() == [b"null"]


def test_no_secret_shows_itself(load):
    values = load(
        REDIS_URL="redis://:planted@h", WEBHOOK_SECRETS="planted", DATABASE_URL_CRM="planted"
    )
    assert "planted" not in f"{values} {values!r} {values.databases}"


@pytest.mark.parametrize(
    "url",
    [
        "planted",
        "http://planted",
        "unix:///planted",
        "redis://planted:abc/0",
        "redis://planted:99999/0",
        "redis://[planted/0",
        "redis://planted/one",
        "Redis://planted/0",
    ],
)
def test_a_redis_url_that_no_library_could_use_is_refused_and_not_shown(load, url):
    with pytest.raises(settings.SettingsError, match=r"^LEDGER_URL: must be redis://") as failed:
        load(LEDGER_URL=url)
    assert "planted" not in str(failed.value)


@pytest.mark.parametrize("name", ["REDIS_URL", "LEDGER_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "redis://h?db=3",
        "redis://h/0?health_check_interval=5",
        "redis://h/0?socket_timeout=1&planted=2",
        "rediss://h/0?ssl_cert_reqs=none",
        "rediss://h/0?ssl_ca_certs=/planted",
        "redis://h/0?",
        "redis://:planted?word@h/0",
    ],
)
def test_a_redis_url_with_parameters_is_refused_since_its_readers_know_different_ones(
    load, name, url
):
    expected = (
        f"{name}: takes no parameters after `?` (a `?` of a password is %3F): the database's "
        "number is the path, and TLS is set with REDIS_TLS_CA and REDIS_TLS_VERIFY"
    )
    with pytest.raises(settings.SettingsError) as failed:
        load(**{name: url})
    assert str(failed.value) == expected


@pytest.mark.parametrize("url", ["redis://:planted;@h/0", "redis://h/0#planted", "redis://a;b/0"])
def test_a_redis_url_that_its_readers_would_cut_differently_is_refused(load, url):
    with pytest.raises(settings.SettingsError, match=r"^REDIS_URL: has a # or ; in it") as failed:
        load(REDIS_URL=url)
    assert "planted" not in str(failed.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("CELERY_BROKER_URL", "set REDIS_URL"),
        ("CELERY_BROKER_READ_URL", "set REDIS_URL"),
        ("CELERY_BROKER_WRITE_URL", "set REDIS_URL"),
        ("BROKER_URL", "set REDIS_URL"),
        ("CELERY_RESULT_BACKEND", "outputs are kept in the ledger, LEDGER_URL"),
        ("RESULT_BACKEND", "outputs are kept in the ledger, LEDGER_URL"),
        ("CELERY_CONFIG_MODULE", "the service has a celeryconfig.py of its own"),
        ("CELERY_LOADER", "the service has a loader of its own"),
        ("REMAP_SIGTERM", "a worker that is stopped finishes what runs; SIGQUIT ends it at once"),
        ("CELERY_CUSTOM_WORKER_POOL", "only the prefork pool keeps time limits"),
    ],
)
def test_a_variable_that_celery_would_follow_is_refused_by_name(load, name, advice):
    with pytest.raises(settings.SettingsError) as failed:
        load(**{name: "planted"})
    assert str(failed.value) == (
        f"{name}: Celery would follow it in place of our settings; unset it: {advice}"
    )


def _options(command, prefix):
    """The variables from which Celery's command would take options, by click's rule."""
    for option in command.params:
        if option.param_type_name == "option":
            yield f"{prefix}_{option.name.upper()}"
    for name, inner in getattr(command, "commands", {}).items():
        yield from _options(inner, f"{prefix}_{name.upper().replace('-', '_')}")


def test_every_option_that_celerys_command_would_take_from_a_variable_is_refused():
    names = set(_options(celery, "CELERY"))
    assert {"CELERY_WORKDIR", "CELERY_WORKER_QUEUES", "CELERY_WORKER_PURGE"} < names
    names.remove("CELERY_SKIP_CHECKS")  # of Django alone, and set by the command itself
    assert foreign.refusals(dict.fromkeys(names, "planted")).keys() == names
    assert foreign.refusals(dict.fromkeys(names, "")) == {}  # click skips empty ones, too


def test_an_option_or_an_argument_of_a_variable_is_refused_with_what_to_do(load):
    with pytest.raises(settings.SettingsError) as failed:
        load(CELERY_WORKER_QUEUES="planted", GUNICORN_CMD_ARGS="--planted")
    assert str(failed.value).splitlines() == [
        "CELERY_WORKER_QUEUES: Celery's command takes options from CELERY_*; unset it, and give "
        "them to the command",
        "GUNICORN_CMD_ARGS: gunicorn would follow it in place of our settings; unset it: give "
        "options on its command line",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("LOG_FILE", "LOG_LEVEL", "LOG_REDIRECT", "LOG_REDIRECT_LEVEL", "SKIP_CHECKS"),
        *("PORT", "SERVICE_HOST", "SERVICE_PORT", "WORKER_SERVICE_HOST", "WORKER_SERVICE_PORT"),
        *("WORKER_SERVICE_PORT_HTTP", "WORKER_PORT", "WORKER_PORT_5555_TCP"),
        *("WORKER_PORT_5555_TCP_PROTO", "WORKER_PORT_5555_TCP_PORT", "WORKER_PORT_5555_TCP_ADDR"),
    ],
)
def test_what_celery_and_kubernetes_set_themselves_stops_no_start(load, name):
    load(**{f"CELERY_{name}": "tcp://10.0.0.9:5555"})


def test_tls_is_checked_unless_a_setting_turns_that_off(load, tmp_path):
    url = "rediss://h/0"
    assert load().redis_tls("redis://h/0") == {}
    assert load().redis_tls(url) == {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    (tmp_path / "ca.pem").touch()
    with_ca = load(REDIS_TLS_CA=tmp_path / "ca.pem").redis_tls(url)
    assert with_ca["ssl_ca_certs"] == str(tmp_path / "ca.pem")
    assert with_ca["ssl_cert_reqs"] == "required"
    without = load(REDIS_TLS_VERIFY="false").redis_tls(url)
    assert without == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    with pytest.raises(settings.SettingsError, match=r"^REDIS_TLS_CA: /nowhere is no file$"):
        load(REDIS_TLS_CA="/nowhere")


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://h:6379/", "rediss://user:p%40ss@h:1/2", "redis://:p%3F%23%3B@h/1"]
)
def test_a_redis_url_may_leave_out_what_has_a_default(load, url):
    assert load(LEDGER_URL=url).ledger() == url


def test_an_answer_is_due_before_its_run_expires(load):
    with pytest.raises(settings.SettingsError, match=r"^RUN_ANSWER_BY_S: must be below"):
        load(RUN_ANSWER_BY_S="30", RUN_EXPIRES_S="30")


def test_the_address_of_a_collector_is_not_shown_since_it_may_hold_a_password(load):
    values = load(OTEL_EXPORTER_OTLP_ENDPOINT="https://user:planted@collector:4318")
    assert "planted" not in repr(values)


@pytest.mark.parametrize("headers", ["a", "a=", "=b", "a b=c", "a=b%0d%0aX: p", "a=%E2%82%AC"])
def test_headers_that_no_request_can_have_are_refused_at_the_start_and_not_shown(load, headers):
    with pytest.raises(settings.SettingsError) as failed:
        load(OTEL_EXPORTER_OTLP_HEADERS=headers)
    expected = "OTEL_EXPORTER_OTLP_HEADERS: must be NAME=VALUE, comma-separated"
    assert str(failed.value) == expected
