"""gunicorn's limits fit those of the proxy before it."""

import re
from pathlib import Path

from webhook import gunicorn
from webhook.delivery import MAX_BODY_BYTES

_CONF = (Path(__file__).resolve().parents[3] / "ops" / "proxy" / "nginx.conf").read_text()


def _numbers(directive):
    (values,) = re.findall(rf"^ {{4}}{directive} (.+);$", _CONF, re.MULTILINE)  # of http {}
    return [int(number) for number in re.findall(r"\d+", values)]


def test_the_proxy_takes_the_bodies_that_the_receiver_takes():
    assert _numbers("client_max_body_size") == [MAX_BODY_BYTES] == [1_000_000]


def test_gunicorn_refuses_no_head_that_the_proxy_passes_on():
    buffers, kilobytes = _numbers("large_client_header_buffers")
    assert gunicorn.limit_request_line > kilobytes * 1024
    assert gunicorn.limit_request_field_size > kilobytes * 1024
    (first,) = _numbers("client_header_buffer_size")
    shortest = len("A:\r\n")
    most = (buffers * kilobytes + first) * 1024 // shortest
    set_by_the_proxy = len(re.findall(r"^ *proxy_set_header ", _CONF, re.MULTILINE)) + 3
    assert gunicorn.limit_request_fields >= most + set_by_the_proxy


def test_gunicorn_keeps_a_connection_for_longer_than_any_proxy():
    # Google's load balancers: 600 s, the longest of those that are common
    assert gunicorn.keepalive > 600
