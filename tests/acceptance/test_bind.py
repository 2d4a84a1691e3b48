"""Bound arguments through real processes: receiver, workers, data actions and the command line."""

import json
import os
import shutil

import pytest

from tests import forked_cli
from tests.endpoint import SECRET as ACTION_SECRET
from tests.endpoint import running_endpoint
from tests.receiver import ROOT, SECRET, delivery, running_receiver, signed

MINE = ROOT / "ops/dev/demo/tools/list_my_invoices"
HEADER = "X-Toolworker-Bind-Customer-Id"
CALL = ("c-1", "list_my_invoices", "{}")
BY_HEADER = ("c-2", "by_header", "{}")


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """The demo's tool with a bound argument, and one that takes it from a header of the proxy."""
    folder = tmp_path_factory.mktemp("bound") / "tools"
    shutil.copytree(MINE, folder / "list_my_invoices")
    shutil.copytree(MINE, folder / "by_header")
    path = folder / "by_header/tool.json"
    tool = json.loads(path.read_text())
    bind = {"customer_id": "header:X-Toolworker-Caller"}
    path.write_text(json.dumps({**tool, "name": "by_header", "bind": bind}))
    return folder


@pytest.fixture(scope="module")
def receiver(redis_server, tmp_path_factory, tools):
    env = {
        "WEBHOOK_AUTH": "x-hub-signature-256,bearer",
        "WEBHOOK_BIND_HEADERS": "x-toolworker-caller",
        "TOOLS_DIR": str(tools),
    }
    with running_receiver(tmp_path_factory.mktemp("bind"), redis_server.url, **env) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory, reader_url, tools):
    with running_endpoint(tmp_path_factory.mktemp("actions"), reader_url, tools) as endpoint:
        yield endpoint


def _show(redis_server, key, *options):
    env = {"PATH": os.defpath, "REDIS_URL": redis_server.url}
    return forked_cli.toolworker("runs", "show", key, *options, env=env)


def test_a_run_is_answered_with_the_rows_of_whom_the_delivery_names(service):
    run_id = service.new_run_id() + "-bound"
    calls = [
        {"id": i, "type": "function", "function": {"name": "list_my_invoices", "arguments": text}}
        for i, text in (("own", "{}"), ("forged", '{"customer_id": 42}'))
    ]
    body = {"run_id": run_id, "context": {"customer_id": 42}, "tool_calls": calls}
    assert service.post(json.dumps(body).encode()).status == 202
    answer = service.answer(run_id)
    assert [i["invoice_number"] for i in answer["own"]["items"]] == ["R-306157", "R-302157"]
    assert answer["forged"]["code"] == "forbidden"
    # now somebody else, who is known by no other thing
    body["context"]["customer_id"] = 43
    assert service.post(json.dumps(body).encode()).status == 409


def test_no_log_or_message_has_a_bound_value(service):
    run_id = service.new_run_id() + "-not-told"
    function = {"name": "list_my_invoices", "arguments": "{}"}
    calls = [{"id": "a", "type": "function", "function": function}]
    body = {"run_id": run_id, "context": {"customer_id": 1234543210}, "tool_calls": calls}
    key = service.post(json.dumps(body).encode()).body["key"]
    assert service.answer(run_id)["a"] == {"message": "There are no invoices."}
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")
    assert "1234543210" not in json.dumps(service.entry(key))
    assert "1234543210" not in service.logs()
    assert f'"run_id": "{run_id}"' in service.logs()


def test_the_receiver_keeps_what_is_bound_and_shows_it_with_the_body_alone(receiver, redis_server):
    body = delivery("kept", CALL, context={"customer_id": "secret-caller", "other": "unkept"})
    key = receiver.post(body)[1]["key"]
    for options in ([], ["-o", "json"]):
        shown = _show(redis_server, key, *options)
        assert shown.returncode == 0
        assert "secret-caller" not in shown.stdout + shown.stderr
    shown = _show(redis_server, key, "--body")
    assert 'bound /context/customer_id: "secret-caller"' in shown.stderr
    assert "unkept" not in shown.stderr
    assert "secret-caller" not in receiver.log()


def test_an_unsigned_delivery_is_taken_without_what_is_bound(receiver, redis_server):
    body = delivery("unsigned", CALL, context={"customer_id": 42})
    status, accepted = receiver.post(body, {"Authorization": f"Bearer {SECRET}"})
    assert status == 202
    shown = _show(redis_server, accepted["key"], "--body")
    assert "bound /context/customer_id: null" in shown.stderr
    assert "proven by bearer alone are forbidden" in receiver.log()


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("X-Toolworker-Caller", "42", '"42"'),
        ("x-TOOLWORKER-caller", "43", '"43"'),
        # gunicorn leaves out what would have the same name in WSGI
        ("X_Toolworker_Caller", "44", '""'),
        ("X-Toolworker_Caller", "45", '""'),
    ],
)
def test_a_header_of_the_proxy_is_kept_in_any_case(receiver, redis_server, name, value, kept):
    body = delivery(f"header-{value}", BY_HEADER, context={"customer_id": 7})
    key = receiver.post(body, {**signed(body), name: value})[1]["key"]
    shown = _show(redis_server, key, "--body")
    assert f"bound header:X-Toolworker-Caller: {kept}\n" in shown.stderr


def _invoices(endpoint, arguments, **headers):
    status, body = endpoint.call(
        "list_my_invoices", arguments, **{"X-API-Key": ACTION_SECRET, **headers}
    )
    return status, body.get("code") or [item["invoice_number"] for item in body["items"]]


def test_an_action_takes_it_from_its_header_alone(endpoint):
    own = (200, ["R-306157", "R-302157"])
    forbidden = (403, "forbidden")
    assert _invoices(endpoint, {}, **{HEADER: "42"}) == own
    assert _invoices(endpoint, {}, **{HEADER.upper(): " 42 "}) == own
    assert _invoices(endpoint, {}) == forbidden
    for wrong in ("", "42, 42", "4x", "042", "1.0", "-1", "\xe9"):
        assert _invoices(endpoint, {}, **{HEADER: wrong}) == forbidden
    for sent in (42, 43, None, ""):
        assert _invoices(endpoint, {"customer_id": sent}, **{HEADER: "42"}) == forbidden
    assert _invoices(endpoint, {}, X_Toolworker_Bind_Customer_Id="42") == forbidden


def test_an_action_without_a_credential_is_refused_before_its_header_is_read(endpoint):
    status, body = endpoint.call("list_my_invoices", {}, **{HEADER: "42", "X-API-Key": "wrong"})
    assert (status, body["code"]) == (401, "unauthorized")


def test_two_headers_of_one_name_are_none(endpoint):
    connection = endpoint.connect()
    try:
        connection.putrequest("POST", "/genesys/actions/list_my_invoices")
        for name, value in (("X-API-Key", ACTION_SECRET), (HEADER, "42"), (HEADER, "43")):
            connection.putheader(name, value)
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"{}")
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["code"]) == (403, "forbidden")
    finally:
        connection.close()


def test_a_header_that_no_setting_lists_keeps_the_receiver_from_starting(tmp_path, tools):
    env = {
        "PATH": os.defpath,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "WEBHOOK_SECRETS": SECRET,
        "TOOLS_DIR": str(tools),
    }
    started = forked_cli.python("-c", "import webhook.intake; webhook.intake.keep()", env=env)
    assert started.returncode == 1
    assert "by_header/tool.json:1: customer_id is bound to header:X-Toolworker-Caller" in (
        started.stderr
    )
