"""Metrics of a running service count exactly what went through it."""

import re
import urllib.request

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'


def _samples(service, part):
    """The samples of one program's page: name with labels to value."""
    with urllib.request.urlopen(service.stack.metrics_urls[part], timeout=30) as page:
        lines = [line for line in page.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def _more(before, after, name):
    return after.get(name, 0.0) - before.get(name, 0.0)


def test_a_run_is_counted_once_in_each_part(service):
    # what other tests left open would be counted, too
    service.wait_for(lambda: service.ledger().zcard("tw:due") == 0)
    receiver, worker = _samples(service, "webhook"), _samples(service, "worker-1")
    run_id = service.new_run_id()
    calls = [
        ("a", "search_inventory", GOOD),
        ("b", "search_inventory", '{"sku": "x"}'),
        ("c", "rm -rf", "{}"),
    ]
    service.deliver(run_id, *calls)
    key = service.deliver(run_id, *calls).body["key"]
    service.answer(run_id)
    service.wait_for(lambda: service.entry(key)["state"] == "submitted")

    after = _samples(service, "webhook")
    assert _more(receiver, after, 'toolworker_deliveries_total{answer="202"}') == 1
    assert _more(receiver, after, 'toolworker_deliveries_total{answer="duplicate"}') == 1
    calls = 'toolworker_tool_call_seconds_count{code="%s",tool="%s"}'
    counted_once = (
        "toolworker_run_seconds_count",
        'toolworker_runs_total{state="submitted"}',
        'toolworker_submissions_total{status="200"}',
        "toolworker_queue_wait_seconds_count",
        calls % ("ok", "search_inventory"),
        calls % ("invalid_arguments", "search_inventory"),
        # a name that the model made up is no label: there would be no end of them
        calls % ("unknown_tool", ""),
    )

    def counted():
        after = _samples(service, "worker-1")
        found = [_more(worker, after, name) for name in counted_once]
        return found if all(found) else None

    assert service.wait_for(counted) == [1] * 7


def test_the_reconciler_alone_shows_the_ledgers_gauges(service):
    def is_told():  # at the latest look; one that was stopped is older
        told = _samples(service, "reconciler-1")
        is_same = told["toolworker_dead_letters"] == service.ledger().zcard("tw:dead")
        return is_same and told["toolworker_last_look_seconds"] < 5 and told

    told = service.wait_for(is_told)
    assert told["toolworker_circuit_open"] == 0
    assert {"toolworker_open_runs", "toolworker_oldest_open_run_seconds"} <= set(told)
    for part in ("webhook", "worker-1"):
        gauges = [
            name for name in _samples(service, part) if re.search("_(open|last|redis)_", name)
        ]
        assert gauges == []


def test_both_redis_are_seen_by_the_reconciler_and_the_catalogue_by_each_worker(service):
    seen = [
        f'toolworker_redis_{what}{{server="{server}"}}'
        for what in ("up", "disk_ok")
        for server in ("ledger", "broker")
    ]

    def are_well():  # one that was stopped is not
        told = _samples(service, "reconciler-1")
        return [told.get(name) for name in seen] == [1] * 4

    service.wait_for(are_well)
    shown = [
        name for name in _samples(service, "worker-1") if name.startswith("toolworker_catalog")
    ]
    assert len(shown) == 1


def test_what_an_alert_counts_is_0_from_the_start_of_each_process(service):
    for part in ("webhook", "worker-1", "reconciler-1"):
        told = _samples(service, part)
        assert told['toolworker_runs_total{state="dead"}'] >= 0
        assert told['toolworker_token_refreshes_total{outcome="rejected"}'] >= 0
        assert told["toolworker_calls_unanswered_total"] >= 0
    assert told['toolworker_deliveries_total{answer="503"}'] == 0
    assert _samples(service, "worker-1")['toolworker_tool_failures_total{tool="get_order"}'] >= 0
