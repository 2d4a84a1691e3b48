"""The demo reports an output that is not the expected one; `up` prints commands to paste."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ops.deliveries import Answer
from ops.dev import demo, up
from webhook.delivery import delivery_of, read
from webhook.signature import verify

ACCEPTED = {"status": "accepted", "run_id": "r", "key": "k"}
RUN = demo.Run("a run", {"run_id": "r"}, {"a": {"items": [], "total": 1}, "b": {"message": "x"}})


ENV = {
    "PATH": "/nowhere",
    "REDIS_URL": "redis://127.0.0.1:3/0",
    "LEDGER_URL": "redis://127.0.0.1:5/0",
    "DATABASE_URL": "postgresql://reader@127.0.0.1:4/demo",
    "GENESYS_BASE_URL": "http://127.0.0.1:2",
    "GENESYS_LOGIN_URL": "http://127.0.0.1:2",
    "GENESYS_CLIENT_ID": "client",
    "GENESYS_CLIENT_SECRET": "secret",
    "WEBHOOK_SECRETS": "it's secret",
    "TOOLS_DIR": "/a/copy",
}


def seen(*, status=202, body=ACCEPTED, outputs=RUN.outputs, run=RUN):
    return demo.Seen(run, Answer(status, body, 3), 0.0, 5, dict(outputs))


def test_the_expected_outputs_are_no_difference():
    assert demo.compare(seen(), [{}]) == []


def test_true_is_not_taken_for_one():
    outputs = {"a": {"items": [], "total": True}, "b": {"message": "x"}}

    assert demo.compare(seen(outputs=outputs), [{}]) == [
        'a\n  expected {"items": [], "total": 1}\n  but got  {"items": [], "total": true}'
    ]


def test_outputs_in_another_order_are_a_difference():
    outputs = {"b": {"message": "x"}, "a": {"items": [], "total": 1}}

    assert demo.compare(seen(outputs=outputs), [{}]) == ["outputs for ['b', 'a'], not ['a', 'b']"]


@pytest.mark.parametrize("attempts", [[], [{}, {}]])
def test_anything_but_one_submission_is_a_difference(attempts):
    found = demo.compare(seen(), attempts)

    assert found == [f"{len(attempts)} submissions arrived, not 1"]


def test_a_delivery_that_is_refused_is_a_difference():
    refused = seen(status=503, body={"error": "Later."})

    assert demo.compare(refused, [{}]) == ['the receiver answered 503 {"error": "Later."}']


def test_a_repeat_must_be_answered_as_a_duplicate_and_a_first_delivery_not():
    repeat = demo.Run(RUN.title, RUN.delivery, RUN.outputs, is_repeat=True)
    duplicate = {**ACCEPTED, "duplicate": True}

    assert demo.compare(seen(run=repeat, body=duplicate), [{}]) == []
    assert len(demo.compare(seen(run=repeat), [{}])) == 1
    assert len(demo.compare(seen(body=duplicate), [{}])) == 1


def test_the_five_runs_are_those_that_the_readme_promises():
    runs = demo.load_runs()

    assert [len(run.delivery["tool_calls"]) for run in runs] == [3, 4, 1, 1, 3]
    codes = [[output.get("code") for output in run.outputs.values()] for run in runs]
    second = ["invalid_arguments", None, None, "forbidden"]
    assert codes[1:4] == [second, ["unknown_tool"], ["timeout"]]
    assert runs[4].delivery == runs[0].delivery
    assert [run.is_repeat for run in runs] == [False, False, False, False, True]


def test_the_curl_line_of_up_can_be_pasted_as_it_is():
    text = up.instructions("http://127.0.0.1:1", "http://127.0.0.1:2", ENV)

    (line,) = [line for line in text.splitlines() if line.startswith("  curl -i")]
    _, _, url, *rest = shlex.split(line)
    assert url == "http://127.0.0.1:1/webhook/tool-calls"
    headers = dict(text.split(": ", 1) for text in (rest[1], rest[3]))
    assert headers["Content-Type"] == "application/json"
    body = rest[rest.index("--data-binary") + 1].encode()
    verify(headers, body, schemes=["x-hub-signature-256"], secrets=[b"it's secret"], now=0)
    assert delivery_of(read(body))["run_id"] == json.loads(body)["run_id"]


def test_the_export_line_of_up_sets_what_the_other_commands_need_and_where_they_are():
    text = up.instructions("http://127.0.0.1:1", "http://127.0.0.1:2", ENV)

    (line,) = [line for line in text.splitlines() if line.startswith("  export ")]
    asked = f"{line}; command -v toolworker; /usr/bin/env"
    done = subprocess.run(
        ["/bin/sh", "-c", asked], env={}, capture_output=True, text=True, check=True
    )
    program, *variables = done.stdout.splitlines()
    assert program == str(Path(sys.executable).with_name("toolworker"))
    found = dict(variable.split("=", 1) for variable in variables)
    settings = ENV.keys() - {"PATH", "TOOLS_DIR"}
    assert {name: found[name] for name in settings} == {name: ENV[name] for name in settings}
    assert "TOOLS_DIR" not in found
