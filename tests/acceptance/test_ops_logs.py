"""Logs name every run and call, and hold no arguments, rows or secrets."""

import json

ASKED, ANSWERED = "AB-1001", "IN_STOCK"


def test_each_unit_is_one_line_with_its_ids_and_no_arguments_or_rows(service):
    run_id = service.new_run_id() + "-logged"
    good = json.dumps({"sku": ASKED, "warehouse": "US-WEST"})
    bad = json.dumps({"sku": "planted-in-arguments", "warehouse": "US-WEST"})
    calls = [("call-a", "search_inventory", good), ("call-b", "search_inventory", bad)]
    key = service.deliver(run_id, *calls).body["key"]
    assert service.answer(run_id)["call-a"]["items"][0]["status"] == ANSWERED

    def lines():
        text = service.logs().splitlines()
        told = [json.loads(line) for line in text if line.startswith("{")]
        mine = [line for line in told if line.get("run_id") == run_id]
        # another process may log its call behind the submission
        events = [line["event"] for line in mine]
        is_whole = "run.submitted" in events and events.count("call.recorded") >= 2
        return mine if is_whole else None

    mine = service.wait_for(lines)
    assert [line["event"] for line in mine if line["event"].startswith("delivery.")] == [
        "delivery.accepted"
    ]
    recorded = {line["tool_call_id"]: line for line in mine if line["event"] == "call.recorded"}
    assert {call: line["code"] for call, line in recorded.items()} == {
        "call-a": "ok",
        "call-b": "invalid_arguments",
    }
    assert {line["key"] for line in mine} == {key}
    assert all("took_ms" in line for line in recorded.values())

    secrets = [service.stack.secret, "demo-secret", "toolworker_reader:reader"]
    tokens = [
        value
        for client in (service.broker(), service.ledger())
        for name in client.keys("tw:genesys:*token")
        for value in [client.hget(name, "text")]
        if value
    ]
    assert tokens
    everything = service.logs()
    for planted in (ASKED, ANSWERED, "planted-in-arguments", *secrets, *tokens):
        assert planted not in everything
