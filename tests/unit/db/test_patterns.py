"""A pattern means what it means in JavaScript and takes linear time, or is refused in words."""

import pytest

from db.patterns import PatternError, compile_pattern


# what node 20 answers to new RegExp(pattern, "u").test(text)
@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a$", ["a", "ba"], ["a\n", "ab"]),
        ("^a", ["ab"], ["b\na"]),
        ("", [""], []),
        ("^.$", ["a", "é", "😀", "\x85"], ["", "\n", "\r", "\u2028", "\u2029", "ab"]),
        (r"^\d+$", ["0129"], ["١٢", ""]),
        (r"^\w$", ["a", "_", "7"], ["é", "ſ", "-"]),
        (r"^\W$", ["é", "-", "😀"], ["a"]),
        (r"^\s$", [" ", "\t", "\u00a0", "\ufeff", "\u2028", "\u3000"], ["\x85", "\u180e", "\x1c"]),
        (r"^\S$", ["\x85", "\u180e", "a", "\U0010ffff"], [" ", "\ufeff"]),
        (r"^[\S]$", ["a", "\x1c"], ["\u2000"]),
        (r"^[^\s,]$", ["a"], ["\u2000", ","]),
        (r"\bab\b", ["ab", "é ab"], ["cab", "abc"]),
        (r"^[$\]]$", ["$", "]"], ["\\", "Z"]),
        (r"^[\b]$", ["\b"], ["b"]),
        (r"^\x41\u0042\u{43}\cA\0$", ["ABC\x01\x00"], []),
        (r"^\ud83d\ude00{2}$", ["😀😀"], ["😀"]),
        (r"^[\u{1F600}-\u{1F64F}]$", ["😀"], ["a"]),
        (r"^\p{Lu}\p{L}*$", ["Éa"], ["éa", "A1"]),
        (r"^\p{Script=Greek}+$", ["αβ"], ["a"]),
        (r"^[^\p{L}\d]$", ["-"], ["é", "1"]),
        (r"^\P{Letter}$", ["1"], ["é"]),
        ("^[[:alpha:]]$", ["[]", "a]", ":]"], ["a", "b"]),
        ("^[a&&b]$", ["a", "&", "b"], []),
        ("^[^]$", ["\n", "a"], [""]),
        ("a[]", [], ["a", ""]),
        ("^[a-c-e]$", ["b", "-", "e"], ["d"]),
        (r"^[\s-a-z]$", [" ", "-", "a", "z"], ["b"]),
        (r"^[\w-.]+@$", ["a-b.c@"], ["a b@"]),
        (r"^\-\_\@\/\.$", ["-_@/."], []),
        ("^}]$", ["}]"], []),
        ("^(?<year>[0-9]{4})(?:-x)?$", ["2026", "2026-x"], ["202"]),
        ("^(a|b|)$", ["a", "b", ""], ["c"]),
        ("^a{0000000000002}b{1,}c{0,2}?$", ["aab", "aabbcc"], ["ab", "aabccc"]),
        ("^a{0}b$", ["b"], ["ab"]),
        ("^[a-z]{1,1500}$", ["a" * 1500], ["", "a" * 1501]),
        ("^(?:a{2,40}b){3,60}$", ["aab" * 3, ("a" * 40 + "b") * 60], ["aab" * 2, "aab" * 61]),
    ],
)  # fmt: skip
def test_a_pattern_means_what_it_means_in_javascript(pattern, matching, other):
    compiled = compile_pattern(pattern)
    assert [text for text in (*matching, *other) if compiled.search(text)] == matching


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"\Aab", r"\A means nothing in JavaScript; write ^"),
        (r"ab\Z", r"\Z means nothing in JavaScript; write $"),
        ("^a{,3}$", r"{ repeats nothing; write \{ for the character"),
        ("(?i)x", "(?i…) is not supported; write (?:…) for a group, [Aa] for either case"),
        ("(?P<n>a)", "(?P…) is not supported; write (?:…) for a group, [Aa] for either case"),
        (r"^(?!\s*$)", "(?!…) looks around, which linear time does not allow; write what may stand "
         "there instead, or let query.sql decide"),
        (r"(a)\1", r"\1 refers back to a group, which linear time does not allow; "
         "write the group again, or let query.sql decide"),
        (r"\Bx", r"\B is not supported; write the characters around the place"),
        ("a**", r"* repeats nothing; write \* for the character"),
        ("^*", r"^, $ and \b cannot be repeated; they match a place"),
        ("a++", r"+ repeats nothing; write \+ for the character"),
        ("(a", r"a ( is never closed; write \( for the character"),
        ("a)", r"a ) has no ( before it; write \) for the character"),
        ("[a", r"a [ is never closed; write \[ for the character"),
        ("[z-a]", "the range z-a is out of order"),
        ("a{3,1}", "{3,1} is out of order"),
        (r"\p{Alphabetic}", r"\p{Alphabetic} is not supported; known are categories such as \p{L} "
         r"and scripts such as \p{Script=Greek}"),
        (r"\p{Greek}", r"\p{Greek} is not supported; known are categories such as \p{L} "
         r"and scripts such as \p{Script=Greek}"),
        (r"\u{110000}", r"\u{110000} is no character"),
        (r"\ud800", r"\ud800 is no character"),
        (r"\012", r"octal escapes are not supported; write \xHH"),
        ("a\\", "the last \\ escapes nothing; write \\\\ for the character"),
        ("(?<n>a)(?<n>b)", "two groups are called n"),
        ("(" * 200 + ")" * 200, "groups are nested too deeply"),
        ("((a{1000}){1000}){1000}", "too large; use minLength, maxLength or fewer repetitions"),
        ("^.{0,99999999999}$", "too large; use minLength, maxLength or fewer repetitions"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_or_matched_in_linear_time_is_refused(pattern, reason):
    with pytest.raises(PatternError) as refused:
        compile_pattern(pattern)
    assert str(refused.value) == reason


def test_a_pattern_that_backtracks_in_other_engines_is_done_with_60_kb():
    # an engine that goes back would need 2 ** 60,000 steps
    assert not compile_pattern(r"^(\w+\s?)+$").search("a" * 60_000 + "!")
    assert not compile_pattern("(x+x+)+y").search("x" * 60_000)
