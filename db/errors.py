"""
Errors of a tool call and of tool folders; the class decides what follows.

    DatabaseError
    └── Unavailable    Postgres cannot be reached: try again while there is time
    ToolError          an error output for the model: code, sentence, whether a retry can help
    CatalogError       the tool folders are wrong: do not start
"""

from dataclasses import dataclass
from typing import Literal, TypedDict

Code = Literal[
    "invalid_json",
    "invalid_arguments",
    "unknown_tool",
    "forbidden",
    "timeout",
    "unavailable",
    "query_failed",
    "too_large",
    "internal_error",
]


class Violation(TypedDict):
    """One thing wrong with the arguments; `path` is a JSON pointer."""

    path: str
    message: str


class DatabaseError(Exception):
    """Postgres did not answer the query."""


class Unavailable(DatabaseError):
    """No connection, or one that broke: worth another attempt."""


class ToolError(Exception):
    """
    A tool call that ends in an error output.

    Args:
        code: One of the closed list in `docs/errors.md`.

        message: A sentence for the model; no SQL, host name or row data.

        retryable: Whether the same call could succeed later.

        violations: All that is wrong with the arguments, for `invalid_arguments`.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retryable: bool = False,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.violations = violations


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with a tool folder: `file` relative to the tools folder, 1-based line."""

    file: str
    line: int
    message: str


class CatalogError(Exception):
    """The tool folders hold mistakes; all are listed."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(f"{m.file}:{m.line}: {m.message}" for m in mistakes))
        self.mistakes = mistakes
