"""The data-action endpoint over HTTP: statuses, credentials, bounds, log lines."""

import base64
import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ops.dev.server import free_port
from tests.endpoint import OLD_SECRET, ROOT, SECRET, environment, running_endpoint
from tests.gate import GATE, write_gate
from tests.timing import in_time, until_unstalled

STOCK = {"sku": "AB-1001", "warehouse": "US-WEST"}
ONE = {"seconds": {"type": "number"}}
# name to parameters, statement, and more keys of tool.json
TOOLS = {
    "hold": (ONE, "SELECT 'slept' AS state FROM pg_sleep(%(seconds)s::float8)",
             {"timeout_ms": 20_000}),
    "short": (ONE, "SELECT 'x' AS x FROM pg_sleep(%(seconds)s::float8)", {"timeout_ms": 300}),
    "divide": ({}, "SELECT 1 / 0 AS n", {}),
    "elsewhere": ({}, "SELECT 1 AS n", {"database": "crm"}),
    "large": ({}, "SELECT repeat('x', 300) AS x", {"max_bytes": 100}),
    "many": ({}, "SELECT n FROM generate_series(1, 9) AS n", {"max_rows": 2}),
    "gaps": ({}, "SELECT NULL AS a, 1.50::numeric AS n, '{\"b\": [1]}'::jsonb AS j",
             {"columns": {"a": {"type": "string"}, "n": {"type": "number"},
                          "j": {"type": "string"}}}),
    "misfit": ({}, "SELECT NULL::integer AS n", {"columns": {"n": {"type": "integer"}}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def tools_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools") / "tools"
    shutil.copytree(ROOT / "tools", folder)
    for name, (properties, statement, more) in TOOLS.items():
        parameters = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        tool = {"name": name, "description": name, "parameters": parameters, **more}
        (folder / name).mkdir()
        (folder / name / "tool.json").write_text(json.dumps(tool))
        (folder / name / "query.sql").write_text(statement)
        (folder / name / "examples.json").write_text("[]")
    write_gate(folder)
    return folder


@pytest.fixture(scope="module")
def settings(reader_url):
    # at that port nothing listens
    return {"DATABASE_URL_CRM": f"postgresql://nobody:x@127.0.0.1:{free_port()}/crm"}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory, reader_url, tools_dir, settings):
    folder = tmp_path_factory.mktemp("actions")
    with running_endpoint(folder, reader_url, tools_dir, **settings) as endpoint:
        yield endpoint


@pytest.fixture
def backends(postgres_server):
    """How many backends run a query with pg_sleep; their pids."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:

        def listed():
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'toolworker'"
                " AND state = 'active' AND query LIKE 'FETCH%'"
            )
            return [pid for (pid,) in rows]

        yield listed


def wait_for(condition, *, within_s=60.0):
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.02)
    return value


def test_rows_come_in_one_fixed_shape(endpoint):
    rows = [
        {"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"},
        {"sku": "AB-1001", "quantity": 177, "status": "IN_STOCK"},
    ]
    expected = {"found": True, "total": 2, "message": "", "items": rows}
    assert endpoint.call("search_inventory", STOCK) == (200, expected)


def test_no_rows_are_the_same_shape_with_the_tools_message(endpoint):
    status, answer = endpoint.call("get_order", {"order_number": "SO-999999"})
    message = "There is no order SO-999999. Ask the caller to check the number."
    assert (status, answer) == (200, {"found": False, "total": 0, "message": message, "items": []})


def test_an_alias_stands_for_its_value(endpoint):
    by_alias = endpoint.call("search_inventory", {**STOCK, "warehouse": "US_WEST"})
    assert by_alias == endpoint.call("search_inventory", STOCK)
    assert endpoint.call("search_inventory", {**STOCK, "warehouse": "MOON"})[0] == 400


def test_more_rows_than_are_listed_are_announced(endpoint):
    _, answer = endpoint.call("many", {})
    assert answer["items"] == [{"n": 1}, {"n": 2}]
    assert answer["message"] == "Only the first 2 are listed; there are more."


def test_declared_columns_are_there_on_every_row_and_text_is_never_null(endpoint):
    _, answer = endpoint.call("gaps", {})
    assert answer["items"] == [{"a": "", "n": 1.5, "j": '{"b":[1]}'}]


def test_nothing_for_an_optional_argument_is_taken_as_absent(endpoint):
    email = {"email": "ada.brandt8@example.com"}
    expected = endpoint.call("list_recent_tickets", email)
    assert expected[1]["total"] == 2
    for nothing in (None, ""):
        given = {**email, "state": nothing, "limit": nothing}
        assert endpoint.call("list_recent_tickets", given) == expected
        assert endpoint.call("list_recent_tickets", {"email": nothing})[0] == 400


# what to send so that the code comes; with the status and in-band
CODES = [
    ("invalid_json", "get_order", b"{", 400),
    ("invalid_json", "get_order", b'{"order_number": "\xff"}', 400),
    ("invalid_arguments", "get_order", {"order_number": "1"}, 400),
    ("invalid_arguments", "get_order", [], 400),
    ("invalid_arguments", "get_order", b'{"order_number": "SO-\\u0000"}', 400),
    ("too_large", "get_order", {"order_number": "x" * 70_000}, 400),
    ("too_large", "large", {}, 400),
    ("query_failed", "divide", {}, 500),
    ("query_failed", "misfit", {}, 500),
    ("timeout", "short", {"seconds": 9}, 503),
    ("unavailable", "elsewhere", {}, 503),
]


@pytest.mark.parametrize(("code", "tool", "arguments", "status"), CODES)
def test_each_error_code_has_its_status_and_is_a_200_in_band(
    endpoint, code, tool, arguments, status
):
    found, answer = endpoint.call(tool, arguments)
    assert (found, answer["code"]) == (status, code)
    assert answer["retryable"] is (status == 503)
    assert answer["error"].endswith(".")
    found, in_band = endpoint.call(tool, arguments, query="?errors=inband")
    none = {"found": False, "total": 0, "message": "", "items": []}
    assert (found, in_band) == (200, {**none, **answer})


def test_in_band_a_good_answer_has_empty_error_fields(endpoint):
    status, answer = endpoint.call("search_inventory", STOCK, query="?errors=inband")
    assert status == 200
    assert (answer["error"], answer["code"], answer["retryable"]) == ("", "", False)
    assert answer["total"] == 2


def test_an_unknown_tool_is_404_in_both_modes(endpoint):
    for query in ("", "?errors=inband"):
        status, answer = endpoint.call("search_inventry", {}, query=query)
        assert (status, answer["code"]) == (404, "unknown_tool")


def test_a_passing_failure_has_a_retry_after(endpoint):
    key = {"X-API-Key": SECRET}
    status, _, headers = endpoint.request("POST", "/genesys/actions/short", b'{"seconds": 9}', key)
    assert (status, headers["Retry-After"]) == (503, "1")


def test_every_other_refusal_is_json_too(endpoint):
    key = {"X-API-Key": SECRET}
    large = endpoint.request("POST", "/genesys/actions/get_order", b" " * 100_001, key)
    chunks = iter([b" " * 60_000] * 2)
    chunked = endpoint.request("POST", "/genesys/actions/get_order", chunks, key, chunked=True)
    refused = {
        404: endpoint.request("POST", "/genesys/actions", b"{}", key),
        405: endpoint.request("GET", "/genesys/actions/get_order", None, key),
        413: large,
    }
    assert chunked[:2] == large[:2]
    for status, (found, answer, headers) in refused.items():
        assert found == status
        assert set(answer) == {"error", "code", "retryable"}
        assert headers["Content-Type"] == "application/json"
    assert refused[405][2]["Allow"] == "POST"
    assert endpoint.request("OPTIONS", "/genesys/actions/get_order")[0] == 405


def _basic(password, user="genesys"):
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def test_no_head_that_nginx_passes_on_is_refused_by_gunicorn(endpoint):
    # ops/proxy/nginx.conf takes a request line of 4,096 bytes, and headers of 16,384
    headers = {"X-API-Key": SECRET, **{f"A{number}": "" for number in range(900)}}
    path = f"/genesys/actions/{'x' * 4_000}"
    status, answer, _ = endpoint.request("POST", path, b"{}", headers)
    assert (status, answer["code"]) == (404, "unknown_tool")


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_each_way_to_bring_a_secret_is_taken(endpoint, secret):
    ways = [{"x-api-key": secret}, {"Authorization": f"bearer {secret}"}, _basic(secret)]
    for headers in ways:
        assert endpoint.call("search_inventory", STOCK, **headers)[0] == 200


def test_a_caller_without_a_credential_learns_nothing(endpoint):
    wrong = [
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": f"{SECRET},{OLD_SECRET}"},
        {"X-Other": SECRET},
        {"Authorization": SECRET},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic é"},
        {"Authorization": f"Basic {base64.b64encode(SECRET.encode()).decode()}"},
        _basic("", user=SECRET),
    ]
    for headers in wrong:
        for tool in ("search_inventory", "no_such_tool"):
            for query in ("", "?errors=inband"):
                status, answer = endpoint.call(tool, STOCK, query=query, **headers)
                assert (status, answer["code"]) == (401, "unauthorized"), headers
                assert answer["error"] == "The credential is missing or wrong."


def test_only_the_ways_that_are_set_are_taken(tmp_path, reader_url):
    with running_endpoint(tmp_path, reader_url, ACTIONS_AUTH="header:X-Other") as endpoint:
        assert endpoint.call("search_inventory", STOCK, **{"X-Other": SECRET})[0] == 200
        for headers in ({"X-API-Key": SECRET}, _basic(SECRET)):
            assert endpoint.call("search_inventory", STOCK, **headers)[0] == 401


@pytest.mark.parametrize("secrets", ["", " , "])
def test_without_a_secret_it_does_not_start(tmp_path, reader_url, secrets):
    from ops.dev.children import Child

    env = environment(tmp_path, reader_url, ROOT / "tools", ACTIONS_SECRETS=secrets)
    options = ["-c", "python:actions.gunicorn", "--bind", f"127.0.0.1:{free_port()}"]
    arguments = ["-m", "gunicorn", *options, "actions:create_app()"]
    child = Child("actions", arguments, env=env, logs=tmp_path, cwd=ROOT)
    try:
        wait_for(lambda: child.has_ended)
        assert child.has_logged("ACTIONS_SECRETS: is not set")
    finally:
        child.stop()


def test_the_log_names_tool_code_and_conversation_and_no_argument_or_row(endpoint):
    conversation = "0a1b2c3d-0000-4000-8000-000000000042"
    given = {"email": "chen.abel42@example.com", "conversationId": conversation}
    assert endpoint.call("list_recent_tickets", given)[0] == 200
    endpoint.call("list_recent_tickets", {"email": "not an address \n{"})
    lines = [json.loads(line) for line in endpoint.log().splitlines() if '"action.' in line]
    (line,) = [line for line in lines if line.get("conversation_id") == conversation]
    assert (line["tool"], line["code"], line["status"], line["rows"]) == (
        "list_recent_tickets", "ok", 200, 2
    )  # fmt: skip
    for secret in ("chen.abel42", "not an address", "Wrong size", SECRET, OLD_SECRET):
        assert secret not in endpoint.log()


def test_answers_and_their_times_are_metered(tmp_path, reader_url):
    port = free_port()
    with running_endpoint(tmp_path, reader_url, METRICS_PORT=str(port)) as endpoint:
        endpoint.call("search_inventory", STOCK)
        endpoint.call("search_inventory", {})
        endpoint.call("made_up_tool", {})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
            page = response.read().decode()
    assert 'toolworker_actions_total{status="200"} 1.0' in page
    assert 'toolworker_actions_total{status="404"} 1.0' in page
    count = 'toolworker_tool_call_seconds_count{code="ok",tool="search_inventory"} 1.0'
    assert count in page
    assert "made_up_tool" not in page


def test_one_call_more_than_may_run_is_refused_while_they_run(
    tmp_path, reader_url, tools_dir, settings
):
    settings = {**settings, "ACTIONS_AT_ONCE": "3"}
    with (
        running_endpoint(tmp_path, reader_url, tools_dir, **settings) as endpoint,
        ThreadPoolExecutor(3) as callers,
        psycopg.connect(reader_url, autocommit=True) as own,
    ):

        def running():
            return own.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH%'"
                " AND state = 'active'"
            ).fetchone()[0]  # fmt: skip

        own.execute("SELECT pg_advisory_lock(%s)", [GATE])
        key = {"X-API-Key": SECRET}
        patient = {**key, "X-Action-Timeout": "30"}
        held = [callers.submit(endpoint.call, "gate", {}, **patient) for _ in range(3)]
        wait_for(lambda: running() == 3)
        status, answer, headers = endpoint.request(
            "POST", "/genesys/actions/hold", b'{"seconds": 0}', key
        )
        assert not any(call.done() for call in held)
        assert (status, answer["code"], answer["retryable"]) == (429, "busy", True)
        assert headers["Retry-After"] == "1"
        assert endpoint.call("hold", {"seconds": 0}, query="?errors=inband")[0] == 429
        own.execute("SELECT pg_advisory_unlock(%s)", [GATE])
        assert [call.result()[0] for call in held] == [200] * 3
        assert endpoint.call("hold", {"seconds": 0})[0] == 200


@pytest.mark.parametrize("timeout_s", [1, 2, 3])
def test_a_query_slower_than_the_action_is_answered_before_its_timeout(
    endpoint, backends, timeout_s
):
    headers = {"X-API-Key": SECRET, "X-Action-Timeout": str(timeout_s)}

    def attempt():
        status, answer = endpoint.call("hold", {"seconds": 30}, **headers)
        assert (status, answer["retryable"]) == (503, True)

    in_time(attempt, under_s=timeout_s)
    wait_for(lambda: not backends(), within_s=10.0)  # and not at the tool's own 20 s


def test_what_a_request_waited_in_front_of_the_process_counts(endpoint):
    waited = {"X-API-Key": SECRET}

    def attempt():
        waited["X-Request-Start"] = f"t={time.time() - 7:.3f}"
        assert endpoint.call("hold", {"seconds": 4}, **waited)[1]["code"] == "timeout"

    in_time(attempt, under_s=3)
    too_late = {**waited, "X-Request-Start": f"t={time.time() - 20:.3f}"}
    assert endpoint.call("search_inventory", STOCK, **too_late)[1]["code"] == "timeout"
    for odd in ("t=1", f"t={time.time() + 60:.3f}", "soon", "t=-1"):
        waited["X-Request-Start"] = odd
        assert endpoint.call("search_inventory", STOCK, **waited)[0] == 200


@pytest.mark.parametrize("timeout", ["0.9", "61", "nan", "soon", ""])
def test_a_timeout_that_is_none_of_genesys_is_refused_aloud(endpoint, timeout):
    headers = {"X-API-Key": SECRET, "X-Action-Timeout": timeout}
    status, answer = endpoint.call("search_inventory", STOCK, **headers)
    assert (status, answer["code"]) == (400, "invalid_request")


def test_a_server_that_hangs_does_not_hold_an_answer_back(endpoint, backends):
    headers = {"X-API-Key": SECRET, "X-Action-Timeout": "4"}
    with ThreadPoolExecutor(1) as callers:

        def attempt():
            wait_for(lambda: not backends())
            began = time.monotonic()
            call = callers.submit(endpoint.call, "hold", {"seconds": 30}, **headers)
            wait_for(lambda: backends() or call.done())
            for pid in (pids := backends()):
                os.kill(pid, signal.SIGSTOP)
            try:
                status, answer = call.result()
                took_s = time.monotonic() - began
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            assert (status, answer["code"]) == (503, "timeout")
            return True if pids and took_s < 4 else None

        until_unstalled(attempt)
    wait_for(lambda: not backends())


def test_a_worker_that_is_killed_is_replaced_and_its_query_ends_by_itself(endpoint, backends):
    headers = {"X-API-Key": SECRET, "X-Action-Timeout": "3"}

    def call(broken):
        try:
            endpoint.call("hold", {"seconds": 30}, **headers)
        except OSError as error:
            broken.append(error)

    def attempt():
        broken = []
        caller = threading.Thread(target=call, args=(broken,))
        caller.start()
        wait_for(lambda: backends() or not caller.is_alive())
        os.kill(endpoint.worker_pid(), signal.SIGKILL)
        caller.join()
        # the next one waits in the socket's queue until there is a process again
        assert endpoint.call("search_inventory", STOCK)[0] == 200
        wait_for(lambda: not backends(), within_s=10.0)  # and not at the tool's own 20 s
        return broken or None  # or it was answered before

    until_unstalled(attempt)
