"""An action's timeout is shared by its query, a server that hangs and the answer's way back."""

import pytest

from actions.deadline import deadline
from actions.errors import BadDeadline

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("timeout", "left_s", "hang_margin_s"),
    [
        (None, 7.75, 1.0),
        ("60", 57.75, 1.0),
        ("10", 7.75, 1.0),
        ("3", 0.75, 1.0),
        ("2", 0.5, 0.667),
        ("1", 0.25, 0.333),
    ],
)
def test_below_three_seconds_the_margins_shrink_in_proportion(timeout, left_s, hang_margin_s):
    headers = {} if timeout is None else {"x-action-timeout": timeout}
    assert deadline(headers, NOW) == pytest.approx((left_s, hang_margin_s), abs=0.001)


@pytest.mark.parametrize("timeout_s", [1, 1.5, 2, 2.9, 3, 10, 60])
def test_even_a_server_that_hangs_leaves_a_third_of_the_timeout_or_a_second(timeout_s):
    left_s, hang_margin_s = deadline({"x-action-timeout": str(timeout_s)}, NOW)
    assert timeout_s - left_s - hang_margin_s >= min(1.0, timeout_s / 3)


def test_what_a_request_waited_counts_of_a_short_timeout_too():
    headers = {"x-action-timeout": "1", "x-request-start": f"t={NOW - 0.2:.3f}"}
    assert deadline(headers, NOW).seconds_left == pytest.approx(0.05)


@pytest.mark.parametrize("timeout", ["0.9", "0", "-1", "60.1", "nan", "inf", "", "1s"])
def test_what_genesys_cannot_have_as_a_timeout_is_refused(timeout):
    with pytest.raises(BadDeadline, match="from 1 to 60"):
        deadline({"x-action-timeout": timeout}, NOW)
