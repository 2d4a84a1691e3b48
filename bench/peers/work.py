"""Steps of a run that the peers share: validate, query, POST, by this project's own functions."""

import json
from collections.abc import Sequence
from functools import cache

import requests

from db import catalog, pool
from runtime import settings

TIMEOUT_MS = 5_000


@cache
def tools() -> catalog.Catalog:
    """The catalogue with its compiled schemas, once a process."""
    return catalog.load(settings.load().tools_dir)


@cache
def databases() -> pool.Databases:
    """The connection pools that our workers use, once a process; made after the fork."""
    opened = pool.Databases(settings.load().database_urls())
    opened.open()
    return opened


def validate(name: str, arguments: str) -> dict[str, object]:
    """Hold a call's arguments against its tool's schema."""
    return tools().validate(name, arguments)[1]


def query(name: str, values: dict[str, object]) -> str:
    """Query Postgres; the tool output."""
    return databases().query(tools().tools[name], values, timeout_ms=TIMEOUT_MS)


def encode(call_ids: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The body of the one POST."""
    pairs = zip(call_ids, outputs, strict=True)
    entries = [{"tool_call_id": call_id, "output": output} for call_id, output in pairs]
    return json.dumps({"tool_calls": entries}, separators=(",", ":")).encode()


def post(run_id: str, body: bytes) -> int:
    """Send the outputs once, on a connection that is kept; the status answered."""
    values = settings.load()
    path = values.genesys_submit_path.replace("{run_id}", run_id)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bench"}
    answer = _session().post(f"{values.genesys_base_url}{path}", body, headers=headers, timeout=10)
    answer.raise_for_status()
    return answer.status_code


@cache
def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # reading proxies and .netrc costs a quarter of the request
    return session
