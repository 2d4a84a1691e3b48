"""Spans made from a run's timeline: names, times, attributes, and ids that never change."""

import json

import pytest

from ops.observability.spans import trace_of

AT = 1_800_000_000_000
KEY = "25f3ab6b9d2d8ba00152bdd10482d5d7"
SUBMITTED = {
    "run_id": "r-1",
    "state": "submitted",
    "generation": "0",
    "calls": "1",
    "accepted_at": str(AT),
    "begun_at": str(AT + 5),
    "ended_at": str(AT + 100),
    "attempts": "1",
    "id:0": "call-1",
    "name:0": "get_order",
    "started_at:0": str(AT + 6),
    "ended_at:0": str(AT + 50),
    "validate_ms:0": "2",
    "took_ms:0": "40",
    "code:0": "ok",
    "tries:0": "1",
    "attempt_at:1": str(AT + 52),
    "attempt_status:1": "200",
    "attempt_took_ms:1": "45",
}


def spans(entry, key=KEY):
    return {span.name: span for span in trace_of(key, entry).spans}


def shape(entry):
    """(name, from, to, parent's name, error) of each span, times since acceptance."""
    found = trace_of(KEY, entry).spans
    names = {span.span_id: span.name for span in found}
    return [
        (s.name, s.start_ms - AT, s.end_ms - AT, names.get(s.parent_id, s.parent_id), s.error)
        for s in found
    ]


def test_a_submitted_run_is_one_tree_of_what_happened_to_it():
    assert shape(SUBMITTED) == [
        ("run", 0, 100, "", ""),
        ("receive", 0, 0, "run", ""),
        ("wait", 0, 5, "run", ""),
        ("execute_tool get_order", 6, 50, "run", ""),
        ("query get_order", 10, 50, "execute_tool get_order", ""),
        ("validate", 8, 10, "execute_tool get_order", ""),
        ("POST", 52, 97, "run", ""),
    ]


def test_a_tool_call_is_described_by_the_conventions_of_genai():
    assert spans(SUBMITTED)["execute_tool get_order"].attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "get_order",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call-1",
        "toolworker.call.index": 0,
        "toolworker.call.tries": 1,
    }


def test_ids_are_the_same_each_time_and_differ_between_spans_runs_and_replays():
    once, again = trace_of(KEY, SUBMITTED), trace_of(KEY, SUBMITTED)
    assert once == again
    replayed = trace_of(KEY, {**SUBMITTED, "replays": "1", "replayed_at:0": str(AT)})
    other = trace_of("0" * 31 + "7", SUBMITTED)
    ids = [span.span_id for trace in (once, replayed, other) for span in trace.spans]
    assert len(set(ids)) == len(ids)
    assert once.trace_id == replayed.trace_id == KEY


def test_a_delivery_with_a_trace_is_a_child_of_its_sender():
    sender = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    found = trace_of(KEY, {**SUBMITTED, "traceparent": sender})
    assert found.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert found.spans[0].parent_id == "b7ad6b7169203331"


def test_a_call_without_an_output_ends_as_a_time_out_when_the_answer_goes_out():
    entry = {k: v for k, v in SUBMITTED.items() if k not in ("code:0", "ended_at:0", "took_ms:0")}
    assert shape(entry)[3:] == [
        ("execute_tool get_order", 6, 52, "run", "timeout"),
        ("POST", 52, 97, "run", ""),
    ]


def test_arguments_that_do_not_fit_end_in_validate_and_query_nothing():
    entry = {**SUBMITTED, "code:0": "invalid_arguments", "took_ms:0": "0", "validate_ms:0": "3"}
    assert shape(entry)[3:5] == [
        ("execute_tool get_order", 6, 50, "run", "invalid_arguments"),
        ("validate", 47, 50, "execute_tool get_order", "invalid_arguments"),
    ]


def test_a_tool_that_does_not_exist_is_not_named():
    entry = {**SUBMITTED, "code:0": "unknown_tool", "took_ms:0": "0", "name:0": "drop_tables"}
    assert "drop_tables" not in json.dumps([s.name for s in trace_of(KEY, entry).spans])
    assert spans(entry)["execute_tool unknown"].attributes["gen_ai.tool.name"] == "unknown"


def test_a_try_whose_process_was_killed_is_a_span_until_the_next_one():
    entry = {**SUBMITTED, "tries:0": "2", "try_at:0:2": str(AT + 8)}
    assert shape(entry)[4] == ("try", 6, 8, "execute_tool get_order", "worker_lost")


def test_each_attempt_is_a_span_with_its_status_and_one_without_an_answer_has_none():
    entry = {
        **SUBMITTED,
        "attempts": "3",
        "attempt_status:1": "503",
        "attempt_at:2": str(AT + 98),
        "attempt_at:3": str(AT + 99),
        "attempt_status:3": "200",
        "attempt_took_ms:3": "1",
    }
    posts = [span for span in trace_of(KEY, entry).spans if span.name == "POST"]
    assert [(p.start_ms - AT, p.end_ms - AT, p.error) for p in posts] == [
        (52, 97, "503"),
        (98, 99, "no_answer"),
        (99, 100, ""),
    ]
    assert [p.attributes.get("http.request.resend_count") for p in posts] == [None, 1, 2]


def test_an_attempt_ends_no_later_than_its_run_though_its_duration_is_rounded_up():
    entry = {**SUBMITTED, "attempt_took_ms:1": "49"}  # of 48.6 ms, by the sender's clock
    root, *_, post = trace_of(KEY, entry).spans
    assert post.name == "POST"
    assert post.end_ms == root.end_ms


def test_the_reconcilers_steps_are_spans():
    entry = {**SUBMITTED, "steps": "2", "step:1": "publish", "step_at:1": str(AT + 3)}
    entry |= {"step:2": "submit", "step_at:2": str(AT + 51)}
    assert shape(entry)[-2:] == [
        ("reconcile publish", 3, 3, "run", ""),
        ("reconcile submit", 51, 51, "run", ""),
    ]


def test_a_dead_letter_names_its_reason_and_an_expired_one_waited_to_its_end():
    entry = {k: v for k, v in SUBMITTED.items() if not k.startswith(("attempt", "begun", "st"))}
    entry = {"state": "dead", "reason": "expired", **entry}
    for name in ("started_at:0", "ended_at:0", "code:0", "took_ms:0", "validate_ms:0"):
        entry.pop(name, None)
    assert shape(entry)[:3] == [
        ("run", 0, 100, "", "expired"),
        ("receive", 0, 0, "run", ""),
        ("wait", 0, 100, "run", ""),
    ]


def test_a_replay_shows_what_it_did_and_not_what_was_done_before():
    entry = {
        **{k: v for k, v in SUBMITTED.items() if not k.startswith("started_at")},
        "replays": "1",
        "generation": "1",
        "replayed_at:0": str(AT + 60),
        "begun_at": str(AT + 61),
    }
    assert [name for name, *_ in shape(entry)] == ["run", "replay", "wait", "POST"]
    assert trace_of(KEY, entry).took_ms == 40


@pytest.mark.parametrize("state", ["submitted", "dead"])
def test_a_bare_timeline_makes_a_trace(state):
    names = ("run_id", "generation", "calls", "accepted_at", "ended_at")
    bare = {name: SUBMITTED[name] for name in names}
    assert trace_of(KEY, {**bare, "state": state}).spans[0].name == "run"


def test_a_name_that_no_tool_can_have_is_in_no_span_even_if_the_call_was_never_looked_up():
    entry = {**SUBMITTED, "name:0": "mail ann@example.org"}
    for code in ("", "internal_error", "unavailable"):
        assert "ann@" not in str(trace_of(KEY, {**entry, "code:0": code}))


def test_no_span_ends_before_it_began_after_a_clock_was_set_back():
    entry = {**SUBMITTED, "attempt_at:1": str(AT - 5_000), "step_at:1": "0", "steps": "1"}
    del entry["begun_at"], entry["started_at:0"], entry["code:0"]
    assert all(span.start_ms <= span.end_ms for span in trace_of(KEY, entry).spans)
