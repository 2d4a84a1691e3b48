"""The commands of docs/production.md work: start, backup, restore, rotation of each secret."""

import json
import threading

import pytest

from tests.compose.installation import blocks, wait_for
from tests.compose.project import docker

pytestmark = pytest.mark.compose


def test_the_first_start_answers_from_the_database_that_it_made(installation):
    installation.answer("first")
    (entry,) = [e for e in installation.submissions() if e["run_id"] == "first"]
    output = json.loads(entry["body"]["tool_calls"][0]["output"])
    assert output["items"][0]["quantity"] == 166


def test_the_dashboard_shows_a_run_to_an_operator_with_its_password(installation):
    installation.answer("run-for-the-dashboard")
    password = (installation.folder / "secrets" / "dashboard_password").read_text().strip()
    assert installation.dashboard_page("/", "another")[0] == 401

    def shows():
        status, text = installation.dashboard_page("/runs", password)
        assert status == 200
        return "run-for-the-dashboard" in text

    wait_for(shows, within_s=30, what="the run")


def test_a_restored_ledger_knows_what_it_knew_at_the_backup(installation):
    backup, restore = blocks("Backup and restore")
    installation.answer("before the backup")
    is_over = threading.Event()

    def send():
        number = 0
        while not is_over.is_set():
            installation.deliver(f"meanwhile-{number}")
            number += 1

    sender = threading.Thread(target=send)
    sender.start()
    try:
        installation.shell(backup)
    finally:
        is_over.set()
        sender.join()
    assert "auto-aof-rewrite-percentage\n100" in installation.shell(
        "ops/redis-cli ledger CONFIG GET auto-aof-rewrite-percentage"
    )
    workers = len(installation.containers("worker"))
    installation.answer("after the backup")

    restored, examined = restore.splitlines()
    installation.shell(restored)
    # a run that was answered since the backup, and whose answer is another one by now, is refused
    found = installation.run(examined).stderr.splitlines()
    assert [line for line in found if not line.startswith("dead letters: ")] == []

    secret = installation.webhook_secrets()[0]
    known = installation.post_signed("before the backup", secret)
    assert (known[0], known[1].get("duplicate")) == (202, True)
    forgotten = installation.post_signed("after the backup", secret)
    assert (forgotten[0], forgotten[1].get("duplicate")) == (202, None)
    assert len(installation.containers("worker")) == workers
    installation.answer("after the restore")


def test_a_backup_that_fails_ends_with_1_and_leaves_no_file(installation):
    installation("stop ledger")
    try:
        done = installation.run(
            "docker compose run --rm --no-deps -T --entrypoint sh ledger -c"
            " 'mv /data/appendonlydir /data/elsewhere'; ops/backup lost.tar"
        )
        assert done.returncode != 0
        assert not (installation.folder / "lost.tar").exists()
        assert not (installation.folder / "lost.tar.part").exists()
    finally:
        installation(
            "run --rm --no-deps -T --entrypoint sh ledger -c"
            " 'mv /data/elsewhere /data/appendonlydir'"
        )
        installation("start ledger")
    installation.answer("after the failed backup")


def test_the_webhooks_secret_is_rotated_with_two_good_ones_between(installation):
    first, then = blocks("Rotate a secret")[:2]
    (old,) = installation.webhook_secrets()
    installation.shell(first)
    new = installation.webhook_secrets()[0]
    installation.answer("with two secrets")
    assert installation.post_signed("signed with the old one", old)[0] == 202
    installation.shell(then)
    installation.answer("with the new secret")
    assert installation.webhook_secrets() == [new]
    assert installation.post_signed("with the old secret", old)[0] == 401


@pytest.fixture
def actions(installation):
    """Data actions beside the rest, as docs/genesys-actions.md adds them; their one secret."""
    (installation.folder / "secrets" / "actions_secrets").write_text("first-secret")
    installation.env["COMPOSE_PROFILES"] = "actions"
    try:
        installation("up -d --wait --no-deps actions")
        yield "first-secret"
    finally:
        installation("rm -s -f actions")
        del installation.env["COMPOSE_PROFILES"]


def test_the_data_actions_secret_is_rotated_with_two_good_ones_between(installation, actions):
    file = installation.folder / "secrets" / "actions_secrets"

    def status(secret):
        call = {"sku": "AB-1001", "warehouse": "US-WEST"}
        headers = {"X-API-Key": secret, "Content-Type": "application/json"}
        path = "/genesys/actions/search_inventory"
        return installation.ask("POST", path, json.dumps(call).encode(), headers)[0]

    wait_for(lambda: status(actions) == 200, within_s=30, what="data actions")
    first, then = blocks("Rotate a secret")[2:4]
    installation.shell(first)
    new, old = file.read_text().split(",")
    wait_for(lambda: status(new) == 200, within_s=30, what="the new secret")
    assert (old, status(old)) == (actions, 200)
    installation.shell(then)
    wait_for(lambda: status(new) == 200, within_s=30, what="the new secret alone")
    assert (file.read_text(), status(old)) == (new, 401)


def test_genesys_client_secret_is_rotated_and_what_it_refused_is_sent_again(installation):
    block = blocks("Rotate a secret")[4]
    assert "THE NEW CLIENT SECRET" in block
    installation.serve_simulator("made-new")
    installation.deliver("refused meanwhile")
    installation.shell(block.replace("THE NEW CLIENT SECRET", "made-new"))
    installation.wait_until_answered(["refused meanwhile"])
    installation.answer("with the new client secret")


def test_the_password_of_both_redis_is_rotated(installation):
    block = blocks("Rotate a secret")[5]
    users = installation.folder / "secrets" / "redis_users"
    old = users.read_text().split(">")[1].split()[0]
    installation.shell(block)
    installation.answer("with the new password of Redis")
    assert old not in users.read_text()
    for server in ("redis", "ledger"):
        (container,) = installation.containers(server)
        refused = docker("exec", "-e", f"REDISCLI_AUTH={old}", container, "redis-cli", "dbsize")
        assert "NOAUTH" in refused or "WRONGPASS" in refused


def test_the_reading_roles_password_is_rotated(installation):
    block = blocks("Rotate a secret")[6]
    url = installation.folder / "secrets" / "database_url"
    old = url.read_text()
    installation.shell(block)
    assert url.read_text() != old
    installation.answer("with the new password of the role")
    installation.shell("toolworker doctor")


def test_the_superusers_flowers_and_the_dashboards_passwords_are_rotated(installation):
    block = blocks("Rotate a secret")[7]
    installation.shell(block)
    password = (installation.folder / "secrets" / "flower_password").read_text().strip()
    status = "curl -so /dev/null -w '%{http_code}' --retry 20 --retry-all-errors"
    url = f"http://127.0.0.1:{installation.flower}/workers"
    assert installation.shell(f"{status} -u 'operator:{password}' {url}").endswith("200")
    (postgres,) = installation.containers("postgres")
    secret = (installation.folder / "secrets" / "postgres_password").read_text().strip()
    command = ["psql", "-h", "postgres", "-U", "postgres", "-Atc", "SELECT 1"]
    assert docker("exec", "-e", f"PGPASSWORD={secret}", postgres, *command) == "1"


def test_the_certificate_is_renewed_without_a_restart(installation):
    (block,) = blocks("Rotate a secret")[8:]
    installation.make_certificate(days=100)
    installation.shell(block)
    installation.answer("with the new certificate")


def test_every_block_of_these_sections_was_typed():
    assert [len(blocks(name)) for name in ("Steps", "Backup and restore", "Rotate a secret")] == [
        3, 2, 9
    ]  # fmt: skip
