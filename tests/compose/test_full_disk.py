"""By the commands of docs/runbooks/redis-disk.md a ledger with a full disk recovers its runs."""

import pytest

from tests.compose.installation import Installation, blocks, wait_for
from tests.compose.project import ROOT, docker

pytestmark = pytest.mark.compose

_SMALL = """
volumes:
  ledger:
    driver_opts: {type: tmpfs, device: tmpfs, o: size=12m}
"""


@pytest.fixture
def ledger_alone(tmp_path):
    """A ledger on a disk of 12 MB, and nothing else of an installation."""
    installed = Installation(tmp_path)
    installed.make_certificate(days=1)
    installed.shell(blocks("Steps")[0])
    (installed.folder / "docker-compose.override.yml").write_text(_SMALL)
    holder = None
    try:
        installed("up -d --wait ledger")
        # a tmpfs is gone when no container has it
        volume = f"{installed.name}_ledger:/data"
        holder = docker("run", "-d", "--entrypoint", "sleep", "-v", volume, "redis:8", "infinity")
        yield installed
    finally:
        if holder is not None:
            docker("rm", "-f", holder)
        installed.remove()


def test_a_ledger_on_a_full_disk_ends_and_comes_back_with_all_that_it_confirmed(ledger_alone):
    make_room, start = blocks("Do", ROOT / "docs" / "runbooks" / "redis-disk.md")
    for number in range(3):
        ledger_alone.shell(f"ops/redis-cli ledger SET kept-{number} 1")
    ledger_alone(
        "exec -T ledger sh -c 'dd if=/dev/zero of=/data/temp-1.aof bs=1M count=20 2>/dev/null || :'"
    )
    (container,) = ledger_alone.containers("ledger")

    def has_ended():
        ledger_alone.run(f"ops/redis-cli ledger SET refused {'x' * 8_000}")
        return int(docker("inspect", "-f", "{{.RestartCount}}", container)) > 0

    wait_for(has_ended, within_s=60, what="the end of Redis")

    ledger_alone.shell(make_room)
    ledger_alone.shell(start)

    found = ledger_alone.shell("ops/redis-cli ledger KEYS 'kept-*'").split()
    assert sorted(found) == ["kept-0", "kept-1", "kept-2"]
    assert ledger_alone.shell("ops/redis-cli ledger SET again 1").strip() == "OK"
