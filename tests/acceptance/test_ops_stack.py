"""The stack that starts whole or not at all, and the doctor that looks at it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ops.children import StartError
from ops.stack import Stack, claim_folder

_ROOT = Path(__file__).resolve().parents[2]


def doctor(env, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "doctor", *options],
        env=env,
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(examined):
    out, err = examined.communicate(timeout=60)
    return examined.returncode, out, err


def test_a_part_that_cannot_start_is_shown_with_its_log_and_leaves_nothing(tmp_path):
    stack = Stack(tmp_path, env={"GENESYS_CLIENT_ID": "", "GENESYS_CLIENT_SECRET": ""})

    with pytest.raises(StartError) as failure:
        stack.start()

    assert "GENESYS_CLIENT_SECRET: is not set" in str(failure.value)
    pids = json.loads((tmp_path / "pids.json").read_text())
    assert {"redis", "postgres", "worker-1"} <= set(pids)
    assert [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []


def test_two_stacks_do_not_share_a_folder(tmp_path):
    with claim_folder(tmp_path) as first, claim_folder(tmp_path) as second:
        assert Path(first.name).parent == tmp_path
        assert Path(second.name).parent == tmp_path / "2"

    with claim_folder(tmp_path) as again:
        assert Path(again.name).parent == tmp_path


def test_the_doctor_is_silent_when_all_is_well_and_names_what_is_not(tmp_path):
    # one stack for the whole story: starting one takes seconds
    with Stack(tmp_path, workers=0, reconcilers=0) as stack:
        assert said(doctor(stack.env)) == (0, "", "")

        code, out, err = said(doctor(stack.env, "-v"))
        assert (code, err) == (0, "")
        subjects = [line.partition(":")[0].split()[0] for line in out.splitlines()]
        assert subjects == ["settings", "genesys", "3", "REDIS_URL", "DATABASE_URL"]

        code, out, err = said(doctor({**stack.env, "TOOLS_DIR": str(tmp_path / "nowhere")}))
        assert code == 1
        assert "nowhere" in err
        assert "Traceback" not in err

        stack.postgres.stop()
        code, out, err = said(doctor(stack.env))
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("DATABASE_URL: ")

        stack.redis.stop()
        waiting = doctor(stack.env, "--wait", "--timeout", "40")
        assert waiting.stderr.readline() == "waiting for REDIS_URL, DATABASE_URL ...\n"
        stack.redis.start()
        stack.postgres.start()
        assert said(waiting) == (0, "", "")
