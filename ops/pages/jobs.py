"""Background jobs of the pages: replay many dead letters, with progress."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ledger.admin import Mode, RunStore
from ledger.errors import LedgerUnavailable, NotReplayable
from runtime import logs

_KEPT = 20
_log = logs.get("dashboard")


@dataclass
class Job:
    """One replay of many: `refused` counts sentences, `stopped` is why it ended early, or ""."""

    name: str
    mode: Mode
    keys: Sequence[str]
    replayed: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    @property
    def done(self) -> int:
        """How many dead letters were taken."""
        return len(self.replayed) + self.refused.total()

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.done == len(self.keys) or bool(self.stopped)


class Jobs:
    """The newest jobs of this process, which forgets them when it ends; runs are unharmed."""

    def __init__(self, store: RunStore, changed: Callable[[], None]) -> None:
        self._store, self._changed = store, changed
        self._jobs: dict[str, Job] = {}

    def start(self, keys: Sequence[str], mode: Mode) -> Job:
        """Begin to replay *keys* in order."""
        job = Job(secrets.token_hex(8), mode, keys)
        while len(self._jobs) >= _KEPT:
            del self._jobs[next(iter(self._jobs))]
        self._jobs[job.name] = job
        threading.Thread(target=self._run, args=[job], name="replay", daemon=True).start()
        return job

    def find(self, name: str) -> Job | None:
        """The job, or None when it is too old."""
        return self._jobs.get(name)

    def _run(self, job: Job) -> None:
        for key in job.keys:
            try:
                self._store.replay(key, job.mode)
                job.replayed.append(key)
                _log.info("dashboard.replayed", key=key, mode=job.mode, job=job.name)
            except NotReplayable as error:
                job.refused[str(error)] += 1
            except LedgerUnavailable as error:
                job.stopped = str(error)
                break
        self._changed()
        _log.info(
            "dashboard.replayed_many",
            mode=job.mode,
            replayed=len(job.replayed),
            refused=job.refused.total(),
            stopped=job.stopped,
        )
