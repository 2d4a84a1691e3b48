"""
Kills the process at a chosen step of the service, for the chaos tests and the recovery benchmark.

Python imports this module at start when its folder is on PYTHONPATH. A file named `before-STEP` or
`after-STEP` in TOOLWORKER_CHAOS_DIR arms it; the first process to remove the file dies there.
"""

import importlib.abc
import importlib.machinery
import os
import signal
import sys
from functools import reduce, wraps

# All that is known of the service. Step: the program that may die in it, module, function.
_STEPS = {
    "accept": ("gunicorn", "ledger.ledger", "Ledger.accept"),
    "begin": ("worker", "ledger.ledger", "Ledger.begin"),
    "messages": ("worker", "tasks.pipeline", "fan_out.run"),
    "start": ("worker", "ledger.ledger", "Ledger.start"),
    "validate": ("worker", "tasks.pipeline", "validate.run"),
    "query": ("worker", "tasks.pipeline", "query.run"),
    "record": ("worker", "ledger.ledger", "Ledger.record"),
    "submit": ("worker", "tasks.pipeline", "submit.run"),
    "claim": ("worker", "ledger.ledger", "Ledger.claim"),
    "post": ("worker", "genesys.client", "Client.post"),
    "finish": ("worker", "ledger.ledger", "Ledger.finish"),
}
_FOLDER = os.environ.get("TOOLWORKER_CHAOS_DIR", "")


def _die_if_armed(point, program):
    # the word alone: a folder may have it in its name
    if program not in {part for argument in sys.argv for part in argument.split("/")}:
        return
    try:
        os.unlink(os.path.join(_FOLDER, point))  # noqa: PTH108, PTH118  (nothing else is imported)
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(module, path, step, program):
    *owners, name = path.split(".")
    owner = reduce(getattr, owners, module)
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args, **kwargs):
        _die_if_armed(f"before-{step}", program)
        value = original(*args, **kwargs)
        _die_if_armed(f"after-{step}", program)
        return value

    setattr(owner, name, wrapped)


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the functions of a module right after it was imported."""

    def find_spec(self, fullname, path, target=None):
        steps = {step: at for step, at in _STEPS.items() if at[1] == fullname}
        if not steps:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            for step, (program, _, function) in steps.items():
                _wrap(module, function, step, program)

        spec.loader.exec_module = exec_module
        return spec


if _FOLDER:
    sys.meta_path.insert(0, _Finder())
