"""Server process of a stack: start, readiness, stop, free ports; it ends with its parent."""

import ctypes
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

_START_S = 60.0
"""A server that fails ends; this is for one that a busy machine keeps waiting."""
_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# loaded here and not after a fork, where another thread's lock on the loader would never open
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def free_port() -> int:
    """
    A loopback port that nothing listens on at this moment, and that is given out once.

    No other process gives it out while this one lives: the program that it is for may take seconds
    to listen there. It is not one of those that the kernel gives to outgoing connections either.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _ports() -> Iterator[int]:
    """Ports in turn, a block after the other, of blocks that no other process has."""
    while True:
        yield from _claim_block()


def _claim_block() -> range:
    """Take a block of ports for as long as this process lives."""
    starts = range(_FIRST_PORT, _LAST_PORT - _BLOCK, _BLOCK)
    for start in secrets.SystemRandom().sample(starts, len(starts)):
        # a name in the kernel that is there once, and gone with its process; Linux alone has it
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0toolworker-ports-{start}")
        except OSError:
            claim.close()
            if sys.platform == "linux":
                continue
        else:
            _CLAIMS.append(claim)
        return range(start, start + _BLOCK)
    raise RuntimeError("other processes have claimed all ports")


_FIRST_PORT, _LAST_PORT, _BLOCK = 10_000, 32_000, 20  # Linux's own begin at 32768
_CLAIMS: list[socket.socket] = []
_PORTS = _ports()


@contextmanager
def signals_held() -> Iterator[None]:
    """
    Hold Ctrl-C and the like back while a program is started; `die_with_parent` lets them in again.

    Raised in the middle of a fork, in one of its hooks, a KeyboardInterrupt is printed and lost.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent(parent: int) -> None:
    """
    Run in a new process before its program: take signals, and end with the parent.

    The kernel does the latter on Linux; elsewhere nothing ends the program.

    Args:
        parent: Its pid, taken before the fork.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended between fork and prctl, so no signal will come
            os.kill(os.getpid(), signal.SIGKILL)


class Server:
    """
    One server program with its own port and data; `start` after `stop` finds the same data.

    Attributes: `url`, `port`, and `pid` while it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        url: str,
        port: int,
        log: Path,
        is_ready: Callable[[int], bool],
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.url, self.port = url, port
        self._command, self._log, self._is_ready = list(command), log, is_ready
        self._user, self._stop_signal = user, stop_signal
        self._popen: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._popen is not None  # noqa: S101  (set by start, which __init__ calls)
        return self._popen.pid

    def start(self) -> None:
        """
        Start the server and return when it answers.

        Raises:
            RuntimeError: It ended or did not answer in time; with the end of its log.
        """
        with self._log.open("ab") as log, signals_held():
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user,
                group=pwd.getpwnam(self._user).pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        deadline = time.monotonic() + _START_S
        # by its own pid: on a port that is taken, another program's server replies as well
        while not self._is_ready(self._popen.pid):
            if self._popen.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = self._log.read_text(errors="replace").splitlines()[-10:]
                raise RuntimeError("\n".join([f"{self._command[0]} did not start:", *tail]))
            time.sleep(0.02)

    def stop(self, sent: signal.Signals | None = None) -> None:
        """End the server by its pid, by default in its own quick and clean way. Twice is safe."""
        if self._popen is None or self._popen.poll() is not None:
            return
        self._popen.send_signal(sent or self._stop_signal)
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
