"""Data actions in the simulated Genesys: templates, contract, and the path each answer takes."""

import copy
import http.server
import json
import ssl
import threading

import pytest

from simulator import actions, contracts
from simulator.templates import TemplateError, render
from simulator.validation import BadOrder
from tests.endpoint import CERTIFICATE

VALUES = {"input.sku": 'A"1', "input.n": 5, "input.rawRequest": '{"n":5}', "credentials.key": "s e"}
ACTION = {
    "name": "a",
    "integrationType": "custom-rest-actions",
    "actionType": "custom",
    "secure": False,
    "config": {
        "timeoutSeconds": 1,
        "request": {
            "requestUrlTemplate": "https://127.0.0.1:1/x",
            "requestType": "POST",
            "requestTemplate": "${input.rawRequest}",
            "headers": {"Accept": "application/json"},
        },
        "response": {"successTemplate": "${rawResult}"},
    },
    "contract": {
        "input": {"inputSchema": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        "output": {
            "successSchema": {
                "$schema": "http://json-schema.org/draft-04/schema#",
                "type": "object",
                "required": ["n"],
                "properties": {"n": {"type": "integer"}},
            }
        },
    },
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("${input.rawRequest}", '{"n":5}'),
        ("a ${input.n} ${input.n}", "a 5 5"),
        ("${input.state}", "${input.state}"),
        ("$!{input.state}|$!{input.n}", "|5"),
        ('"$esc.jsonString("${input.sku}")"', '"A\\"1"'),
        ('x?k=$esc.url("${credentials.key}")', "x?k=s%20e"),
        ("$ 5 {x} $x", "$ 5 {x} $x"),
    ],
)
def test_a_template_is_rendered_as_velocity_does(template, text):
    assert render(template, VALUES) == text


def test_a_call_in_braces_is_a_parse_error():
    with pytest.raises(TemplateError):
        render("${esc.url(input.sku)}", VALUES)


def test_a_sound_action_has_no_problems():
    assert contracts.problems(ACTION) == []


def _changed(path, value):
    action = copy.deepcopy(ACTION)
    *parents, last = path.split("/")
    at = action
    for name in parents:
        at = at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return action


IN = "contract/input/inputSchema/properties"
OUT = "contract/output/successSchema/properties"
ROWS = {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}}
NESTED = {"type": "array", "items": {"type": "object", "properties": {"x": ROWS}}}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("actionType", None, "actionType is missing"),
        ("category", "x", "category is unknown"),
        ("name", "x" * 257, "name has 1 to 256"),
        ("secure", "no", "secure is true or false"),
        ("config/request/requestTemplate", None, "missing the requesttemplate"),
        ("config/request/requestType", "SEND", "requestType is one of"),
        ("config/request/requestUrlTemplate", "http://x", "begins with https://"),
        ("config/request/headers", {"Accept": "text/html"}, "INVALID_SCHEMA"),
        ("config/timeoutSeconds", 61, "timeoutSeconds is 1 to 60"),
        ("config/response/successTemplate", None, "successTemplate is a text"),
        (f"{IN}/1sku", {"type": "string"}, "a name is a letter"),
        (f"{IN}/a.b", {"type": "string"}, "a name is a letter"),
        (f"{IN}/rawRequest", {"type": "string"}, "the name is reserved"),
        (f"{IN}/x", {"type": "object"}, "cannot be in a contract here"),
        (f"{IN}/x", {"type": "array"}, "cannot be in a contract here"),
        (f"{IN}/x", {"$ref": "#/definitions/x"}, "no plain schema"),
        (f"{OUT}/x", NESTED, "cannot be in a contract here"),
        (f"{OUT}/x", {"type": "array", "items": {"type": "array"}}, "neither simple nor a flat"),
    ],
)
def test_what_genesys_refuses_is_named(path, value, words):
    (problem,) = contracts.problems(_changed(path, value))
    assert words in problem


def test_an_array_of_flat_objects_is_allowed():
    assert contracts.problems(_changed(f"{OUT}/x", ROWS)) == []


@pytest.mark.parametrize("order", [None, [], {"action": 1}, {"action": {}}, {"inputs": []}])
def test_an_order_that_is_none_is_refused(order):
    with pytest.raises(BadOrder):
        actions.read(order)


@pytest.fixture
def remote():
    """A remote endpoint over TLS that gives a chosen answer; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        answer = (200, b"{}")

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if Handler.answer is None:
                gone.wait(10)
                return
            status, body = Handler.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    gone = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(answer, inputs=None):
        Handler.answer = answer
        url = f"https://127.0.0.1:{server.server_port}/x"
        action = _changed("config/request/requestUrlTemplate", url)
        return actions.run(
            actions.read({"action": action, "inputs": inputs or {}}), ca_file=CERTIFICATE
        )

    yield run
    gone.set()
    server.shutdown()


def test_an_answer_that_fits_the_contract_is_a_success(remote):
    ended = remote((200, b'{"n": 3, "rows": [{"a": 1}, {"a": 2}]}'))
    assert (ended["path"], ended["output"]["n"]) == ("Success", 3)
    assert ended["flattened"] == {"n": 3, "rows.a": [1, 2]}


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ((200, b'{"n": "3"}'), 400, "ACTION.PROCESSING"),
        ((200, b'{"n": null}'), 400, "ACTION.PROCESSING"),
        ((200, b"{}"), 400, "ACTION.PROCESSING"),
        ((200, b"<html>"), 400, "ACTION.REMOTE_ENDPOINT"),
        ((200, b"\xff"), 400, "ACTION.REMOTE_ENDPOINT"),
        ((404, b"<html>"), 404, "ACTION.REMOTE_ENDPOINT"),
        ((503, json.dumps({"code": "timeout"}).encode()), 503, "ACTION.REMOTE_ENDPOINT"),
        ((302, b""), 302, "ACTION.REMOTE_ENDPOINT"),
    ],
)
def test_what_does_not_succeed_is_the_failure_path_and_the_body_is_lost(
    remote, answer, status, code
):
    ended = remote(answer)
    assert (ended["path"], ended["status"]) == ("Failure", status)
    assert ended["error"]["details"] == [{"errorCode": code}]
    assert set(ended) == {"path", "status", "error", "took_ms"}


def test_an_endpoint_that_does_not_answer_in_time_is_the_timeout_path(remote):
    ended = remote(None)
    assert (ended["path"], ended["status"]) == ("Timeout", 504)


def test_inputs_are_held_against_the_contract_first(remote):
    assert remote((200, b'{"n": 1}'), {"sku": 5})["status"] == 400
