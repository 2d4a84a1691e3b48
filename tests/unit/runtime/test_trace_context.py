"""W3C trace context, from outside and derived."""

import pytest

from runtime.trace_context import is_in_share, parse_traceparent, run_trace

KEY = "25f3ab6b9d2d8ba00152bdd10482d5d7"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        GIVEN.upper(),
        f"00-{TRACE}-{PARENT}",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"{GIVEN}-more",
        f"00-{TRACE}-{PARENT}-01\nX: y",
        f"00-{TRACE}-{PARENT}-0٣",
        "x" * 100_000,
    ],
)
def test_what_is_no_traceparent_is_none(header):
    assert parse_traceparent(header) == ""


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (GIVEN, GIVEN),
        (f" {GIVEN}\t", GIVEN),
        (f"00-{TRACE}-{PARENT}-03", GIVEN),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"cc-{TRACE}-{PARENT}-01-later", GIVEN),
    ],
)
def test_ids_and_the_sampled_flag_are_kept_as_version_00(header, kept):
    assert parse_traceparent(header) == kept


def test_without_a_traceparent_the_key_is_the_trace_id():
    trace = run_trace(KEY)
    assert (trace.trace_id, trace.parent_id) == (KEY, "")
    # printf '25f3ab6b9d2d8ba00152bdd10482d5d7.0:query:0' | sha256sum
    assert trace.traceparent("query", 0) == f"00-{KEY}-ee5db2edb6173e11-01"


def test_a_run_of_a_traced_sender_hands_on_its_trace_and_its_flag():
    trace = run_trace(KEY, f"00-{TRACE}-{PARENT}-00", 2)
    assert trace.parent_id == PARENT
    assert trace.traceparent("attempt", 1)[:36] == f"00-{TRACE}-"
    assert trace.traceparent("attempt", 1)[-3:] == "-00"
    assert trace.span_id("attempt", 1) != run_trace(KEY).span_id("attempt", 1)


def test_a_share_is_taken_by_the_trace_ids_last_56_bits():
    half = f"{'f' * 18}{'8'}{'0' * 13}"
    assert [is_in_share(half, share) for share in (0, 0.5, 0.51, 1)] == [False, False, True, True]
