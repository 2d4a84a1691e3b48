"""Turn an unexpected exception in a call (a bug of ours) into an `internal_error` output."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from db.errors import ToolError, Unavailable
from runtime import logs

_log = logs.get("calls")


@contextmanager
def faults_as_answers(*passing: type[Exception]) -> Iterator[None]:
    """
    Turn what is no expected error (a bug, RecursionError, MemoryError) into a ToolError.

    Without it such a call would be tried again, and again end so, while a caller waits. What is
    logged is the kind and the places in the code: an exception's own words can quote arguments.

    Args:
        passing: Raised as they are, beside ToolError and Unavailable: Celery's Retry and
            SoftTimeLimitExceeded.

    Raises:
        ToolError: `internal_error`.
    """
    expected: tuple[type[Exception], ...] = (ToolError, Unavailable, *passing)
    try:
        yield
    except expected:
        raise
    except Exception as exc:
        places = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(exc.__traceback__, limit=-_MAX_PLACES)
        ]
        _log.error("call.fault", kind=type(exc).__name__, places=places)
        raise ToolError(
            "internal_error", "The tool failed. Do not try the same call again."
        ) from exc


_MAX_PLACES = 10
