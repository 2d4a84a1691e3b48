"""Lock a data folder for one stack, so that several can run at once."""

import fcntl
from pathlib import Path
from typing import IO

from ops.dev.children import StartError


def claim_folder(base: Path) -> IO[str]:
    """
    Take a folder that no other stack uses: *base*, else *base*/2, *base*/3 and so on.

    Returns:
        The open lock file in it, which holds the folder until it is closed or we end.

    Raises:
        StartError: It cannot be made or written to, or all are in use.
    """
    for folder in (base, *(base / str(number) for number in range(2, 100))):
        try:
            lock = _lock(folder)
        except OSError as exc:
            raise StartError(f"{folder} cannot be used: {exc.strerror}; see --folder") from exc
        if lock is not None:
            return lock
    raise StartError(f"{base} is in use by 99 other stacks; stop one or give another --folder")


def _lock(folder: Path) -> IO[str] | None:
    """The lock file of *folder*, held; None when another stack holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
