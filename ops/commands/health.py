"""`toolworker healthy PART`: health checks of containers."""

# Imports are in the checks that need them: a check runs every few seconds, beside what it checks.

import socket
from collections.abc import Callable, Mapping

from ops import deliveries

LOOK_S = 30.0
"""A reconciler that has not looked for this long hangs; it looks every 0.5 s, also in an outage."""
_LAST_LOOK = "toolworker_last_look_seconds "


def _answers(url: str) -> bool:
    try:
        return deliveries.get(url, timeout_s=2.0).status == 200
    except deliveries.NoAnswer:
        return False


def _reconciler_looks() -> bool:
    from runtime import settings

    port = settings.load().metrics_port
    try:
        page = deliveries.get_text(f"http://127.0.0.1:{port}/metrics", timeout_s=5.0)
    except deliveries.NoAnswer:
        return False
    ages = [line for line in page.splitlines() if line.startswith(_LAST_LOOK)]
    return bool(ages) and float(ages[0].removeprefix(_LAST_LOOK)) < LOOK_S


def _worker_answers() -> bool:
    from tasks import fleet

    try:
        return fleet.answers(f"worker@{socket.gethostname()}")
    except fleet.BrokerUnavailable:
        return True  # a restart would not bring the broker back


CHECKS: Mapping[str, Callable[[], bool]] = {
    "webhook": lambda: _answers("http://127.0.0.1:8000/livez"),
    "actions": lambda: _answers("http://127.0.0.1:8001/livez"),
    "worker": _worker_answers,
    "reconciler": _reconciler_looks,
    "flower": lambda: _answers("http://127.0.0.1:5555/healthcheck"),
    "dashboard": lambda: _answers("http://127.0.0.1:5556/livez"),
    "simulator": lambda: _answers("http://127.0.0.1:8090/_sim/submissions"),
}
"""Whether the part on this host does its work; an outage of what it needs is not its fault."""
