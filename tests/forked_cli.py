"""
Helper: run `toolworker …` in forks of one process that has imported it: 50 ms of CPU, not 800.

For what a command does and prints. How it starts, which modules it imports and what signals do to
it are tested with programs of their own.
"""

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

from ops import cli

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = (
    "db.lint.live",
    "db.lint.offline",
    "db.pool",
    "genesys.client",
    "ledger.admin",
    "rich.table",
    "tasks.fleet",
    "tasks.pipeline",
)
"""What commands import, directly or not; they import the rest themselves."""


def toolworker(*arguments, env, cwd=ROOT, stdin=""):
    """Run `toolworker ARGUMENTS` in the environment *env* and in no other; a CompletedProcess."""
    request = {"arguments": arguments, "env": dict(env), "cwd": str(cwd), "stdin": stdin}
    forking = _forking()
    forking.stdin.write(json.dumps(request) + "\n")
    forking.stdin.flush()
    code, out, error = json.loads(forking.stdout.readline())
    return subprocess.CompletedProcess(["toolworker", *arguments], code, out, error)


@cache
def _forking():
    """The process that forks, of this one's own; it ends when its input does."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.forked_cli"],
        cwd=ROOT,
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def main():
    """Answer each line of requests with a line: exit code, standard output and standard error."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # or a collection in a fork copies every page
    for line in sys.stdin:
        request = json.loads(line)
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as error,
        ):
            given.write(request["stdin"].encode())
            given.seek(0)
            pid = os.fork()
            if not pid:
                _become(request, given, out, error)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = [_text(file) for file in (out, error)]
        sys.stdout.write(json.dumps([code, *texts]) + "\n")
        sys.stdout.flush()


def _become(request, given, out, error):
    """Be the command, to the end of this process."""
    for number, file in enumerate((given, out, error)):
        os.dup2(file.fileno(), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    try:
        cli.main(request["arguments"], prog_name="toolworker")
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001  (as the interpreter does)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # not sys.exit: tearing down what was imported costs five times what most commands do
    os._exit(code)


def _text(file):
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    main()
