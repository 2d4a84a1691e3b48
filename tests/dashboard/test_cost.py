"""Cost of the two largest pages: server time and bytes."""

import time

import pytest

from tests.dashboard.seed import Seed, many

pytestmark = pytest.mark.browser

MOST_MS, MOST_BYTES, ROUNDS = 60, 80_000, 20


def cost(operator, path, rows):
    """
    One page's server time in ms, and its bytes.

    The time is the least of 20 requests, as `timeit` takes it: what is more is other processes'.
    """
    times, cpu = [], []
    for _ in range(ROUNDS):
        began, used = time.monotonic(), time.thread_time()
        page = operator.text(path)
        times.append((time.monotonic() - began) * 1000)
        cpu.append((time.thread_time() - used) * 1000)
        time.sleep(0.25)  # as visitors come; the index is read anew in between
    times.sort()
    size = len(page.encode())
    median_ms, cpu_ms = times[ROUNDS // 2], sorted(cpu)[ROUNDS // 2]
    rows.append(
        f"{path[:34]:<36} least {times[0]:5.1f} ms, median {median_ms:5.1f} ms,"
        f" of it CPU {cpu_ms:4.1f} ms, {size} B"
    )
    return times[0], size


@pytest.mark.parametrize("state", ["submitted", "open", "dead"])
def test_a_list_of_10_000_runs(operator, ledger, state, rows):
    many(ledger, 10_000, state=state)
    page = operator.shows("/runs", "All <b>10,000</b>")
    older = page.partition('href="/runs?before=')[2].partition('"')[0]
    rows.append(f"10,000 runs, {state}")
    for path in ("/runs", f"/runs?before={older}", "/runs?tool=tool_1&code=timeout", "/dead"):
        least_ms, size = cost(operator, path, rows)
        assert least_ms <= MOST_MS
        assert size <= MOST_BYTES


@pytest.mark.parametrize("state", ["submitted", "open", "dead"])
def test_a_run_of_100_calls(operator, ledger, state, rows):
    with Seed(ledger) as seed:
        calls = [{"tool": f"tool_{n}", "wait": n, "output": "x" * 20_000} for n in range(100)]
        key = getattr(seed, state)("large", *calls)
    rows.append(f"100 calls, {state}")
    least_ms, size = cost(operator, f"/runs/{key}", rows)
    assert least_ms <= MOST_MS
    assert size <= MOST_BYTES
