"""Child process of a stack: start it, wait until it is ready, stop it by its pid."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ops.dev.server import die_with_parent, signals_held

_POLL_S = 0.05
_LOG_LINES = 15


class StartError(Exception):
    """A program of the stack did not come up; the message ends with the last lines of its log."""


class Child:
    """
    A program in a session of its own, so that Ctrl-C reaches us first and we stop it in turn.

    The kernel kills it when our thread ends without stopping it (Linux), so start it from a
    thread that lives as long as the stack, such as the main one.

    Args:
        name: Shown to people, and the name of the log file.

        arguments: The arguments of this interpreter, such as `["-m", "celery"]`.

        logs: The folder for `<name>.log`; an older log of that name is replaced.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], *, env: Mapping[str, str], logs: Path, cwd: Path
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        with self.log.open("wb") as log, signals_held():
            self._popen = subprocess.Popen(
                [sys.executable, *arguments],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )

    @property
    def pid(self) -> int:
        """The program's process id; also that of its session."""
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        """Whether the program has ended, for whatever reason."""
        return self._popen.poll() is not None

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """
        Return when *is_ready* returns True; it is called 20 times a second.

        Raises:
            StartError: The program ended, or *timeout_s* passed.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if self.has_ended:
                raise StartError(f"{self.name} ended with {self._popen.returncode}{self._tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} is not ready after {timeout_s:g} s{self._tail()}")
            time.sleep(_POLL_S)

    def succeed(self, *, timeout_s: float) -> None:
        """
        Return when the program has ended well.

        Raises:
            StartError: It ended with another code than 0, or not within *timeout_s*.
        """
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise StartError(f"{self.name} takes over {timeout_s:g} s{self._tail()}") from None
        if code:
            raise StartError(f"{self.name} ended with {code}{self._tail()}")

    def stop(self, sent: signal.Signals = signal.SIGTERM, *, grace_s: float = 8.0) -> None:
        """
        Signal the program to end, and kill it if it has not after *grace_s*. Twice is safe.

        Only this pid is signalled; gunicorn and Celery end their own children, also when killed.
        """
        if self.has_ended:
            return
        self._popen.send_signal(sent)
        try:
            self._popen.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def kill(self) -> None:
        """End the program at once (SIGKILL), as a machine that dies does."""
        self._popen.kill()
        self._popen.wait()

    def has_logged(self, text: str) -> bool:
        """Whether *text* is in the log by now."""
        return text in self.log.read_text(encoding="utf-8", errors="replace")

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([f"; {self.log} ends with:", *(f"  {x}" for x in lines[-_LOG_LINES:])])
