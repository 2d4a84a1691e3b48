"""
Helper: attack a service with deliveries that name another customer wherever a model can write.

    python -m tests.bind_attack DATABASE_URL REDIS_URL FIRST LAST SEED OUT

sends deliveries FIRST to LAST through all steps of the service in one process, 8 threads over 2
connections, and appends a line for each to OUT. The parent (`attack`) kills such processes and
their queries meanwhile, and starts others for what is left.
"""

import contextlib
import hashlib
import hmac
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import redis

from db import catalog
from db.errors import ToolError, Unavailable
from db.outputs import error_output
from db.pool import Databases
from ledger import Ledger, connect
from tasks.query import UNAVAILABLE, answer
from webhook.context import Context
from webhook.delivery import delivery_of, read
from webhook.signature import verify

ROOT = Path(__file__).resolve().parents[1]
CUSTOMERS = 1_000
"""As many as `SCHEMA` makes, with a row each that no other one may see."""
THREADS, CONNECTIONS = 8, 2
SECRET = b"attack"
REDIS_NUMBER = 9
"""The database of the Redis that is used, and left empty."""
SCHEMA = """
CREATE TABLE canary (customer_id int NOT NULL, secret text NOT NULL);
CREATE TABLE plain (customer_id int NOT NULL, secret text NOT NULL);
INSERT INTO canary SELECT n, 'canary-' || n FROM generate_series(1, 1000) AS n;
INSERT INTO plain SELECT * FROM canary;
CREATE INDEX ON canary (customer_id);
CREATE ROLE attacked LOGIN PASSWORD 'attacked';
GRANT SELECT ON canary, plain TO attacked;
ALTER TABLE canary ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON canary
    USING (customer_id = (SELECT nullif(current_setting('toolworker.customer_id', true), '')::int));
"""
# every statement but the second would show a victim's row, if it were not for the policy
STATEMENTS = {
    "by_policy": "SELECT customer_id, secret FROM canary WHERE customer_id = %(n)s OR"
    " secret LIKE '%%' || %(q)s || '%%' OR %(q)s = ANY (%(list)s::text[]) OR true LIMIT 20",
    "by_statement": "SELECT customer_id, secret FROM plain WHERE customer_id = %(customer_id)s"
    " AND (customer_id = %(n)s OR secret = %(q)s OR %(list)s::text[] IS NULL OR true)",
    "fails": "SELECT customer_id, secret, 1 / (%(n)s - %(n)s) AS zero FROM canary"
    " WHERE %(q)s::text IS NOT NULL OR %(list)s::text[] IS NULL",
    "sleeps": "SELECT customer_id, secret, pg_sleep(0.2)::text AS slept FROM canary"
    " WHERE customer_id = %(n)s OR %(q)s::text IS NOT NULL OR %(list)s::text[] IS NULL",
    "unbound": "SELECT customer_id, secret FROM canary WHERE customer_id = %(n)s"
    " OR %(q)s::text IS NOT NULL OR %(list)s::text[] IS NULL",
}
_CANARY = re.compile(r"canary-(\d+)")
_WEIGHTS = {"by_policy": 10, "by_statement": 4, "fails": 2, "sleeps": 1, "unbound": 4}


def write_tools(folder):
    """The tools under attack; all but one bind the customer."""
    for name, sql in STATEMENTS.items():
        properties = {
            "n": {"type": "integer"},
            "q": {"type": "string"},
            "list": {"type": "array", "items": {"type": "string"}},
        }
        tool = {"name": name, "description": "d", "timeout_ms": 60 if name == "sleeps" else 5000}
        if name != "unbound":
            properties["customer_id"] = {"type": "integer", "minimum": 1}
            tool["bind"] = {"customer_id": "/context/customer_id"}
        parameters = {"type": "object", "properties": properties, "additionalProperties": False}
        (folder / name).mkdir(parents=True)
        (folder / name / "tool.json").write_text(json.dumps({**tool, "parameters": parameters}))
        (folder / name / "query.sql").write_text(sql)
        (folder / name / "examples.json").write_text("[]")


def delivery(number, seed):
    """The body of one delivery, and its customer; everything else in it names a victim."""
    chance = random.Random(f"{seed}.{number}")
    customer, victim = chance.sample(range(1, CUSTOMERS + 1), 2)
    words = [
        str(victim),
        f"canary-{victim}",
        f"'; SELECT set_config('toolworker.customer_id', '{victim}', false); --",
        f"%{victim}%",
        f"\\'; SET toolworker.customer_id = {victim}; --",
    ]
    names = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=2)
    calls = []
    for at, name in enumerate(names):
        arguments = {"n": victim, "q": chance.choice(words), "list": words}
        kind = chance.randrange(8)
        if kind == 0:
            arguments["customer_id"] = victim
        elif kind == 1:
            arguments["toolworker.customer_id"] = victim
        elif kind == 2:
            arguments["context"] = {"customer_id": victim}
        text = json.dumps(arguments)
        if kind == 3:
            text = text[:-1] + f', "customer_id": {customer}, "customer_id": {victim}}}'
        call_id = f"{victim}-{at}-/context/customer_id"
        function = {"name": name, "arguments": text, "customer_id": victim}
        calls.append({"id": call_id, "context": {"customer_id": victim}, "function": function})
    body = {
        "run_id": f"{seed}-{number}-{victim}",
        "customer_id": victim,
        "bind": {"customer_id": victim},
        "context": {"customer_id": customer, "victim": {"customer_id": victim}},
        "tool_calls": calls,
    }
    return json.dumps(body).encode(), customer


class Service:
    """Every step from the signed bytes to the output, in this process."""

    def __init__(self, database_url, redis_url, tools):
        self.tools = catalog.load(tools)
        self.context = Context(self.tools, is_unsigned_bound=False)
        times = {"answer_by_s": 60, "expires_s": 600, "retention_s": 60}
        client = connect(redis_url, timeout_s=5, retries=3)
        self.ledger = Ledger(
            client, **times, dead_letter_retention_s=600, max_wait_s=10**6, max_waiting=10**6
        )
        self.databases = Databases({"default": database_url}, max_size=CONNECTIONS)
        self.databases.open()

    def outputs(self, body):
        """Tool, output and code of each call of one delivery."""
        digest = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={digest}"}
        schemes = ["x-hub-signature-256", "bearer"]
        is_signed = verify(headers, body, schemes=schemes, secrets=[SECRET], now=time.time())
        value = read(body)
        run = delivery_of(value)
        context = self.context.values(run["tool_calls"], value, headers, is_signed=is_signed)
        key = self.ledger.accept(run["run_id"], run["tool_calls"], context).key
        for index in range(len(run["tool_calls"])):
            call = self.ledger.start(key, 0, index, message=f"m{time.monotonic_ns()}")
            if call is None or isinstance(call, int):
                continue  # a process that was killed holds it
            yield call.name, *self._output(call)

    def _output(self, call):
        try:
            tool, values = self.tools.validate(call.name, call.arguments, call.context)
            return answer(self.databases, tool, values, 10_000), "ok"
        except ToolError as error:
            return error_output(error), error.code
        except Unavailable:
            return error_output(UNAVAILABLE), "unavailable"


def _child(database_url, redis_url, first, last, seed, out):
    service = Service(database_url, redis_url, Path(out).parent / "tools")
    lock = threading.Lock()

    def send(number):
        body, customer = delivery(number, seed)
        found = Counter()
        for tool, output, code in service.outputs(body):
            found[code] += 1
            for whose in _CANARY.findall(output):
                # without a bound value no row is its own
                is_own = int(whose) == customer and tool != "unbound"
                found["own rows" if is_own else "foreign rows"] += 1
        with lock, Path(out).open("a") as lines:
            lines.write(json.dumps({"number": number, **found}) + "\n")

    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(send, number) for number in range(int(first), int(last))]:
            done.result()
    service.databases.close()


def attack(folder, admin_url, database_url, redis_url, *, deliveries, kills, seed):
    """
    Send *deliveries* while processes and queries are killed.

    Args:
        admin_url: Of a superuser of the same database, to cancel queries and end sessions.

        kills: How often the sending process is killed with SIGKILL.

    Returns:
        How many deliveries were sent to the end, and how their calls ended, by code; and
        `own rows` and `foreign rows`.
    """
    out = folder / "seen.jsonl"
    out.touch()
    redis_url = redis_url.rpartition("/")[0] + f"/{REDIS_NUMBER}"
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        try:
            return _attack(out, admin_url, database_url, redis_url, deliveries, kills, seed)
        finally:
            client.flushdb()


def _attack(out, admin_url, database_url, redis_url, deliveries, kills, seed):
    chance = random.Random(seed)
    done: set[int] = set()
    while missing := [n for n in range(deliveries) if n not in done]:
        first, last = missing[0], min(missing[0] + max(1, deliveries // (kills + 1)), deliveries)
        is_killed = kills > 0
        kills -= 1
        arguments = [database_url, redis_url, str(first), str(last), f"{seed}-{kills}", str(out)]
        child = subprocess.Popen([sys.executable, "-m", "tests.bind_attack", *arguments], cwd=ROOT)
        wanted = _lines(out) + chance.randrange(1, max(2, (last - first) // 2))
        while child.poll() is None:
            if is_killed and _lines(out) >= wanted:
                child.send_signal(signal.SIGKILL)
                break
            _disturb(admin_url, chance)
        code = child.wait()
        assert code in (0, -signal.SIGKILL), f"the sending process ended with {code}"
        done = {entry["number"] for entry in _seen(out)}
    total = Counter()
    for entry in _seen(out):
        total.update({name: value for name, value in entry.items() if name != "number"})
    return len(done), total


def _disturb(admin_url, chance):
    """Cancel a query or end a session of those that are at work, then let some pass."""
    function = "pg_cancel_backend" if chance.random() < 0.8 else "pg_terminate_backend"
    # a server that was killed is not there for a while
    with (
        contextlib.suppress(psycopg.Error),
        psycopg.connect(admin_url, autocommit=True) as admin,
    ):
        admin.execute(
            f"SELECT {function}(pid) FROM pg_stat_activity"  # noqa: S608
            " WHERE usename = 'attacked' AND state <> 'idle' LIMIT 1"
        )
    time.sleep(0.05)


def _lines(out):
    return out.read_bytes().count(b"\n")


def _seen(out):
    lines = out.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


if __name__ == "__main__":
    _child(*sys.argv[1:])
