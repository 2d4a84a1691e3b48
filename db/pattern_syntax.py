r"""
Translate regular expressions of ECMA-262 (`u` flag) into RE2's syntax.

Accepted beyond the `u` flag is what has one meaning in JavaScript without it: a backslash before
any ASCII punctuation, a lone `]` or `}`, and a `-` beside a set in brackets (`[\w-.]`).
"""

import re
import string

from db.unicode_properties import PatternError, translated_property

_MAX_TRANSLATED = 100_000
_MAX_DEPTH = 100
_MAX_REPEAT = 1_000
"""RE2 counts no further; of a repetition inside another the product counts."""

_ASSERTIONS = {"^": r"\A", "$": r"\z"}
_NO_LINE_END = r"[^\n\r\x{2028}\x{2029}]"
_SPACE = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_NO_SPACE = (
    r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}"
    r"\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
# RE2's \d and \w are JavaScript's, its \s is not
_SETS = {"d": r"\d", "D": r"\D", "w": r"\w", "W": r"\W", "s": _SPACE, "S": _NO_SPACE}
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_COUNT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}", re.ASCII)
_CODE = re.compile(
    r"x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]+)\}"
    r"|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})"
)
_CONTROL = re.compile(r"c([a-zA-Z])")
_PROPERTY = re.compile(r"[pP]\{(?:(\w+)=)?(\w+)\}", re.ASCII)
_NAME = re.compile(r"\?<([\w$]+)>")
_HINTS = {
    "A": "; write ^",
    "Z": "; write $",
    "z": "; write $",
    "a": r"; write \x07",
    "e": r"; write \x1b",
}
TOO_LARGE = "too large; use minLength, maxLength or fewer repetitions"


def translate(source: str) -> str:
    """
    The same pattern as RE2 writes it; RE2 may still find it too large.

    Raises:
        PatternError: It is no pattern of ECMA-262, or none that is matched in linear time.
    """
    return _Reader(source).read()


class _Reader:
    """
    One pass over a pattern that translates it for RE2.

    The translation of a part goes with its weight: the largest product of nested counts in it.
    """

    def __init__(self, source: str) -> None:
        self._source, self._at, self._depth = source, 0, 0
        self._names: set[str] = set()

    def read(self) -> str:
        translated, _ = self._alternatives()
        if self._at < len(self._source):
            raise PatternError(r"a ) has no ( before it; write \) for the character")
        return translated

    def _alternatives(self) -> tuple[str, int]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError("groups are nested too deeply")
        found, weight = [""], 1
        while self._at < len(self._source) and not self._is_next(")"):
            if self._skip("|"):
                found.append("")
                continue
            term, term_weight = self._term()
            found[-1] += term
            weight = max(weight, term_weight)
            if len(found[-1]) > _MAX_TRANSLATED:
                raise PatternError(TOO_LARGE)
        self._depth -= 1
        return "|".join(found), weight

    def _term(self) -> tuple[str, int]:
        letter = self._letter()
        if letter in ("*", "+", "?", "{"):
            raise PatternError(f"{letter} repeats nothing; write \\{letter} for the character")
        if letter in _ASSERTIONS:
            return self._unrepeated(_ASSERTIONS[letter])
        if letter == "\\" and self._skip("b"):
            return self._unrepeated(r"\b")
        if letter == "\\" and self._is_next("B"):
            raise PatternError(r"\B is not supported; write the characters around the place")
        if letter == "(":
            return self._repeated(*self._group())
        if letter == "[":
            return self._repeated(self._brackets(), 1)
        if letter == ".":
            return self._repeated(_NO_LINE_END, 1)
        is_set, value = self._escape() if letter == "\\" else (False, letter)
        return self._repeated(f"[{value}]" if is_set else _literal(value), 1)

    def _group(self) -> tuple[str, int]:
        for mark in ("?=", "?!", "?<=", "?<!"):
            if self._is_next(mark):
                raise PatternError(
                    f"({mark}…) looks around, which linear time does not allow; write what may "
                    "stand there instead, or let query.sql decide"
                )
        name = _NAME.match(self._source, self._at)
        if name:
            self._at = name.end()
            if name[1] in self._names:
                raise PatternError(f"two groups are called {name[1]}")
            self._names.add(name[1])
        elif not self._skip("?:") and self._is_next("?"):
            mark = self._source[self._at : self._at + 2]
            raise PatternError(
                f"({mark}…) is not supported; write (?:…) for a group, [Aa] for either case"
            )
        inside, weight = self._alternatives()
        if not self._skip(")"):
            raise PatternError(r"a ( is never closed; write \( for the character")
        return f"(?:{inside})", weight

    def _brackets(self) -> str:
        start = "[^" if self._skip("^") else "["
        found = ""
        while not self._skip("]"):
            is_low_set, low = self._member()
            if not self._is_next("-") or self._is_next("-]"):
                found += low if is_low_set else _literal(low)
                continue
            self._at += 1
            is_high_set, high = self._member()
            if not is_low_set and not is_high_set:
                if low > high:
                    raise PatternError(f"the range {low}-{high} is out of order")
                found += f"{_literal(low)}-{_literal(high)}"
            else:
                found += low if is_low_set else _literal(low)
                found += _literal("-")
                found += high if is_high_set else _literal(high)
        if not found:  # nothing, or with ^ anything
            return r"[\x{0}-\x{10ffff}]" if start == "[^" else r"[^\x{0}-\x{10ffff}]"
        return f"{start}{found}]"

    def _member(self) -> tuple[bool, str]:
        if self._at == len(self._source):
            raise PatternError(r"a [ is never closed; write \[ for the character")
        letter = self._letter()
        if letter != "\\":
            return False, letter
        return (False, "\b") if self._skip("b") else self._escape()

    def _escape(self) -> tuple[bool, str]:
        """Read an escape behind its backslash: whether it is a set, and the set or character."""
        for read in (_code, _control):
            value, end = read(self._source, self._at)
            if value:
                self._at = end
                return False, value
        found = _PROPERTY.match(self._source, self._at)
        if found:
            self._at = found.end()
            return True, translated_property(found)
        letter = self._letter()
        if not letter:
            raise PatternError("the last \\ escapes nothing; write \\\\ for the character")
        if letter in _SETS:
            return True, _SETS[letter]
        if letter in "123456789k":
            raise PatternError(
                f"\\{letter} refers back to a group, which linear time does not allow; "
                "write the group again, or let query.sql decide"
            )
        if letter == "0" and self._source[self._at : self._at + 1].isdigit():
            raise PatternError(r"octal escapes are not supported; write \xHH")
        if letter in _CONTROLS:
            return False, _CONTROLS[letter]
        if letter in string.punctuation:
            return False, letter
        raise PatternError(f"\\{letter} means nothing in JavaScript{_HINTS.get(letter, '')}")

    def _unrepeated(self, assertion: str) -> tuple[str, int]:
        if self._is_next("*", "+", "?") or _COUNT.match(self._source, self._at):
            raise PatternError(r"^, $ and \b cannot be repeated; they match a place")
        return assertion, 1

    def _repeated(self, part: str, weight: int) -> tuple[str, int]:
        counts = _COUNT.match(self._source, self._at)
        if counts:
            self._at = counts.end()
            low = _count(counts[1])
            high = low if not counts[2] else _count(counts[3]) if counts[3] else None
            if high is not None and low > high:
                raise PatternError(f"{counts[0]} is out of order")
            found = _counted(part, weight, low, high)
        elif self._is_next("*", "+", "?"):
            found = part + self._letter(), weight
        else:
            return part, weight
        self._skip("?")  # lazy or not makes no difference to whether there is a match
        return found

    def _letter(self) -> str:
        letter = self._source[self._at : self._at + 1]
        self._at += 1
        return letter

    def _is_next(self, *wanted: str) -> bool:
        return self._source.startswith(wanted, self._at)

    def _skip(self, wanted: str) -> bool:
        if not self._is_next(wanted):
            return False
        self._at += len(wanted)
        return True


def _count(digits: str) -> int:
    # of more digits than nine int() might refuse, and RE2 surely
    return int(digits.lstrip("0")[:9] or "0")


def _counted(part: str, weight: int, low: int, high: int | None) -> tuple[str, int]:
    """*part* from *low* to *high* times, in pieces that RE2 counts."""
    step = max(1, _MAX_REPEAT // weight)
    rest = 0 if high is None else high - low
    if len(part) * (low // step + rest // step + 2) > _MAX_TRANSLATED:
        raise PatternError(TOO_LARGE)
    pieces = [f"{part}{{{step}}}"] * (low // step) + [f"{part}{{{low % step}}}"] * bool(low % step)
    pieces += [f"{part}*"] if high is None else [f"{part}{{0,{step}}}"] * (rest // step)
    pieces += [f"{part}{{0,{rest % step}}}"] * bool(rest % step)
    # without pieces it may be there no times: {0}
    return f"(?:{''.join(pieces)})", weight * min(step, max(low, rest, 1))


def _code(source: str, at: int) -> tuple[str, int]:
    found = _CODE.match(source, at)
    if found is None:
        return "", at
    if found[3]:
        pair = bytes.fromhex(found[3] + found[4])
        return pair.decode("utf-16-be"), found.end()
    code = int((found[1] or found[2] or found[5])[-8:], 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise PatternError(f"\\{found[0]} is no character")
    return chr(code), found.end()


def _control(source: str, at: int) -> tuple[str, int]:
    found = _CONTROL.match(source, at)
    return (chr(ord(found[1]) % 32), found.end()) if found else ("", at)


def _literal(letter: str) -> str:
    return letter if letter.isascii() and letter.isalnum() else f"\\x{{{ord(letter):x}}}"
