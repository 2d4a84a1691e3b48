"""
Kills the process at a chosen point of the service's code, for the chaos tests alone.

Python imports this module at start when its folder is on PYTHONPATH. A file named after a point
in TOOLWORKER_CHAOS_DIR arms it; whoever removes the file first dies there.
"""

import importlib.abc
import importlib.machinery
import os
import signal
import sys

_FOLDER = os.environ.get("TOOLWORKER_CHAOS_DIR", "")
_POINTS = {
    "tasks.ledger": ("Ledger", ["accept", "begin", "start", "record", "claim", "finish"]),
    "tasks.links": ("RunTask", ["run_in_place"]),
    "genesys.client": ("Client", ["post"]),
}


def _die_if_armed(point):
    try:
        os.unlink(os.path.join(_FOLDER, point))  # noqa: PTH108, PTH118  (nothing else is imported)
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner, name):
    original = getattr(owner, name)

    def wrapped(*args, **kwargs):
        _die_if_armed(f"before-{name}")
        value = original(*args, **kwargs)
        _die_if_armed(f"after-{name}")
        return value

    setattr(owner, name, wrapped)


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the methods of a module right after it was imported."""

    def find_spec(self, fullname, path, target=None):
        if fullname not in _POINTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            owner, names = _POINTS[fullname]
            for name in names:
                _wrap(getattr(module, owner), name)

        spec.loader.exec_module = exec_module
        return spec


if _FOLDER:
    sys.meta_path.insert(0, _Finder())
