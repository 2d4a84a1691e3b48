"""The product uses what libraries document, and tasks/compat.py alone what they do not."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("webhook", "actions", "tasks", "ledger", "genesys", "db", "runtime", "ops", "simulator")
COMPAT = "tasks/compat.py"
# documented in spite of the underscore: https://docs.python.org/3/library/collections.html
NAMED_TUPLE = {"_asdict", "_replace", "_fields", "_make", "_field_defaults"}
BY_NAME = {"getattr", "setattr", "delattr", "hasattr"}
# public by their names alone: their libraries' documents know nothing of them
UNDOCUMENTED = {
    "auto_open",  # http.client
    "scanstring",  # json.decoder
    "_state",  # celery
    "fast_trace_task",  # celery.app.trace; trace_task is a page of Celery's internals reference
    "setup_worker_optimizations",
    "on_send_buffered",  # celery.events.dispatcher: as an attribute; as an argument it is on a page
    "response_callbacks",  # redis
    "_pool_of_type",
}


def _files():
    found = [path for folder in (*OURS, "bench") for path in (ROOT / folder).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in [*found, ROOT / "celeryconfig.py"])


def _is_private(name):
    is_special = name.startswith("__") and name.endswith("__")
    return name.startswith("_") and not is_special and name not in NAMED_TUPLE


def _names_of(tree):
    """Each name that the code takes from another object or module, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for name in [module, *(alias.name for alias in node.names)]:
                yield from ((part, node.lineno) for part in name.split("."))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in BY_NAME:
            given = [part.value for part in node.args[1:2] if isinstance(part, ast.Constant)]
            yield from ((name, node.lineno) for name in given if isinstance(name, str))


def _own_names(tree):
    """Private names that this file defines: functions, classes, fields, variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(getattr(node, "ctx", None), ast.Store):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
                yield node.attr


def _findings(text):
    tree = ast.parse(text)
    own = {*_own_names(tree)}
    return [
        (line, name)
        for name, line in _names_of(tree)
        if name in UNDOCUMENTED or (_is_private(name) and name not in own)
    ]


@pytest.mark.parametrize("path", [path for path in _files() if path != COMPAT])
def test_no_file_takes_a_private_or_undocumented_name_of_a_library(path):
    assert _findings((ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "from json.decoder import scanstring",
        "import celery._state",
        "from celery import _state",
        "from redis._parsers import helpers",
        "connection.auto_open = 0",
        "client._execute_command()",
        "getattr(pool, '_lock')",
        "dispatcher.on_send_buffered = None",
        "class A:\n    def run(self):\n        return self._of_the_base()",
    ],
)
def test_the_search_finds(text):
    assert len(_findings(text)) == 1


def test_the_search_leaves_alone_what_is_ours_or_documented():
    text = "class A:\n    def _b(self):\n        self._c = self._b()\nx._asdict(); y.__dict__"
    assert _findings(text) == []


def test_compat_is_the_only_file_that_needs_a_private_name():
    assert {n for n, _ in _names_of(ast.parse((ROOT / COMPAT).read_text())) if _is_private(n)} == {
        "_connparams",
        "_create_client",
    }


def test_compat_has_at_most_40_lines_of_code():
    tree = ast.parse((ROOT / COMPAT).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    assert sum(bool(line) for line in ast.unparse(tree).splitlines()) <= 40


def _classes():
    for path in _files():
        # files of settings read the environment
        if not path.startswith("bench") and not path.endswith(("__main__.py", "config.py")):
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            # not isinstance, which would have Celery's proxies read the settings
            classes = [value for value in vars(module).values() if issubclass(type(value), type)]
            yield from (cls for cls in classes if cls.__module__ == module.__name__)


def test_no_class_replaces_a_private_part_of_a_library():
    standard = {"builtins", "typing", "abc", "enum", "threading", *sys.builtin_module_names}
    for cls in _classes():
        for base in cls.__mro__[1:]:
            package = base.__module__.partition(".")[0]
            if package in {*OURS, *standard}:
                continue
            shared = {name for name in set(vars(cls)) & set(vars(base)) if _is_private(name)}
            generated = {"_abc_impl", "_is_protocol"}
            assert shared <= generated, f"{cls} replaces {shared} of {base}"


def test_the_environment_is_read_in_one_file():
    found = {
        path
        for path in _files()
        if re.search(r"\bos\.(environ|getenv)\b|from os import", (ROOT / path).read_text())
    }
    assert found == {
        "runtime/environment.py",
        "runtime/metrics.py",  # gives prometheus_client a folder
        "genesys/http.py",  # a comment
    }
