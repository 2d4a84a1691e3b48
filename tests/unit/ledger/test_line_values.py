"""Values that list pages read of runs and of the ledger, while the server's clock stands still."""

import pytest
from redis.exceptions import ResponseError

from ledger import Ledger
from ledger.admin import RunStore
from ledger.due import DueRuns
from ledger.lines import CallLine, LedgerStatus, Members, RunLine, RunLines

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
GONE = [f"gone-{number}" for number in range(500)]


@pytest.fixture
def ledger(client, clock):
    times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
    return Ledger(client, **times, dead_letter_retention_s=600)


@pytest.fixture
def lines(ledger):
    return RunLines(ledger)


@pytest.fixture
def round_trips(ledger, monkeypatch):
    """One entry for each."""
    made, call = [], ledger.call
    monkeypatch.setattr(ledger, "call", lambda command: made.append(1) or call(command))
    return made


def _accept(ledger, run_id, *names, traceparent=""):
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for n, name in enumerate(names)
    ]
    return ledger.accept(run_id, calls, traceparent=traceparent).key


def _claim(ledger, key):
    ledger.record(key, 0, 0, "{}", owner="o", code="ok")
    return ledger.claim(key, 0, b"body", seen=1, owner="h")


def _submit(ledger, run_id):
    key = _accept(ledger, run_id, "t")
    _claim(ledger, key)
    ledger.finish(key, 0, {"status": 200})
    return key


def _bury(ledger, run_id):
    key = _accept(ledger, run_id, "t")
    ledger.bury(key, 0, "rejected", claim=_claim(ledger, key))
    return key


def test_a_run_that_waits_has_its_calls_and_no_times_but_its_own(ledger, lines):
    key = _accept(ledger, "r-1", "get_order", "search")
    assert lines.lines([key]) == {
        key: RunLine(
            key, "r-1", "accepted", generation=0, outputs=0, attempts=0,
            accepted_at=1_700_000_000_000, begun_at=0, answer_by=1_700_000_030_000, ended_at=0,
            reason="", calls=(CallLine("get_order", "", 0, 0), CallLine("search", "", 0, 0)),
            correlation_ids=(), trace_id="",
        )
    }  # fmt: skip


def test_a_run_that_ended_has_the_times_of_each_step(ledger, lines, clock):
    key = _accept(ledger, "r-1", "get_order", "search", traceparent=TRACEPARENT)
    clock.ms += 10
    ledger.begin(key, 0)
    for index, code, query_ms in ((0, "timeout", 7), (1, "ok", 3)):
        clock.ms += 100
        ledger.record(key, 0, index, "{}", owner="o", code=code, query_ms=query_ms)
    claim = ledger.claim(key, 0, b"body", seen=2, owner="h")
    clock.ms += 1_000
    ledger.bury(key, 0, "rejected", claim=claim, outcome={"correlation_id": "c-9"})
    assert lines.lines([key]) == {
        key: RunLine(
            key, "r-1", "dead", generation=0, outputs=2, attempts=1,
            accepted_at=1_700_000_000_000, begun_at=1_700_000_000_010,
            answer_by=1_700_000_030_000, ended_at=1_700_000_001_210, reason="rejected",
            calls=(
                CallLine("get_order", "timeout", 7, 1_700_000_000_110),
                CallLine("search", "ok", 3, 1_700_000_000_210),
            ),
            correlation_ids=("c-9",), trace_id=TRACE_ID,
        )
    }  # fmt: skip


def test_a_call_that_a_replay_takes_again_has_neither_code_nor_times(ledger, lines, clock):
    key = _bury(ledger, "r-1")
    clock.ms += 60_000
    RunStore(ledger).replay(key, "full")
    assert lines.lines([key]) == {
        key: RunLine(
            key, "r-1", "accepted", generation=1, outputs=0, attempts=0,
            accepted_at=1_700_000_000_000, begun_at=0, answer_by=1_700_000_090_000, ended_at=0,
            reason="", calls=(CallLine("t", "", 0, 0),), correlation_ids=(), trace_id="",
        )
    }  # fmt: skip


def test_of_many_attempts_the_newest_20_correlation_ids_are_read_in_their_order(ledger, lines):
    key = _accept(ledger, "r-1", "t")
    claim = _claim(ledger, key)
    for attempt in range(1, 25):
        outcome = {"correlation_id": f"c-{attempt}"}
        assert ledger.renew(key, 0, claim, outcome, attempt=attempt, is_unknown=False)
    ledger.postpone(key, 0, claim, {"correlation_id": "c-25"}, delay_ms=1, is_unknown=False)
    assert lines.lines([key])[key].correlation_ids == (
        "c-6", "c-7", "c-8", "c-9", "c-10", "c-11", "c-12", "c-13", "c-14", "c-15",
        "c-16", "c-17", "c-18", "c-19", "c-20", "c-21", "c-22", "c-23", "c-24", "c-25",
    )  # fmt: skip


def test_an_attempt_without_a_response_has_no_correlation_id(ledger, lines):
    key = _accept(ledger, "r-1", "t")
    _claim(ledger, key)
    assert lines.lines([key])[key].attempts == 1
    assert lines.lines([key])[key].correlation_ids == ()


def test_a_run_without_calls_has_a_line(ledger, lines):
    key = _accept(ledger, "r-1")
    line = lines.lines([key])[key]
    assert (line.state, line.calls, line.correlation_ids) == ("accepted", (), ())


def test_states_are_outputs_attempts_and_state_of_the_runs_that_are_there(ledger, lines):
    waits, begun = _accept(ledger, "r-1", "a", "b"), _accept(ledger, "r-2", "a", "b")
    ledger.record(begun, 0, 1, "{}", owner="o", code="ok")
    dead = _bury(ledger, "r-3")
    assert lines.states([waits, "gone", begun, dead]) == {
        waits: (0, 0, "accepted"),
        begun: (1, 0, "accepted"),
        dead: (1, 1, "dead"),
    }


def test_states_of_500_runs_cost_one_round_trip(ledger, lines, round_trips):
    first, last = _accept(ledger, "r-1", "t"), _accept(ledger, "r-2", "t")
    round_trips.clear()
    assert list(lines.states([first, *GONE, last])) == [first, last]
    assert len(round_trips) == 2


def test_lines_of_500_runs_cost_two_round_trips(ledger, lines, round_trips):
    first, last = _accept(ledger, "r-1", "t"), _accept(ledger, "r-2", "t")
    round_trips.clear()
    assert list(lines.lines([first, *GONE, last])) == [first, last]
    assert len(round_trips) == 4


def test_all_open_and_all_dead_runs_are_members_and_of_those_that_ended_well_the_latest(
    ledger, lines, clock
):
    submitted, dead, waiting = [], [], []
    for number in range(3):
        submitted.append(_submit(ledger, f"s-{number}"))
        dead.append(_bury(ledger, f"d-{number}"))
        waiting.append(_accept(ledger, f"w-{number}", "t"))
        clock.ms += 100
    clock.ms += 0.9
    assert lines.members(1_700_000_000_100) == Members(
        now_ms=1_700_000_000_300,
        open_keys=tuple(waiting),
        dead={
            dead[0]: 1_700_000_000_000,
            dead[1]: 1_700_000_000_100,
            dead[2]: 1_700_000_000_200,
        },
        submitted={submitted[1]: 1_700_000_000_100, submitted[2]: 1_700_000_000_200},
        count=3,
        oldest_ms=1_700_000_000_000,
    )


def test_a_ledger_without_runs_has_no_members(lines):
    assert lines.members(0) == Members(1_700_000_000_000, (), {}, {}, 0, 0)


def test_the_clock_is_read_to_the_millisecond(lines, clock):
    clock.ms += 999.9
    now_ms = lines.members(0).now_ms
    assert (now_ms, type(now_ms)) == (1_700_000_000_999, int)


def test_the_status_has_counts_ages_and_memory(ledger, lines, client, clock, monkeypatch):
    for number in range(3):
        DueRuns(ledger).seen(f"host:{number}")
        clock.ms += 1_000
    _accept(ledger, "r-1", "t")
    clock.ms += 2_000
    _accept(ledger, "r-2", "t")
    parked = _accept(ledger, "r-3", "t")
    ledger.begin(parked, 0)
    ledger.record(parked, 0, 0, "{}", owner="o", code="ok")
    ledger.park(parked, 0, "why")
    clock.ms += 2_000
    memory = {"used_memory": 1_000, "maxmemory": 4_000}
    monkeypatch.setattr(client, "info", lambda section: {"memory": memory}[section])
    assert lines.status() == LedgerStatus(
        waiting=2,
        oldest_waiting_ms=4_000,
        sending=1,
        overdue_ms=1_000,
        reconcilers={"host:0": 7_000, "host:1": 6_000, "host:2": 5_000},
        used_bytes=1_000,
        max_bytes=4_000,
    )


def test_nothing_is_overdue_before_the_first_due_time(ledger, lines):
    _accept(ledger, "r-1", "t")
    assert (lines.status().overdue_ms, lines.status().oldest_waiting_ms) == (0, 0)


@pytest.mark.parametrize("memory", [{}, ResponseError("unknown command 'INFO'")])
def test_the_status_of_an_empty_ledger_is_zeros_whatever_the_server_reports(
    lines, client, monkeypatch, memory
):
    def info(_):
        if isinstance(memory, Exception):
            raise memory
        return memory

    monkeypatch.setattr(client, "info", info)
    assert lines.status() == LedgerStatus(0, 0, 0, 0, {}, 0, 0)


def test_a_reconciler_is_at_work_within_15_seconds_of_its_last_sign():
    status = LedgerStatus(0, 0, 0, 0, {"a": 0, "b": 14_999, "c": 15_000, "d": 60_000}, 0, 0)
    assert status.at_work() == ["a", "b"]
