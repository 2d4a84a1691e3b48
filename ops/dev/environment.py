"""Environment of a stack's programs: servers' URLs, made-up secrets, nothing inherited."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ops.dev.server import Server

SECRET = "demo-webhook-secret"  # noqa: S105  (of servers that live on loopback, for minutes)
ACTION_SECRET = "demo-action-secret"  # noqa: S105
DASHBOARD_PASSWORDS = {
    "DASHBOARD_PASSWORD": "demo-dashboard",
    "DASHBOARD_ADMIN_PASSWORD": "demo-dashboard-admin",
}
READER = "toolworker_reader:reader"
"""Role and password of the demo's tables, as in demo/schema.sql."""


def environment(
    home: Path,
    *,
    broker: Server,
    ledger: Server,
    postgres: Server | None,
    simulator_url: str,
    tools_dir: Path,
) -> Mapping[str, str]:
    """
    Every variable of a program; a stray REDIS_URL of the caller would reach a real server.

    Args:
        postgres: With the demo's tables and role; None leaves DATABASE_URL out.
    """
    databases = {}
    if postgres is not None:
        address = postgres.url.rpartition("@")[2]
        databases["DATABASE_URL"] = f"postgresql://{READER}@{address}"
    return {
        **databases,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": broker.url,
        "LEDGER_URL": ledger.url,
        "GENESYS_BASE_URL": simulator_url,
        "GENESYS_LOGIN_URL": simulator_url,
        "GENESYS_CLIENT_ID": "demo-client",
        "GENESYS_CLIENT_SECRET": "demo-secret",
        "WEBHOOK_SECRETS": SECRET,
        "ACTIONS_SECRETS": ACTION_SECRET,
        "TOOLS_DIR": str(tools_dir.resolve()),
    }
