"""`.env.example` lists every setting with its default and unit, and no other."""

import re
from pathlib import Path

from msgspec.structs import fields

from runtime.settings import Settings

_EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
_LINE = re.compile(r"#?([A-Z][A-Z0-9_]*)=(.*)")


def _examples() -> dict[str, tuple[str, str]]:
    """Setting to its value in the example and to the comment above it."""
    found, comment = {}, []
    for line in _EXAMPLE.read_text(encoding="utf-8").splitlines():
        match = _LINE.fullmatch(line)
        if match:
            found[match[1]] = (match[2], " ".join(comment))
        elif line.startswith("#"):
            comment.append(line.removeprefix("# "))
        else:
            comment = []
    return found


def test_every_setting_is_in_the_example():
    expected = {field.name.upper() for field in fields(Settings) if field.name != "databases"}

    assert expected - set(_examples()) == set()


def test_the_example_names_no_setting_that_is_not_there():
    known = {field.name.upper() for field in fields(Settings)}
    named_databases = {name for name in _examples() if name.startswith("DATABASE_URL_")}

    assert named_databases == {"DATABASE_URL_CRM"}
    assert set(_examples()) - known - named_databases == set()


def test_every_default_shown_is_the_real_one():
    shown = {name: value for name, (value, _) in _examples().items()}
    real = {
        field.name.upper(): str(field.default)
        for field in fields(Settings)
        if field.default is not None and field.name not in ("databases", "tools_dir")
    }

    assert {name: shown[name] for name in real} == real


def test_every_setting_has_its_default_or_is_marked_as_without_one():
    for name, (_, comment) in _examples().items():
        if not name.startswith("DATABASE_URL_"):
            assert re.search(r"\b(No default|Default)\b", comment), name


def test_every_duration_names_its_unit():
    for name, (_, comment) in _examples().items():
        if name.endswith("_S"):
            assert comment.split()[0] == "Seconds", name
