"""Durations, ages and sizes as the pages print them."""

import pytest

from ops.pages.words import ago, clock, moment, size, span


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_420, "1.42 s"),
        (59_900, "59.9 s"),
        (60_000, "1 min"),
        (200_000, "3 min 20 s"),
        (18_120_000, "5 h 2 min"),
        (259_200_000, "3 d"),
    ],
)
def test_a_span_has_two_or_three_digits(ms, text):
    assert span(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-5, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (7_200_000, "2 h"), (172_800_000, "2 d")],
)
def test_an_age_is_one_whole_number(ms, text):
    assert ago(ms) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_200, "1.2 kB"),
        (3_400_000, "3.4 MB"),
        (2_000_000_000, "2.0 GB"),
    ],
)
def test_a_size_has_its_unit(count, text):
    assert size(count) == text


def test_times_are_utc():
    assert clock(1_800_000_000_250) == "08:00:00.250"
    assert moment(1_800_000_000_250) == "2027-01-15 08:00:00"
