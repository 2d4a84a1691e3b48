"""`python -m tests.fuzz_receiver` with a seed of its own; about 7 s."""

from tests.fuzz_receiver import fuzz
from tests.receiver import running_receiver


def test_no_mutated_delivery_is_a_5xx_ends_a_worker_or_stays_in_memory(redis_server, tmp_path):
    with running_receiver(tmp_path, redis_server.url) as receiver:
        statuses, is_same, grown_kb = fuzz(receiver, deliveries=10_000, seed=7)
        log = receiver.log()
    assert {status for status in statuses if status and status >= 500} == set()
    assert {202, 400, 401} <= set(statuses)  # some come through, so the parsers were reached
    assert is_same
    # each worker grows by 4,000 until it has seen everything, which may be after the first fifth
    assert grown_kb < 16_000
    assert "Traceback" not in log
    assert ".failed" not in log
