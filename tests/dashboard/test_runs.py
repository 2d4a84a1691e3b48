"""The list of runs, search, and the page of one run."""

import re

import pytest

from tests.dashboard.conftest import Operator
from tests.dashboard.seed import CALL, Seed, examples, many

MOST_BYTES = 80_000


def ids(page):
    """The run ids of a list, in order."""
    return re.findall(r'<a class="id" href="/runs/[0-9a-f]{32}"[^>]*>([^<]*)</a>', page)


def test_the_list_has_the_newest_first_and_what_is_stuck_on_top(operator, ledger):
    with Seed(ledger) as seed:
        seed.submitted("old", age_ms=90_000)
        seed.open("late", age_ms=40_000, answer_by=seed.now - 10_000)
        seed.submitted("new", age_ms=5_000)
    assert ids(operator.shows("/runs", "late")) == ["late", "new", "late", "old"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=open", ["waits"]),
        ("state=submitted", ["slow", "well"]),
        ("state=dead", ["refused"]),
        ("tool=get_order", ["waits", "slow"]),
        ("code=timeout", ["slow"]),
        ("tool=search_inventory&code=timeout", []),
        ("age=1h", ["waits", "slow", "well"]),
        ("age=nonsense&state=nonsense&before=nonsense", ["waits", "slow", "well", "refused"]),
    ],
)
def test_a_list_has_the_runs_that_pass_its_filters(operator, ledger, query, found):
    with Seed(ledger) as seed:
        seed.open("waits", {"tool": "get_order", "code": ""}, age_ms=1_000)
        slow = {"tool": "get_order", "code": "timeout"}
        seed.submitted("slow", CALL, slow, age_ms=10_000)
        seed.submitted("well", age_ms=20_000)
        seed.dead("refused", age_ms=7_200_000)
    operator.shows("/runs", "refused")
    assert ids(operator.text(f"/runs?{query}")) == found


def test_many_runs_are_read_page_by_page_each_within_80_kb(operator, ledger):
    many(ledger, 1_000)
    page, seen = operator.shows("/runs", "1,000"), []
    for _ in range(3):
        assert len(page.encode()) < MOST_BYTES
        seen += ids(page)
        further = re.search(r'href="(/runs\?before=[^"]*)">Older', page)
        page = operator.text(further[1].replace("&amp;", "&"))
    assert seen == [f"run-{n}" for n in range(999, 849, -1)]


def test_older_pages_stay_where_they_are_when_new_runs_come(operator, ledger):
    many(ledger, 120)
    first = operator.shows("/runs", "run-119")
    further = re.search(r'href="(/runs\?before=[^"]*)">Older', first)[1].replace("&amp;", "&")
    before = ids(operator.text(further))
    with Seed(ledger) as seed:
        for n in range(60):
            seed.submitted(f"new-{n}", age_ms=500)
    operator.shows("/runs", "new-1")
    assert ids(operator.text(further)) == before


@pytest.mark.parametrize("name", ["wanted", "KEY", "c-1234"])
def test_search_leads_to_the_run_with_the_id_key_or_correlation_id(operator, ledger, name):
    with Seed(ledger) as seed:
        seed.submitted("another")
        attempt = {"status": 200, "correlation_id": "c-1234"}
        key = seed.submitted("wanted", attempts=[attempt])
    operator.shows("/runs", "wanted")
    answer = operator.get("/find", query_string={"q": name.replace("KEY", key)})
    assert (answer.status_code, answer.location) == (302, f"/runs/{key}")


def test_search_for_what_is_not_there_explains_how_that_can_be(operator):
    answer = operator.get("/find?q=nothing")
    assert answer.status_code == 404
    assert "It was never accepted." in answer.text
    assert "RUN_RETENTION_S" in answer.text


def test_a_run_that_was_accepted_this_moment_is_found(operator, ledger):
    operator.text("/runs")
    with Seed(ledger) as seed:
        key = seed.submitted("just-now", age_ms=100)
    assert operator.get("/find?q=just-now").location == f"/runs/{key}"


def test_a_dropped_run_leaves_the_list(operator, ledger):
    with Seed(ledger) as seed:
        key = seed.submitted("to-be-dropped", age_ms=60_000)
        seed.submitted("to-be-kept", age_ms=50_000)
    operator.shows("/runs", "to-be-dropped")
    ledger.delete(f"tw:run:{key}")
    ledger.zrem("tw:ended", key)
    operator.shows("/runs", "All <b>1</b>")
    assert ids(operator.text("/runs")) == ["to-be-kept"]


def test_a_run_of_a_hundred_calls_fits_into_80_kb(operator, ledger):
    with Seed(ledger) as seed:
        calls = [{"tool": f"a_tool_of_long_name_{n}", "wait": n * 7} for n in range(100)]
        key = seed.submitted("large", *calls)
    page = operator.text(f"/runs/{key}")
    assert len(page.encode()) < MOST_BYTES
    assert page.count('<rect class="work"') == 100


def test_a_runs_page_has_the_reason_and_the_next_command_of_runs_why(operator, ledger):
    with Seed(ledger) as seed:
        key = seed.dead("refused")
    page = operator.text(f"/runs/{key}")
    assert '<p class="reason">DEAD</p>' in page
    assert "Genesys refused it for good. Genesys answered 404" in page
    assert f"<code>toolworker runs replay {key} --mode submission</code>" in page


def test_without_a_worker_an_open_runs_page_names_that(operator, ledger, around):
    around.workers = []
    with Seed(ledger) as seed:
        key = seed.open("waits")
    page = operator.shows(f"/runs/{key}", '<p class="reason">NO_WORKER</p>')
    assert "<code>docker compose up -d worker</code>" in page
    assert 'href="/fleet"' in page


def test_a_runs_page_shows_attempts_with_what_genesys_answered(operator, ledger):
    answers = (
        {"status": 503, "code": "unavailable", "correlation_id": "c-1", "error": "it is down"},
        {"status": 404, "correlation_id": "c-2", "error": "there is no such run"},
    )
    with Seed(ledger) as seed:
        key = seed.dead("refused", attempts=answers)
    page = operator.text(f"/runs/{key}")
    for shown in ("503", "c-1", "unavailable it is down", "c-2", "there is no such run"):
        assert shown in page


def test_data_is_not_in_a_page_without_the_second_password(operator, ledger):
    with Seed(ledger) as seed:
        secret = {"arguments": '{"sku": "PLANTED-1"}', "output": '{"planted": "PLANTED-2"}'}
        bound = {"bound": '{"/id": "PLANTED-4"}', "bound_digests": '{"/id": "PLANTED-5"}'}
        key = seed.dead("refused", secret, body="PLANTED-3", **bound)
        waits = seed.open("waits", {**secret, "code": ""})
    for path in ("/runs", f"/runs/{key}", f"/runs/{waits}", "/dead", "/tools", "/fleet"):
        assert "PLANTED" not in operator.text(path)
    for path in (f"/runs/{key}/data", f"/runs/{key}/body"):
        answer = operator.get(path)
        assert answer.status_code == 403
        assert "PLANTED" not in answer.text
    operator.unlock()
    assert "PLANTED-1" in operator.text(f"/runs/{key}/data")
    assert operator.text(f"/runs/{key}/body") == "PLANTED-3"
    for path in (f"/runs/{key}", f"/runs/{key}/data", f"/runs/{key}/drop"):
        assert not re.search("PLANTED-[45]", operator.text(path))


def test_the_links_to_flower_name_the_runs_first_task(ledger, make_app):
    keys = examples(ledger)
    page = Operator(make_app(dashboard_flower_url="http://127.0.0.1:5555")).text(
        f"/runs/{keys['answered']}"
    )
    assert f'href="http://127.0.0.1:5555/task/{keys["answered"]}:0:fan_out"' in page


def test_data_that_is_no_text_is_shown_with_escapes(operator, ledger):
    lone = '{"sku": "\ud800"}'.encode("utf-8", "surrogatepass")
    with Seed(ledger) as seed:
        key = seed.dead("refused", {**CALL, "arguments": lone})
    operator.unlock()
    assert "{&#34;sku&#34;: &#34;\\ud800&#34;}" in operator.text(f"/runs/{key}/data")
