"""`python -m tests.fuzz_receiver` with a seed of its own."""

from tests.cases import cases
from tests.fuzz_receiver import COUNTING, fuzz
from tests.receiver import running_receiver


def test_no_mutated_delivery_is_a_5xx_ends_a_worker_or_stays_in_memory(redis_server, tmp_path):
    count = cases(10_000)
    with running_receiver(tmp_path, redis_server.url, config=COUNTING) as receiver:
        statuses, of_valid, is_same, (grown_kb, grown_by) = fuzz(receiver, deliveries=count, seed=7)
        log = receiver.log()
    # 501 is gunicorn's own, for a transfer coding; the proxy answers those with 400 before it
    every = {200, 202, 400, 401, 404, 405, 408, 409, 413, 414, 415, 417, 431, 501}
    # 0: a bare body, as in HTTP/0.9; None: a request that ended before its head did
    assert set(statuses) <= {*every, 0, None}
    assert {202, 400, 401} <= set(statuses)  # some come through, so the parsers were reached
    # the same requests each time: so many are sent as they were made, and every one is accepted
    assert set(of_valid) == {202}
    assert of_valid[202] > count / 10
    assert is_same
    # caches grow by 600, further threads by 1,400; what was read, if it were kept, by 14,000
    assert grown_by < 5_000 + count / 4
    # each worker grows by 4,000 until it has seen everything, which may be after the first fifth
    assert grown_kb < 16_000
    assert "Traceback" not in log
    assert ".failed" not in log
