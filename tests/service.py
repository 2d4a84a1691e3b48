"""Helper: a running service; send deliveries to it, and read what reached Genesys."""

import itertools
import json
import os
import signal
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from ops import deliveries
from tests import forked_cli
from tests.gate import GATE

ROOT = Path(__file__).resolve().parents[1]
AWAY = {"error": "The run cannot be stored right now; send it again later."}
_numbers = itertools.count(1)


class Service:
    """
    The two ends of a running stack: a delivery goes in, a submission comes out.

    A sender with `is_patient` delivers again, as Genesys does, when the ledger was stopped for the
    0.6 s after which the receiver answers 503.
    """

    def __init__(self, stack, *, is_patient=False):
        self.stack, self.is_patient = stack, is_patient

    def new_run_id(self):
        """A run id that no other test uses."""
        return f"run-{next(_numbers)}"

    def deliver(self, run_id, *calls, headers=None):
        """Send a signed delivery; *calls* are (id, name, arguments)."""
        body = {
            "run_id": run_id,
            "tool_calls": [
                {"id": i, "type": "function", "function": {"name": name, "arguments": arguments}}
                for i, name, arguments in calls
            ],
        }
        answer = self.post(json.dumps(body).encode(), headers)
        for _ in range(10 * self.is_patient):
            if (answer.status, answer.body) != (503, AWAY):
                break
            time.sleep(1)
            answer = self.post(json.dumps(body).encode(), headers)
        return answer

    def post(self, body, headers=None):
        """Send signed bytes to the receiver."""
        url = f"{self.stack.webhook_url}/webhook/tool-calls"
        return deliveries.send(url, body, secret=self.stack.secret.encode(), more_headers=headers)

    def submissions(self, run_id):
        """Every POST that reached Genesys for this run, oldest first."""
        url = f"{self.stack.simulator_url}/_sim/submissions?run_id={quote(run_id, safe='')}"
        return deliveries.get(url).body

    def all_submissions(self):
        """Every POST that reached Genesys, oldest first."""
        return deliveries.get(f"{self.stack.simulator_url}/_sim/submissions").body

    def token_requests(self):
        """How many tokens Genesys was requested to give, so far."""
        return deliveries.get(f"{self.stack.simulator_url}/_sim/tokens").body["requests"]

    def answer(self, run_id, *, within_s=25.0):
        """The outputs of the accepted submission by call id, waited for up to near answer-by."""
        accepted = self.wait_for(
            lambda: [r for r in self.submissions(run_id) if r["status"] == 200], within_s=within_s
        )
        outputs = accepted[0]["body"]["tool_calls"]
        return {output["tool_call_id"]: json.loads(output["output"]) for output in outputs}

    def wait_for(self, condition, *, within_s=60.0):
        """The first truthy value of *condition*, polled 20 times a second."""
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {within_s} s"
            time.sleep(0.05)
        return value

    def inject(self, **faults):
        """Let the next answers of Genesys be these, in order."""
        self._put("/_sim/faults", faults)

    def calm(self):
        """Let Genesys be well again, and the fleet forget that it was not."""
        self.inject(submit=[], token=[])
        self.forget_genesys("*gate*")

    def forget_genesys(self, names="*"):
        """Delete the fleet's state of Genesys: rate limit, circuit breaker, token."""
        for client in (self.broker(), self.ledger()):
            for key in client.keys(f"tw:genesys:{names}"):
                client.delete(key)

    def queues(self):
        """The broker's lists of messages that exist, which are those that are not empty."""
        return [name for name in self.broker().scan_iter(_type="list") if name[:3] != "tw:"]

    def limit(self, **limits):
        """Change what Genesys allows."""
        self._put("/_sim/limits", limits)

    def ledger(self):
        """A client of the ledger's Redis."""
        return redis.Redis.from_url(self.stack.env["LEDGER_URL"], decode_responses=True)

    def broker(self):
        """A client of the broker's Redis."""
        return redis.Redis.from_url(self.stack.env["REDIS_URL"], decode_responses=True)

    def entry(self, key):
        """All that the ledger holds of a run."""
        return self.ledger().hgetall(f"tw:run:{key}")

    def owner_pid(self, key, index):
        """Pid of the process that leases the call; waits for it."""
        holder = self.wait_for(lambda: self.entry(key).get(f"holder:{index}"))
        return int(holder.split(":")[-2])

    @contextmanager
    def closed_gate(self):
        """Let calls of the tool `gate` wait until the block ends."""
        with psycopg.connect(self.stack.postgres.url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [GATE])
            yield

    def toolworker(self, *arguments):
        """What the command prints for an operator of this service."""
        done = forked_cli.toolworker(*arguments, env=self.stack.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill(self, pid, sent=signal.SIGKILL):
        """End a process the hard way, or send it another signal."""
        os.kill(pid, sent)

    def logs(self):
        """All lines that every part has logged so far; one that is being written is left out."""
        texts = (path.read_text() for path in sorted(self.stack.logs.glob("*.log")))
        return "".join(text[: text.rfind("\n") + 1] for text in texts)

    def _put(self, path, value):
        request = urllib.request.Request(
            self.stack.simulator_url + path,
            json.dumps(value).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status in (200, 204)
