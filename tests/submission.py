"""A submission without a server: fakeredis, a clock that a test moves, and a Genesys of answers."""

import fakeredis

from genesys.answer import Answer
from genesys.client import Client
from genesys.errors import GenesysUnavailable
from genesys.pacing.rate_limiter import Slot
from ledger import Ledger
from tasks.submission import submit_run

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Clock:
    """Time of the ledger's server and of this process, which passes while a sender sleeps."""

    def __init__(self):
        self.ms = 1_700_000_000_000
        self.sleeps_s = []

    def monotonic(self):
        return self.ms / 1000

    def sleep(self, seconds):
        self.sleeps_s.append(seconds)
        self.ms += seconds * 1000


class Genesys:
    """In place of `HttpClient`: answers, or what such functions return, each after `took_s`."""

    def __init__(self, clock):
        self._clock = clock
        self.answers, self.posts, self.took_s = [], [], 0.0

    def post(self, url, data, headers, timeout_s, *, auth=None):
        self.posts.append((url, data, dict(headers)))
        self._clock.ms += self.took_s * 1000
        answer = self.answers.pop(0)
        found = answer() if callable(answer) else answer
        if isinstance(found, Exception):
            raise found
        return found


class Tokens:
    """Gives a token, or raises the error it is given."""

    error = None

    def token(self, timeout_s=5.0):
        if self.error is not None:
            raise self.error
        return "a token"

    def invalidate(self, token):
        raise AssertionError("no token was refused")


class Limiter:
    """Gives the slots it is given, then free ones; `taken` counts the places in use."""

    def __init__(self):
        self.slots, self.taken = [], 0

    def acquire(self):
        slot = self.slots.pop(0) if self.slots else Slot(0.0)
        self.taken += slot.wait_s == 0
        return slot

    def give_back(self):
        self.taken -= 1

    def record_failure(self):
        pass

    def record_throttled(self, retry_after_s):
        pass


class Runs:
    """Runs of one ledger, and the client that submits them."""

    def __init__(self, clock):
        self.clock, self.redis = clock, fakeredis.FakeRedis()
        times = {"answer_by_s": 30, "expires_s": 600, "retention_s": 60}
        self.ledger = Ledger(self.redis, **times, dead_letter_retention_s=600)
        self.genesys, self.tokens, self.limiter = Genesys(clock), Tokens(), Limiter()
        self.client = self.new_client()

    def new_client(self, **options):
        url = "https://genesys/runs/{run_id}"
        way = {"http": self.genesys, "rate_limiter": self.limiter}
        return Client(url, self.tokens, list_key="tool_calls", **way, **options)

    def accept(self, *, outputs=1, missing=0, run_id="r-1"):
        """A run with outputs "0", "1" and so on, and behind them calls without one."""
        calls = [
            {"id": f"c{n}", "type": "function", "function": {"name": "t", "arguments": "{}"}}
            for n in range(outputs + missing)
        ]
        key = self.ledger.accept(run_id, calls, traceparent=TRACEPARENT).key
        for index in range(outputs):
            self.record(key, index)
        return key

    def record(self, key, index, output=None, generation=0):
        output = str(index) if output is None else output
        self.ledger.record(key, generation, index, output, owner="o", code="ok")

    def submit(self, key, *answers, generation=0):
        self.genesys.answers[:] = answers
        return submit_run(self.ledger, self.client, key, generation)

    def entry(self, key):
        found = self.redis.hgetall(f"tw:run:{key}")
        return {name.decode(): value.decode() for name, value in found.items()}

    def next_attempt_in_ms(self, key):
        return int(self.entry(key)["next_attempt_at"]) - self.clock.ms


def answer(status, *, retry_after=None, code=None, message=None):
    """An answer of Genesys, whose correlation id is that of its status."""
    headers = {"ININ-Correlation-Id": f"id-{status}"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Answer(status, headers, {"code": code, "message": message})


def lost():
    """No answer came, and the POST may have arrived; a new error, since `post` writes to it."""
    return GenesysUnavailable("no answer came", is_unknown=True)


def unconnected():
    """The POST was not sent."""
    return GenesysUnavailable("no connection")
