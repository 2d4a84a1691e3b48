"""gunicorn's limits fit those of the proxy before it, and the bounds that Genesys sets."""

import re
from pathlib import Path

import yaml

from actions import gunicorn
from actions.deadline import MAX_TIMEOUT_S
from actions.responses import MAX_BODY_BYTES
from db.arguments import MAX_ARGUMENT_BYTES
from runtime.settings import Settings

_ROOT = Path(__file__).resolve().parents[3]
_CONF = (_ROOT / "ops" / "proxy" / "nginx.conf").read_text()
_UPSTREAM = re.search(r"upstream actions \{(.*?)\n    \}", _CONF, re.DOTALL)[1]
_LOCATION = re.search(r"location /genesys/actions/ \{(.*?)\n        \}", _CONF, re.DOTALL)[1]


def _of(directive):
    return int(re.search(rf"{directive} (\d+)", _LOCATION)[1])


def test_the_proxy_takes_the_bodies_that_the_endpoint_takes():
    assert _of("client_max_body_size") == MAX_BODY_BYTES > MAX_ARGUMENT_BYTES


def test_the_proxy_waits_for_longer_than_any_action():
    assert _of("proxy_read_timeout") > MAX_TIMEOUT_S


def test_a_stop_lasts_longer_than_an_action_does_by_default():
    assert gunicorn.graceful_timeout > 10


def test_a_connection_is_kept_for_longer_than_any_proxy_keeps_it():
    assert gunicorn.keepalive > 600


def test_the_proxy_closes_idle_connections_before_the_endpoint_does():
    assert int(re.search(r"keepalive_timeout (\d+)s;", _UPSTREAM)[1]) < gunicorn.keepalive


def test_the_proxy_keeps_as_many_connections_as_calls_run_at_once():
    at_once = Settings().actions_at_once
    assert int(re.search(r"keepalive (\d+);", _UPSTREAM)[1]) >= at_once


def test_the_proxy_calls_the_socket_that_the_compose_file_binds():
    services = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())["services"]
    (socket,) = re.findall(r"server unix:(\S+);", _UPSTREAM)
    assert f"unix:{socket}" in services["actions"]["command"]
    folder = str(Path(socket).parent)
    assert f"sockets:{folder}" in services["actions"]["volumes"]
    assert f"sockets:{folder}:ro" in services["proxy"]["volumes"]
