"""The pages in a real Chromium: accessible in light and dark, renewed in place, without scripts."""

import threading
from pathlib import Path

import pytest
import redis
from werkzeug.serving import make_server

from ops.pages.app import make
from tests.dashboard.browser import NARROW, SIZE, chromium, opened
from tests.dashboard.conftest import PASSWORD, SECOND, settings_of, surround
from tests.dashboard.seed import Seed, examples

FAULTS = ("serious", "critical")
_HIDDEN = "all => Math.max(0, ...all.map(e => e.scrollWidth - e.clientWidth))"
"""How many pixels of a table can only be scrolled to."""


class Site:
    """The pages on a port of their own, over a ledger with the runs of a usual morning."""

    def __init__(self, url, client, keys):
        self.url, self.client, self.keys = url, client, keys


@pytest.fixture(scope="module")
def site(redis_databases, reader_url):
    url = f"{redis_databases}/15"
    with pytest.MonkeyPatch.context() as patch, redis.Redis.from_url(url) as client:
        surround(patch)
        client.flushdb()
        keys = examples(client)
        app = make(settings_of(url, reader_url, dashboard_flower_url="http://127.0.0.1:5555"))
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(f"http://127.0.0.1:{server.port}", client, keys)
        server.shutdown()
        app.extensions["dashboard"].observer.close()
        client.flushdb()


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser):
    with opened(browser, password=PASSWORD) as shown:
        yield shown


@pytest.fixture
def pictures(request, tmp_path):
    """The folder for screenshots: that of the option, else a temporary one."""
    folder = Path(request.config.getoption("--screenshots", None) or tmp_path)
    folder.mkdir(exist_ok=True)
    return folder


def unlock(page, site):
    page.goto(f"{site.url}/unlock")
    page.fill("#password", SECOND)
    with page.expect_navigation():
        page.click("main button")


def faults(page, **options):
    """What axe-core holds against a page and is serious or critical, with the places."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=options or None).response["violations"]
    return [
        (fault["id"], [node["html"] for node in fault["nodes"]][:3])
        for fault in found
        if fault["impact"] in FAULTS
    ]


def test_every_page_is_accessible_in_light_and_dark_and_has_its_pictures(page, site, pictures):
    unlock(page, site)
    key, dead = site.keys["answered"], site.keys["dead"]
    shown = {
        "runs": "/runs",
        "run": f"/runs/{key}",
        "dead-letters": "/dead",
        "tools": "/tools",
        "tool": "/tools/search_inventory",
        "fleet": "/fleet",
        "": f"/runs/{dead}/replay?mode=submission",
    }
    complete = {"tool": "text=Its statement runs", "fleet": "text=worker@host-b 2 slots"}
    for name, path in shown.items():
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(SIZE)
        page.goto(site.url + path)
        page.wait_for_selector(".standing .ok")
        page.wait_for_selector(complete.get(name, "main"))
        assert faults(page) == [], path
        if name:
            page.screenshot(path=pictures / f"{name}-light.png", full_page=name == "run")
        page.emulate_media(color_scheme="dark")
        assert faults(page, runOnly=["color-contrast"]) == [], path
        if name:
            page.screenshot(path=pictures / f"{name}-dark.png")
            page.emulate_media(color_scheme="light")
            page.set_viewport_size(NARROW)
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
            assert page.locator(".scroll").evaluate_all(_HIDDEN) == 0, path
            page.screenshot(path=pictures / f"{name}-narrow.png")
    assert len(list(pictures.glob("*.png"))) == 18


def test_a_page_renews_itself_without_losing_its_place(page, site):
    page.goto(f"{site.url}/runs")
    page.evaluate("scrollTo(0, 700)")
    page.locator("table.runs a").nth(30).focus()
    focused = page.evaluate("document.activeElement.getAttribute('href')")
    place = page.evaluate("scrollY")
    assert place > 0
    with Seed(site.client) as seed:
        seed.submitted("came-meanwhile", age_ms=100)
    page.wait_for_selector("text=came-meanwhile", state="attached")
    assert page.evaluate("scrollY") == place
    assert page.evaluate("document.activeElement.getAttribute('href')") == focused


def test_without_scripts_a_run_is_found_and_the_page_renews_itself(browser, site):
    with opened(browser, password=PASSWORD, java_script_enabled=False) as page:
        page.goto(f"{site.url}/runs")
        page.fill("#q", "5d0c91e2-40bb-4f6a-9d4b-2f7ab9e8c311")
        page.press("#q", "Enter")
        page.wait_for_url(f"{site.url}/runs/{site.keys['answered']}")
        assert "call 3 (search_inventory) query_failed" in page.inner_text("#cause")
        page.goto(f"{site.url}/runs")
        assert page.locator("meta[http-equiv=refresh]").count() == 1


def test_markup_from_outside_runs_in_no_browser(page, site):
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    with Seed(site.client) as seed:
        call = {"tool": hostile, "code": "query_failed", "output": hostile}
        attempt = {"status": 404, "error": hostile, "correlation_id": hostile}
        key = seed.dead(hostile, call, attempts=[attempt], body=hostile)
    unlock(page, site)
    for path in ("/runs", f"/runs/{key}", f"/runs/{key}/data", f"/runs/{key}/body", "/tools"):
        page.goto(site.url + path)
        assert page.locator("img[src=x]").count() == 0
    site.client.delete(f"tw:run:{key}")
    site.client.zrem("tw:dead", key)
