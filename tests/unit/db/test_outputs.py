"""Outputs are cut to fit: a tool's to its own limits, all of a run's to one submission."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import ToolError
from db.outputs import dump, fit, rows_output


def _rows(count, text="x" * 50):
    return [{"n": n, "text": text} for n in range(count)]


def _output(count, text="x" * 50):
    return rows_output(_rows(count, text), max_rows=count, max_bytes=10**9)


def _size(outputs):
    return sum(len(json.dumps(output, ensure_ascii=False).encode()) for output in outputs)


def test_what_fits_is_left_as_it_is():
    outputs = [_output(3), '{"message":"none"}']
    assert fit(outputs, _size(outputs)) == outputs


def test_the_largest_output_is_cut_by_whole_rows_and_marked_truncated():
    small, large = _output(2), _output(200)
    first, second = fit([small, large], 5_000)
    assert first == small
    value = json.loads(second)
    assert value["truncated"] is True
    # 74 to 76 bytes a row, and no room for one more
    assert (value["total"], value["items"]) == (63, _rows(200)[:63])
    assert _size([first, second]) <= 5_000


def test_two_large_outputs_are_cut_alike():
    one, two = (json.loads(output) for output in fit([_output(300), _output(300)], 10_000))
    assert abs(one["total"] - two["total"]) < 40


def test_an_output_with_nothing_to_leave_out_becomes_an_error():
    (output,) = fit([json.dumps({"message": "x" * 1_000})], 500)
    assert json.loads(output)["code"] == "too_large"


def test_numbers_keep_their_digits_when_rows_are_cut():
    rows = '{"n":1.10000000000000000001}' + ',{"n":2}' * 20
    (output,) = fit([f'{{"items":[{rows}],"total":21}}'], 110)
    first = '{"items":[{"n":1.10000000000000000001},'
    assert output == first + '{"n":2},{"n":2}],"total":3,"truncated":true}'


_SHAPES = st.lists(st.tuples(st.integers(0, 60), st.text(max_size=40)), max_size=6)


@given(_SHAPES, st.integers(2_000, 9_000))
def test_every_run_fits_and_keeps_its_order(shapes, limit):
    outputs = [_output(count, text) for count, text in shapes]
    fitting = fit(outputs, limit)
    assert len(fitting) == len(outputs)
    assert _size(fitting) <= limit
    for before, after in zip(outputs, fitting, strict=True):
        value = json.loads(after)
        assert after == before or value.get("truncated") or value["code"] == "too_large"


def test_a_tool_s_output_keeps_to_its_bytes_exactly():
    row = dump({"n": 0, "text": "é"})
    exact = '{"items":[' + row + '],"total":1}'
    assert rows_output([{"n": 0, "text": "é"}], max_rows=1, max_bytes=len(exact.encode()) + 20)
    with pytest.raises(ToolError):
        rows_output([{"n": 0, "text": "é"}], max_rows=1, max_bytes=len(row.encode()))


def test_nan_and_half_surrogates_never_make_invalid_json():
    text = dump({"a": float("nan"), "b": [float("inf")], "c": "\ud800", "d": "\x00 12"})
    assert json.loads(text.encode()) == {"a": None, "b": [None], "c": "?", "d": "\x00 12"}


def test_emoji_take_four_bytes_and_not_twelve():
    outputs = [dump({"items": [{"text": "😀" * 10_000}], "total": 1}) for _ in range(8)]
    assert fit(outputs, 512_000 - 200) == outputs
