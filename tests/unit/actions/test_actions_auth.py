"""Authorization of data actions: which headers carry a secret; only Unauthorized is raised."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions.auth import authorize
from actions.errors import Unauthorized

ALL = ("basic", "bearer", "header:x-api-key")
SECRETS = (b"current", "alté".encode("latin-1"))


def basic(text):
    return {"authorization": f"Basic {base64.b64encode(text).decode()}"}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "current"},
        {"x-api-key": " alté "},
        {"authorization": "Bearer current"},
        {"authorization": "bEARER  alté"},
        basic(b"any:current"),
        basic(b":current"),
    ],
)
def test_a_secret_is_taken_in_each_form(headers):
    authorize(headers, schemes=ALL, secrets=SECRETS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "curren"},
        {"x-api-key": "current2"},
        {"authorization": "current"},
        {"authorization": "Bearer"},
        {"authorization": "Basic ???"},
        basic(b"current"),
        basic(b"current:"),
        basic(b"a:b:current"),
    ],
)
def test_anything_else_is_refused(headers):
    with pytest.raises(Unauthorized):
        authorize(headers, schemes=ALL, secrets=SECRETS)


@pytest.mark.parametrize("secrets", [(), (b"",)])
def test_without_a_secret_nothing_passes(secrets):
    for headers in ({"x-api-key": ""}, {}, {"x-api-key": "x"}):
        with pytest.raises(Unauthorized):
            authorize(headers, schemes=ALL, secrets=[s for s in secrets if s])


@given(st.text(max_size=40))
def test_no_header_raises_anything_else(text):
    for name in ("authorization", "x-api-key"):
        for prefix in ("", "Basic ", "Bearer "):
            with pytest.raises(Unauthorized):
                authorize({name: prefix + text}, schemes=ALL, secrets=[b"current-secret"])
