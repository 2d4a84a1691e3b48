"""Unique owner ids for leases."""

import itertools
import os
import secrets
import socket
from functools import cache

# a container that is started again has its host name and, often, its process ids from before
_START = secrets.token_hex(4)
_numbers = itertools.count()


def new_owner_id() -> str:
    """`<host>:<pid>:<start>-<number>`; diagnosis finds the worker by the first two."""
    return f"{_process(os.getpid())}-{next(_numbers)}"


@cache
def _process(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_START}"
