"""Run a tool's statement with samples, and report the value that makes it fail."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from db.catalog import Tool
from db.catalog.schema.subschemas import resolved
from db.catalog.statement import bare
from db.errors import Mistake
from db.lint import advice
from db.lint.finding import Finding
from db.lint.samples import Sample
from db.lint.statement import RIGHT_MISSING, Statement
from db.transaction import MAX_ROW_BYTES
from db.values import setting_text

TRIES_S = 5.0
"""For all samples of one tool, by default."""
_SHARE = 20
"""One sample may take a twentieth of that time, until all have been tried."""
_LARGEST_SMALL = 2**31 - 1

Tried = tuple[Sample, list[Any]]
"""A sample, and its values as psycopg takes them."""


def run_samples(
    connection: psycopg.Connection[Any],
    tool: Tool,
    statement: Statement,
    tried: Sequence[Tried],
    failed: dict[str | None, Finding],
    tries_s: float = TRIES_S,
    bound: Sequence[str] = (),
) -> Iterator[Finding]:
    """
    Run the statement with each sample; one mistake for each property that makes it fail.

    A sample that takes longer than its share is tried again, behind the others. Those that did not
    come to an end within *tries_s*, or whose row is too large, are a warning: whether they fail is
    not known. The first of them has all of the tool's `timeout_ms`, also beyond *tries_s* if that
    is not shorter, so that the warning can name it as the cause.

    Args:
        bound: The properties whose values are settings of the transaction, too.
    """
    casts = _casts(connection, tool)
    limits_ms: dict[int, int] = {}

    def is_cut(sample: Sample, values: list[Any], limit_ms: int) -> bool:
        """Whether it did not come to an end; when it fails that is noted."""
        limits_ms[id(sample)] = limit_ms
        error = _run(statement, casts, values, limit_ms, _settings(sample, bound))
        if isinstance(error, psycopg.errors.QueryCanceled):
            return True
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            failed.clear()
            failed[None] = Finding(statement.refused_to_write(error))
        elif error is not None and not _is_answered(sample, error):
            found = Finding(failure(connection, tool, statement, sample, error))
            failed.setdefault(sample.name, found)
        return False

    ends = time.monotonic() + tries_s
    left: Sequence[Tried] = tried
    for share in (_SHARE, 1):
        left, waiting = [], left
        for sample, values in waiting:
            if sample.name in failed or None in failed:
                continue
            limit_s = min(tries_s / share, ends - time.monotonic(), tool.timeout_ms / 1000)
            limit_ms = int(limit_s * 1000)
            if limit_ms <= 0 or connection.closed or is_cut(sample, values, limit_ms):
                left.append((sample, values))
    left = [(sample, values) for sample, values in left if sample.name not in failed]
    # one that is closed had a row that is too large, or a server that hangs
    if left and None not in failed and tool.timeout_ms <= tries_s * 1000 and not connection.closed:
        first, values = left[0]
        if limits_ms.get(id(first)) != tool.timeout_ms and not is_cut(
            first, values, tool.timeout_ms
        ):
            left = left[1:]
    yield from failed.values()
    unknown = [sample for sample, _ in left if sample.name not in failed]
    if unknown and None not in failed:
        is_slow = limits_ms.get(id(unknown[0])) == tool.timeout_ms
        if is_slow and not connection.closed:
            yield _too_slow(statement, tool, unknown[0], f"{len(unknown)} of {len(tried)} samples")
        else:
            yield _untried(statement, unknown, len(tried), tries_s)


def _run(
    statement: Statement,
    casts: Statement | None,
    values: list[Any],
    limit_ms: int,
    settings: Mapping[str, str],
) -> psycopg.Error | None:
    error = statement.run(values, limit_ms, settings)
    if error is None and casts is not None:
        given = dict(zip(statement.names, values, strict=True))
        error = casts.run([given[name] for name in casts.names], limit_ms)
    return error


def _settings(sample: Sample, bound: Sequence[str]) -> dict[str, str]:
    arguments = json.loads(sample.arguments) if bound else {}
    return {name: setting_text(arguments[name]) for name in bound if name in arguments}


def _untried(
    statement: Statement, unknown: Sequence[Sample], samples: int, tries_s: float
) -> Finding:
    first = unknown[0]
    text = f"{len(unknown)} of {samples} samples had no row of at most {MAX_ROW_BYTES // 2**20} MB"
    text += f" within {tries_s:g} s, the first"
    if first.name is None:
        text += f" with the arguments {short(first.arguments)}"
    else:
        text += f" where {first.name} is {_shown(first)}"
    text += ": whether they fail is not known; give the check more time, "
    text += f"--seconds {tries_s * 4:g}, or a database with fewer rows"
    at = statement.place_of(first.name) if first.name else 0
    return Finding(statement.mistake(text, at), is_warning=True)


def _too_slow(statement: Statement, tool: Tool, sample: Sample, unknown: str) -> Finding:
    text = f"{tool.name} had no row within its timeout_ms of {tool.timeout_ms}"
    if sample.name is not None:
        text += f" for some values of {sample.name}"
    text += ", after which a call ends in `timeout`; add an index, let it read fewer rows (a lower"
    text += f" LIMIT), or raise timeout_ms: {unknown} did not end, and whether they fail is not"
    text += " known"
    at = statement.place_of(sample.name) if sample.name else 0
    return Finding(statement.mistake(text, at), is_warning=True)


def _shown(sample: Sample) -> str:
    """The value that a sample tries, as a sentence has it."""
    arguments = json.loads(sample.arguments)
    if sample.name not in arguments:
        return "left out"
    return short(json.dumps(arguments[sample.name], ensure_ascii=False))


def _casts(connection: psycopg.Connection[Any], tool: Tool) -> Statement | None:
    """
    A query of the statement's own casts of placeholders; None when it has none that stand alone.

    Of a table without rows, as in a database for tests, a condition is never evaluated.
    """
    found = dict.fromkeys(match[0] for match in _CAST.finditer(bare(tool.statement)))
    if not found:
        return None
    columns = ", ".join(f"{cast} AS c{number}" for number, cast in enumerate(found))
    statement = Statement(connection, replace(tool, statement=f"SELECT {columns}"))
    return statement if statement.prepare([0] * len(statement.names)) is None else None


_CAST = re.compile(
    r"%\(\w+\)s::[a-z_]\w*(?:\.\w+)?(?: ?\(\d+(?:, ?\d+)?\))?(?:\[\])*", re.IGNORECASE
)


def _is_answered(sample: Sample, error: psycopg.Error) -> bool:
    """Whether a worker answers such a call with `invalid_arguments`: a number is out of range."""
    if not isinstance(error, psycopg.errors.NumericValueOutOfRange):
        return False
    return _is_large(sample.value)


def _is_large(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_large, value))
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_whole and abs(value) > _LARGEST_SMALL


def failure(
    connection: psycopg.Connection[Any],
    tool: Tool,
    statement: Statement,
    sample: Sample,
    error: psycopg.Error,
) -> Mistake:
    """The mistake that a sample shows, with what to write."""
    if error.sqlstate == RIGHT_MISSING and sample.name is None:
        return statement.refused(error)  # whatever the arguments
    reported = f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})"
    arguments = json.loads(sample.arguments)
    name = sample.name or _named(statement, error, arguments)
    if name is None:
        return statement.mistake(
            f"with the arguments {short(sample.arguments)} it fails: {reported}"
        )
    value = _shown(replace(sample, name=name))
    schema = resolved(tool.parameters["properties"][name], tool.parameters)
    advised = _labels(connection, error) or advice.for_value(
        str(error.sqlstate),
        str(error.diag.message_primary),
        name,
        arguments.get(name),
        schema,
    )
    text = f"{name} may be {value}, with which it fails: {reported}"
    at = statement.place_of(name)
    return statement.mistake(f"{text}; {advised}" if advised else text, at)


def _named(statement: Statement, error: psycopg.Error, arguments: Mapping[str, Any]) -> str | None:
    """The property whose value the server names, or the only one that there is."""
    found = _PARAMETER.search(str(error.diag.context or ""))
    if found and int(found[1]) <= len(statement.names):
        return statement.names[int(found[1]) - 1]
    return next(iter(arguments)) if len(arguments) == 1 else None


_PARAMETER = re.compile(r"parameter \$(\d+)")


def _labels(connection: psycopg.Connection[Any], error: psycopg.Error) -> str:
    """What to write when text is no label of an enum type."""
    text = str(error.diag.message_primary)
    if error.sqlstate != "22P02" or "for enum " not in text:
        return ""
    name = text.partition("for enum ")[2].partition(": ")[0]
    rows = connection.execute(_LABELS, [name]).fetchall()
    return advice.for_enum(name, [row[0] for row in rows])


def short(text: str) -> str:
    """A text that is cut when it is long."""
    return text if len(text) <= 60 else f"{text[:60]}… ({len(text)} characters)"


_LABELS = """
SELECT e.enumlabel
FROM pg_enum AS e
WHERE e.enumtypid = to_regtype(%s)
ORDER BY e.enumsortorder
"""
