"""README and docs name files, tests and settings that exist."""

import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import fields

from db.errors import Code
from ledger import scripts
from runtime.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = [_ROOT / "README.md", _ROOT / "bench/README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_FILE = re.compile(r"`([\w./-]+\.(?:py|lua|md|yml|yaml|conf|toml|lock|mjs))(?:::(\w+))?`")
_FOLDER = re.compile(r"`((?:webhook|actions|ledger|tasks|db|genesys|runtime|ops|tests)/[\w/]*)`")
_SETTING = re.compile(
    r"`((?:ACTIONS|ALERT|BROKER|DASHBOARD|DEAD_LETTER|FLOWER|GENESYS|LEDGER|METRICS|OTEL|RECEIVER|REDIS"
    r"|RUN|TLS|TRACE|WEBHOOK)_[A-Z_]+)\b"
)
_ALERTS = {"BROKER_DOWN", "LEDGER_NEARLY_FULL"}
_SENT = {"alert.raised", "alert.ended"}
_EVENT = re.compile(r"(?:`|grep (?:-c )?|-e )([a-z]+\.[a-z_]+)\b(?!\.)")
_LITERAL = re.compile(r'"([a-z]+\.[a-z_]+)"')
_OF_DASHBOARD = re.compile(r'\brecord\("([a-z_]+)"')
# a name that stands alone in a table or list whose row names the folder, or a page of this folder
_PLACES = ("", "docs", "docs/runbooks", "webhook", "tasks", "ledger", "db", "genesys", "ops")
_PLACES += ("actions", "runtime", "simulator", "bench", "tests/integration", "tests/unit/webhook")
_FOREIGN = ("pg_hba.conf",)


def _exists(name: str) -> bool:
    return any((_ROOT / place / name).exists() for place in _PLACES)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(_ROOT).as_posix())
def test_files_tests_and_settings_of_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    known = {field.name.upper() for field in fields(Settings)}
    known |= set(re.findall(r"\$\{([A-Z_]+)", (_ROOT / "docker-compose.yml").read_text()))

    missing = [n for n, _ in _FILE.findall(text) if n not in _FOREIGN and not _exists(n)]
    missing += [name for name in _FOLDER.findall(text) if not (_ROOT / name).is_dir()]
    missing += [
        f"{name}::{test}"
        for name, test in _FILE.findall(text)
        if test and f"def {test}(" not in (_ROOT / name).read_text(encoding="utf-8")
    ]
    known |= _ALERTS
    missing += [name for name in _SETTING.findall(text) if name.removesuffix("_FILE") not in known]

    assert missing == []


def _logged():
    """The events of our log lines, among other literals of their form."""
    found = set()
    for folder in ("actions", "webhook", "tasks", "ledger", "genesys", "db", "runtime", "ops"):
        for source in (_ROOT / folder).rglob("*.py"):
            text = source.read_text(encoding="utf-8")
            found |= {*_LITERAL.findall(text)}
            found |= {f"dashboard.{name}" for name in _OF_DASHBOARD.findall(text)}
    return found


def test_events_of_the_log_that_pages_name_are_logged():
    logged = _logged()
    # modules, fields of alerts, queues and settings of Postgres have this form, too
    kinds = {name.partition(".")[0] for name in logged} - {"tasks", "data", "toolworker"}
    named = {
        name
        for page in _PAGES
        for name in _EVENT.findall(page.read_text(encoding="utf-8"))
        if name.partition(".")[0] in kinds and not name.endswith((".py", ".sql", ".json", ".conf"))
    }
    assert len(named) > 10
    assert named - _SENT - logged == set()


def test_every_key_of_the_ledger_is_in_the_design():
    text = (_ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    keys = {key for name, key in vars(scripts).items() if name.isupper() and isinstance(key, str)}
    assert "tw:due" in keys
    assert {key for key in keys if f"`{key}" not in text} == set()


def test_the_codes_listed_are_those_of_the_errors():
    text = (_ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z_]+)` \| (?:yes|no) \|", text, re.M)) == {*get_args(Code)}
