"""A Genesys that throttles or is down: runs wait without a worker, and are answered once each."""

import time
from itertools import pairwise

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
CALL = ("c", "search_inventory", GOOD)


def test_after_a_429_nothing_is_sent_until_retry_after_and_then_everything_is(service):
    throttled, *others = (service.new_run_id() for _ in range(5))
    service.inject(submit=[{"status": 429, "retry_after": 6}])
    service.deliver(throttled, CALL)
    (refused,) = service.wait_for(lambda: service.submissions(throttled))
    keys = [service.deliver(run_id, CALL).body["key"] for run_id in others]
    # within the 6 s, and no worker waits with them
    service.wait_for(lambda: all("waits_for" in service.entry(key) for key in keys))
    service.wait_for(lambda: service.broker().hlen("unacked") == 0, within_s=3)
    for run_id in (throttled, *others):
        service.answer(run_id)
    answered = [post for run_id in others for post in service.submissions(run_id)]
    assert [post["status"] for post in answered] == [200] * 4  # one attempt each
    assert min(post["at"] for post in answered) - refused["at"] >= 6
    service.wait_for(lambda: all(service.entry(k)["state"] == "submitted" for k in keys))
    assert [service.entry(key)["attempts"] for key in keys] == ["1"] * 4


def test_while_genesys_is_down_one_post_at_a_time_finds_out_whether_it_is_back(service):
    service.inject(submit=[503] * 1000)
    run_ids = [service.new_run_id() for _ in range(20)]
    for run_id in run_ids:
        service.deliver(run_id, CALL)
    service.wait_for(lambda: service.ledger().zcard("tw:turns") >= 10)
    began = time.time()

    def probes():
        # senders that have begun use up their attempts; then one POST goes after 2, 4, 5 s
        return [post["at"] for post in service.all_submissions() if post["at"] > began + 3]

    service.wait_for(lambda: len(probes()) >= 3, within_s=25)
    assert min(later - earlier for earlier, later in pairwise(probes())) > 1
    service.inject(submit=[])
    for run_id in run_ids:
        service.answer(run_id, within_s=25)
    posts = [post for run_id in run_ids for post in service.submissions(run_id)]
    assert len(posts) <= 3 * len(run_ids)
    assert sum(post["status"] == 200 for post in posts) == 20
