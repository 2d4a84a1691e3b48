"""
Helper: run programs in forks of one process that has imported them: 50 ms of CPU, not 800.

For what a program does and prints. How it starts, which modules it imports and what signals do to
it are tested with programs of their own.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = (
    "db.lint.live",
    "db.lint.offline",
    "db.pool",
    "genesys.client",
    "ledger.admin",
    "ops.cli",
    "rich.table",
    "tasks.fleet",
    "tasks.pipeline",
)
"""What commands import, directly or not; they import the rest themselves."""
LIBRARIES = (
    "celery.app.amqp",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.apps.worker",
    "celery.worker.components",
    "flask",
    "kombu.transport.redis",
    "msgspec",
    "opentelemetry.sdk.trace",
    "prometheus_client",
    "psycopg_pool",
    "redis.asyncio",
    "requests",
    "structlog",
)
"""What programs import of others; a fork imports our modules anew, in its own environment."""
WITHIN_S = 120
"""A program that has not ended by then is killed: its code is -14 (SIGALRM)."""


def toolworker(*arguments, env, cwd=ROOT, stdin=""):
    """Run `toolworker ARGUMENTS` in the environment *env* and in no other; a CompletedProcess."""
    return python("-m", "ops.cli", *arguments, env=env, cwd=cwd, stdin=stdin)


def python(*arguments, env, cwd=ROOT, stdin="", imports=IMPORTED):
    """Run `python -m MODULE …` or `python -c CODE`, as `toolworker`, where *imports* are done."""
    request = {"arguments": arguments, "env": dict(env), "cwd": str(cwd), "stdin": stdin}
    forking = _forking(imports)
    forking.stdin.write(json.dumps(request) + "\n")
    forking.stdin.flush()
    code, out, error = json.loads(forking.stdout.readline())
    return subprocess.CompletedProcess(["python", *arguments], code, out, error)


@cache
def _forking(imports):
    """The process that forks, of this one's own; it ends when its input does."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.forked_cli", *imports],
        cwd=ROOT,
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def main():
    """Answer each line of requests with a line: exit code, standard output and standard error."""
    for name in sys.argv[1:]:
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
    """Be the program, to the end of this process."""
    for number, file in enumerate((given, out, error)):
        os.dup2(file.fileno(), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.path[1:1] = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
    signal.alarm(WITHIN_S)
    try:
        _run(*request["arguments"])
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if not isinstance(ending.code, int | None):
            sys.stderr.write(f"{ending.code}\n")
    except BaseException:  # noqa: BLE001  (as the interpreter does)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # not sys.exit: tearing down what was imported costs five times what most commands do
    os._exit(code)


def _run(option, what, *arguments):
    if option == "-c":
        exec(what, {"__name__": "__main__"})  # noqa: S102
    elif what == "ops.cli":
        importlib.import_module(what).main(arguments, prog_name="toolworker")
    else:
        sys.argv[1:] = arguments
        runpy.run_module(what, run_name="__main__", alter_sys=True)


def _text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


if __name__ == "__main__":
    main()
