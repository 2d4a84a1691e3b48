"""A fault of the endpoint's own code is a JSON error without the exception's text."""

import json

import pytest

from actions.app import make
from db import catalog
from runtime.settings import Secret, Settings
from tests.endpoint import ROOT


class Broken:
    """Databases whose query fails as no database does."""

    names = frozenset({"default"})

    def query(self, tool, values, *, timeout_ms, hang_margin_s):
        raise RuntimeError("SO-100042 is in the text")


@pytest.fixture(params=["0", "1"], ids=["", "FLASK_DEBUG"])
def client(request, monkeypatch):
    monkeypatch.setenv("FLASK_DEBUG", request.param)
    values = Settings(actions_secrets=Secret("s"))
    app = make(values, catalog.load(ROOT / "tools"), Broken())
    return app.test_client()


@pytest.mark.parametrize(("query", "status"), [("", 500), ("?errors=inband", 200)])
def test_an_exception_is_internal_error_in_both_modes(client, capsys, query, status):
    answer = client.post(
        f"/genesys/actions/get_order{query}",
        data=json.dumps({"order_number": "SO-100042"}),
        headers={"X-API-Key": "s"},
    )
    assert (answer.status_code, answer.json["code"]) == (status, "internal_error")
    assert answer.mimetype == "application/json"
    assert "SO-100042" not in answer.text
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", ["//genesys/actions/get_order", "/genesys//actions/get_order", "//"]
)
def test_more_slashes_are_another_address(client, path):
    answer = client.post(path, headers={"X-API-Key": "s"})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
