"""gunicorn's limits fit those of the proxy before it, and the bounds that Genesys sets."""

import re
from pathlib import Path

from actions import gunicorn
from actions.answers import MAX_BODY_BYTES
from actions.deadline import MAX_TIMEOUT_S
from db.arguments import MAX_ARGUMENT_BYTES

_CONF = (Path(__file__).resolve().parents[3] / "ops" / "proxy" / "nginx.conf").read_text()
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
