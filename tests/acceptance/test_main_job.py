"""A signed delivery goes in; one submission with every output, in call order, comes out."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

GOOD = '{"sku": "AB-1001", "warehouse": "US-WEST"}'


def test_a_delivery_is_answered_in_one_submission_in_call_order(service):
    run_id = service.new_run_id()
    answer = service.deliver(
        run_id,
        ("z", "search_inventory", GOOD),
        ("a", "get_order", '{"order_number": "SO-100001"}'),
        ("m", "search_inventory", GOOD),
    )
    assert answer.status == 202
    assert answer.body["status"] == "accepted"
    assert answer.body["run_id"] == run_id
    assert list(service.answer(run_id)) == ["z", "a", "m"]
    (submission,) = service.submissions(run_id)
    headers = {name.lower(): value for name, value in submission["headers"].items()}
    assert headers["idempotency-key"] == answer.body["key"]
    assert headers["user-agent"] == "Genesys-ToolWorker/0.1.0"


def test_celerys_own_command_starts_a_worker_whose_metrics_are_in_a_folder_of_its_own(
    own_service, tmp_path
):
    service = own_service(workers=0, reconcilers=0)
    # Flower is installed here: the command imports it, and so prometheus_client, before any code of
    # ours can choose its mode
    mode = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    arguments = ("-m", "celery", "-A", "tasks", "worker", "-c", "1")
    worker = service.stack.launch("worker-1", *arguments, env=mode)
    worker.wait_until(lambda: worker.has_logged(" ready."), timeout_s=90)
    run_id = service.new_run_id()
    service.deliver(run_id, ("c", "search_inventory", GOOD))
    assert service.answer(run_id)["c"]["total"] > 0
    assert worker.pid in service.stack.worker_pids
    assert list(tmp_path.glob("*.db")) == []


def test_the_inventory_comes_back_as_items_and_total(service):
    run_id = service.new_run_id()
    service.deliver(run_id, ("c", "search_inventory", GOOD))
    lots = [{"sku": "AB-1001", "quantity": n, "status": "IN_STOCK"} for n in (166, 177)]
    assert service.answer(run_id)["c"] == {"items": lots, "total": 2}


def test_a_run_of_thirty_calls_is_answered_in_call_order(service):
    run_id = service.new_run_id()
    orders = [f"SO-{100001 + n}" for n in range(30)]
    calls = [(f"c{n}", "get_order", json.dumps({"order_number": o})) for n, o in enumerate(orders)]
    service.deliver(run_id, *calls)
    answer = service.answer(run_id)
    assert list(answer) == [f"c{n}" for n in range(30)]
    assert [output["items"][0]["order_number"] for output in answer.values()] == orders


def test_a_run_without_calls_is_answered(service):
    run_id = service.new_run_id()
    assert service.deliver(run_id).status == 202
    assert service.answer(run_id) == {}


def test_no_rows_is_a_message_with_the_arguments_filled_in(service):
    run_id = service.new_run_id()
    missing = '{"sku": "ZZ-999999", "warehouse": "US-EAST"}'
    service.deliver(run_id, ("c", "search_inventory", missing))
    assert service.answer(run_id) == {
        "c": {"message": "No active inventory found for SKU ZZ-999999 at US-EAST."}
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("not json", "invalid_json"),
        ('{"sku": NaN, "warehouse": "US-WEST"}', "invalid_json"),
        ("[" * 10_000, "invalid_json"),
        ("[]", "invalid_arguments"),
        ('{"sku": "AB-1001"}', "invalid_arguments"),
        ('{"sku": "AB-1001\\u0000", "warehouse": "US-WEST"}', "invalid_arguments"),
        ('{"sku": "\\ud800", "warehouse": "US-WEST"}', "invalid_arguments"),
        ("\ud800", "invalid_json"),
    ],
)
def test_a_call_with_bad_arguments_does_not_hold_back_the_others(service, arguments, code):
    run_id = service.new_run_id()
    assert service.deliver(
        run_id, ("bad", "search_inventory", arguments), ("good", "search_inventory", GOOD)
    ).status == 202  # fmt: skip
    outputs = service.answer(run_id)
    assert outputs["bad"]["code"] == code
    assert outputs["bad"]["retryable"] is False
    assert outputs["good"]["total"] > 0


def test_every_violation_is_listed_for_the_model(service):
    run_id = service.new_run_id()
    service.deliver(run_id, ("c", "search_inventory", '{"sku": "x", "warehouse": "MOON"}'))
    violations = service.answer(run_id)["c"]["violations"]
    assert sorted(violation["path"] for violation in violations) == ["/sku", "/warehouse"]


def test_an_unknown_tool_is_an_error_output_that_names_the_closest(service):
    run_id = service.new_run_id()
    service.deliver(run_id, ("c", "search_inventry", GOOD))
    output = service.answer(run_id)["c"]
    assert output["code"] == "unknown_tool"
    assert "search_inventory" in output["error"]


def test_the_same_delivery_fifty_times_at_once_is_one_run(service):
    run_id = service.new_run_id()
    calls = [("c", "search_inventory", GOOD)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: service.deliver(run_id, *calls), range(50)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body["key"] for answer in answers}) == 1
    assert sum("duplicate" not in answer.body for answer in answers) == 1
    service.answer(run_id)
    assert service.deliver(run_id, *calls).body["duplicate"] is True
    assert len(service.submissions(run_id)) == 1


def test_the_same_call_ids_with_other_arguments_are_409(service):
    run_id = service.new_run_id()
    service.deliver(run_id, ("c", "search_inventory", GOOD))
    assert service.deliver(run_id, ("c", "search_inventory", "{}")).status == 409
    assert service.answer(run_id)["c"]["total"] > 0


def test_a_run_id_with_any_printable_character_is_sent_to_its_own_path(service):
    for run_id in ("a/b?c#d %41", "ü–日本", "..", "a:b"):
        service.deliver(run_id, ("c", "search_inventory", GOOD))
        assert service.answer(run_id)["c"]["total"] > 0


@pytest.mark.parametrize("fault", [503, 500, {"status": 429, "retry_after": 1}, "drop"])
def test_a_passing_failure_of_genesys_is_retried_with_the_same_bytes(service, fault):
    run_id = service.new_run_id()
    service.inject(submit=[fault])
    service.deliver(run_id, ("c", "search_inventory", GOOD))
    service.answer(run_id)
    first, second = service.submissions(run_id)
    assert first["sha256"] == second["sha256"]
    assert first["headers"]["Idempotency-Key"] == second["headers"]["Idempotency-Key"]


def test_a_refused_token_is_renewed_once(service):
    before = service.new_run_id()
    service.deliver(before, ("c", "search_inventory", GOOD))
    service.answer(before)  # the fleet has a token
    requests, run_id = service.token_requests(), service.new_run_id()
    service.inject(submit=[401])
    service.deliver(run_id, ("c", "search_inventory", GOOD))
    service.answer(run_id)
    assert [attempt["status"] for attempt in service.submissions(run_id)] == [401, 200]
    assert service.token_requests() == requests + 1


def test_a_bad_delivery_is_refused_with_a_sentence(service):
    assert service.post(b"{").status == 400
    answer = service.post(b'{"run_id": "r"}')
    assert answer.status == 400
    assert answer.body == {
        "error": "Invalid payload structure. Expected run_id and tool_calls array."
    }
    too_large = json.dumps({"run_id": "r", "tool_calls": [], "x": "x" * 1_000_001}).encode()
    assert service.post(too_large).status == 413


def test_no_argument_row_or_secret_is_logged(service):
    run_id = service.new_run_id()
    planted = '{"sku": "PL-424242", "warehouse": "EU-CENTRAL", "q": "planted-argument"}'
    service.deliver(run_id, ("c", "search_inventory", planted))
    service.answer(run_id)
    logs = service.logs()
    assert run_id in logs
    for secret in ("PL-424242", "planted-argument", service.stack.secret, "demo-secret"):
        assert secret not in logs


def test_outputs_that_are_too_large_together_are_cut_and_still_arrive(own_service, tools_with_hold):
    tools = tools_with_hold.parent / "large"
    shutil.copytree(tools_with_hold, tools)
    hold = json.loads((tools / "hold/tool.json").read_text())
    large = {**hold, "name": "large", "max_rows": 9000, "max_bytes": 400_000}
    (tools / "hold").rename(tools / "large")
    (tools / "large/tool.json").write_text(json.dumps(large))
    sql = "SELECT n, repeat('\"', 40) AS text FROM generate_series(1, 5000 + %(seconds)s::int) AS n"
    (tools / "large/query.sql").write_text(sql)
    service = own_service(tools_dir=tools)
    calls = [("a", "large", '{"seconds": 1}'), ("b", "search_inventory", GOOD)]
    service.deliver("r", *calls, ("c", "large", '{"seconds": 2}'))
    outputs = service.answer("r")
    assert [outputs[i].get("truncated", False) for i in "abc"] == [True, False, True]
    assert outputs["b"]["total"] == 2
    for output, count in ((outputs["a"], 5001), (outputs["c"], 5002)):
        # 190 bytes a row as JSON in JSON, and 512,000 for both
        assert 500 < output["total"] < count
        whole = [{"n": n, "text": '"' * 40} for n in range(1, output["total"] + 1)]
        assert output["items"] == whole
    (submission,) = service.submissions("r")
    assert 500_000 < len(json.dumps(submission["body"], separators=(",", ":"))) <= 512_000
