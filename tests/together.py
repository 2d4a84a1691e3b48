"""Scheduler of pytest-xdist: tests that share costly servers run in one process."""

from xdist.scheduler import LoadScopeScheduling

SERVICE, OUTAGES, WHY = "the shared service", "outages", "why"
RELIABILITY, RECEIVER_OUTAGES = "reliability", "receiver's outages"
STARTS = "starts"
_COMPAT = "tests/integration/test_compat.py"
_STACK = "tests/acceptance/test_ops_stack.py"

_GROUPS = {
    "tests/acceptance/test_actions_property.py": "actions property",
    "tests/acceptance/test_ecosystem_errors.py": "errors",
    "tests/acceptance/test_ecosystem_signals.py": "signals",
    "tests/acceptance/test_ecosystem_traces.py": "traces",
    f"{_STACK}::test_the_doctor_checks_token_and_tools_on_request": SERVICE,
    f"{_STACK}::test_the_doctor_refuses_a_ledger_that_forgets": SERVICE,
    "tests/acceptance/test_ops_why.py": WHY,
    "tests/acceptance/test_outages.py": OUTAGES,
    "tests/acceptance/test_reliability.py": RELIABILITY,
    "tests/acceptance/test_bind.py": SERVICE,
    "tests/acceptance/test_genesys_waits.py": SERVICE,
    "tests/acceptance/test_main_job.py": SERVICE,
    "tests/acceptance/test_messages.py": SERVICE,
    "tests/acceptance/test_ops_flower.py": "Flower",
    "tests/acceptance/test_ops_logs.py": SERVICE,
    "tests/acceptance/test_ops_metrics.py": SERVICE,
    "tests/acceptance/test_plain_worker.py": SERVICE,
    "tests/acceptance/test_receiver.py": SERVICE,
    "tests/acceptance/test_receiver_auth.py": "auth",
    "tests/acceptance/test_receiver_openapi.py": "openapi",
    "tests/acceptance/test_receiver_outages.py": RECEIVER_OUTAGES,
    "tests/acceptance/test_receiver_senders.py": "senders",
    "tests/dashboard/test_browser.py": "browser",
    f"{_COMPAT}::test_another_release_of_a_patched_library_fails_the_start": STARTS,
    f"{_COMPAT}::test_with_the_patch_a_channel_keeps_one_client_and_outlives_its_pool": STARTS,
    "tests/integration/test_redis_tls.py": "tls",
    "tests/integration/test_worker_starts.py": STARTS,
    "tests/acceptance/test_receiver_silence.py": "silence",
    "tests/acceptance/test_stopping.py": "stopping",
    "tests/acceptance/test_tools_cli.py": "tools",
    "tests/acceptance/test_observability.py": "observability",
}
_FIRST = (OUTAGES, RELIABILITY, SERVICE, WHY, RECEIVER_OUTAGES)
"""The longest; the rest fills the gaps."""


def group(nodeid: str) -> str:
    """The group of a test; the cases of a parametrised one stay together."""
    test = nodeid.partition("[")[0]
    return _GROUPS.get(test) or _GROUPS.get(test.partition("::")[0]) or test


def rank(nodeid: str) -> int:
    """How early the test is to begin; 0 is first."""
    own = group(nodeid)
    return _FIRST.index(own) if own in _FIRST else len(_FIRST)


class Together(LoadScopeScheduling):
    """
    Hands out whole groups. Marks cannot do it: with pytest 9.2 the `xdist_group` of pytest-xdist
    3.8.0 has no effect, since it renames tests in an attribute that is gone.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
