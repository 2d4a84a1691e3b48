"""Postgres sessions of workers that wait for a lock, and the sessions that block them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from db.causes import cause
from db.connection import CONNECT_TIMEOUT_S
from db.errors import Unavailable

# One row is one session of the workers that waits for a lock, with one of those in front of it. Of
# other roles' sessions Postgres shows an unprivileged role pid and role name alone.
_BLOCKED = """
SELECT waiting.pid,
       (extract(epoch FROM clock_timestamp() - waiting.query_start) * 1000)::bigint AS waits_ms,
       waiting.query,
       coalesce((SELECT min(wanted.relation::regclass::text)
                 FROM pg_locks AS wanted
                 WHERE wanted.pid = waiting.pid AND NOT wanted.granted), '') AS relation,
       coalesce(blocker.pid, 0) AS blocker_pid,
       coalesce(blocker.usename, '') AS blocker_role,
       coalesce(blocker.application_name, '') AS blocker_application
FROM pg_stat_activity AS waiting
LEFT JOIN pg_stat_activity AS blocker ON blocker.pid = ANY (pg_blocking_pids(waiting.pid))
WHERE waiting.application_name = 'toolworker'
  AND waiting.wait_event_type = 'Lock'
ORDER BY waits_ms DESC, blocker.pid
"""


@dataclass(frozen=True)
class Blocked:
    """One session that waits for a lock; `statement` is the start of what it runs."""

    pid: int
    waits_ms: int
    statement: str
    relation: str
    blocker_pid: int
    blocker_role: str
    blocker_application: str


def blocked_sessions(url: str) -> Sequence[Blocked]:
    """
    The workers' sessions that wait for a lock, the longest wait first.

    Raises:
        Unavailable: The database does not answer.
    """
    try:
        with psycopg.connect(
            url, connect_timeout=CONNECT_TIMEOUT_S, application_name="toolworker why"
        ) as connection:
            connection.execute("SET LOCAL statement_timeout = 2000")
            rows: list[Any] = connection.execute(_BLOCKED).fetchall()
    except psycopg.Error as exc:
        raise Unavailable(cause(exc)) from exc
    return [Blocked(*row) for row in rows]
