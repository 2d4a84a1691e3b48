"""`python -m tests.fuzz_receiver` with a seed of its own; about 7 s."""

from tests.fuzz_receiver import fuzz
from tests.receiver import running_receiver


def test_no_mutated_delivery_is_a_5xx_ends_a_worker_or_stays_in_memory(redis_server, tmp_path):
    with running_receiver(tmp_path, redis_server.url) as receiver:
        statuses, of_valid, is_same, grown_kb = fuzz(receiver, deliveries=10_000, seed=7)
        log = receiver.log()
    # 501 is gunicorn's own, for a transfer coding; the proxy answers those with 400 before it
    assert {status for status in statuses if status and status >= 500} <= {501}
    assert {202, 400, 401} <= set(statuses)  # some come through, so the parsers were reached
    assert set(of_valid) == {202}
    assert of_valid[202] > 1_000
    # a request that ends before its head does; 54 of these 10,000
    assert statuses[None] < 200
    assert is_same
    # each worker grows by 4,000 until it has seen everything, which may be after the first fifth
    assert grown_kb < 16_000
    assert "Traceback" not in log
    assert ".failed" not in log
