"""Write runs into a ledger as its scripts do, with times that the test chooses."""

import hashlib
import time

CALL = {"tool": "search_inventory", "wait": 12, "took": 38}


class Seed:
    """Writes runs; `now` is the server's clock in ms when it was made."""

    def __init__(self, client):
        self.client = client
        seconds, micros = client.time()
        self.now = seconds * 1000 + micros // 1000
        self._pipe = client.pipeline()  # at once: a page is never of half of them

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._pipe.execute()

    def submitted(self, run_id, *calls, age_ms=60_000, attempts=({"status": 200},), **more):
        """A run that ended well; each call may have tool, code, wait, took, tries, bytes."""
        calls = calls or (CALL,)
        began = self.now - age_ms
        fields, last = self._calls(calls, began, kept=False)
        at, tried = self._attempts(attempts, last + 5)
        ended = at + 2
        fields |= {"state": "submitted", "ended_at": ended, **tried, **more}
        return self._write(run_id, began, calls, fields, "tw:ended", ended)

    def dead(self, run_id, *calls, reason="rejected", age_ms=600_000, attempts=None, **more):
        """A dead letter with its data."""
        calls = calls or (CALL,)
        began = self.now - age_ms
        fields, last = self._calls(calls, began, kept=True)
        refused = {"status": 404, "code": "not.found", "error": "Genesys answered 404"}
        at, tried = self._attempts((refused,) if attempts is None else attempts, last + 5)
        fields |= {"state": "dead", "reason": reason, "ended_at": at + 2, **tried}
        fields |= {"body": '{"tool_calls": []}', "frozen_at": last + 4} if tried else {}
        return self._write(run_id, began, calls, {**fields, **more}, "tw:dead", at + 2)

    def open(self, run_id, *calls, age_ms=2_000, **more):
        """A run whose calls without a code have no output; with `holder` one is being worked on."""
        calls = calls or ({"tool": "search_inventory", "code": ""},)
        began = self.now - age_ms
        fields, _ = self._calls(calls, began, kept=True)
        fields |= {"state": "running", "begun_at": began + 6, "answer_by": began + 30_000}
        fields |= {"expires_at": began + 600_000, **more}
        fields = {name: value for name, value in fields.items() if value is not None}
        due = self.now + 60_000
        return self._write(run_id, began, calls, fields, "tw:due", due)

    def _write(self, run_id, began, calls, fields, where, score):
        key = hashlib.sha256(run_id.encode()).hexdigest()[:32]
        outputs = sum(bool(call.get("code", "ok")) for call in calls)
        whole = {
            "run_id": run_id, "generation": 0, "calls": len(calls), "outputs": outputs,
            "accepted_at": began, "begun_at": began + 6, "round": 1, **fields,
        }  # fmt: skip
        if whole["begun_at"] == 0:
            del whole["begun_at"]
            self._pipe.zadd("tw:waiting", {key: began})
        self._pipe.hset(f"tw:run:{key}", mapping=whole)
        self._pipe.zadd(where, {key: score})
        return key

    def _calls(self, calls, began, *, kept):
        fields, last = {}, began
        for n, call in enumerate(calls):
            code, took = call.get("code", "ok"), call.get("took", 38)
            started = began + 6 + call.get("wait", 12)
            fields |= {f"id:{n}": f"call-{n}", f"name:{n}": call.get("tool", "search_inventory")}
            if kept:
                fields[f"arguments:{n}"] = call.get("arguments", '{"sku": "AB-1001"}')
            for number, at in enumerate(call.get("again", ()), 2):
                fields[f"try_at:{n}:{number}"] = began + at
            if call.get("holder"):
                fields |= {
                    f"holder:{n}": call["holder"], f"started_at:{n}": started,
                    f"tries:{n}": call.get("tries", 1), f"busy_until:{n}": self.now + 5_000,
                }  # fmt: skip
            if not code:
                continue
            ended = max([started, *(began + at for at in call.get("again", ()))]) + took
            last = max(last, ended)
            fields |= {
                f"started_at:{n}": started, f"ended_at:{n}": ended, f"took_ms:{n}": took - 1,
                f"validate_ms:{n}": 1, f"tries:{n}": call.get("tries", 1), f"code:{n}": code,
                f"bytes:{n}": call.get("bytes", 412),
            }  # fmt: skip
            if kept:
                fields[f"output:{n}"] = call.get("output", '{"items": [], "total": 0}')
        return fields, last

    def _attempts(self, attempts, at):
        fields = {"attempts": len(attempts)} if attempts else {}
        for n, attempt in enumerate(attempts, 1):
            at += attempt.get("wait", 0)
            took = attempt.get("took_ms", 64)
            outcome = {"correlation_id": f"c0ffee-{at}", "took_ms": took, **attempt}
            outcome.pop("wait", None)
            fields |= {f"attempt_{name}:{n}": value for name, value in outcome.items()}
            fields[f"attempt_at:{n}"] = at
            at += took
        return at, fields


def examples(client):
    """A service on a usual morning: what the screenshots show. Returns keys by name."""
    names = ("search_inventory", "get_order", "list_recent_tickets")
    with Seed(client) as seed:
        for n in range(240):
            some = [
                {
                    "tool": names[(n + i) % 3],
                    "wait": 4 + (n * 7 + i * 31) % 90,
                    "took": 9 + (n * 13 + i * 57) % 240,
                    "code": "timeout" if (n, i) == (17, 1) else "ok",
                }
                for i in range(1 + n % 4)
            ]
            if n == 9:
                some[0]["code"] = "invalid_arguments"
            seed.submitted(f"8f4e{n:04}-77aa-4c19", *some, age_ms=95_000 + n * 41_000)
        keys = {
            "answered": seed.submitted(
                "5d0c91e2-40bb-4f6a-9d4b-2f7ab9e8c311",
                {"tool": "search_inventory", "wait": 10, "took": 180},
                {"tool": "get_order", "wait": 22, "took": 420, "bytes": 1_880},
                {"tool": "list_recent_tickets", "took": 640, "tries": 2, "again": (900,)},
                {"tool": "search_inventory", "wait": 160, "took": 95, "code": "query_failed",
                 "bytes": 96},
                {"tool": "get_order", "wait": 230, "took": 310, "bytes": 2_310},
                age_ms=21_000,
                attempts=(
                    {"status": 503, "took_ms": 130},
                    {"status": 429, "wait": 900, "took_ms": 40},
                    {"status": 200, "wait": 600, "took_ms": 92},
                ),
            ),
            "dead": seed.dead("c2b7a410-9f3e-4f57-8f0e-51d1f4f0a6d2", CALL, {"tool": "get_order"}),
            "open": seed.open(
                "1b9e6f0a-2c44-4d0e-b1a9-4a3f9e2d7c50",
                {"tool": "get_order", "took": 61},
                {"tool": "search_inventory", "code": "", "holder": "host-a:4021:ab12-7"},
                {"tool": "list_recent_tickets", "code": ""},
            ),
            "stuck": seed.open(
                "77e0d4c8-0b6e-4a42-9a59-f1c3b7a2e9d4", age_ms=48_000, answer_by=seed.now - 18_000
            ),
        }  # fmt: skip
        for n in range(11):
            reason = ("rejected", "expired", "unconfirmed")[n % 3]
            seed.dead(f"d1e0{n:04}-5511-4b2c", reason=reason, age_ms=(2 + n) * 1_300_000)
    # seen at the moment at which a picture is taken
    soon = seed.now + 60_000
    client.zadd("tw:reconcilers", {"host-a:311": soon, "host-b:298": soon})
    return keys


def many(client, count, *, calls=3, state="submitted"):
    """So many runs of three calls, a second apart; returns the key of the newest."""
    with Seed(client) as seed:
        some = [{"tool": f"tool_{n}", "took": 20 + n} for n in range(calls)]
        for n in range(count):
            newest = getattr(seed, state)(f"run-{n}", *some, age_ms=(count - n) * 1_000)
    return newest


def wait_for(condition, within_s=60.0):
    """The first truthy value of *condition*."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.02)
    return value
