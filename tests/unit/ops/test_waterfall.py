"""Bars of the waterfall, from ledger entries that are written out."""

from ops.pages.waterfall import waterfall

BEGAN = 1_800_000_000_000
DONE = {
    "state": "submitted",
    "calls": "1",
    "accepted_at": str(BEGAN),
    "ended_at": str(BEGAN + 1_000),
    "name:0": "get_order",
    "code:0": "ok",
    "tries:0": "1",
    "started_at:0": str(BEGAN + 100),
    "ended_at:0": str(BEGAN + 400),
    "validate_ms:0": "1",
    "took_ms:0": "299",
    "bytes:0": "64",
    "attempts": "1",
    "attempt_at:1": str(BEGAN + 500),
    "attempt_took_ms:1": "490",
    "attempt_status:1": "200",
}
OPEN = {
    "state": "running",
    "calls": "1",
    "accepted_at": str(BEGAN),
    "answer_by": str(BEGAN + 30_000),
    "name:0": "get_order",
}


def bars(listed):
    """Kind, begin and end of each bar, in percent."""
    return [(bar.kind, round(bar.x), round(bar.x + bar.width)) for bar in listed]


def test_a_call_waits_and_works_and_its_run_waits_for_genesys():
    seen = waterfall(DONE, BEGAN + 99_000)
    (call,) = seen.calls
    assert bars(call.bars) == [("wait", 0, 10), ("work", 10, 40)]
    assert bars(seen.genesys) == [("genesys", 40, 50), ("post", 50, 99)]
    assert (call.wait_ms, call.work_ms, call.output_bytes) == (100, 300, 64)


def test_the_marks_are_at_the_quarters():
    assert waterfall(DONE, 0).marks == [0, 250, 500, 750, 1_000]


def test_each_further_try_is_a_bar_of_its_own():
    twice = {**DONE, "tries:0": "3", "try_at:0:3": str(BEGAN + 300), "try_at:0:2": str(BEGAN + 200)}
    (call,) = waterfall(twice, 0).calls
    assert bars(call.bars) == [
        ("wait", 0, 10),
        ("lost", 10, 20),
        ("lost", 20, 30),
        ("work", 30, 40),
    ]
    assert [bar.title for bar in call.bars[1:]] == [
        "try 1, without an outcome",
        "try 2, without an outcome",
        "try 3",
    ]


def test_each_attempt_is_a_bar_of_its_own():
    retried = {
        **DONE,
        "attempts": "2",
        "attempt_took_ms:1": "100",
        "attempt_at:2": str(BEGAN + 900),
        "attempt_took_ms:2": "100",
    }
    assert bars(waterfall(retried, 0).genesys) == [
        ("genesys", 40, 50),
        ("post", 50, 60),
        ("genesys", 60, 90),
        ("post", 90, 100),
    ]


def test_an_open_call_waits_until_now_and_works_until_now_once_leased():
    (waiting,) = waterfall(OPEN, BEGAN + 1_000).calls
    assert bars(waiting.bars) == [("wait", 0, 100)]
    held = {**OPEN, "started_at:0": str(BEGAN + 250), "holder:0": "a:1:2", "tries:0": "1"}
    (working,) = waterfall(held, BEGAN + 1_000).calls
    assert bars(working.bars) == [("wait", 0, 25), ("work", 25, 100)]
    del held["holder:0"]  # its database was down, and the lease was returned
    (again,) = waterfall(held, BEGAN + 1_000).calls
    assert bars(again.bars) == [("wait", 0, 25), ("wait", 25, 100)]


def test_a_replay_is_shown_since_it_was_opened_again():
    replay = {
        **DONE,
        "replayed_at:0": str(BEGAN + 60_000),
        "ended_at": str(BEGAN + 61_000),
        "attempt_at:1": str(BEGAN + 60_500),
    }
    seen = waterfall(replay, 0)
    assert seen.total_ms == 1_000
    assert seen.calls[0].bars == []  # its output was kept
    assert bars(seen.genesys) == [("genesys", 0, 50), ("post", 50, 99)]


def test_a_run_that_was_answered_without_an_output_waits_for_genesys_from_its_freeze():
    partial = {
        **OPEN,
        "state": "submitted",
        "ended_at": str(BEGAN + 1_000),
        "attempts": "1",
        "attempt_at:1": str(BEGAN + 900),
        "attempt_took_ms:1": "100",
    }
    del partial["answer_by"]  # a run that ended well does not keep it
    assert bars(waterfall(partial, 0).genesys) == [("genesys", 90, 90), ("post", 90, 100)]


def test_nothing_that_an_entry_may_lack_breaks_the_picture():
    bare = {"state": "accepted", "calls": "2", "accepted_at": str(BEGAN), "answer_by": "0"}
    seen = waterfall(bare, BEGAN)
    assert seen.total_ms == 1
    assert [call.tool for call in seen.calls] == ["", ""]
