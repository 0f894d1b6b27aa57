"""Which server this is: an id that outlives the process, and that one process holds at a time."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from crawlsock.config.errors import BAD_CONFIGURATION
from crawlsock.secrets import read_private, write_once
from crawlsock.server.listener import IN_USE


class IdentityError(Exception):
    """There is no id to be had; the message says what a person should do, `exit_code` what the process ends with."""

    def __init__(self, message: str, exit_code: int = BAD_CONFIGURATION) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Identity:
    """The id of the server that has a data directory, the same after every restart, and held by one process.

    Sessions belong to a server by its id. Two processes with one id would take each other's crawlers for lost.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "server_id"
        self._lock: int | None = None

    def take(self) -> str:
        """Return the id, made at first start, and hold it. Raise `IdentityError` when another process does."""
        try:
            text = read_private(self._path)
        except FileNotFoundError:
            text = write_once(self._path, f"{uuid.uuid4()}\n")
        try:
            server_id = str(uuid.UUID(text.strip()))
        except ValueError:
            raise IdentityError(f"{self._path} holds no server id; remove it, and the server makes another") from None
        # The kernel ends the lock with the process, however that ends.
        lock = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise IdentityError(
                f"another server uses {self._path.parent}; stop it, or give this one its own data_dir", IN_USE
            ) from None
        self._lock = lock
        return server_id

    def release(self) -> None:
        """Hold the id no longer. Again is fine."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
