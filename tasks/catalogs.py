"""The tool catalogue of one worker: loaded before the fork, and replaced while it runs."""

import atexit
import mmap
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from db.catalog import Catalog, load
from db.errors import CatalogError
from runtime import logs, metrics, settings

_DIGEST_BYTES = 64
"""A SHA-256 in hexadecimal digits."""

_log = logs.get("worker")


class SharedCatalog:
    """
    The catalogue that all processes of a worker use.

    Made in the main process before it forks. A reload checks the tool folders once, there, keeps a
    copy of them, and writes the copy's digest into memory that all processes share; each compares
    that digest with its own catalogue's before a call. So a process that is busy, or one that
    replaces another, has the same tools as its siblings, whatever has become of the files by then.

    Args:
        source: The operator's tool folders.

    Raises:
        CatalogError: All mistakes at once.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self._catalog = load(source)
        self._digest = mmap.mmap(-1, _DIGEST_BYTES)  # anonymous: shared with what is forked later
        self._digest[:] = self._catalog.digest.encode()
        # the name is known before the fork, the folder made at the first reload
        name = f"toolworker-tools-{os.getpid()}-{secrets.token_hex(8)}"
        self._copies = Path(tempfile.gettempdir()) / name

    def current(self) -> Catalog:
        """The catalogue for the next call; the previous one if the new copy cannot be loaded."""
        digest = self._digest[:]
        if digest != self._catalog.digest.encode():
            try:
                self._catalog = load(self._copies / digest.decode())
            except (CatalogError, OSError, UnicodeDecodeError) as error:
                # another reload is replacing the copy right now: the next call loads that
                _log.warning("catalog.kept", catalog=self._catalog.digest, why=type(error).__name__)
            else:
                _log.info("catalog.changed", catalog=self._catalog.digest)
        return self._catalog

    def reload(self, databases: Collection[str]) -> Catalog:
        """
        Load and check the tool folders anew, for all processes. Call it in the main process.

        Args:
            databases: The names of those that have a URL.

        Raises:
            CatalogError: All mistakes at once; the catalogue stays as it was.
        """
        if not self._copies.is_dir():
            self._copies.mkdir(mode=0o700)
            atexit.register(_remove, self._copies, os.getpid())
        copy = Path(tempfile.mkdtemp(dir=self._copies))
        try:
            loaded = _load_copied(self._source, copy)
            missing = loaded.without_database(databases)
            if missing:
                raise CatalogError(missing)
            kept = self._copies / loaded.digest
            if not kept.exists():
                copy.rename(kept)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        self._catalog = loaded
        self._digest[:] = loaded.digest.encode()
        for older in self._copies.iterdir():
            if older != kept:
                shutil.rmtree(older, ignore_errors=True)
        for name in loaded.tools:
            metrics.count("tool_failures", 0, tool=name)  # Prometheus sees no increase to a first 1
        return loaded


@cache
def shared() -> SharedCatalog:
    """
    The catalogue of this worker; made by the main process before it forks.

    Raises:
        SettingsError, CatalogError: All mistakes at once.
    """
    return SharedCatalog(settings.load().tools_dir)


def gauge() -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """The metric that names the catalogue, as `metrics.serve_from` takes it."""
    return {"catalog": {(shared().current().digest,): 1.0}}


def _load_copied(source: Path, copy: Path) -> Catalog:
    """Copy the tool folders of *source* and load the copy: the originals may change meanwhile."""
    for folder in source.iterdir() if source.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith((".", "_")):
            (copy / folder.name).mkdir()
            for file in folder.iterdir():
                if file.is_file():
                    shutil.copyfile(file, copy / folder.name / file.name)
    if not any(copy.iterdir()):
        return load(source)  # reports that under the folder's own name
    return load(copy)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a child inherits what runs at its parent's exit
        shutil.rmtree(folder, ignore_errors=True)
