"""Access control of the pages: passwords, Host header, escaped markup, security headers."""

import re

import pytest

from tests.dashboard.conftest import Operator
from tests.dashboard.seed import Seed

PAGES = ("/runs", "/dead", "/tools", "/fleet", "/unlock", "/find?q=x", "/static/page.js", "/")


AUTHS = (None, ("operator", "wrong"), ("root", "see-it"), ("operator", ""), ("", "see-it"))
HOSTS = ("evil.example", "127.0.0.1.evil.example", "toolworker", "a b", "127.0.0.1@evil.example")


def test_no_page_is_shown_without_the_password(app):
    for path in (*PAGES, "/runs/0", "/runs/0/data", "/jobs/0", "/nothing"):
        for auth in AUTHS:
            answer = app.test_client().get(path, base_url="http://127.0.0.1:5556", auth=auth)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_foreign_host_is_refused(operator):
    for path in PAGES:
        for host in HOSTS:
            answer = operator.get(path, headers={"Host": host})
            assert answer.status_code == 400
            assert "<main" not in answer.text


def test_further_host_names_are_a_setting(make_app):
    operator = Operator(make_app(dashboard_hosts="ops.example, 10.0.0.7"))
    assert operator.get("/runs", base_url="http://ops.example").status_code == 200
    assert operator.get("/runs", base_url="http://10.0.0.7:5556").status_code == 200
    assert operator.get("/runs", base_url="http://127.0.0.1:5556").status_code == 400


def test_every_answer_forbids_foreign_scripts_frames_and_guesses_of_its_type(operator):
    for path in PAGES:
        headers = operator.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_sessions_cookie_stays_on_this_site_and_out_of_scripts(operator):
    cookie = operator.get("/unlock").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}</title></textarea></pre></style>",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_from_outside_is_text_on_every_page(operator, ledger, hostile):
    with Seed(ledger) as seed:
        call = {"tool": hostile, "code": "query_failed", "arguments": hostile, "output": hostile}
        attempt = {"status": 404, "code": hostile, "correlation_id": hostile, "error": hostile}
        dead = seed.dead(hostile, call, attempts=[attempt], reason=hostile, body=hostile)
        done = seed.submitted(f"{hostile}2", call, attempts=[attempt], **{"id:0": hostile})
        held = {"tool": hostile, "code": "", "holder": "host-a:4021:x-1"}
        waits = seed.open(f"{hostile}3", held)
    operator.unlock()
    operator.shows("/runs", "dead")
    paths = ["/runs", "/dead", "/tools", f"/runs/{dead}", f"/runs/{done}", f"/runs/{waits}"]
    paths += [f"/runs/{dead}/data", f"/runs/{dead}/replay?mode=full", f"/runs/{dead}/drop"]
    for path in paths:
        page = operator.text(path)
        assert hostile.split("</")[0] in unescaped(page) or path == "/tools"
        _assert_harmless(page)
    for path in ("/find", "/runs", "/dead", "/unlock"):
        names = ("q", "tool", "code", "state", "reason", "next", "before", "renew")
        _assert_harmless(operator.get(path, query_string=dict.fromkeys(names, hostile)).text)
    _assert_harmless(operator.get(f"/tools/{hostile}").text)
    body = operator.get(f"/runs/{dead}/body")
    assert body.content_type == "text/plain; charset=utf-8"


def _assert_harmless(page):
    """Only our own script, no handler, no address that is a script."""
    assert re.findall(r"<script[^>]*>", page) == ['<script src="/static/page.js" defer>']
    tags = re.findall(r"<[a-z](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", page, re.IGNORECASE)
    for tag in tags:
        bare = re.sub(r"\"[^\"]*\"|'[^']*'", '""', tag)
        assert " on" not in bare.lower(), tag
        assert not re.search(r"(href|src|action)=\"\s*javascript:", tag, re.IGNORECASE), tag
    assert "<img src=x" not in page
    assert "49" not in page.partition("<h1")[2].partition("</h1>")[0]


def unescaped(page):
    for escape, character in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'")):
        page = page.replace(escape, character)
    return page.replace("&amp;", "&")


@pytest.mark.parametrize(
    "query",
    ["endpoint=x", "_method=POST", "_scheme=javascript&_external=1", "_external=1", "values=1"],
)
def test_no_argument_of_an_address_changes_where_a_link_leads(operator, query):
    for path in ("/runs", "/dead", "/tools", "/tools/get_order", "/fleet"):
        page = operator.text(f"{path}?{query}")
        assert f'<a href="{path}?{query.replace("&", "&amp;")}&amp;renew=off">Pause</a>' in page
        paused = operator.text(f"{path}?{query}&renew=off")
        assert f'<a href="{path}?{query.replace("&", "&amp;")}">Renew again</a>' in paused


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"])
def test_no_method_and_no_path_gets_past_the_passwords(operator, app, ledger, method):
    with Seed(ledger) as seed:
        key = seed.dead("refused")
    for path in ("/runs", "//runs", f"/runs/{key}/data", "/livez/../runs", "/static/../app.py"):
        answer = app.test_client().open(path, method=method, base_url="http://127.0.0.1:5556")
        assert answer.status_code == 401
    data = operator.get(f"/runs/{key}/data", method=method)
    assert data.status_code in (403, 405)
    assert ledger.exists(f"tw:run:{key}")


def test_unlocking_leads_to_a_page_of_this_site(operator):
    for target in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:1"):
        answer = operator.post("/unlock", {"password": "change-it", "next": target})
        assert answer.location == "/runs"


def test_without_a_second_password_nothing_can_be_unlocked(ledger, make_app):
    operator = Operator(make_app(dashboard_admin_password=None))
    assert "Read-only" in operator.text("/runs")
    assert 'name="password"' not in operator.text("/unlock")
    with Seed(ledger) as seed:
        key = seed.dead("refused")
    assert operator.get(f"/runs/{key}/data").status_code == 403
    assert (
        operator.client.post(
            "/unlock",
            data={"password": "", "token": "x"},
            base_url="http://127.0.0.1:5556",
            auth=("operator", "see-it"),
            headers={"Origin": "http://127.0.0.1:5556"},
        ).status_code
        == 403
    )
