"""Explain why a text is not valid JSON."""

import json
import re

_WORDS = re.compile(r"(True|False|None|undefined|nan|NaN|Infinity)\b")
_NAME = re.compile(r"[A-Za-z_$][\w$-]*\s*:")


def problem(text: str, error: json.JSONDecodeError) -> str:
    """
    What to write instead, as the second half of a sentence.

    Args:
        text: What could not be read.
    """
    return _around(text.strip()) or _objects(text, error) or problem_at_place(text, error)


def problem_at_place(text: str, error: json.JSONDecodeError) -> str:
    """The same of the place alone where reading stopped, also for a text that is a file."""
    at = position(text, error)
    before, rest = text[:at].rstrip(), text[at:]
    if error.msg == "Extra data":
        return "leave out what stands behind the first value"
    if error.msg.startswith("Invalid control character"):
        return r"write a line break inside a string as \n, a tab as \t"
    if error.msg.startswith("Invalid \\"):
        return r"write a backslash inside a string as \\"
    if at >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "it ends too early; close every string, bracket and brace"
    return _character(before, rest, error.msg)


def position(text: str, error: json.JSONDecodeError) -> int:
    """
    Where *text* stopped being JSON, the same in every version of Python.

    Of a comma before a closing bracket Python 3.13 names the place, older ones that of the bracket.
    """
    if error.msg.startswith("Illegal trailing comma"):
        rest = text[error.pos + 1 :]
        return len(text) - len(rest.lstrip())
    return error.pos


def _around(text: str) -> str:
    """What is wrong with the text as a whole."""
    if "```" in text[:8]:
        return "leave out the ``` around the object"
    if text.startswith("<"):
        return "send a JSON object, without tags around it"
    if text[:1] in "“”‘’":
        return "send a JSON object, with straight double quotes"
    if text[:1] not in '{["' and not text[:1].isdigit() and "{" in text:
        return "send the JSON object alone, without words before it"
    if text[:1] not in '{["' and "{" not in text:
        return 'send a JSON object, such as {"name": "value"}'
    return ""


def _objects(text: str, error: json.JSONDecodeError) -> str:
    """What is wrong when something stands behind the object; empty when nothing does."""
    if error.msg != "Extra data":
        return ""
    if text[position(text, error)] in "{[":
        return "send one object; call the tool once for each"
    return "leave out what stands behind the object"


def _character(before: str, rest: str, reason: str) -> str:
    if before.endswith(",") and rest[:1] in "}]":
        return f"leave out the comma before {rest[0]}"
    if rest[:1] in "}]," and before.endswith(":"):
        return "give each name a value"
    if rest[:1] == "," and before[-1:] in ",[{":
        return "leave out the comma that has no value before it"
    if rest[:1] == "'":
        return "write names and strings in double quotes, not in single ones"
    if rest[:1] in "“”‘’":
        return "use straight double quotes"
    if rest[:2] in ("//", "/*") or rest[:1] == "#":
        return "leave out comments"
    word = _WORDS.match(rest)
    if word:
        return "write true, false or null, in lower case" if word[1] in _LOWER else _NO_NUMBER
    if _NAME.match(rest):
        return "write names in double quotes"
    if rest[:1] in "+.":
        return "write numbers as 5 or 0.5, without + and with a digit before the point"
    if rest[:1].isdigit() and before[-1:] == "0":
        return "write numbers without leading zeros; a code such as 007 is a string in quotes"
    if "',' delimiter" in reason:
        return r"put a comma between two values; a quote inside a string is written as \""
    if "':' delimiter" in reason:
        return "put a colon between name and value"
    if "property name" in reason:
        return "write names in double quotes"
    return "write strings in double quotes"


_LOWER = ("True", "False", "None", "undefined")
_NO_NUMBER = "NaN and Infinity are no JSON; write null or leave it out"
