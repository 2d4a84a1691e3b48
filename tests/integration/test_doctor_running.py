"""The doctor's checks of a running service, on a real ledger: one line for each broken state."""

import json
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest
import redis
from werkzeug.serving import make_server

import ledger
from genesys import client as genesys
from ledger.due import DueRuns
from ops.dev.server import free_port
from ops.doctor import examination, running
from runtime.settings import Secret, Settings

CALL = {"id": "a", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}


@pytest.fixture
def server(own_redis_server):
    return own_redis_server()


@pytest.fixture
def values(server):
    return Settings(redis_url=Secret(server.url))


@pytest.fixture
def store(values):
    """A ledger at which a reconciler looks."""
    made = ledger.from_settings(values, timeout_s=5, retries=0)
    DueRuns(made).seen("host-a:1")
    return made


def _problems(checks):
    return [f"{found.subject}: {found.problem}" for found in checks if found.problem is not None]


def _end(store, run_id, code="ok", *, status=200):
    """A run of one call that ended with this code, and as a dead letter if its POST was refused."""
    key = store.accept(run_id, [CALL]).key
    store.begin(key, 0)
    store.record(key, 0, 0, "{}", owner="o", code=code)
    claim = store.claim(key, 0, b"body", seen=1, owner="s")
    if status == 200:
        store.finish(key, 0, {"status": 200})
    else:
        store.bury(key, 0, "rejected", claim=claim, outcome={"status": status})


def test_a_ledger_at_which_a_reconciler_looks_and_whose_runs_end_well_has_no_problem(store, values):
    _end(store, "r")
    assert _problems(running.ledger_contents(values)) == []


def test_a_ledger_without_a_sign_of_a_reconciler_in_15_s_has_none(store, values):
    store.client.zincrby("tw:reconcilers", -15_001, "host-a:1")
    (line,) = _problems(running.ledger_contents(values))
    assert line == "reconcilers: none looks at the ledger; docs/runbooks/no-reconciler.md"


def test_dead_letters_of_the_last_hour_are_counted_and_no_older_ones(store, values):
    _end(store, "refused", status=403)
    _end(store, "refused long ago", status=403)
    oldest = store.client.zrange("tw:dead", 0, 0)[0]
    store.client.zadd("tw:dead", {oldest: (store.client.time()[0] - 3_700) * 1000})
    (line,) = _problems(running.ledger_contents(values))
    assert line == "dead letters: 1 in the last hour; docs/runbooks/dead-letters.md"


def test_a_run_that_waits_for_a_worker_is_named_with_its_age(store, values):
    key = store.accept("waits", [CALL]).key
    store.client.zadd("tw:waiting", {key: (store.client.time()[0] - 12) * 1000})
    (line,) = _problems(running.ledger_contents(values))
    assert line.startswith("queue: a run has waited 1")
    assert line.endswith("s for a worker; docs/runbooks/queue-slow.md")


def test_a_tool_that_fails_is_named_with_its_last_code_and_a_models_mistake_is_none(store, values):
    _end(store, "r-1", "invalid_arguments")
    assert _problems(running.ledger_contents(values)) == []
    _end(store, "r-2", "timeout")
    _end(store, "r-3", "query_failed")
    (line,) = _problems(running.ledger_contents(values))
    assert line == (
        "tool get_order: 2 of its last 3 calls failed, the last one with query_failed; "
        "docs/runbooks/tool-fails.md"
    )


def test_memory_and_disk_are_named_with_what_is_used_and_left(
    server, values, tmp_path, monkeypatch
):
    with closing(redis.Redis.from_url(server.url)) as client:
        client.config_set("maxmemory", 1)
    usage = SimpleNamespace(total=100, free=6)
    monkeypatch.setattr("runtime.redis_health.shutil.disk_usage", lambda _: usage)
    full = Settings(redis_url=values.redis_url, ledger_disk=tmp_path)
    memory, disk = _problems(running.redis_memory_and_disk(full))
    assert memory.startswith("LEDGER_URL memory: ")
    assert memory.endswith("% of its maxmemory are used; docs/runbooks/redis-memory.md")
    assert disk == "LEDGER_DISK: 6% of it are free; docs/runbooks/redis-disk.md"


def test_a_full_ledger_is_a_problem_but_keeps_no_part_from_starting(
    server, capsys, monkeypatch, postgres_server, reader_url
):
    with closing(redis.Redis.from_url(server.url)) as client:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
    values = Settings(
        redis_url=Secret(server.url),
        database_url=Secret(reader_url),
        webhook_secrets=Secret("s"),
        genesys_base_url="http://127.0.0.1:1",
        genesys_login_url="http://127.0.0.1:1",
        genesys_allow_http=True,
        genesys_client_id="id",
        genesys_client_secret=Secret("secret"),
    )
    monkeypatch.setattr("ops.doctor.examination.settings.load", lambda *_: values)
    assert examination.examine(wait_s=0, verbose=False, before_start=True)
    assert capsys.readouterr().err == ""

    monkeypatch.setenv("RUN_ANSWER_BY", "planted")  # nor is a misspelt setting
    assert examination.examine(wait_s=0, verbose=False, before_start=True)
    warned = "is no setting, and is ignored; RUN_ANSWER_BY_S was probably meant"
    assert capsys.readouterr().err == f"warning: RUN_ANSWER_BY: {warned}\n"


@pytest.mark.parametrize(
    ("required", "region", "named"),
    [
        (("REDIS_URL",), "mypurecloud.de", []),
        (("REDIS_URL",), "mars", ["GENESYS_REGION"]),
        (("REDIS_URL", "GENESYS_CLIENT_SECRET"), "mypurecloud.de", ["GENESYS_CLIENT_SECRET"]),
    ],
)
def test_a_part_that_sends_nothing_to_genesys_needs_its_settings_but_no_secret(
    values, monkeypatch, required, region, named
):
    known = {"genesys_region": region, "genesys_client_id": "id"}
    without = Settings(redis_url=values.redis_url, **known)
    monkeypatch.setattr("ops.doctor.examination.settings.load", lambda *_: without)
    problems = _problems(examination.check((), required, before_start=True))
    assert [line.partition(":")[0] for line in problems if line.startswith("GENESYS_")] == named


def test_a_refused_token_is_named_in_genesys_words(values, store):
    refusing = make_server("127.0.0.1", 0, _refuse, threaded=True)
    threading.Thread(target=refusing.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{refusing.port}"
    refused = Settings(
        redis_url=values.redis_url,
        genesys_base_url=url,
        genesys_login_url=url,
        genesys_allow_http=True,
        genesys_client_id="id",
        genesys_client_secret=Secret("secret"),
    )
    try:
        assert _problems(running.genesys_status(refused)) == []
        permit = genesys.from_settings(refused).permit()
        assert permit.token is None
        (line,) = _problems(running.genesys_status(refused))
    finally:
        refusing.shutdown()
    assert line.startswith("genesys token: ")
    assert line.endswith("; docs/runbooks/token-refused.md")


def _refuse(environ, start_response):
    start_response("401 Unauthorized", [("Content-Type", "application/json")])
    return [json.dumps({"error": "invalid_client"}).encode()]


def test_a_receiver_that_is_down_differs_from_one_that_refuses():
    nowhere = f"http://127.0.0.1:{free_port()}"
    (line,) = _problems(running.receiver(Settings(receiver_url=nowhere)))
    assert line == f"receiver: none answers at {nowhere}; docs/runbooks/no-receiver.md"

    def not_ready(environ, start_response):
        start_response("503 Service Unavailable", [("Content-Type", "application/json")])
        return [b'{"error": "the ledger does not answer"}']

    server = make_server("127.0.0.1", 0, not_ready, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        there = Settings(receiver_url=f"http://127.0.0.1:{server.port}/")
        (line,) = _problems(running.receiver(there))
    finally:
        server.shutdown()
    assert line.startswith("receiver: it refuses deliveries (503): ")
    assert "the ledger does not answer" in line
