"""The environment is read once, all of its mistakes come together, and no value is shown."""

import pytest

from runtime import settings


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


def test_all_mistakes_come_at_once_and_say_what_is_expected(load, tmp_path):
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
    ],
)
def test_a_redis_url_that_nobody_could_use_is_refused_and_not_shown(load, url):
    with pytest.raises(settings.SettingsError, match=r"^LEDGER_URL: must be redis://") as failed:
        load(LEDGER_URL=url)
    assert "planted" not in str(failed.value)


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://h:6379/", "rediss://user:p%40ss@h:1/2?ssl_cert_reqs=none"]
)
def test_a_redis_url_may_leave_out_what_has_a_default(load, url):
    assert load(LEDGER_URL=url).ledger() == url


def test_an_answer_is_due_before_its_run_expires(load):
    with pytest.raises(settings.SettingsError, match=r"^RUN_ANSWER_BY_S: must be below"):
        load(RUN_ANSWER_BY_S="30", RUN_EXPIRES_S="30")
