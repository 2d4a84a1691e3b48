"""
Regular expressions of JSON Schema: JavaScript's meaning, matched in linear time by RE2.

The engine is RE2, which reads a text once and never goes back. What it cannot match so (lookaround,
backreferences) is refused.
"""

import re

import re2

from db.pattern_syntax import TOO_LARGE, translate
from db.unicode_properties import PatternError, unknown_property

__all__ = ["Pattern", "PatternError", "compile_pattern"]

MAX_PROGRAM = 50_000
"""RE2's instructions; each character of a text is matched against all of them at worst."""
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


class Pattern:
    """A compiled pattern."""

    def __init__(self, translated: str) -> None:
        try:
            regexp = re2.compile(translated.encode(), _OPTIONS)
        except re2.error as exc:
            unknown = re.search(r"p\{\w+\}", str(exc), re.IGNORECASE)
            raise PatternError(unknown_property(unknown[0]) if unknown else TOO_LARGE) from exc
        if regexp.programsize > MAX_PROGRAM:
            raise PatternError(TOO_LARGE)
        self._search = regexp.search

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in *text*, which holds no half a surrogate pair."""
        return self._search(text.encode()) is not None


def compile_pattern(source: str) -> Pattern:
    """
    Compile a pattern of JSON Schema.

    Raises:
        PatternError: It is no pattern of ECMA-262, or none that is matched in linear time.
    """
    return Pattern(translate(source))
