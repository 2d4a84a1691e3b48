"""Each row of the retry table in docs/genesys.md, over HTTP: what becomes of a run."""

import re
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis
import requests
from kombu.exceptions import OperationalError
from structlog.testing import capture_logs

from genesys.auth.token_request import TokenRequest
from genesys.auth.tokens import FleetTokens
from genesys.client import Client
from genesys.errors import GenesysUnavailable, Rejected
from genesys.pacing.rate_limiter import RateLimiter
from genesys.rules import RULES
from genesys.store import Store
from ledger import Ledger
from ledger.errors import LedgerUnavailable
from tasks.reconcile import Reconciler
from tasks.submission import submit_run

ROOT = Path(__file__).resolve().parents[2]
PATH = "/api/v2/ai/assistants/runs/{run_id}/tool_calls"
CALL = {"id": "c", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}


@pytest.fixture
def brief(monkeypatch):
    """Attempts in place for half a second, not for two."""
    monkeypatch.setattr("tasks.submission.IN_PLACE_S", 0.5)


@pytest.fixture
def patient(monkeypatch):
    """Attempts in place for as long as a machine may stall between two of them."""
    monkeypatch.setattr("tasks.submission.IN_PLACE_S", 60.0)


@pytest.fixture
def open_long(monkeypatch):
    """A circuit that stays open, not for a second: a machine may stall meanwhile."""
    monkeypatch.setattr("genesys.pacing.rate_limiter.OPEN_S", 60.0)
    monkeypatch.setattr("genesys.pacing.rate_limiter.LONGEST_OPEN_S", 60.0)


class Runs:
    """Complete runs of one fleet, sent by hand."""

    def __init__(self, redis_url, url):
        self.redis = redis.Redis.from_url(redis_url, decode_responses=True)
        self.redis.flushall()
        times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
        self.ledger = Ledger(redis.Redis.from_url(redis_url), **times, dead_letter_retention_s=600)
        self.url, self.store = url, Store(redis_url, [uuid.uuid4().hex])
        self.client = self.new_client(url)
        self._postponed = {}
        self._postpone, self.ledger.postpone = self.ledger.postpone, self._note_postponing

    def _note_postponing(self, *arguments, **options):
        began = self._now_ms()
        found = self._postpone(*arguments, **options)
        self._postponed[arguments[0]] = (options["delay_ms"], began, self._now_ms())
        return found

    def _now_ms(self):
        seconds, micros = self.redis.time()
        return seconds * 1000 + micros // 1000

    def new_client(self, url, secret="demo-secret", **options):  # noqa: S107
        tokens = FleetTokens(self.store, TokenRequest(self.url, "demo-client", secret, "s"))
        limiter = RateLimiter(self.store, requests_per_minute=300)
        return Client(url + PATH, tokens, list_key="tool_calls", rate_limiter=limiter, **options)

    def accept(self, run_id="r"):
        key = self.ledger.accept(run_id, [CALL]).key
        self.ledger.record(key, 0, 0, '{"n": 1}', code="ok", owner="o")
        return key

    def submit(self, key):
        return submit_run(self.ledger, self.client, key, 0)

    def submit_again(self, key):
        """As when its next attempt is due and the gate and the circuit let it through."""
        self.redis.hdel(f"tw:run:{key}", "next_attempt_at")
        self.redis.delete(*self.redis.keys("tw:genesys:*gate*"))
        return self.submit(key)

    def entry(self, key):
        return self.redis.hgetall(f"tw:run:{key}")

    def next_attempt_in_s(self, key):
        """How long after the last one was postponed, however late one looks."""
        delay_ms, began, ended = self._postponed[key]
        assert began <= float(self.entry(key)["next_attempt_at"]) - delay_ms <= ended
        return delay_ms / 1000

    def faults(self, *submit, token=()):
        body = {"submit": list(submit), "token": list(token)}
        requests.put(f"{self.url}/_sim/faults", json=body, timeout=30).raise_for_status()

    def posts(self):
        return requests.get(f"{self.url}/_sim/submissions", timeout=30).json()


@pytest.fixture
def runs(patient_store, redis_server, simulator_url, monkeypatch):
    monkeypatch.setattr("tasks.submission.LEASE_SLACK_S", 60.0)  # a busy machine
    # without a broker; all messages are taken at once
    monkeypatch.setattr("tasks.reconcile.queue_lengths", dict)
    yield Runs(redis_server.url, simulator_url)
    requests.delete(f"{simulator_url}/_sim/state", timeout=30)


def test_a_2xx_ends_the_run(runs):
    key = runs.accept()
    assert runs.submit(key) == "submitted"
    assert runs.entry(key)["state"] == "submitted"


def test_a_call_without_an_output_is_counted_once_however_often_its_run_is_sent(runs, monkeypatch):
    counted = []

    def count(name, amount=1, **labels):
        if name == "calls_unanswered":
            counted.append(amount)

    monkeypatch.setattr("tasks.submission.metrics.count", count)
    key = runs.ledger.accept("r", [{**CALL, "id": name} for name in "abc"]).key
    runs.ledger.record(key, 0, 1, '{"n": 1}', code="ok", owner="o")
    assert runs.submit(key) == "incomplete"
    runs.redis.hset(f"tw:run:{key}", "answer_by", 0)
    runs.faults({"status": 503, "retry_after": 5})
    assert runs.submit(key) == "postponed"
    assert runs.submit_again(key) == "submitted"
    assert counted == [2]


def test_a_refusal_of_what_another_sender_has_ended_meanwhile_ends_nothing(runs, monkeypatch):
    key = runs.accept()
    runs.faults(422)
    post = runs.client.post

    def post_beside_another(*arguments, **named):
        runs.ledger.finish(key, 0, {"status": 200})
        return post(*arguments, **named)

    monkeypatch.setattr(runs.client, "post", post_beside_another)
    assert runs.submit(key) == "gone"
    assert runs.entry(key)["state"] == "submitted"


@pytest.mark.parametrize("fault", [408, 425, 500, 502, 503, 504, 599, "drop"])
def test_what_passes_is_sent_again_with_the_same_bytes_and_key(runs, patient, fault):
    key = runs.accept()
    runs.faults(fault)
    assert runs.submit(key) == "submitted"
    first, second = runs.posts()
    assert (first["status"], second["status"]) == (None if fault == "drop" else fault, 200)
    assert first["sha256"] == second["sha256"]
    assert [post["headers"]["Idempotency-Key"] for post in (first, second)] == [key, key]
    assert runs.entry(key)["attempts"] == "2"


@pytest.mark.parametrize(("fault", "reason"), [(503, "rejected"), ("drop", "unconfirmed")])
def test_a_run_has_no_more_attempts_than_the_setting_allows(runs, patient, fault, reason):
    runs.client = runs.new_client(runs.url, max_attempts=2)
    key = runs.accept()
    runs.faults(*[fault] * 9)
    assert runs.submit(key) == "dead"
    assert len(runs.posts()) == 2
    assert runs.entry(key)["reason"] == reason


def test_a_run_is_unconfirmed_if_any_of_the_attempts_allowed_may_have_arrived(runs, patient):
    runs.client = runs.new_client(runs.url, max_attempts=2)
    key = runs.accept()
    runs.faults("drop", 503)
    assert runs.submit(key) == "dead"
    assert runs.entry(key)["reason"] == "unconfirmed"


def test_a_run_is_unconfirmed_if_an_attempt_of_an_earlier_sender_may_have_arrived(
    runs, monkeypatch
):
    monkeypatch.setattr("tasks.submission.IN_PLACE_S", 0.0)
    runs.client = runs.new_client(runs.url, max_attempts=3)
    key = runs.accept()
    runs.faults("drop", 503, 503)
    assert [runs.submit(key), runs.submit_again(key)] == ["postponed", "postponed"]
    assert runs.submit_again(key) == "dead"
    assert runs.entry(key)["reason"] == "unconfirmed"


def test_what_does_not_pass_soon_is_given_back_to_the_ledger(runs, brief):
    key = runs.accept()
    runs.faults(*[503] * 50)
    assert runs.submit(key) == "postponed"
    assert 0 < runs.next_attempt_in_s(key) <= 1
    assert int(runs.entry(key)["attempts"]) == len(runs.posts()) <= 6
    assert "lease_until" not in runs.entry(key)


@pytest.mark.parametrize("status", [408, 425, 503])
def test_a_retry_after_of_0_shortens_none_of_our_own_waits(runs, brief, status):
    key = runs.accept()
    runs.faults(*[{"status": status, "retry_after": 0}] * 100)
    assert runs.submit(key) == "postponed"
    assert len(runs.posts()) <= 6
    assert 0 < runs.next_attempt_in_s(key) <= 1
    assert runs.submit_again(key) == "postponed"
    assert 1 <= runs.next_attempt_in_s(key) <= 2


def test_a_retry_after_of_a_second_or_more_is_kept_to_however_often_it_was_tried(runs, brief):
    key = runs.accept()
    runs.redis.hset(f"tw:run:{key}", "fence", 5)
    runs.faults(*[{"status": 503, "retry_after": 3}] * 50)
    assert runs.submit(key) == "postponed"
    assert 2 < runs.next_attempt_in_s(key) <= 3


def test_a_run_that_was_claimed_two_thousand_times_waits_ten_seconds_at_most(runs, brief):
    key = runs.accept()
    runs.redis.hset(f"tw:run:{key}", "fence", 2000)
    runs.faults(*[503] * 50)
    assert runs.submit(key) == "postponed"
    assert 4 < runs.next_attempt_in_s(key) <= 10


def test_a_429_closes_the_gate_and_other_runs_wait_without_an_attempt(runs):
    throttled, other = runs.accept("a"), runs.accept("b")
    runs.faults({"status": 429, "retry_after": 42})
    assert runs.submit(throttled) == "postponed"
    assert 40 < runs.next_attempt_in_s(throttled) <= 42
    assert runs.entry(throttled)["attempt_code:1"] == "too.many.requests.retry.after"
    assert runs.submit(other) == "queued"
    assert "attempts" not in runs.entry(other)
    assert "429" in runs.entry(other)["waits_for"]
    assert len(runs.posts()) == 1
    assert runs.submit_again(throttled) == runs.submit(other) == "submitted"


@pytest.fixture
def dated_url():
    """A Genesys that answers 429 with a Retry-After date half a minute ahead."""

    class Dated(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(429)
            at = datetime.now(UTC) + timedelta(seconds=30)
            self.send_header("Retry-After", format_datetime(at, usegmt=True))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dated)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_date_in_retry_after_is_waited_for(runs, dated_url):
    key = runs.accept()
    runs.client = runs.new_client(dated_url)
    assert runs.submit(key) == "postponed"
    assert 25 < runs.next_attempt_in_s(key) <= 30


def test_a_retry_after_that_outlasts_the_run_ends_it_at_once(runs):
    key = runs.accept()
    runs.faults({"status": 429, "retry_after": 7200})
    assert runs.submit(key) == "dead"
    entry = runs.entry(key)
    assert (entry["reason"], entry["attempt_status:1"]) == ("expired", "429")
    assert "7200 s" in entry["attempt_error:1"]
    assert entry["attempt_correlation_id:1"]


def test_five_failures_open_the_circuit_and_the_next_run_burns_no_attempt(runs, brief, open_long):
    first, second = runs.accept("a"), runs.accept("b")
    runs.faults(*[503] * 50)
    for _ in range(5):
        runs.redis.hdel(f"tw:run:{first}", "next_attempt_at")
        runs.submit(first)
    made = len(runs.posts())
    assert made >= 5
    assert runs.submit(second) == "queued"
    assert "down" in runs.entry(second)["waits_for"]
    assert len(runs.posts()) == made


def test_a_reconciler_sends_at_the_full_rate_when_posts_go_one_by_one(runs):
    keys = [runs.accept(f"r{number}") for number in range(15)]
    runs.client._rate_limiter.record_throttled(
        0
    )  # in a second from now one every 0.2 s, at 300 a minute
    for key in keys:
        runs.ledger.park(key, 0, "the gate is closed")
    reconciler = Reconciler(runs.ledger, runs.client)
    thread = threading.Thread(target=reconciler.run)
    began = time.monotonic()
    thread.start()
    try:
        while runs.redis.zcard("tw:ended") < 15:
            assert time.monotonic() - began < 8
            time.sleep(0.02)
    finally:
        reconciler.stop()
        thread.join()
    assert time.monotonic() - began >= 14 * 0.2
    assert [post["status"] for post in runs.posts()] == [200] * 15


def test_a_signal_ends_a_reconciler_wherever_it_finds_it(runs):
    reconciler = Reconciler(runs.ledger, runs.client)

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            with self._cond:  # whose lock a signal handler that asks for it never gets
                reconciler.stop()
            return super().wait(timeout)

    reconciler._wake = Interrupted()
    thread = threading.Thread(target=reconciler.run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_a_retry_in_place_that_is_not_let_through_is_no_attempt(runs, patient, open_long):
    key = runs.accept()
    for _ in range(4):
        runs.client._rate_limiter.record_failure()
    runs.faults(*[503] * 50)
    assert runs.submit(key) == "postponed"
    entry = runs.entry(key)
    assert entry["attempts"] == "1"
    assert entry["attempt_status:1"] == "503"


def test_ten_times_500_is_for_good(runs, brief):
    key = runs.accept()
    runs.faults(*[500] * 50)
    assert runs.submit(key) == "postponed"
    while runs.submit_again(key) == "postponed":
        assert len(runs.posts()) < 10
    entry = runs.entry(key)
    assert (entry["reason"], entry["attempts"], len(runs.posts())) == ("rejected", "10", 10)
    assert "support" in entry["attempt_error:10"]


def test_without_a_connection_the_run_waits(runs, brief, free_port):
    key = runs.accept()
    runs.client = runs.new_client(f"http://127.0.0.1:{free_port()}")
    assert runs.submit(key) == "postponed"
    assert "is_unknown" not in runs.entry(key)


def test_a_401_is_cured_by_one_fresh_token(runs):
    key = runs.accept()
    runs.faults(401)
    assert runs.submit(key) == "submitted"
    assert runs.entry(key)["attempts"] == "1"


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (302, "GENESYS_BASE_URL"),
        (400, "GENESYS_LIST_KEY"),
        (401, "Verify client_id and client_secret"),
        (403, "Ensure the application has the scope"),
        (404, "has no such run"),
        (409, "does not wait"),
        (413, "max_bytes"),
        (415, "GENESYS_SUBMIT_PATH"),
        (418, "answered 418"),
        (422, "each tool_call_id one of the run"),
    ],
)
def test_a_lasting_refusal_is_a_dead_letter_that_names_what_to_fix(runs, status, advice):
    key = runs.accept()
    runs.faults(*[{"status": status, "code": "its.code", "message": "Its words."}] * 2)
    assert runs.submit(key) == "dead"
    entry = runs.entry(key)
    assert (entry["state"], entry["reason"]) == ("dead", "rejected")
    assert (entry["attempt_status:1"], entry["attempt_code:1"]) == (str(status), "its.code")
    assert advice in entry["attempt_error:1"]
    assert entry["attempt_error:1"].endswith("Its words.")
    assert re.fullmatch(r"[0-9a-f-]{36}", entry["attempt_correlation_id:1"])
    assert len(runs.posts()) == (2 if status == 401 else 1)
    assert "body" in entry  # it can be replayed


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "unconfirmed"), (409, "unconfirmed"), (422, "unconfirmed"), (400, "rejected")],
)
def test_a_refusal_after_an_attempt_that_may_have_arrived_is_unconfirmed(
    runs, patient, status, reason
):
    key = runs.accept()
    runs.faults("drop", status)
    assert runs.submit(key) == "dead"
    assert runs.entry(key)["reason"] == reason


def test_a_wait_that_outlasts_a_run_that_may_have_arrived_is_unconfirmed(runs, patient):
    key = runs.accept()
    runs.faults("drop", {"status": 429, "retry_after": 7200})
    with capture_logs() as lines:
        assert runs.submit(key) == "dead"
    assert runs.entry(key)["reason"] == "unconfirmed"
    assert [line["reason"] for line in lines if line["event"] == "run.dead"] == ["unconfirmed"]


def test_a_run_that_expires_between_attempts_in_place_keeps_that_one_may_have_arrived(
    runs, patient, monkeypatch
):
    key, renew = runs.accept(), runs.ledger.renew

    def too_late(*arguments, **options):
        runs.redis.hset(f"tw:run:{key}", "expires_at", 0)
        return renew(*arguments, **options)

    monkeypatch.setattr(runs.ledger, "renew", too_late)
    runs.faults("drop")
    assert runs.submit(key) == "postponed"
    assert runs.submit_again(key) == "dead"
    assert runs.entry(key)["reason"] == "unconfirmed"


def test_a_reconciler_logs_the_reason_that_it_wrote(runs):
    key = runs.accept()
    runs.ledger.claim(key, 0, b"body", seen=1, owner="never heard of again")
    runs.redis.hset(f"tw:run:{key}", mapping={"lease_until": 0, "expires_at": 0})
    runs.redis.zadd("tw:due", {key: 0})
    reconciler = Reconciler(runs.ledger, runs.client)
    with capture_logs() as lines:
        reconciler.look()
        reconciler.stop()
        reconciler.run()
    assert [(line["event"], line["reason"]) for line in lines] == [("run.dead", "unconfirmed")]


def test_an_outage_of_the_token_endpoint_burns_no_attempt(runs):
    keys = [runs.accept(f"r{number}") for number in range(5)]
    runs.faults(token=[503] * 50)  # once a second it is requested again
    assert [runs.submit(key) for key in keys] == ["without a token"] * 5
    assert not any("attempts" in runs.entry(key) for key in keys)
    assert "there is no token: the token endpoint answered 503" in runs.entry(keys[0])["waits_for"]
    runs.faults()
    for name in runs.redis.keys("tw:genesys:*pause"):
        runs.redis.delete(name)
    assert [runs.submit(key) for key in keys] == ["submitted"] * 5


def test_refused_credentials_end_the_run_and_can_be_replayed(runs):
    key = runs.accept()
    runs.client = runs.new_client(runs.url, secret="wrong")
    assert runs.submit(key) == "dead"
    entry = runs.entry(key)
    assert (entry["reason"], entry["attempt_code:1"]) == ("rejected", "invalid_client")
    assert "the region is usually wrong" in entry["attempt_error:1"]
    assert "body" in entry
    assert runs.posts() == []


def test_a_right_that_no_post_came_of_is_given_back(runs):
    key = runs.accept()
    runs.ledger.claim(key, 0, b"{}", seen=1, owner="another")
    assert runs.submit(key) == "held"
    window = runs.redis.keys("tw:genesys:*window")
    assert window == []


def test_the_table_in_the_docs_has_each_status_of_the_rules_on_its_side():
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", (ROOT / "docs/genesys.md").read_text(), re.M)
    again = {s for what, then in rows if "again" in then for s in re.findall(r"\b\d{3}\b", what)}
    ended = {
        s for what, then in rows if "dead letter" in then for s in re.findall(r"\b\d{3}\b", what)
    }
    assert {str(status) for status, rule in RULES.items() if rule.is_retried} == again
    assert {str(s) for s, rule in RULES.items() if not rule.is_retried} <= ended


def test_a_2xx_that_was_not_recorded_is_recorded_later_and_not_sent_again(runs, monkeypatch):
    key, finish, failed = runs.accept(), runs.ledger.finish, []

    def away_twice(*arguments):
        if len(failed) < 2:
            failed.append(LedgerUnavailable("the ledger did not answer"))
            raise failed[-1]
        finish(*arguments)

    monkeypatch.setattr(runs.ledger, "finish", away_twice)
    assert runs.submit(key) == "submitted"
    assert len(failed) == 2
    assert len(runs.posts()) == 1
    assert runs.entry(key)["state"] == "submitted"


def test_a_lease_that_was_long_under_way_is_given_back_unused(runs, monkeypatch):
    key = runs.accept()
    with monkeypatch.context() as late:
        late.setattr("tasks.submission.LEASE_SLACK_S", -1)
        assert runs.submit(key) == "postponed"
    assert runs.posts() == []
    assert runs.submit(key) == "submitted"
    assert "is_unknown" not in runs.entry(key)


@pytest.mark.parametrize("status", [400, 503])
def test_genesys_message_about_the_body_is_not_logged(runs, brief, monkeypatch, status):
    kind = Rejected if status == 400 else GenesysUnavailable
    refusal = kind("Genesys said: planted-row is no output", status=status, code="bad.request")

    def refuse(*_, **__):
        raise refusal

    monkeypatch.setattr(runs.client, "post", refuse)
    key = runs.accept()
    with capture_logs() as lines:
        runs.submit(key)
    assert {line["status"] for line in lines if line["event"].startswith("run.")} == {status}
    assert "planted-row" not in str(lines)
    told = [value for name, value in runs.entry(key).items() if name.startswith("attempt_error")]
    assert all("planted-row" in text for text in told)
    assert told


def test_a_reconciler_tries_a_broker_that_is_down_once_a_look(runs, monkeypatch):
    asked = []

    def away(run_id, *_):
        asked.append(run_id)
        raise OperationalError("no broker")

    monkeypatch.setattr("tasks.reconcile.publish_fan_out", away)
    keys = [runs.ledger.accept(f"r{number}", [CALL]).key for number in range(5)]
    runs.redis.zadd("tw:due", dict.fromkeys(keys, 0))
    Reconciler(runs.ledger, runs.client).look()
    assert len(asked) == 1


def test_a_reconciler_publishes_at_once_what_a_broker_did_not_take(runs, monkeypatch):
    published, is_away = [], True

    def publish(run_id, *_):
        if is_away:
            raise OperationalError("no broker")
        published.append(run_id)

    monkeypatch.setattr("tasks.reconcile.publish_fan_out", publish)
    keys = [runs.ledger.accept(f"r{number}", [CALL]).key for number in range(5)]
    runs.redis.zadd("tw:due", dict.fromkeys(keys, 0))
    reconciler = Reconciler(runs.ledger, runs.client)
    with capture_logs() as lines:
        reconciler.look()
        reconciler.look()
    assert [line["event"] for line in lines] == ["run.unpublished"]  # once an outage
    is_away = False
    reconciler.look()
    assert sorted(published) == ["r0", "r1", "r2", "r3", "r4"]
    reconciler.look()
    assert len(published) == 5
