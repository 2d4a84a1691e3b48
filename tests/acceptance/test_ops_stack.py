"""The embedded stack starts whole or not at all; the doctor checks its servers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from ops.dev import demo_data
from ops.dev.children import StartError
from ops.dev.embedded import start_postgres
from ops.dev.environment import environment
from ops.dev.folders import claim_folder
from ops.dev.stack import Stack
from tests import forked_cli

_ROOT = Path(__file__).resolve().parents[2]


def said(env, *options):
    """Exit code, output and complaints of the doctor."""
    done = forked_cli.toolworker("doctor", *options, env=env)
    return done.returncode, done.stdout, done.stderr


def test_a_part_that_cannot_start_is_shown_with_its_log_and_leaves_nothing(
    tmp_path, postgres_server
):
    env = {"GENESYS_CLIENT_ID": "", "GENESYS_CLIENT_SECRET": ""}
    stack = Stack(tmp_path, env=env, postgres=postgres_server, reconcilers=0)

    with pytest.raises(StartError) as failure:
        stack.start()

    assert "GENESYS_CLIENT_SECRET: is not set" in str(failure.value)
    pids = json.loads((tmp_path / "pids.json").read_text())
    assert {"broker", "ledger", "worker-1"} <= set(pids)
    assert [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []


def test_two_stacks_do_not_share_a_folder(tmp_path):
    with claim_folder(tmp_path) as first, claim_folder(tmp_path) as second:
        assert Path(first.name).parent == tmp_path
        assert Path(second.name).parent == tmp_path / "2"

    with claim_folder(tmp_path) as again:
        assert Path(again.name).parent == tmp_path


def test_the_doctor_is_silent_when_all_is_well_and_names_what_is_not(
    tmp_path, own_redis_server, simulator_url
):
    # the same servers for the whole story: to start them takes seconds
    broker, ledger = (
        own_redis_server(appendfsync=sync, extra=("--maxmemory", "1gb"))
        for sync in ("everysec", "always")
    )
    with start_postgres(tmp_path / "postgres") as postgres:
        demo_data.load(postgres.url)
        env = environment(
            tmp_path,
            broker=broker,
            ledger=ledger,
            postgres=postgres,
            simulator_url=simulator_url,
            tools_dir=_ROOT / "tools",
        )
        assert said(env, "--before-start") == (0, "", "")
        code, out, err = said(env)
        assert (code, out) == (1, "")
        assert [line.partition(";")[0].partition(" (")[0] for line in err.splitlines()] == [
            "workers: none answers",
            "reconcilers: none looks at the ledger",
        ]

        code, out, err = said(env, "-v", "--before-start")
        assert (code, err) == (0, "")
        subjects = [line.partition(":")[0].split()[0] for line in out.splitlines()]
        assert subjects == ["settings", "genesys", "3", "REDIS_URL", "LEDGER_URL", "DATABASE_URL"]

        code, out, err = said({**env, "TOOLS_DIR": str(tmp_path / "nowhere")})
        assert code == 1
        assert "nowhere" in err
        assert "Traceback" not in err

        postgres.stop()
        code, out, err = said(env, "--before-start")
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("DATABASE_URL: ")

        broker.stop()
        waiting = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "doctor", "--wait", "--timeout", "90",
             "--before-start"],
            env=env, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert waiting.stderr.readline() == "waiting for REDIS_URL, DATABASE_URL ...\n"
        broker.start()
        postgres.start()
        assert waiting.communicate(timeout=120) == ("", "")
        assert waiting.returncode == 0


def test_the_doctor_checks_token_and_tools_on_request(service, tmp_path):
    env = service.stack.env
    asked = "--tools", "--token", "--workers"

    def nothing_wrong():  # as soon as a worker that was stopped answers again
        code, out, err = said(env, "-v", *asked)
        return out if (code, err) == (0, "") else None

    out = service.wait_for(nothing_wrong)
    subjects = [line.partition(":")[0].partition("@")[0] for line in out.splitlines()]
    assert {"genesys token", "worker worker-1", "reconcilers"} <= set(subjects)

    others = tmp_path / "tools"
    shutil.copytree(_ROOT / "tools" / "get_order", others / "get_order")
    query = others / "get_order" / "query.sql"
    query.write_text(query.read_text().replace("FROM orders", "FROM no_such_table"))
    wrong = {**env, "TOOLS_DIR": str(others), "GENESYS_CLIENT_SECRET": "another"}
    code, out, err = said(wrong, "--all")
    assert (code, out) == (1, "")
    tool, token, worker = err.splitlines()
    assert "no_such_table" in tool
    assert token.startswith("genesys token: OAuth authentication failed.")
    assert worker.startswith("worker worker-1@")
    assert "its tools differ" in worker


def test_the_doctor_refuses_a_ledger_that_forgets(service, own_redis_server):
    forgetful = own_redis_server()
    with redis.Redis.from_url(forgetful.url) as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory-policy", "allkeys-lru")
    code, out, err = said({**service.stack.env, "LEDGER_URL": forgetful.url}, "--before-start")
    assert (code, out) == (1, "")
    policy, memory, persistence = err.splitlines()
    assert policy.startswith("LEDGER_URL: maxmemory-policy is allkeys-lru")
    assert memory.startswith("LEDGER_URL: maxmemory is 0")
    assert persistence.startswith("LEDGER_URL: appendonly is no: a restart forgets accepted runs")
