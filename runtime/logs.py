"""Logs: one line a unit of work, JSON in production, readable on a terminal."""

import logging
import sys
from typing import Any

import structlog


def _beside_output(*_: Any) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)


# of programs that do not call configure(): structlog's default is stdout, among a command's JSON
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False),
    ],
    logger_factory=_beside_output,
)


def configure(*, as_json: bool | None = None) -> None:
    """
    Send structlog's lines, the standard library's and warnings to stderr in one format.

    Through one handler of the standard library: its lock keeps long lines of several threads
    whole, and a line that cannot be written is dropped.

    Args:
        as_json: None chooses JSON unless stderr is a terminal. Calling twice is safe.
    """
    if as_json is None:
        as_json = not sys.stderr.isatty()
    renderer: list[Any] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if not as_json:
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    fields: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*fields, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*fields, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False  # no traceback of logging's own in between
    logging.captureWarnings(True)
    # Celery's own lines per message: ours report the same at the end of each unit, with its ids
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)


def get(name: str) -> Any:
    """The logger of one component, such as `get("submit")`; ids are keywords of each line."""
    return structlog.get_logger(name)


def begin(**ids: str) -> None:
    """Put these ids, and none of an earlier unit of work, into each further line of this thread."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**ids)


def bind(**ids: str) -> None:
    """Put these ids, too, into each further line of this unit of work."""
    structlog.contextvars.bind_contextvars(**ids)
