"""The command line: errors of a user without a traceback, and `--help` that is quick."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked_cli

_ROOT = Path(__file__).resolve().parents[3]


def toolworker(*arguments, stdin="", **env):
    return forked_cli.toolworker(*arguments, env=env, stdin=stdin)


def test_help_lists_the_commands_without_importing_what_they_need():
    code = (
        "import sys; from ops.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print({'celery', 'flask', 'psycopg', 'redis', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    )

    for command in ("demo", "up", "doctor", "send", "tools", "reconcile", "dashboard"):
        assert f"\n  {command} " in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_version_is_that_of_the_package():
    assert toolworker("--version").stdout == "toolworker, version 0.1.0\n"


def test_doctor_names_every_missing_setting_with_what_to_do():
    done = toolworker("doctor")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    named = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert {
        "REDIS_URL",
        "DATABASE_URL",
        "WEBHOOK_SECRETS",
        "GENESYS_CLIENT_ID",
        "GENESYS_CLIENT_SECRET",
        "GENESYS_REGION",
    } == set(named)
    assert len(named) == len(set(named))


@pytest.mark.parametrize("command", [["doctor"], ["tools", "check", "--database"]])
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgres:/u:planted@h/d", "must be postgresql://"),
        ("postgresql://u:half@planted@h/d", "has a second @; in a password write %40"),
    ],
)
def test_urls_that_cannot_be_read_are_named_and_not_shown(command, url, sentence):
    done = toolworker(*command, DATABASE_URL=url)

    assert done.returncode in (1, 2)
    assert f"DATABASE_URL: {sentence}" in done.stderr
    assert "planted" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_abstract_unix_socket_is_a_host():
    done = toolworker("doctor", DATABASE_URL="postgresql:///db?host=@/no-such-server")

    assert "has a second @" not in done.stderr


def test_doctor_names_a_misspelt_setting_beside_the_one_that_is_missing_for_it():
    done = toolworker("doctor", DATABASE_URLS="planted", GENESYS_MAX_ATEMPTS="planted")
    text = "warning: {}: is no setting, and is ignored; {} was probably meant"

    assert text.format("DATABASE_URLS", "DATABASE_URL") in done.stderr.splitlines()
    assert text.format("GENESYS_MAX_ATEMPTS", "GENESYS_MAX_ATTEMPTS") in done.stderr.splitlines()
    assert "DATABASE_URL: is not set" in done.stderr
    assert "planted" not in done.stdout + done.stderr


def test_doctor_does_not_wait_for_what_only_a_person_can_fix():
    done = toolworker("doctor", "--wait", "--timeout", "50", REDIS_URL="redis://127.0.0.1:1/0")

    assert done.returncode == 1


def test_send_without_a_secret_names_it_and_exits_2():
    done = toolworker("send", "-", stdin="{}")

    assert done.returncode == 2
    assert "WEBHOOK_SECRETS: is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["runs list", "runs why r", "tools test", "send -"])
def test_a_command_that_misses_a_setting_names_make_up(command):
    done = toolworker(*command.split(), stdin="{}")

    assert done.returncode == 2
    assert ": is not set" in done.stderr
    assert done.stderr.endswith(
        "\nto try it here: make up prints a line that sets what is needed\n"
    )


def test_a_setting_that_make_up_does_not_print_is_not_sought_there():
    done = toolworker("flower", REDIS_URL="redis://127.0.0.1:1/0")

    assert done.stderr == (
        "the settings are wrong:\nFLOWER_PASSWORD: is not set (or FLOWER_PASSWORD_FILE)\n"
    )


def test_a_dashboard_without_a_password_does_not_start():
    done = toolworker("dashboard", REDIS_URL="redis://127.0.0.1:1/0")

    assert done.returncode == 2
    assert "DASHBOARD_PASSWORD: is not set (or DASHBOARD_PASSWORD_FILE)" in done.stderr


def test_send_to_an_unused_port_names_the_address_and_exits_1(free_port):
    url = f"http://127.0.0.1:{free_port()}/webhook/tool-calls"
    done = toolworker("send", "-", "--url", url, "--secret", "s", stdin="{}")

    assert done.returncode == 1
    assert f"no answer from {url}" in done.stderr
    assert "Traceback" not in done.stderr


def test_flower_on_a_port_that_is_taken_names_the_port(tmp_path):
    settings = {"REDIS_URL": "redis://127.0.0.1:1/0", "FLOWER_PASSWORD": "planted"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = toolworker("flower", "--port", port, "--db", str(tmp_path / "db"), **settings)

    assert done.returncode == 1
    assert f"cannot listen on port {port} of 127.0.0.1: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["demo", "up"])
@pytest.mark.parametrize(
    ("folder", "why"), [("file/below", "Not a directory"), ("loose", "File exists")]
)
def test_a_folder_that_cannot_be_used_is_named(tmp_path, command, folder, why):
    (tmp_path / "file").touch()
    (tmp_path / "loose").symlink_to("nowhere")
    done = toolworker(command, "--folder", str(tmp_path / folder))

    assert done.returncode == 1
    assert f"Error: {tmp_path / folder} cannot be used: {why}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("secrets", [",", " , "])
def test_secrets_of_commas_alone_are_a_mistake_and_no_traceback(secrets):
    done = toolworker("send", "-", stdin="{}", WEBHOOK_SECRETS=secrets)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_tools_check_prints_every_mistake_with_its_file_and_line(tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tool.json").write_text('{\n  "name": "other",\n')
    done = toolworker("tools", "check", "--dir", str(tmp_path))

    assert done.returncode == 1
    assert "broken/tool.json:" in done.stdout
    assert "Traceback" not in done.stderr


def test_tools_check_is_content_with_the_tools_that_ship():
    done = toolworker("tools", "check")

    assert (done.returncode, done.stdout) == (0, "3 tools, no mistakes\n")


DEAD = "postgresql://u:p@127.0.0.1:1/d"


def test_an_outage_of_the_database_is_one_sentence_and_not_a_difference_an_example():
    done = toolworker("tools", "test", DATABASE_URL=DEAD)

    assert (done.returncode, done.stdout) == (1, "")
    assert "Error: database default: nothing listens at that host and port" in done.stderr


def test_log_lines_stay_out_of_the_output_of_a_command():
    call = '{"order_number": "SO-100042"}'
    done = toolworker("tools", "call", "get_order", call, DATABASE_URL=DEAD)

    assert json.loads(done.stdout)["code"] == "unavailable"
    assert "database.unreachable" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_call_that_lacks_what_its_tool_binds_names_the_option():
    folder = str(_ROOT / "ops/dev/demo/tools")
    done = toolworker("tools", "call", "list_my_invoices", "{}", "--dir", folder, DATABASE_URL=DEAD)

    assert json.loads(done.stdout)["code"] == "forbidden"
    assert "list_my_invoices binds customer_id: give --bound '{\"customer_id\": …}'" in done.stderr


def test_a_reload_without_a_broker_names_the_next_command():
    done = toolworker("tools", "reload", REDIS_URL="redis://127.0.0.1:1/0")

    assert done.returncode == 1
    assert "is Redis up? try: toolworker doctor" in done.stderr


def test_an_export_without_an_address_names_the_option_with_an_example():
    done = toolworker("tools", "export", "--format", "terraform", "--out", "x")

    assert done.returncode == 2
    assert "--url names where Genesys reaches the endpoint, such as https://" in done.stderr


@pytest.mark.parametrize(
    "command", ["tools new one --dir /proc/self", "tools export --format ava --out /proc/self/x"]
)
def test_a_place_that_cannot_be_written_is_one_sentence(command):
    done = toolworker(*command.split())

    assert done.returncode == 1
    assert done.stderr.startswith("Error: /proc/self")
    assert "Traceback" not in done.stderr


def test_tools_list_names_each_tool_once():
    done = toolworker("tools", "list")

    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["get_order", "list_recent_tickets", "search_inventory"]
