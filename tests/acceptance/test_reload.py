"""Workers take changed tools while they run; with a mistake in them they keep those they have."""

import json
import signal
import subprocess
import sys

import psycopg
import pytest

from ops.dev.stack import Stack
from tests.chaos.faults import children_of
from tests.service import ROOT, Service


def _write(folder, name, said, *, source="generate_series(1, 1)"):
    """A tool whose one column is the text *said*, for the one row of *source*."""
    parameters = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    (folder / name).mkdir(exist_ok=True)
    tool = {"name": name, "description": "Answers.", "parameters": parameters, "timeout_ms": 15000}
    (folder / name / "tool.json").write_text(json.dumps(tool))
    sql = f"SELECT '{said}' AS said FROM {source} WHERE %(text)s::text <> ''"  # noqa: S608
    (folder / name / "query.sql").write_text(sql)
    (folder / name / "examples.json").write_text("[]")


@pytest.fixture(scope="module")
def running(tmp_path_factory, postgres_server):
    """
    A service of one worker, the folder of its tools, and its folder for copies.

    The worker has one process, and replaces it after four messages.

    A test has tools of its own, and leaves the folders without mistakes.
    """
    base = tmp_path_factory.mktemp("reload")
    tools, temporary = base / "tools", base / "tmp"
    tools.mkdir()
    temporary.mkdir()
    for name in ("changed", "replaced", "kept"):
        _write(tools, name, "first")
    _write(tools, "busy", "busy", source="pg_advisory_lock_shared(5)")
    options = {"tools_dir": tools, "concurrency": 1, "postgres": postgres_server}
    options["worker_options"] = ["--max-tasks-per-child", "4"]
    with Stack(base / "stack", env={"TMPDIR": str(temporary)}, **options) as stack:
        yield Service(stack), tools, temporary


def _reload(service):
    """Exit code and output of `toolworker tools reload`."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", "tools", "reload"],
        env=service.stack.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _said(service, tool):
    run_id = service.new_run_id()
    service.deliver(run_id, ("c", tool, '{"text": "x"}'))
    answer = service.answer(run_id)["c"]
    return answer["items"][0]["said"] if "items" in answer else answer["code"]


def test_changed_and_new_tools_are_used_from_the_next_call_on(running):
    service, tools, _ = running
    (worker,) = service.stack.worker_pids
    _write(tools, "changed", "second")
    _write(tools, "new", "bye")
    assert [_said(service, "changed"), _said(service, "new")] == ["first", "unknown_tool"]
    code, output = _reload(service)
    assert code == 0
    assert ", before " in output
    assert [_said(service, "changed"), _said(service, "new")] == ["second", "bye"]
    assert service.stack.worker_pids == [worker]


def test_a_busy_process_ends_its_call_with_the_tool_that_it_began_with(running, postgres_server):
    service, tools, _ = running
    run_id = service.new_run_id()
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(5)")
        key = service.deliver(run_id, ("c", "busy", '{"text": "x"}')).body["key"]
        service.owner_pid(key, 0)
        _write(tools, "busy", "next")
        assert _reload(service)[0] == 0  # the main process answers while its child is busy
        assert service.entry(key)["state"] == "running"
    assert service.answer(run_id)["c"]["items"] == [{"said": "busy"}]
    assert _said(service, "busy") == "next"


def _kill(service, child):
    service.kill(child)


def _use_up(service, child):
    for _ in range(5):  # the first message after its last one may still find it there
        _said(service, "kept")


@pytest.mark.parametrize("end", [_kill, _use_up], ids=["killed", "recycled"])
def test_a_process_that_replaces_another_has_the_reloaded_tools(running, end):
    service, tools, _ = running
    _write(tools, "replaced", "second")
    assert _reload(service)[0] == 0
    (worker,) = service.stack.worker_pids
    (child,) = children_of(worker)
    _write(tools, "replaced", "third")  # whatever becomes of the files
    end(service, child)
    service.wait_for(lambda: children_of(worker) not in ([], [child]))
    assert _said(service, "replaced") == "second"


def test_with_a_mistake_the_old_tools_stay_and_the_command_names_it(running):
    service, tools, _ = running
    _write(tools, "kept", "second")
    statement = tools / "kept" / "query.sql"
    right = statement.read_text()
    statement.write_text("SELECT 1 AS said")
    code, output = _reload(service)
    statement.write_text(right)
    assert code == 1
    assert "kept/tool.json:1: text is a property but query.sql does not use it" in output
    assert "keeps catalogue" in output
    assert _said(service, "kept") == "first"


def test_a_worker_that_ends_leaves_no_copy_of_its_tools(running):
    service, tools, temporary = running
    _write(tools, "further", "third")
    assert _reload(service)[0] == 0
    (folder,) = temporary.glob("toolworker-tools-*")
    assert folder.stat().st_mode & 0o077 == 0
    assert len(list(folder.iterdir())) == 1
    (worker,) = service.stack.children("worker")
    service.kill(worker.pid, signal.SIGTERM)
    service.wait_for(lambda: worker.has_ended)
    assert not folder.exists()
    service.stack.start_worker()
