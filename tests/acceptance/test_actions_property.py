"""For any tool that loads the export lint objects, or its action returns the webhook's content."""

import contextlib
import json
import shutil
import ssl
import tempfile
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_server

from actions.app import make
from db import catalog
from db.errors import CatalogError
from db.pool import Databases
from ops.commands.export import checked_for
from ops.diagnosis.tool_call import call_tool
from ops.exports.action import import_file
from ops.exports.ava import definition, shared, tool_name
from ops.exports.shape import Options
from runtime.settings import Secret, Settings
from simulator import actions, agents, contracts
from tests.cases import cases
from tests.endpoint import CERTIFICATE, SECRET

SOUND = ["sku", "order_number", "limit", "q1", "orderState", "warehouse"]
NAMES = [*SOUND, "größe", "_x", "rawRequest", "type"]
TOOL_NAMES = ["find_item", "ab", "9_lives", "x-y"]
WORDS = ["OPEN", "US-WEST", "2nd", "in work", "ä", "", "x" * 40, 'a"b', "${x}", "%{y}", "\\"]
# SQL of a column, its type in the contract, whether it is one that the lint takes
COLUMNS = [
    ("'Anvil'::text", "string"),
    ("NULL::text", "string"),
    ("'tab\t\"quote\" \\ ${rawResult}'::text", "string"),
    ("12345678901::bigint", "integer"),
    ("5.00::numeric(9,2)", "number"),
    ("0.1::float8", "number"),
    ("'NaN'::float8", "string"),
    ("true", "boolean"),
    ("'{\"a\": [1, null]}'::jsonb", "string"),
    ("ARRAY['a', NULL]", "string"),
    ("timestamptz '2026-01-02 03:04:05+00'", "string"),
    ("'\\x00ff'::bytea", "string"),
    ("n::integer", "integer"),
]
text = st.sampled_from(WORDS)
description = st.sampled_from(["What is meant.", '${x} \\ "', "What is meant.", ""])
enums = st.lists(text, min_size=1, max_size=3, unique=True)
sound = st.one_of(
    st.fixed_dictionaries({"type": st.just("string"), "description": description}),
    st.fixed_dictionaries({"type": st.just("string"), "enum": enums, "description": description}),
    st.just({"type": "string", "maxLength": 4, "description": "Short."}),
    st.just({"type": "integer", "minimum": 0, "description": "How many."}),
    st.just({"type": "number", "description": "How much.", "default": 1.5}),
    st.just({"type": "boolean", "description": "Whether."}),
    st.just({"type": ["string", "null"], "description": "Perhaps."}),
    st.just({"enum": ["OPEN", None], "description": "Which."}),
)
schemas = st.one_of(
    sound,
    st.just({"type": "string"}),
    st.just({"type": "array", "items": {"type": "string"}}),
    st.just({"type": "object"}),
    st.just({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    st.just({"const": "A", "description": "One."}),
    st.just({}),
)
values = st.one_of(
    text, st.integers(-3, 9), st.floats(-2, 2), st.booleans(), st.none(), st.just([]), st.just({})
)


@st.composite
def tools(draw):
    is_sound = draw(st.booleans())
    names, kinds = (SOUND, sound) if is_sound else (NAMES, schemas)
    properties = draw(st.dictionaries(st.sampled_from(names), kinds, max_size=6))
    required = [name for name in properties if draw(st.booleans())]
    picked = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))
    dot = "" if is_sound or draw(st.integers(0, 4)) else "."
    names = [f"c{dot}{n}" for n in range(len(picked))]
    tool = {
        "name": draw(st.sampled_from(["find_item", "find"] if is_sound else TOOL_NAMES)),
        "description": draw(st.sampled_from(["Looks.", '${x} %{y} \\ "', "Long. " * 90])),
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
    }
    aliases = {
        name: {f"v{number}": value for number, value in enumerate(schema["enum"])}
        for name, schema in properties.items()
        if schema.get("type") == "string" and "enum" in schema and draw(st.integers(0, 3))
    }
    if aliases:
        tool["aliases"] = aliases
    if is_sound or draw(st.integers(0, 3)):
        tool["columns"] = {n: {"type": kind} for n, (_, kind) in zip(names, picked, strict=True)}
    if draw(st.booleans()):
        tool["no_rows_message"] = "Nothing."
    tool["max_rows"] = draw(st.sampled_from([1, 100]))
    rows = draw(st.sampled_from([0, 1, 1, 2]))
    listed = ", ".join(f'{sql} AS "{n}"' for n, (sql, _) in zip(names, picked, strict=True))
    used = " ".join(f"AND coalesce(%({name})s::text, '') IS NOT NULL" for name in properties)
    listed = listed.replace("%", "%%")
    return tool, f"SELECT {listed}\nFROM generate_series(1, {rows}) AS n\nWHERE true {used}"


@pytest.fixture(scope="module")
def databases(reader_url):
    databases = Databases({"default": reader_url}, max_size=2)
    databases.open()
    yield databases
    databases.close()


@contextlib.contextmanager
def served(tools_of, databases):
    """The endpoint over TLS in this process; its address."""
    app = make(Settings(actions_secrets=Secret(SECRET)), tools_of, databases)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _expected(tool, output):
    """The webhook path's content in the form of an action; an error is its status."""
    if "code" in output:
        return {"invalid_arguments": 400, "query_failed": 500}[output["code"]]
    items = output.get("items", [])
    message = output.get("message", "" if items else "Nothing was found.")
    if output.get("truncated"):
        message = f"Only the first {len(items)} are listed; there are more."
    return {"found": bool(items), "total": len(items), "message": message, "items": items}


def _as_webhook(tool, ended):
    """An action's end, with text columns read back as the values that they write."""
    if ended["path"] != "Success":
        return ended["status"]
    return ended["output"]


def _same(tool, row, given):
    """Whether a row of an action has the content of the webhook's."""
    for name, column in tool.columns.items():
        value, told = given[name], row[name]
        if column["type"] != "string" or isinstance(value, str):
            assert told == value
        elif value is None:
            assert told == ""
        else:
            assert json.loads(told) == value
    assert set(row) == set(given)


def _check(tool, arguments, ended, output):
    expected, found = _expected(tool, output), _as_webhook(tool, ended)
    if isinstance(expected, int) or isinstance(found, int):
        assert found == expected, (arguments, ended)
        return
    given, rows = expected.pop("items"), found.pop("items")
    assert found == expected
    for row, value in zip(rows, given, strict=True):
        _same(tool, row, value)


seen = Counter()


@settings(
    max_examples=cases(250),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(tools(), st.lists(values, min_size=6, max_size=6))
def test_the_lint_has_a_reason_or_the_action_has_the_webhooks_content(databases, drawn, given):
    tool, statement = drawn
    folder = Path(tempfile.mkdtemp(prefix="toolworker-any-"))
    try:
        place = folder / tool["name"]
        place.mkdir()
        (place / "tool.json").write_text(json.dumps(tool))
        (place / "query.sql").write_text(statement)
        (place / "examples.json").write_text("[]")
        try:
            loaded = catalog.load(folder)
        except CatalogError:
            seen["does not load"] += 1
            return
        for target in ("genesys-action", "ava"):
            wrong = [f for f in checked_for([target], folder) if not f.is_warning]
            if wrong:
                assert all(finding.mistake.message for finding in wrong)
                seen[f"{target}: a reason"] += 1
                continue
            seen[target] += 1
            with served(loaded, databases) as url:
                _call(loaded, databases, url, target, given)
    finally:
        shutil.rmtree(folder)


def _call(loaded, databases, url, target, given):
    (tool,) = loaded.tools.values()
    action = import_file(tool, Options(url))
    assert contracts.problems(action) == []
    properties = tool.parameters["properties"]
    arguments = dict(zip(properties, given, strict=False))
    # what an action's inputs cannot hold never gets here; nor does a null, which is "absent"
    kinds = action["contract"]["input"]["inputSchema"]["properties"]
    fitting = {n: v for n, v in arguments.items() if _is(kinds[n]["type"], v)}

    def run(inputs):
        order = {"action": action, "inputs": dict(inputs), "credentials": {"apiKey": SECRET}}
        return actions.run(actions.read(order), ca_file=CERTIFICATE)

    required = tool.parameters["required"]
    meant = {n: v for n, v in fitting.items() if n in required or v != ""}
    output = json.loads(call_tool(loaded, databases, tool.name, json.dumps(meant)))
    spelled = {n: {v: a for a, v in tool.aliases.get(n, {}).items()} for n in fitting}
    fitting = {n: spelled[n].get(v, v) if isinstance(v, str) else v for n, v in fitting.items()}
    if set(required) - set(fitting):
        assert run(fitting)["error"]["details"] == [{"errorCode": "ACTION.PROCESSING"}]
    elif target == "genesys-action":
        _check(tool, fitting, run(fitting), output)
    else:
        whole = agents.merged([shared(), definition(tool, Options(url))])
        assert agents.problems(whole) == []
        try:
            ended = agents.call(whole, tool_name(tool.name), fitting, run)
        except ValueError:
            assert output["code"] == "invalid_arguments"  # no value of the enum
            return
        if "output" in ended:
            _check(tool, fitting, {"path": "Success", **ended}, output)
        else:
            names = {"invalid_arguments": "BadArguments", "query_failed": "Broken"}
            assert ended["error"] == names[output["code"]]


def _is(kind, value):
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float):
        return kind == "number"
    return isinstance(value, {"string": str, "integer": int, "number": int}.get(kind, ()))


def test_both_ways_were_tried_often():
    assert seen["genesys-action"] >= cases(20)
    assert seen["genesys-action: a reason"] >= cases(20)
    assert seen["ava"] >= cases(5)
