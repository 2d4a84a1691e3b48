"""A tool is quick once its calls were, and no longer when they are not."""

import pytest

from tasks.pace import QUICK_MS, Pace


def test_a_tool_that_was_never_called_is_not_quick():
    assert Pace().quick() == {}


def test_a_tool_whose_calls_take_less_than_a_message_is_quick():
    pace = Pace()
    pace.note("fast", QUICK_MS / 2)
    pace.note("slow", QUICK_MS * 2)
    assert pace.quick() == {"fast": 1}


@pytest.mark.parametrize(("took_ms", "follow"), [(9, 1), (4, 1), (3, 2), (2, 3), (0.5, 3), (0, 3)])
def test_as_many_calls_follow_one_as_hardly_anybody_waits_for(took_ms, follow):
    pace = Pace()
    pace.note("fast", took_ms)
    assert pace.quick() == {"fast": follow}


def test_a_quick_tool_that_hangs_once_is_quick_no_more():
    pace = Pace()
    for _ in range(1000):
        pace.note("fast", 1)
    pace.note("fast", 5_000)
    assert pace.quick() == {}
    for _ in range(100):
        pace.note("fast", 1)
    assert pace.quick() == {"fast": 3}
