"""A misspelt setting is named with the one that was meant; other programs' variables never are."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import fields
from structlog.testing import capture_logs

from ops.dev import environment
from runtime import misspellings, risks, settings

_ROOT = Path(__file__).resolve().parents[3]
_SETTINGS = [field.name.upper() for field in fields(settings.Settings) if field.name != "databases"]


def _misspelt(**variables):
    return misspellings.misspelt(variables, _SETTINGS, ())


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("RUN_ANSWER_BY", "RUN_ANSWER_BY_S"),
        ("RUN_ANSWER_BY_MS", "RUN_ANSWER_BY_S"),
        ("RUN_RETENTION_SECONDS", "RUN_RETENTION_S"),
        ("TOOLS_DIRS", "TOOLS_DIR"),
        ("TOOL_DIR", "TOOLS_DIR"),
        ("GENESYS_MAX_ATEMPTS", "GENESYS_MAX_ATTEMPTS"),
        ("GENESYS_CLIENT", "GENESYS_CLIENT_ID"),
        ("GENESYS_REQUESTS_PER_MIN", "GENESYS_REQUESTS_PER_MINUTE"),
        ("WEBHOOK_SECRET", "WEBHOOK_SECRETS"),
        ("WEBHOOK_SECRET_FILE", "WEBHOOK_SECRETS_FILE"),
        ("WEBHOOK-AUTH", "WEBHOOK_AUTH"),
        ("DATABASE_URLS", "DATABASE_URL"),
        ("redis_url", "REDIS_URL"),
        ("ALERTS_URL", "ALERT_URL"),
        ("METRIC_PORT", "METRICS_PORT"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(variable, meant):
    assert _misspelt(**{variable: "9"}) == {variable: meant}


@pytest.mark.parametrize("name", _SETTINGS)
def test_a_setting_and_its_file_are_not_misspelt(name):
    assert _misspelt(**{name: "9"}) == {}
    assert _misspelt(**{f"{name}_FILE": "/run/secrets/it"}) == {}


def test_every_setting_that_is_ours_alone_is_found_without_its_last_letter():
    shared = {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"}
    shared |= {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    shared |= {"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_SERVICE_NAME"}
    for name in set(_SETTINGS) - shared:
        assert _misspelt(**{name[:-1]: "9"}) == {name[:-1]: name}


@pytest.mark.parametrize("meant", ["RUN_ANSWER_BY_S", "RUN_ANSWER_BY_S_FILE"])
def test_a_setting_that_is_set_was_not_meant(meant):
    assert _misspelt(RUN_ANSWER_BY="20", **{meant: "20"}) == {}
    assert _misspelt(RUN_ANSWER_BY="20", **{meant: ""}) == {"RUN_ANSWER_BY": "RUN_ANSWER_BY_S"}


def test_an_empty_variable_and_one_that_cannot_be_printed_are_nothing():
    assert _misspelt(RUN_ANSWER_BY=" ", **{"TOOLS_DIRS\n": "a", "TOOLS_DIR\udcff": "a"}) == {}


_SERVICES = ["redis", "ledger", "postgres", "database", "webhook", "actions", "worker", "flower"]
_SERVICES += ["dashboard", "metrics", "metric", "receiver", "genesys", "alert", "tools", "run"]


@pytest.mark.parametrize("name", _SERVICES)
def test_variables_that_kubernetes_sets_for_a_service_are_none_of_ours(name):
    prefix, address = name.upper(), "10.0.0.1"
    variables = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": "80",
        f"{prefix}_SERVICE_PORT_HTTP": "80",
        f"{prefix}_PORT": f"tcp://{address}:80",
        f"{prefix}_PORT_80_TCP": f"tcp://{address}:80",
        f"{prefix}_PORT_80_TCP_PROTO": "tcp",
        f"{prefix}_PORT_80_TCP_PORT": "80",
        f"{prefix}_PORT_80_TCP_ADDR": address,
    }
    assert _misspelt(**variables) == {}


def test_variables_of_docker_compose_are_none_of_ours():
    texts = [(_ROOT / name).read_text() for name in ("docker-compose.yml", ".env.demo", "Makefile")]
    names = {
        name for text in texts for name in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", text)
    }

    assert {"WORKER_PROCESSES", "DASHBOARD_PORT", "SECRETS_DIR", "PROXY_LISTEN"} <= names
    assert _misspelt(**dict.fromkeys(names, "9")) == {}
    for name in names:  # in a container that has none of our settings
        assert _misspelt(**{name: "9"}) == {}


def test_the_embedded_stack_has_no_misspelt_setting(tmp_path):
    found = environment.environment(
        tmp_path,
        broker=SimpleNamespace(url="redis://b"),
        ledger=SimpleNamespace(url="redis://l"),
        postgres=SimpleNamespace(url="postgresql://u@h/d"),
        simulator_url="http://s",
        tools_dir=tmp_path,
    )
    assert _misspelt(**found) == {}


_FOREIGN = re.findall(
    r"\w+",
    """
ACTIONS_ID_TOKEN_REQUEST_URL ACTIONS_RUNTIME_URL ACTIONS_CACHE_URL AGENT_TOOLSDIRECTORY
BROKER_HOST BUILD_URL CI_API_V4_URL CI_JOB_URL CI_REGISTRY_PASSWORD CREDENTIALS_DIRECTORY
DATABASE_HOST DATABASE_NAME DATABASE_PASSWORD DATABASE_PORT DATABASE_USER DB_URL DEBUG
DEBUGINFOD_URLS FLASK_DEBUG FLOWER_ADDRESS FLOWER_BASIC_AUTH FLOWER_PORT FTP_PROXY
GENESYSCLOUD_REGION GITHUB_ACTIONS GITHUB_RUN_ID GITHUB_SERVER_URL GRPC_PROXY GUNICORN_CMD_ARGS
HOSTNAME INVOCATION_ID JENKINS_URL JOURNAL_STREAM LISTEN_FDS LOGS_DIRECTORY MAINPID METRICS_HOST
METRICS_PATH NOTIFY_SOCKET OTEL_EXPORTER_OTLP_INSECURE OTEL_EXPORTER_OTLP_TIMEOUT
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_SERVICE_VERSION PGHOST PGPASSWORD PGSSLROOTCERT
POSTGRES_PASSWORD POSTGRES_PASSWORD_FILE POSTGRES_URL PROMETHEUS_MULTIPROC_DIR RABBITMQ_URL
REDISCLI_AUTH REDIS_HOST REDIS_PASSWORD REDIS_PORT REDIS_TLS_URL REDIS_USERNAME RSYNC_PROXY
RUNNER_DEBUG RUNNER_TEMP RUNNER_TOOL_CACHE RUNTIME_DIRECTORY RUN_CHANGES_DISPLAY_URL
RUN_DISPLAY_URL RUN_ID RUN_TESTS_DISPLAY_URL SSL_CERT_DIR SSL_CERTIFICATE_FILE STATE_DIRECTORY
TRACEPARENT TRACE_ID WATCHDOG_USEC WEB_CONCURRENCY WEBHOOK_HOST WEBHOOK_URL http_proxy
npm_config_cache HTTP_PROXY_USER WEBHOOK_SECRETS_DIR
""",
)


def test_variables_of_systemd_ci_and_other_programs_are_none_of_ours():
    for name in _FOREIGN:
        assert _misspelt(**{name: "9"}) == {}


@pytest.fixture
def environ(monkeypatch):
    monkeypatch.delenv("TOOLS_DIR", raising=False)  # the image sets it

    def environ(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings._read_all.cache_clear()

    yield environ
    settings._read_all.cache_clear()


def test_named_databases_and_what_celery_reads_are_not_misspelt(environ):
    environ(DATABASE_URL_S="planted", DATABASE_URL_CRM_FILE="planted", CELERY_LOADER="planted")

    assert settings.misspelt() == {}


def test_each_process_warns_once_at_its_start_without_values(environ):
    environ(RUN_ANSWER_BY="planted", TOOLS_DIRS="planted")
    with capture_logs() as lines:
        risks.log_risks(settings.load())

    assert lines == [
        {
            "event": "settings.misspelt",
            "log_level": "warning",
            "meant": {"RUN_ANSWER_BY": "RUN_ANSWER_BY_S", "TOOLS_DIRS": "TOOLS_DIR"},
        }
    ]


def test_nothing_is_logged_of_settings_that_are_well(environ):
    environ(RUN_ANSWER_BY_S="20")
    with capture_logs() as lines:
        risks.log_risks(settings.load())

    assert lines == []


@pytest.mark.parametrize("suffix", ["", "_FILE"])
def test_a_setting_that_is_missing_is_named_with_the_variable_that_is_misspelt(environ, suffix):
    environ(**{f"WEBHOOK_SECRET{suffix}": "planted"})
    with pytest.raises(settings.SettingsError) as refused:
        settings.load("WEBHOOK_SECRETS")
    advice = f"; WEBHOOK_SECRET{suffix} is set, but is no setting"
    assert str(refused.value) == f"WEBHOOK_SECRETS: is not set (or WEBHOOK_SECRETS_FILE){advice}"


def test_beside_named_databases_no_other_is_missing(environ):
    environ(DATABASE_URI="postgresql://other/programs")
    assert "DATABASE_URI" in settings.misspelt()
    environ(DATABASE_URL_CRM="postgresql://crm/crm")
    assert settings.misspelt() == {}
