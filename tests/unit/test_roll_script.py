"""ops/roll.sh replaces containers one by one; a stand-in for docker records its commands."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "ops" / "roll.sh"
# a container is a file, named by its service and a number; `sick` names a service whose new ones
# never become healthy
DOCKER = """#!/usr/bin/env bash
cd "$STATE"
echo "$*" >>log
[[ $1 != compose ]] || shift 3
service=${!#}
case "$1 $2" in
"ps -q") ls | grep "^$service-" ;;
"up -d")
  [[ $service != flower || ! -e taken ]] || { echo "port is already allocated" >&2; exit 1; }
  [[ $service != flower && $service != dashboard ]] || exit 0
  number=$(($(cat next) + 1))
  echo $number >next
  touch "$service-$number"
  ;;
"exec $2") [[ ! -e sick ]] || [[ $(cat sick) != "$service" ]] ;;
"rm $2") [[ $service != *-* ]] || rm "$service" ;;
"inspect --format") echo true ;;
"image inspect") [[ ! -e unpulled || $service != $(cat unpulled) ]] ;;
esac
"""


@pytest.fixture
def installation(tmp_path):
    """Two receivers, a reconciler, two workers, Flower, the dashboard; `roll`, and what it did."""
    programs, state = tmp_path / "bin", tmp_path / "state"
    programs.mkdir()
    state.mkdir()
    for name, text in (("docker", DOCKER), ("sleep", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    work = ("webhook-1", "webhook-2", "reconciler-3", "worker-4", "worker-5")
    for name in (*work, "flower-6", "dashboard-6"):
        (state / name).touch()
    (state / "next").write_text("6\n")
    settings = tmp_path / "settings"
    settings.write_text("GENESYS_REGION=mypurecloud.com\nTOOLWORKER_IMAGE=toolworker:1.3\n")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "STATE": str(state), "ENV_FILE": str(settings), "HEALTH_S": "-1"}

    def roll(*arguments):
        return subprocess.run(
            [SCRIPT, *arguments], env=env, capture_output=True, text=True, check=False
        )

    return roll, state, settings


def _steps(state):
    """What changed containers, in order."""
    lines = (state / "log").read_text().splitlines()
    short = [line.removeprefix("compose --env-file ").partition(" ")[2] for line in lines]
    starts = ("up ", "run ")
    return [
        line if line.startswith("stop ") else text
        for line, text in zip(lines, short, strict=True)
        if line.startswith("stop ") or text.startswith(starts)
    ]


def _left(state):
    return sorted(path.name for path in state.glob("*-*"))


def test_each_old_container_is_stopped_after_a_new_one_works_receivers_first(installation):
    roll, state, settings = installation
    done = roll("toolworker:1.4")
    assert done.returncode == 0, done.stderr
    up = "up -d --no-deps --no-recreate --scale"
    assert _steps(state) == [
        "run --rm --no-deps doctor toolworker doctor --before-start",
        f"{up} webhook=3 webhook",
        "stop webhook-1",
        f"{up} webhook=3 webhook",
        "stop webhook-2",
        f"{up} reconciler=2 reconciler",
        "stop reconciler-3",
        f"{up} worker=3 worker",
        "stop worker-4",
        f"{up} worker=3 worker",
        "stop worker-5",
        "up -d --no-deps --force-recreate dashboard",
        "up -d --no-deps --force-recreate --no-build --pull never flower",
    ]
    assert settings.read_text().splitlines() == [
        "GENESYS_REGION=mypurecloud.com",
        "TOOLWORKER_IMAGE=toolworker:1.4",
    ]
    work = ["reconciler-9", "webhook-7", "webhook-8", "worker-10", "worker-11"]
    assert _left(state) == ["dashboard-6", "flower-6", *work]


def test_a_new_container_that_does_not_become_healthy_is_removed_and_nothing_else(installation):
    roll, state, settings = installation
    (state / "sick").write_text("reconciler")
    done = roll("toolworker:1.4")
    assert done.returncode == 1
    assert "a new reconciler did not become healthy" in done.stderr
    assert not any(step in ("stop reconciler-3", "stop worker-4") for step in _steps(state))
    work = ["reconciler-3", "webhook-7", "webhook-8", "worker-4", "worker-5"]
    assert _left(state) == ["dashboard-6", "flower-6", *work]
    assert "TOOLWORKER_IMAGE=toolworker:1.3" in settings.read_text()


def test_without_the_image_of_flower_the_rest_is_rolled_and_a_sentence_names_it(installation):
    roll, state, settings = installation
    (state / "unpulled").write_text("toolworker:1.4-flower")
    done = roll("toolworker:1.4")
    assert done.returncode == 0
    what, end = done.stdout.splitlines()[-2:]
    assert what.partition(" ")[2] == (
        "Flower was not replaced: there is no image toolworker:1.4-flower here. "
        "Build or pull it, and run this again"
    )
    assert end.endswith("done: toolworker:1.4")
    assert "TOOLWORKER_IMAGE=toolworker:1.4" in settings.read_text()
    work = ["reconciler-9", "webhook-7", "webhook-8", "worker-10", "worker-11"]
    assert _left(state) == ["dashboard-6", "flower-6", *work]


def test_where_flower_does_not_run_its_image_is_not_missed(installation):
    roll, state, _ = installation
    (state / "flower-6").unlink()
    (state / "unpulled").write_text("toolworker:1.4-flower")
    done = roll("toolworker:1.4")
    assert done.returncode == 0
    assert "Flower" not in done.stdout


def test_flowers_own_image_is_the_one_of_the_settings(installation):
    roll, state, settings = installation
    settings.write_text(settings.read_text() + "FLOWER_IMAGE=flower:7\n")
    (state / "unpulled").write_text("flower:7")
    assert "there is no image flower:7 here" in roll("toolworker:1.4").stdout


def test_flower_that_does_not_start_again_ends_the_roll_with_its_error(installation):
    roll, state, settings = installation
    (state / "taken").touch()
    done = roll("toolworker:1.4")
    assert done.returncode != 0
    assert "port is already allocated" in done.stderr
    assert "toolworker:1.4" not in settings.read_text()


def test_without_an_image_it_takes_the_one_of_the_settings(installation):
    roll, state, settings = installation
    assert roll().returncode == 0
    assert settings.read_text().count("TOOLWORKER_IMAGE=toolworker:1.3\n") == 1
    assert (state / "log").read_text().startswith("image inspect toolworker:1.3\n")
