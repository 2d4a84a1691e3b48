"""Summary lines of runs, and the status of the ledger, for list pages."""

from ledger.admin import RunStore
from ledger.due import DueRuns
from ledger.lines import RunLines
from ops.pages.index import RunIndex


def accept(ledger, run_id, *names):
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": '{"n": 1}'}}
        for n, name in enumerate(names)
    ]
    return ledger.accept(run_id, calls).key


def start(ledger, key, message="m", **options):
    return ledger.start(key, 0, 0, message=message, **options)


def test_a_line_has_a_runs_calls_and_correlation_ids(ledger):
    key = accept(ledger, "r-1", "get_order", "search")
    call = start(ledger, key)
    ledger.record(key, 0, 0, '{"n": 1}', owner=call.owner, code="timeout", query_ms=7)
    ledger.record(key, 0, 1, "{}", owner="o", code="ok", query_ms=3)
    ledger.claim(key, 0, b"body", seen=2, owner="h")
    ledger.finish(key, 0, {"status": 200, "correlation_id": "c-9"})
    (line,) = RunLines(ledger).lines([key, "gone"]).values()
    assert (line.run_id, line.state, line.outputs, line.attempts) == ("r-1", "submitted", 2, 1)
    assert [(c.tool, c.code, c.took_ms) for c in line.calls] == [
        ("get_order", "timeout", 7),
        ("search", "ok", 3),
    ]
    assert line.correlation_ids == ("c-9",)
    assert not line.is_open


def test_members_are_open_ended_well_and_dead(ledger):
    waits, ended, dead = (accept(ledger, run_id, "t") for run_id in ("r-1", "r-2", "r-3"))
    for key in (ended, dead):
        ledger.record(key, 0, 0, "{}", owner="o", code="ok")
        claim = ledger.claim(key, 0, b"body", seen=1, owner="h")
    ledger.finish(ended, 0, {"status": 200})
    ledger.bury(dead, 0, "rejected", claim=claim)
    members = RunLines(ledger).members(0)
    assert members.open_keys == (waits,)
    assert list(members.submitted) == [ended]
    assert list(members.dead) == [dead]
    assert members.count == 1
    later = RunLines(ledger).members(members.now_ms + 60_000)
    assert (dict(later.submitted), later.count) == ({}, 1)


def test_an_outline_has_every_field_and_no_data(ledger):
    key = accept(ledger, "r-1", "get_order")
    ledger.record(key, 0, 0, '{"planted": 1}', owner="o", code="ok")
    outline = RunStore(ledger).outline(key)
    assert outline["name:0"] == "get_order"
    assert (outline["arguments:0"], outline["output:0"]) == ("", "")
    assert outline.keys() == RunStore(ledger).entry(key).keys()
    assert RunStore(ledger).outline("gone") == {}


def test_a_further_try_of_a_call_has_a_time_of_its_own(ledger, client):
    key = accept(ledger, "r-1", "get_order")
    start(ledger, key)
    assert not any(b"try_at" in name for name in client.hkeys(f"tw:run:{key}"))
    start(ledger, key, may_take_over=True)
    first, second = client.hmget(f"tw:run:{key}", "started_at:0", "try_at:0:2")
    assert int(first) <= int(second)


def test_a_replay_forgets_the_times_of_earlier_tries(ledger, client):
    key = accept(ledger, "r-1", "get_order")
    start(ledger, key)
    call = start(ledger, key, may_take_over=True)
    ledger.record(key, 0, 0, "{}", owner=call.owner, code="timeout")
    claim = ledger.claim(key, 0, b"body", seen=1, owner="h")
    ledger.bury(key, 0, "rejected", claim=claim)
    RunStore(ledger).replay(key, "full")
    assert not any(b"try_at" in name for name in client.hkeys(f"tw:run:{key}"))


def test_reconcilers_that_were_seen_lately_are_counted(ledger, client):
    DueRuns(ledger).seen("host-a:1")
    client.zincrby("tw:reconcilers", -61_000, "host-a:1")
    DueRuns(ledger).seen("host-b:2")
    assert list(RunLines(ledger).status().reconcilers) == ["host-b:2"]


def test_the_status_counts_runs_that_wait(ledger, client):
    key = accept(ledger, "r-1", "get_order")
    client.zincrby("tw:waiting", -5_000, key)
    client.zincrby("tw:due", -60_000, key)
    status = RunLines(ledger).status()
    assert status.waiting == 1
    assert 5_000 <= status.oldest_waiting_ms < 15_000
    assert status.overdue_ms > 40_000


def test_dead_letters_of_late_are_named_without_those_of_the_week_before(ledger, client):
    keys = [accept(ledger, f"r-{n}", "get_order") for n in range(3)]
    for key in keys:
        ledger.record(key, 0, 0, "{}", owner="o", code="ok")
        claim = ledger.claim(key, 0, b"body", seen=1, owner="o")
        assert ledger.bury(key, 0, "rejected", claim=claim)
    client.zincrby("tw:dead", -3_601_000, keys[0])
    assert RunStore(ledger).dead_letter_keys(3_600) == keys[1:]


def test_a_run_is_found_by_the_trace_id_of_its_sender(ledger):
    call = {"id": "c", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    key = ledger.accept("r-1", [call], traceparent=f"00-{trace_id}-b7ad6b7169203331-01").key
    accept(ledger, "r-2", "get_order")
    found = RunIndex(ledger).refresh().find(trace_id)
    assert [run.key for run in found] == [key]
