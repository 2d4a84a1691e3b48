"""The running servers and programs of a stack: pids on disk, stopped newest first."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ops.dev.children import Child
from ops.dev.server import Server, free_port

Part = TypeVar("Part", Child, Server)

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the packages, from which programs are started."""


class Programs:
    """
    Servers and programs that belong together.

    `metrics_urls` has the metrics page of each program by its name, `env` what each is given.

    Args:
        folder: For logs and pids.json.
    """

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.env: Mapping[str, str] = {}
        self.metrics_urls: dict[str, str] = {}
        self._pids_file = folder / "pids.json"
        self._pids: dict[str, int] = {}
        self._to_stop: list[tuple[str, Callable[[], Any]]] = []
        self._children: dict[str, Child] = {}

    def launch(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> Child:
        """Start one program of this interpreter, in the common environment and *env*."""
        port = str(free_port())
        self.metrics_urls[name] = f"http://127.0.0.1:{port}/metrics"
        whole = {**self.env, "METRICS_PORT": port, **(env or {})}
        child = Child(name, arguments, env=whole, logs=self.logs, cwd=ROOT)
        self._children[name] = self.keep(name, child)
        return child

    def children(self, kind: str) -> list[Child]:
        """The programs of one kind, such as "worker" or "webhook", that have not ended."""
        found = [child for name, child in self._children.items() if name.split("-")[0] == kind]
        return [child for child in found if not child.has_ended]

    def next_name(self, kind: str) -> str:
        """A name such as "worker-2" for one more program of a kind."""
        return f"{kind}-{1 + sum(name.startswith(kind) for name in self._children)}"

    def keep(self, name: str, part: Part) -> Part:
        """Stop *part* in `stop`, and add its pid to pids.json."""
        # leaving a server also removes data that it keeps elsewhere
        leave = partial(part.__exit__, None, None, None) if isinstance(part, Server) else part.stop
        self._to_stop.append((name, leave))
        self._pids[name] = part.pid
        # replaced whole: a concurrent reader finds the old file
        written = self._pids_file.with_suffix(".new")
        written.write_text(json.dumps(self._pids, indent=1) + "\n")
        written.replace(self._pids_file)
        return part

    def stop(self) -> None:
        """
        Stop everything, the newest first. Twice is safe; a failure does not spare the rest.

        Raises:
            RuntimeError: What could not be stopped, when the rest is.
        """
        failures = []
        while self._to_stop:
            name, stop = self._to_stop.pop()
            try:
                stop()
            except KeyboardInterrupt:  # a second Ctrl-C must not leave servers behind
                self._to_stop.append((name, stop))
            except Exception as error:  # noqa: BLE001  (raised below, when every part was stopped)
                failures.append(f"{name}: {error}")
        if failures:
            raise RuntimeError("could not stop " + "; ".join(failures))
