"""The name under which one process has one thing in hand, never used twice."""

import itertools
import os
import secrets
import socket
from functools import cache

# a container that is started again has its host name and, often, its process ids from before
_START = secrets.token_hex(4)
_numbers = itertools.count()


def new_holder() -> str:
    """`<host>:<pid>:<start>-<number>`; `ops/calls.py` finds the worker by the first two."""
    return f"{_process(os.getpid())}-{next(_numbers)}"


@cache
def _process(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_START}"
