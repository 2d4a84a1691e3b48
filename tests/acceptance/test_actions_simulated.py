"""The simulated Genesys runs exported actions over TLS; its answers equal the webhook path's."""

import json
import threading

import pytest
import requests
from werkzeug.serving import make_server

from db import catalog
from ops.diagnosis.tool_call import call_tool, opened
from ops.exports.action import api_body, import_file
from ops.exports.shape import Options
from simulator.app import create_app
from tests.endpoint import CERTIFICATE, ROOT, SECRET, running_endpoint

CATALOG = catalog.load(ROOT / "tools")
EXAMPLES = [
    (tool.name, example["arguments"])
    for tool in CATALOG.tools.values()
    for example in tool.examples
]
CREDENTIALS = {
    "header:X-API-Key": {"apiKey": SECRET},
    "bearer": {"token": SECRET},
    "basic": {"userName": "genesys", "password": SECRET},
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory, reader_url):
    folder = tmp_path_factory.mktemp("actions")
    with running_endpoint(folder, reader_url, is_tls=True) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def databases(reader_url):
    with opened({"default": reader_url}) as databases:
        yield databases


@pytest.fixture(scope="module")
def genesys():
    """Let Genesys, which trusts the endpoint's certificate, run an action."""
    server = make_server("127.0.0.1", 0, create_app(ca_file=CERTIFICATE), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(action, inputs, credentials=CREDENTIALS["header:X-API-Key"]):
        order = {"action": action, "inputs": inputs, "credentials": credentials}
        url = f"http://127.0.0.1:{server.port}/_sim/actions"
        return requests.post(url, json=order, timeout=70).json()

    yield run
    server.shutdown()


def _expected(databases, name, arguments):
    """What the webhook path answers, in an action's words; an error as its code."""
    output = json.loads(call_tool(CATALOG, databases, name, json.dumps(arguments)))
    if "code" in output:
        return output["code"]
    items = output.get("items", [])
    message = output.get("message", "")
    return {"found": bool(items), "total": len(items), "message": message, "items": items}


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
@pytest.mark.parametrize("auth", CREDENTIALS)
def test_every_example_is_answered_as_on_the_webhook_path(
    genesys, endpoint, databases, auth, name, arguments
):
    tool, expected = CATALOG.tools[name], _expected(databases, name, arguments)
    ended = genesys(
        import_file(tool, Options(endpoint.url, auth=auth)), arguments, CREDENTIALS[auth]
    )
    if expected == "invalid_arguments":
        assert (ended["path"], ended["status"]) == ("Failure", 400)
        assert ended["error"]["details"] == [{"errorCode": "ACTION.REMOTE_ENDPOINT"}]
    else:
        assert (ended["path"], ended["output"]) == ("Success", expected)


@pytest.mark.parametrize(("name", "arguments"), EXAMPLES)
def test_in_band_every_example_is_a_success_that_holds_the_code(
    genesys, endpoint, databases, name, arguments
):
    tool, expected = CATALOG.tools[name], _expected(databases, name, arguments)
    ended = genesys(api_body(tool, Options(endpoint.url, is_in_band=True)), arguments)
    assert ended["path"] == "Success"
    code = ended["output"].pop("code")
    is_retryable, sentence = ended["output"].pop("retryable"), ended["output"].pop("error")
    assert is_retryable is False
    if expected == "invalid_arguments":
        assert code == "invalid_arguments"
        assert sentence
    else:
        assert (code, sentence) == ("", "")
        assert ended["output"] == expected


def test_flattened_columns_stand_in_line(genesys, endpoint):
    tool = CATALOG.tools["get_order"]
    ended = genesys(import_file(tool, Options(endpoint.url)), {"order_number": "SO-100042"})
    assert ended["flattened"]["items.sku"] == ["PQ-1547", "AB-1548"]
    assert ended["flattened"]["items.quantity"] == [4, 5]
    assert ended["flattened"]["total"] == 2


def test_a_wrong_credential_is_the_failure_path_with_401(genesys, endpoint):
    tool = CATALOG.tools["get_order"]
    action = import_file(tool, Options(endpoint.url))
    ended = genesys(action, {"order_number": "SO-100042"}, {"apiKey": "wrong"})
    assert (ended["path"], ended["status"]) == ("Failure", 401)
    # a variable that is not set stays literal
    ended = genesys(action, {"order_number": "SO-100042"}, {})
    assert (ended["path"], ended["status"]) == ("Failure", 401)


def test_inputs_that_break_the_contract_are_never_sent(genesys, endpoint):
    tool = CATALOG.tools["get_order"]
    action = import_file(tool, Options(endpoint.url))
    before = endpoint.log().count("action.answered")
    for inputs in ({}, {"order_number": 5}, {"order_number": "SO-100042", "more": "x"}):
        ended = genesys(action, inputs)
        assert ended["error"]["details"] == [{"errorCode": "ACTION.PROCESSING"}]
    assert endpoint.log().count("action.answered") == before


def test_a_server_that_it_does_not_trust_gets_no_request(genesys, endpoint):
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    action = import_file(CATALOG.tools["get_order"], Options(endpoint.url))
    order = {"action": action, "inputs": {"order_number": "SO-100042"}, "credentials": {}}
    url = f"http://127.0.0.1:{server.port}/_sim/actions"
    ended = requests.post(url, json=order, timeout=60).json()
    server.shutdown()
    assert ended["error"]["message"] == "SSLCertVerificationError."


def test_an_action_over_plain_http_is_refused(genesys):
    action = import_file(CATALOG.tools["get_order"], Options("http://127.0.0.1:1"))
    assert "requestUrlTemplate begins with https://" in genesys(action, {})["error"]


def test_the_conversations_id_reaches_the_log(genesys, endpoint):
    tool = CATALOG.tools["get_order"]
    action = import_file(tool, Options(endpoint.url, has_conversation_id=True))
    inputs = {"order_number": "SO-100042", "conversationId": "conversation-77"}
    assert genesys(action, inputs)["path"] == "Success"
    assert '"conversation_id": "conversation-77"' in endpoint.log()
