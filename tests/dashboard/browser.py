"""The system's Chromium, driven by Playwright; None where it is missing, with the reason."""

import shutil
from contextlib import contextmanager

import pytest

SIZE = {"width": 1120, "height": 720}
NARROW = {"width": 390, "height": 780}
TIMEOUT_MS = 120_000
"""For what shows in any case; the machine may be busy."""


@contextmanager
def chromium():
    """One browser; the test is skipped where Chromium or Playwright is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, *, password, **options):
    """A page of a fresh session that sends the first password, and fails the test on an error."""
    credentials = {"username": "operator", "password": password}
    options = {"viewport": SIZE, "http_credentials": credentials, **options}
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    # the browser reports on its console what the policy forbids
    page.on("console", lambda line: "Policy" in line.text and problems.append(line.text))
    yield page
    assert problems == []
    context.close()
