"""README and docs name files, tests and settings that exist."""

import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from runtime.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_PAGES = [_ROOT / "README.md", _ROOT / "bench/README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_FILE = re.compile(r"`([\w./-]+\.(?:py|lua|md|yml|yaml|conf|toml|lock|mjs))(?:::(\w+))?`")
_FOLDER = re.compile(r"`((?:webhook|actions|ledger|tasks|db|genesys|runtime|ops|tests)/[\w/]*)`")
_SETTING = re.compile(r"`((?:GENESYS|WEBHOOK|ACTIONS|RUN|REDIS_TLS|FLOWER|DEAD_LETTER)_[A-Z_]+)\b")
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
    missing += [name for name in _SETTING.findall(text) if name.removesuffix("_FILE") not in known]

    assert missing == []
