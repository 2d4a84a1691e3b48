"""The ledger goes away, and comes back: 2 s later no delivery is refused."""

import threading
import time
from collections import Counter
from itertools import count

import pytest

from ops.dev import embedded
from ops.dev.stack import Stack
from tests.chaos import harness
from tests.proxy import Proxy
from tests.service import Service

BACK_S = 2.0
RATE = 6.0
"""Runs a second that are judged; as in the other rows."""
SENDERS = 8
"""Others beside them, each with a run without calls twice a second."""

QUEUED = 12
"""Runs that take a slot of the two workers for 2 s, of which most wait when the ledger goes."""


class Recorded(Service):
    """A service that notes when each delivery was answered, and how."""

    def __init__(self, stack):
        super().__init__(stack)
        self.answers = []

    def deliver(self, run_id, *calls, headers=None):
        answer = super().deliver(run_id, *calls, headers=headers)
        self.answers.append((time.monotonic(), answer.status, answer.body.get("error")))
        return answer


@pytest.fixture
def ledger(tmp_path):
    """A proxy before the ledger's Redis."""
    with embedded.start_redis(tmp_path / "ledger", appendfsync="always") as server:
        proxy = Proxy("127.0.0.1", server.port)
        yield proxy
        proxy.close()


@pytest.fixture
def service(tmp_path, tools_with_hold, postgres_server, ledger):
    env = {
        "LEDGER_URL": f"redis://127.0.0.1:{ledger.port}/0",
        "GENESYS_REQUESTS_PER_MINUTE": "100000",  # the rate limit is not the fault
    }
    options = {"workers": 2, "reconcilers": 2, "tools_dir": tools_with_hold}
    with Stack(tmp_path / "stack", env=env, postgres=postgres_server, **options) as stack:
        yield Recorded(stack)


def _send(service, sender, is_over):
    for number in count():
        if is_over.wait(0.5):
            return
        service.deliver(f"other-{sender}-{number}")


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("away_s", "refuse"),
    [(60, True), (60, False), (12, False)],
    ids=["a minute, refused", "a minute, no answer", "12 s, no answer"],
)
def test_the_503s_end_2_s_after_a_ledger_that_was_away_is_back(
    service, ledger, away_s, refuse, rows, pytestconfig
):
    how = "refused" if refuse else "without an answer"
    name = f"ledger away for {away_s} s, connections {how}"
    rng = harness.new_rng(pytestconfig.getoption("--chaos-seed", default="1"), name)
    is_over = threading.Event()
    others = [threading.Thread(target=_send, args=(service, n, is_over)) for n in range(SENDERS)]
    with harness.Traffic(service, rng, rate=RATE) as traffic:
        for other in others:
            other.start()
        time.sleep(3)
        for number in range(QUEUED):
            service.deliver(f"queued-{number}", ("c", "hold", '{"seconds": 2}'))
        ledger.block(refuse=refuse)
        time.sleep(away_s)
        ledger.unblock()
        back_at = time.monotonic()
        time.sleep(10)
        is_over.set()
        for other in others:
            other.join()
    row = harness.judge(name, service, traffic)
    rows.append(row)
    assert row.is_good, row
    refused = [(at - back_at, error) for at, status, error in service.answers if status != 202]
    assert Counter(status for _, status, _ in service.answers).keys() == {202, 503}
    assert max(refused) < (BACK_S, ""), [one for one in refused if one[0] > 0]
