"""docker-compose.yml keeps its promises; `make compose-check` runs it on an engine."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from msgspec.structs import fields

from runtime.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_COMPOSE = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
_SERVICES = _COMPOSE["services"]
_ONE_SHOTS = {"doctor", "demo-data", "demo-certificate"}
_LASTING = sorted(set(_SERVICES) - _ONE_SHOTS)
_IMAGE = "${TOOLWORKER_IMAGE:-toolworker}"  # `make roll` names another
_FLOWERS = "${FLOWER_IMAGE:-${TOOLWORKER_IMAGE:-toolworker}-flower}"
_OURS = sorted(name for name in _SERVICES if _SERVICES[name].get("image") in (_IMAGE, _FLOWERS))


def _seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def test_the_services_are_those_of_the_design():
    expected = {
        "redis", "ledger", "postgres", "proxy", "webhook", "worker", "reconciler", "flower",
        "dashboard",
    }  # fmt: skip
    assert {name for name in _LASTING if "profiles" not in _SERVICES[name]} == expected
    assert set(_OURS) == expected - {"redis", "ledger", "postgres", "proxy"} | {
        "doctor", "actions", "simulator", "demo-data",
    }  # fmt: skip
    assert _SERVICES["reconciler"]["deploy"]["replicas"] == 2
    assert _SERVICES["webhook"]["deploy"]["replicas"] == "${WEBHOOK_REPLICAS:-2}"


@pytest.mark.parametrize("name", _LASTING)
def test_what_lasts_is_watched_bounded_and_started_again(name):
    service = _SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"].startswith("${")
    assert service["cpus"].startswith("${")
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert service["read_only"] is True


@pytest.mark.parametrize("name", [*_OURS, "proxy"])
def test_our_containers_have_no_rights_that_they_do_not_need(name):
    service = _SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True


# Keys that give a container no right on the host. Not among them are privileged, cap_add, devices,
# pid, ipc, userns_mode and what else opens it.
_WITHOUT_RIGHTS = {
    "build", "cap_drop", "command", "cpus", "depends_on", "deploy", "entrypoint", "env_file",
    "environment", "healthcheck", "image", "init", "logging", "mem_limit", "ports", "profiles",
    "read_only", "restart", "secrets", "security_opt", "stop_grace_period", "stop_signal", "tmpfs",
    "volumes",
}  # fmt: skip


def test_no_container_is_given_a_right_and_few_see_a_folder_of_the_host():
    others = {name: set(service) - _WITHOUT_RIGHTS for name, service in _SERVICES.items()}
    assert {name: keys for name, keys in others.items() if keys} == {
        "postgres": {"shm_size"}, "proxy": {"user"}, "demo-certificate": {"network_mode"},
    }  # fmt: skip
    assert _SERVICES["proxy"]["user"] == "101:101"
    assert _SERVICES["demo-certificate"]["network_mode"] == "none"
    mounts = {mount for service in _SERVICES.values() for mount in service.get("volumes", ())}
    assert {mount for mount in mounts if mount.partition(":")[0] not in _COMPOSE["volumes"]} == {
        "./tools:/app/tools:ro",
        "./ops/proxy/nginx.conf:/etc/nginx/nginx.conf:ro",
        "${CERTIFICATES:-./certificates}:/certificates:ro",
    }


def test_no_port_is_open_to_others_by_default():
    ports = [port for service in _SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 4
    assert all(re.match(r"127\.0\.0\.1:|\$\{[A-Z]+_ADDRESS:-127\.0\.0\.1\}:", p) for p in ports)


def test_the_proxy_is_the_only_way_to_the_receiver():
    assert _SERVICES["proxy"]["ports"] == [
        "${PROXY_ADDRESS:-127.0.0.1}:${PROXY_PORT:-8443}:${PROXY_LISTEN:-8443}"
    ]
    with_ports = {name for name, service in _SERVICES.items() if "ports" in service}
    assert with_ports == {"proxy", "flower", "dashboard", "simulator"}


_SECRETS = {
    "redis_url", "ledger_url", "database_url", "genesys_client_secret", "webhook_secrets",
    "flower_password", "actions_secrets", "dashboard_password", "dashboard_admin_password",
}  # fmt: skip
_OWN = {"flower_password", "actions_secrets", "dashboard_password", "dashboard_admin_password"}
_REDIS = {"redis_url", "ledger_url"}


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("proxy", set()),
        ("webhook", {*_REDIS, "webhook_secrets"}),
        ("worker", {*_REDIS, "database_url", "genesys_client_secret"}),
        ("reconciler", {*_REDIS, "genesys_client_secret"}),
        ("flower", {"redis_url", "flower_password"}),
        (
            "dashboard",
            {*_REDIS, "database_url", "dashboard_password", "dashboard_admin_password"},
        ),
        ("actions", {"database_url", "actions_secrets"}),
        ("doctor", _SECRETS - _OWN),  # once, at what runs need
        ("redis", {"redis_users"}),
        ("ledger", {"redis_users"}),
        ("postgres", {"postgres_password"}),
        ("demo-data", {"postgres_password"}),
        ("demo-certificate", set()),
        ("simulator", set()),
    ],
)
def test_each_service_is_given_the_secrets_that_it_needs_and_no_other(name, secrets):
    assert set(_SERVICES[name].get("secrets", ())) == secrets


def test_the_secrets_of_every_service_are_stated_above():
    (parameters,) = (
        mark.args[1]
        for mark in test_each_service_is_given_the_secrets_that_it_needs_and_no_other.pytestmark
    )
    assert {name for name, _ in parameters} == set(_SERVICES)


@pytest.mark.parametrize("name", _OURS)
def test_secrets_come_from_files_and_the_environment_has_none(name):
    environment = _SERVICES[name]["environment"]
    files = {variable: text for variable, text in environment.items() if variable.endswith("_FILE")}
    given = set(_SERVICES[name].get("secrets", ())) & _SECRETS
    assert files == {f"{secret.upper()}_FILE": f"/run/secrets/{secret}" for secret in given}
    # empty, so that their values in .env reach no container
    assert all(environment[secret.upper()] == "" for secret in _SECRETS)


_REPORTS = {  # with the password of a collector, or of who takes alerts
    "ALERT_URL", "ALERT_SECRET", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS",
}  # fmt: skip
_PROXIES = {
    "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy",
}  # fmt: skip
_GENESYS = {"worker", "reconciler", "doctor"}


@pytest.mark.parametrize("name", _OURS)
def test_secrets_that_may_stand_in_the_env_file_reach_the_services_that_use_them(name):
    used = _REPORTS if name in {"reconciler", "doctor"} else set()
    used |= _PROXIES if name in _GENESYS else set()
    environment = _SERVICES[name]["environment"]
    assert {variable for variable in _REPORTS | _PROXIES if variable not in environment} == used
    assert all(environment[variable] == "" for variable in (_REPORTS | _PROXIES) - used)


def test_every_setting_that_holds_a_secret_is_withheld_somewhere():
    kept_secret = {
        field.name.upper() for field in fields(Settings) if "Secret" in str(field.type)
    } - {"DATABASES"}  # DATABASE_URL_NAME, of any name
    stated = {secret.upper() for secret in _SECRETS} | _REPORTS | _PROXIES
    assert kept_secret <= stated


def test_a_rotated_secret_restarts_each_service_that_is_given_it():
    page = (_ROOT / "docs" / "production.md").read_text()
    (section,) = re.findall(r"^## Rotate a secret$(.*?)^## ", page, re.M | re.S)
    rotated = set()
    for block in re.findall(r"^```\n(.*?)^```$", section, re.M | re.S):
        listed = " ".join(re.findall(r"for file in ([\w ]+);", block)).split()
        secrets = {*re.findall(r"> secrets/(\w+)$", block, re.M), *listed} & _SECRETS
        restarted = " ".join(re.findall(r"docker compose restart ([\w ]+)", block)).split()
        given = {
            name
            for name in _LASTING
            if secrets & set(_SERVICES[name].get("secrets", ()))
            # data actions run where they are served alone: the text names them
            and ("profiles" not in _SERVICES[name] or "actions_secrets" in secrets)
        }
        assert given <= set(restarted), secrets
        rotated |= secrets
    assert rotated == _SECRETS


def test_every_client_of_redis_needs_a_password():
    for name in ("redis", "ledger"):
        command = _SERVICES[name]["command"]
        assert command[command.index("--aclfile") + 1] == "/run/secrets/redis_users"
    users = (_ROOT / "ops" / "dev" / "demo" / "secrets" / "redis_users").read_text().splitlines()
    assert [user for user in users if "nopass" in user] == ["user health on nopass +ping"]


def test_the_ledger_is_safe_before_a_202_and_the_broker_quick():
    assert "always" in _SERVICES["ledger"]["command"]
    assert "everysec" in _SERVICES["redis"]["command"]
    for name in ("redis", "ledger"):
        assert "noeviction" in _SERVICES[name]["command"]


_MB = {"mb": 1, "m": 1, "g": 1024}


def _megabytes(text):
    number, unit = re.fullmatch(r"\$\{[A-Z]+_[A-Z]+:-(\d+)([a-z]+)\}", text).groups()
    return int(number) * _MB[unit]  # Redis' mb and Docker's m are both 1024 kB of 1024 bytes


@pytest.mark.parametrize("name", ["redis", "ledger"])
def test_redis_refuses_writes_before_the_kernel_ends_it(name):
    command = _SERVICES[name]["command"]
    most = _megabytes(command[command.index("--maxmemory") + 1])
    # the rest is for rewriting the append-only file, for clients, and for what open runs add
    assert 0.6 < most / _megabytes(_SERVICES[name]["mem_limit"]) < 0.75


@pytest.mark.parametrize("name", ["doctor", "reconciler"])
def test_what_is_measured_besides_is_reached_and_the_disks_are_read_only(name):
    service = _SERVICES[name]
    assert service["environment"]["RECEIVER_URL"] == "http://webhook:8000"
    assert service["environment"]["TLS_ENDPOINT"] == "${TLS_ENDPOINT-proxy:8443}"
    for setting, volume in (("LEDGER_DISK", "ledger"), ("BROKER_DISK", "redis")):
        assert f"{volume}:{service['environment'][setting]}:ro" in service["volumes"]
    assert "./tools:/app/tools:ro" in service["volumes"]


def test_the_start_waits_for_nothing_that_only_a_running_service_shows():
    assert "--before-start" in _SERVICES["doctor"]["command"]


def test_a_stopping_part_has_more_time_than_it_takes():
    # celeryconfig.task_time_limit, gunicorn's graceful_timeout, one POST
    assert _seconds(_SERVICES["worker"]["stop_grace_period"]) > 45
    assert _seconds(_SERVICES["webhook"]["stop_grace_period"]) > 15
    assert _seconds(_SERVICES["reconciler"]["stop_grace_period"]) > 10
    assert _seconds(_SERVICES["proxy"]["stop_grace_period"]) > 10


def test_every_service_of_ours_waits_for_the_doctor():
    for name in ("webhook", "actions", "worker", "reconciler", "flower", "dashboard"):
        waits = _SERVICES[name]["depends_on"]["doctor"]
        assert waits["condition"] == "service_completed_successfully"


def _copied():
    """Stages of the Dockerfile, in order, and what each copies from the checkout."""
    stages = {}
    for words in map(str.split, (_ROOT / "Dockerfile").read_text().splitlines()):
        if words[:1] == ["FROM"]:
            stages[words[3]] = set()
        elif words[:1] == ["COPY"] and not words[1].startswith("--from"):
            stages[[*stages][-1]].update(words[1:-1])
    return stages


def test_every_package_is_copied_into_the_image_and_let_in():
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    packages = {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    let_in = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines()
              if line.startswith("!")}  # fmt: skip
    copied = _copied()
    assert packages <= copied["build"]
    assert set().union(*copied.values()) <= let_in


def test_flower_has_an_image_of_its_own_and_no_other_service_has_it():
    assert [name for name in _OURS if _SERVICES[name]["image"] == _FLOWERS] == ["flower"]
    builds = {name: _SERVICES[name].get("build") for name in _OURS}
    assert {name: build for name, build in builds.items() if build} == {
        "doctor": ".", "flower": {"context": ".", "target": "flower"},
    }  # fmt: skip
    stages = _copied()
    assert [*stages][-1] == "toolworker"  # what `docker build .` builds
    with_flower = [name for name, files in stages.items() if "requirements-flower.lock" in files]
    assert with_flower == ["flower"]


_WITH_FLOWER = {"flower", "humanize", "pytz", "tornado"}


def _locked(name):
    lines = (_ROOT / f"requirements{name}.lock").read_text().splitlines()
    return {tuple(line.split()[0].split("==")) for line in lines if "==" in line}


def test_flower_is_in_the_lock_of_its_image_and_not_in_that_of_the_workers():
    workers, flowers = _locked(""), _locked("-flower")
    assert {name for name, _ in flowers - workers} == _WITH_FLOWER
    assert workers < flowers
    assert flowers < _locked("-dev")
    # whose workers are measured as they run in production
    assert not _WITH_FLOWER & {name for name, _ in _locked("-bench")}
