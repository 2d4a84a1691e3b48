"""A worker has our configuration and pool, and refuses variables that Celery would follow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked_cli

ROOT = Path(__file__).resolve().parents[2]
POOL = (
    "only the prefork pool keeps time limits, on which every answer in time rests; for debugging "
    "set DEBUG_SOLO_POOL=true and use solo"
)
FOREIGN = "Celery would follow it in place of our settings; unset it: set REDIS_URL"


@pytest.fixture
def env(tmp_path):
    """All that a worker needs; no server answers there."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": "postgresql://reader:reader@127.0.0.1:1/postgres",
        "GENESYS_REGION": "mypurecloud.com",
        "GENESYS_CLIENT_ID": "planted",
        "GENESYS_CLIENT_SECRET": "planted",
        "WEBHOOK_SECRETS": "planted",
        "FLOWER_PASSWORD": "planted",
    }


def start(*command, env, cwd=ROOT):
    """Code and output of a program that is expected to end by itself."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def start_forked(*command, env):
    """As `start`, at a third of the CPU: libraries are imported, our modules are not."""
    done = forked_cli.python("-m", *command, env=env, imports=forked_cli.LIBRARIES)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("option", "kind"), [("-Psolo", "solo"), ("--pool=threads", "thread")])
def test_a_pool_that_keeps_no_time_limits_is_refused(env, option, kind):
    code, said = start_forked("celery", "-A", "tasks", "worker", option, env=env)
    assert code == 1
    assert said.splitlines()[-2:] == ["the worker cannot start:", f"-P {kind}: {POOL}"]


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_a_green_pool_starts_no_worker(env, pool):
    # Celery itself ends where the library is missing; where it is there, our sentence comes
    code, said = start_forked("celery", "-A", "tasks", "worker", "-P", pool, env=env)
    assert code == 1
    assert f"No module named '{pool}'" in said or f"-P {pool}: {POOL}" in said


def test_a_worker_refuses_pool_loader_and_broker_of_variables_and_follows_none(env):
    # a program of its own: Celery reads some variables where it is imported
    env = {
        **env,
        "CELERY_CUSTOM_WORKER_POOL": "celery.concurrency.thread:TaskPool",
        "CELERY_LOADER": "nowhere",
        "CELERY_BROKER_URL": "redis://:planted@10.0.0.9/0",
    }
    code, said = start("celery", "-A", "tasks", "worker", "-P", "custom", env=env)
    assert code == 1
    assert "CELERY_CUSTOM_WORKER_POOL: " in said
    assert "CELERY_LOADER: Celery would follow it" in said
    assert f"CELERY_BROKER_URL: {FOREIGN}" in said
    assert "Traceback" not in said
    assert ":planted@" not in said


PROGRAMS = {
    "worker": ("celery", "-A", "tasks", "worker"),
    "reconciler": ("ops.cli", "reconcile"),
    "receiver": ("gunicorn", "-c", "python:webhook.gunicorn", "-b:0", "webhook:create_app()"),
    "flower": ("ops.cli", "flower", "--port", "9"),
    "doctor": ("ops.cli", "doctor"),
}
OWN = ("reconciler", "receiver")  # started as programs of their own; so is a worker above
CODES = {"worker": 1, "reconciler": 2, "receiver": 1, "flower": 2, "doctor": 1}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_start_refuses_a_variable_that_celery_would_follow(env, program):
    env = {**env, "CELERY_BROKER_URL": "redis://:planted@10.0.0.9/0"}
    code, said = (start if program in OWN else start_forked)(*PROGRAMS[program], env=env)
    assert code == CODES[program]
    assert f"CELERY_BROKER_URL: {FOREIGN}" in said
    assert "Traceback" not in said
    assert ":planted@" not in said


OPTION = "Celery's command takes options from CELERY_*; unset it, and give them to the command"


@pytest.mark.parametrize(
    ("name", "value"),
    [("QUEUES", "planted"), ("POOL", "solo"), ("PURGE", "1"), ("TIME_LIMIT", "9")],
)
def test_a_worker_takes_no_option_from_a_variable(env, name, value):
    variable = f"CELERY_WORKER_{name}"
    code, said = start_forked("celery", "-A", "tasks", "worker", env={**env, variable: value})
    assert code == 1
    assert f"{variable}: {OPTION}" in said
    assert "Traceback" not in said


def test_a_django_that_the_environment_names_is_left_alone(env):
    done = forked_cli.python(
        "-c",
        "import tasks.app",
        env={**env, "DJANGO_SETTINGS_MODULE": "nowhere", "PYTHONPATH": str(ROOT)},
        imports=forked_cli.LIBRARIES,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["webhook", "actions"])
def test_gunicorn_takes_no_argument_from_a_variable(env, module):
    env = {**env, "ACTIONS_SECRETS": "planted", "GUNICORN_CMD_ARGS": "--threads 1"}
    command = ("gunicorn", "-c", f"python:{module}.gunicorn", "-b:0", f"{module}:create_app()")
    code, said = start_forked(*command, env=env)
    assert code == 1
    assert "GUNICORN_CMD_ARGS: gunicorn would follow it in place of our settings" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("module", "port", "workers"), [("webhook", 8000, 2), ("actions", 8001, 1)]
)
def test_gunicorns_other_variables_change_no_setting_of_ours(env, module, port, workers):
    env = {**env, "ACTIONS_SECRETS": "planted", "WEB_CONCURRENCY": "7", "PORT": "9"}
    command = ("gunicorn", "-c", f"python:{module}.gunicorn", f"{module}:create_app()")
    said = start_forked(*command, "--print-config", env=env)[1].splitlines()
    shown = dict(line.split(" = ", 1) for line in said if " = " in line)
    values = {name.strip(): value for name, value in shown.items()}
    assert (values["bind"], values["workers"]) == (f"['127.0.0.1:{port}']", str(workers))


# Flower, reconciler and doctor load the same settings in the same way
@pytest.mark.parametrize("program", ["worker", "receiver"])
def test_a_start_refuses_parameters_of_a_redis_url(env, program):
    env = {**env, "REDIS_URL": "redis://127.0.0.1:1?db=3"}
    code, said = start_forked(*PROGRAMS[program], env=env)
    assert code == CODES[program]
    assert "REDIS_URL: takes no parameters after `?`" in said
    assert "Traceback" not in said


# of the receiver: tests/acceptance/test_receiver_auth.py
@pytest.mark.parametrize("program", ["worker", "reconciler"])
def test_every_start_warns_of_an_unchecked_certificate_and_a_misspelt_setting(env, program):
    # what is missing besides ends the program after its warnings
    env = {**env, "REDIS_TLS_VERIFY": "False", "RUN_ANSWER_BY": "planted"}
    del env["GENESYS_CLIENT_ID"]
    said = start_forked(*PROGRAMS[program], env=env)[1]
    assert "redis.unverified" in said
    assert "REDIS_TLS_VERIFY=false: any server may pose as Redis and read its password" in said
    assert said.count("settings.misspelt") == said.count("redis.unverified")  # by each process
    assert "RUN_ANSWER_BY_S" in said
    assert "planted" not in said


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("CELERY_LOADER", "CELERY_LOADER"),
        ("LOADER", "CELERY_LOADER"),  # Celery's command makes the one of the other
        ("CELERY_CONFIG_MODULE", "CELERY_CONFIG_MODULE"),
        ("CONFIG_MODULE", "CELERY_CONFIG_MODULE"),
    ],
)
def test_a_worker_refuses_a_foreign_module_before_it_is_imported(env, variable, named):
    code, said = start_forked("celery", "-A", "tasks", "worker", env={**env, variable: "nowhere"})
    assert code == 1
    assert f"{named}: Celery would follow it" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "module", ["tasks.app", "tasks.pipeline", "webhook.app", "ops.commands.reconciler"]
)
def test_a_foreign_celeryconfig_in_the_current_folder_changes_nothing(env, module, tmp_path):
    (tmp_path / "celeryconfig.py").write_text('broker_url = "redis://10.0.0.9:1/0"\n')
    show = (
        f"import {module}; from tasks.app import app; "
        "print(app.conf.broker_url, app.conf.task_default_queue, app.conf.result_backend)"
    )
    done = forked_cli.python(
        "-c", show, env={**env, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, imports=forked_cli.LIBRARIES
    )
    assert done.stdout.split() == [
        "redis://127.0.0.1:1/0", "toolworker", "tasks.backend:LedgerBackend",
    ]  # fmt: skip
