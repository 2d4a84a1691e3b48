r"""Translate Unicode properties in patterns (`\p{…}`) from ECMA-262's names to RE2's."""

import re

_CATEGORIES = {
    "Letter": "L", "Lowercase_Letter": "Ll", "Uppercase_Letter": "Lu", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Nonspacing_Mark": "Mn",
    "Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N", "Decimal_Number": "Nd",
    "Letter_Number": "Nl", "Other_Number": "No", "Punctuation": "P", "punct": "P",
    "Connector_Punctuation": "Pc", "Dash_Punctuation": "Pd", "Open_Punctuation": "Ps",
    "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi", "Final_Punctuation": "Pf",
    "Other_Punctuation": "Po", "Symbol": "S", "Math_Symbol": "Sm", "Currency_Symbol": "Sc",
    "Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z", "Space_Separator": "Zs",
    "Line_Separator": "Zl", "Paragraph_Separator": "Zp", "Control": "Cc", "Format": "Cf",
}  # fmt: skip


class PatternError(ValueError):
    """A pattern that is refused; the message has the reason and what to write instead."""


def translated_property(found: re.Match[str]) -> str:
    r"""
    What `p{…}` or `P{…}` is inside brackets of RE2.

    Args:
        found: Whole, with what stands before and behind the `=` as its groups.

    Raises:
        PatternError: No such property can be matched.
    """
    mark, kind, name = found[0][0], found[1], found[2]
    if kind is None and name == "ASCII":
        return r"\x{0}-\x{7f}" if mark == "p" else r"\x{80}-\x{10ffff}"
    if found[0] == "p{Any}":
        return r"\x{0}-\x{10ffff}"
    if kind in ("Script", "sc"):
        # of one or two letters RE2 would read a category
        wanted = name if len(name) > 2 and name != "Any" else ""
    else:
        wanted = _CATEGORIES.get(name, name if name in _CATEGORIES.values() else "")
        wanted = wanted if kind in (None, "General_Category", "gc") else ""
    if not wanted:
        raise PatternError(unknown_property(found[0]))
    return f"\\{mark}{{{wanted}}}"


def unknown_property(name: str) -> str:
    """The message for a Unicode property that RE2 does not have."""
    return (
        f"\\{name} is not supported; known are categories such as \\p{{L}} and scripts such as "
        "\\p{Script=Greek}"
    )
