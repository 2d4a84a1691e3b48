"""Pages of the fleet and of the tools: doctor's problems, workers, reconcilers, calls by tool."""

import re
import threading

from genesys.pacing.rate_limiter import RateLimiter
from genesys.store import Store
from ops.doctor.result import CheckResult
from ops.pages.index import Snapshot
from runtime.settings import Settings
from tests.dashboard.conftest import Operator
from tests.dashboard.seed import CALL, Seed, examples


def test_the_fleet_page_shows_what_the_doctor_finds(operator, around):
    assert "The doctor finds nothing wrong" in operator.shows("/fleet", "ALL WELL")
    around.results = [CheckResult("LEDGER_URL", "its memory is full (maxmemory)")]
    page = operator.shows("/fleet", "1 PROBLEM")
    assert "<b>LEDGER_URL</b> its memory is full (maxmemory)" in page
    assert "1 problem</a>" in operator.text("/runs")


def test_the_fleet_page_names_workers_and_reconcilers(operator, ledger, around):
    with Seed(ledger) as seed:
        ledger.zadd("tw:reconcilers", {"host-a:311": seed.now, "host-b:298": seed.now - 40_000})
    page = operator.shows("/fleet", "worker@host-b")
    assert "worker@host-a" in page
    words = page.partition("host-b:298")[2]
    assert words.partition("</li>")[0].endswith('<span class="badge bad">silent</span>')
    around.workers = []
    assert "No worker answers" in operator.shows("/fleet", "No worker answers")


def test_the_fleet_page_shows_how_long_runs_wait_for_a_worker(operator, ledger):
    with Seed(ledger) as seed:
        seed.open("waits", age_ms=20_000, begun_at=0, state="accepted")
    assert re.search(r"2\d\.\d s: new runs are refused", operator.text("/fleet"))


def test_the_fleet_page_shows_what_is_left_of_genesys_limit_if_genesys_says_so(operator, ledger):
    assert "own limit" not in operator.shows("/fleet", "POSTs, last minute")
    store = Store(ledger.url, ["http://127.0.0.1:9", "client", Settings().genesys_scope])
    RateLimiter(store, requests_per_minute=300).record_remaining(41)
    page = operator.text("/fleet")
    assert page.partition("own limit</dt>")[2].startswith("<dd>41</dd>")


def test_tools_are_shown_with_their_calls_errors_and_p95(operator, ledger):
    with Seed(ledger) as seed:
        for n in range(1, 101):
            seed.submitted(f"run-{n}", {"tool": "get_order", "took": n})
        seed.submitted("wrong", {"tool": "nonsense", "code": "unknown_tool"})
        seed.submitted("slow", {**CALL, "code": "timeout"})
    page = operator.shows("/tools", "nonsense")
    row = page.partition(">get_<wbr>order</a>")[2].partition("</tr>")[0]
    assert '<td class="n">100</td>' in row
    assert '<td class="n">95 ms</td>' in row
    assert "not in the catalogue" in page.partition(">nonsense</a>")[2].partition("</tr>")[0]
    assert "timeout 1" in page.partition(">search_<wbr>inventory</a>")[2].partition("</tr>")[0]
    assert "slow" in page.partition("Last failing calls")[2]


def test_a_tools_page_shows_what_its_database_has_against_it(operator):
    page = operator.shows("/tools/search_inventory", '<p class="reason">WELL</p>')
    assert "SELECT sku, quantity, status" in page


def test_a_name_that_is_no_tool_is_explained(operator, ledger):
    with Seed(ledger) as seed:
        seed.submitted("wrong", {"tool": "nonsense", "code": "unknown_tool"})
    operator.shows("/tools", "nonsense")
    assert "The catalogue has no tool of this name" in operator.text("/tools/nonsense")
    assert operator.get("/tools/never-called").status_code == 404


def test_a_ledger_that_does_not_answer_is_a_page_that_names_it(make_app, free_port):
    operator = Operator(make_app(f"redis://127.0.0.1:{free_port()}/0"))
    for path in ("/runs", "/runs/0", "/dead", "/fleet", "/find?q=x"):
        answer = operator.get(path)
        assert answer.status_code == 503
        assert "The ledger does not answer" in answer.text
        assert 'data-renew="5"' in answer.text  # it may come back


def test_a_first_look_that_takes_long_is_no_empty_list(make_app, monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr("ops.pages.observer.FIRST_S", 0.01)
    monkeypatch.setattr(
        "ops.pages.observer.RunIndex.refresh",
        lambda index: is_over.wait(10) and Snapshot(0, [], {}),
    )
    answer = Operator(make_app()).get("/runs")
    is_over.set()
    assert answer.status_code == 503
    assert "it has not answered yet; many runs take seconds to read" in answer.text


def test_a_look_of_the_doctor_that_fails_is_a_problem_on_every_page(operator, monkeypatch):
    def fail(*_, **__):
        raise KeyError("planted")

    monkeypatch.setattr("ops.pages.observer.examination.check", fail)
    page = operator.shows("/fleet", "1 PROBLEM")
    assert "<b>doctor</b> failed: KeyError" in page
    for path in ("/runs", "/dead", "/tools", "/tools/get_order"):
        assert "1 problem</a>" in operator.text(path)


def test_every_example_of_the_screenshots_has_a_page(operator, ledger):
    for key in examples(ledger).values():
        assert operator.get(f"/runs/{key}").status_code == 200
