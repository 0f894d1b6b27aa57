"""Locks between processes that use one data directory: flock(2), which the kernel undoes for the dead."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crawlsock.postgres.errors import StartFailed


@contextmanager
def exclusive(path: Path, *, patience: float) -> Iterator[None]:
    """Hold `path` exclusively for the block; wait up to `patience` seconds for it.

    :raise StartFailed: another process held it all that time.
    """
    descriptor = _open(path)
    try:
        until = time.monotonic() + patience
        while not _try(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > until:
                raise StartFailed(f"another process has been starting or stopping {path.parent} for {patience:g} s")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


class Usage:
    """Our mark, a shared lock, on a cluster that we use. The last user is the one who may stop it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Mark the cluster as used by us. Call under the exclusive start lock; twice is once."""
        if self._descriptor is None:
            self._descriptor = _open(self._path)
            _try(self._descriptor, fcntl.LOCK_SH)

    def is_sole(self) -> bool:
        """Tell whether nobody else uses the cluster. Call under the start lock: asking lets go briefly."""
        descriptor = _open(self._path) if self._descriptor is None else self._descriptor
        try:
            sole = _try(descriptor, fcntl.LOCK_EX)
            if self._descriptor is not None:
                _try(descriptor, fcntl.LOCK_SH)
            return sole
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def release(self) -> None:
        """Take the mark back; nothing happens when there is none."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
