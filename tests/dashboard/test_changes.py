"""Replay, drop and trying a tool: with the second password, from our own forms, and logged."""

import json

import pytest
import structlog

from tests.dashboard.conftest import SECOND, Operator
from tests.dashboard.seed import CALL, Seed, wait_for


def replayed(ledger, key):
    return ledger.hget(f"tw:run:{key}", "state") != b"dead"


@pytest.mark.parametrize(
    ("mode", "generation"), [("submission", 0), ("failed-calls", 1), ("full", 1)]
)
def test_a_dead_letter_is_replayed_in_each_mode_once_confirmed(operator, ledger, mode, generation):
    with Seed(ledger) as seed:
        key = seed.dead("refused", CALL, {**CALL, "code": "timeout"})
    operator.unlock()
    question = operator.text(f"/runs/{key}/replay?mode={mode}")
    assert "Replay this dead letter?" in question
    assert not replayed(ledger, key)
    answer = operator.post(f"/runs/{key}/replay", {"mode": mode})
    assert (answer.status_code, answer.location) == (303, f"/runs/{key}")
    assert replayed(ledger, key)
    assert int(ledger.hget(f"tw:run:{key}", "generation")) == generation
    assert f"Opened again, generation {generation}" in operator.text(f"/runs/{key}")


def test_a_run_is_dropped_once_confirmed(operator, ledger):
    with Seed(ledger) as seed:
        key = seed.dead("refused")
    operator.unlock()
    assert "Drop this run?" in operator.text(f"/runs/{key}/drop")
    assert operator.post(f"/runs/{key}/drop").location == "/runs"
    assert not ledger.exists(f"tw:run:{key}")
    assert operator.get(f"/runs/{key}").status_code == 404


def test_a_run_that_is_open_is_neither_replayed_nor_dropped(operator, ledger):
    with Seed(ledger) as seed:
        key = seed.open("waits")
    operator.unlock()
    for what in ("replay", "drop"):
        assert operator.get(f"/runs/{key}/{what}?mode=full").status_code == 409
        assert operator.post(f"/runs/{key}/{what}", {"mode": "full"}).status_code == 409
    assert ledger.exists(f"tw:run:{key}")


def test_a_selection_of_dead_letters_is_replayed_with_progress(operator, ledger):
    with Seed(ledger) as seed:
        chosen = [seed.dead(f"refused-{n}") for n in range(30)]
        chosen.append(seed.dead("never-sent", attempts=()))
        other = seed.dead("other")
    operator.unlock()
    operator.shows("/dead", "other")
    question = operator.post("/dead/replay", {"key": chosen})
    assert "Replay 31 dead letters?" in question.text
    assert not any(replayed(ledger, key) for key in chosen)
    started = operator.post("/dead/replay", {"key": chosen, "mode": "submission"})
    page = operator.shows(started.location, "31 of 31")
    assert "1 left as they are: nothing was ready to send" in page
    assert [replayed(ledger, key) for key in (*chosen, other)] == [True] * 30 + [False, False]
    with ledger.pipeline() as pipe:  # a reconciler's work: one is refused again, the others end
        for key in chosen[1:30]:
            pipe.hset(f"tw:run:{key}", mapping={"state": "submitted", "ended_at": seed.now})
            pipe.zrem("tw:due", key)
            pipe.zadd("tw:ended", {key: seed.now})
        pipe.execute()
    operator.shows(started.location, "29 of 30")


def test_all_dead_letters_of_a_reason_are_replayed(operator, ledger):
    with Seed(ledger) as seed:
        expired = [seed.dead(f"expired-{n}", reason="expired") for n in range(3)]
        refused = seed.dead("refused")
    operator.unlock()
    operator.shows("/dead?reason=expired", "expired-2")
    form = {"all": "1", "reason": "expired"}
    assert "Replay 3 dead letters?" in operator.post("/dead/replay", form).text
    operator.post("/dead/replay", {**form, "mode": "full"})
    wait_for(lambda: all(replayed(ledger, key) for key in expired))
    assert not replayed(ledger, refused)


def test_a_tool_is_tried_and_its_output_shown(operator):
    operator.unlock()
    arguments = '{"sku": "AB-1001", "warehouse": "US-WEST"}'
    page = operator.post("/tools/search_inventory", {"arguments": arguments}).text
    output = page.partition('id="output">')[2].partition("</pre>")[0].replace("&#34;", '"')
    assert json.loads(output)["total"] > 0
    wrong = operator.post("/tools/search_inventory", {"arguments": "{"}).text
    assert "invalid_json" in wrong


def test_a_tool_that_binds_is_tried_with_bound_values_that_no_log_has(make_app, tmp_path):
    tool = tmp_path / "tools" / "list_mine"
    tool.mkdir(parents=True)
    number = {"type": "integer"}
    about = {
        "name": "list_mine",
        "description": "The caller's number.",
        "parameters": {
            "type": "object", "properties": {"customer_id": number}, "additionalProperties": False,
        },
        "bind": {"customer_id": "/context/customer_id"},
    }  # fmt: skip
    (tool / "tool.json").write_text(json.dumps(about))
    (tool / "query.sql").write_text("SELECT %(customer_id)s::int AS customer_id")
    example = {"arguments": {}, "bound": {"customer_id": 42}, "output": {}}
    (tool / "examples.json").write_text(json.dumps([example]))
    operator = Operator(make_app(tools_dir=tmp_path / "tools")).unlock()
    assert "{&#34;customer_id&#34;: 42}</textarea>" in operator.text("/tools/list_mine")
    with structlog.testing.capture_logs() as lines:
        page = operator.post("/tools/list_mine", {"bound": '{"customer_id": 7171}'}).text
        assert "&#34;customer_id&#34;: 7171" in page.partition('id="output">')[2]
        refused = operator.post("/tools/list_mine", {"arguments": '{"customer_id": 7171}'})
        assert "forbidden" in refused.text.partition('id="output">')[2]
        wrong = operator.post("/tools/list_mine", {"bound": "[7171]"})
        assert wrong.status_code == 400
        assert "The bound values are no JSON object." in wrong.text
    assert "7171" not in str(lines)


def test_each_of_many_replays_is_logged_by_its_key(operator, ledger):
    with Seed(ledger) as seed:
        keys = {seed.dead(f"refused-{n}") for n in range(3)}
    operator.unlock()
    with structlog.testing.capture_logs() as lines:
        operator.post("/dead/replay", {"key": sorted(keys), "mode": "full"})
        wait_for(lambda: [line for line in lines if line["event"] == "dashboard.replayed_many"])
    assert {line["key"] for line in lines if line["event"] == "dashboard.replayed"} == keys


def test_what_the_second_password_lets_one_see_and_change_is_logged(operator, ledger):
    with Seed(ledger) as seed:
        first, second = seed.dead("first"), seed.dead("second")
    with structlog.testing.capture_logs() as lines:
        operator.unlock()
        operator.text(f"/runs/{first}/data")
        operator.text(f"/runs/{first}/body")
        operator.post(f"/runs/{first}/replay", {"mode": "full"})
        operator.post(f"/runs/{second}/drop")
        operator.post("/tools/get_order", {"arguments": '{"planted": 1}'})
    events = [(line["event"], line.get("key") or line.get("tool")) for line in lines]
    for line in (
        ("dashboard.unlocked", None),
        ("dashboard.data_shown", first),
        ("dashboard.body_shown", first),
        ("dashboard.replayed", first),
        ("dashboard.dropped", second),
        ("dashboard.tool_called", "get_order"),
    ):
        assert line in events
    assert "planted" not in str(lines)
    assert SECOND not in str(lines)


PATHS = (
    "/runs/KEY/replay", "/runs/KEY/drop", "/dead/replay", "/tools/search_inventory", "/unlock",
    "/lock",
)  # fmt: skip


@pytest.fixture
def attacked(operator, ledger):
    """An unlocked session and a dead letter: what forged requests are after."""
    with Seed(ledger) as seed:
        key = seed.dead("refused")
    operator.unlock()

    def attack(path, **options):
        form = {"mode": "full", "key": key, "password": "change-it", "arguments": "{}"}
        data = form | options.pop("data", {})
        return operator.post(path.replace("KEY", key), data, **options)

    yield attack
    assert not replayed(ledger, key)


FORGED = (
    {"headers": {"Origin": "http://evil.example"}},
    {"headers": {"Origin": "null"}},
    {"headers": {"Origin": "http://127.0.0.1:8080"}},
    {"headers": {}},
    {"data": {"token": "guessed"}},
    {"data": {"token": ""}},
    {"data": {"token": "h\u00e9"}},
)


@pytest.mark.parametrize("path", PATHS)
def test_a_forged_post_is_refused(attacked, path):
    assert [attacked(path, **forged).status_code for forged in FORGED] == [403] * 7


def test_a_post_without_the_second_password_is_refused(app, ledger):
    with Seed(ledger) as seed:
        key = seed.dead("refused")
    operator = Operator(app)
    for path in PATHS[:-2]:
        answer = operator.post(path.replace("KEY", key), {"mode": "full", "key": key})
        assert answer.status_code == 403
        assert "This needs the second password." in answer.text
    assert not replayed(ledger, key)


def test_a_token_of_another_session_is_refused(app, operator):
    operator.unlock()
    stolen = Operator(app).token()
    assert operator.post("/lock", {"token": stolen}).status_code == 403


def test_wrong_second_passwords_are_bounded(operator):
    answers = [operator.post("/unlock", {"password": f"guess-{n}"}).status_code for n in range(6)]
    assert answers == [403] * 5 + [429]
    assert operator.post("/unlock", {"password": "change-it"}).status_code == 429
    assert operator.get("/runs/0/data").status_code == 403


def test_locking_hides_everything_again(operator, ledger):
    with Seed(ledger) as seed:
        key = seed.dead("refused")
    operator.unlock()
    assert operator.get(f"/runs/{key}/data").status_code == 200
    operator.post("/lock")
    assert operator.get(f"/runs/{key}/data").status_code == 403
