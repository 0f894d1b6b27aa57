"""Where a demo keeps its files, and how they go away again.

The law: a directory that we made is private and is removed at the end; one that was named by the user is never
removed, and nothing in it is but what we put there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from attrs import define

from crawlsock.postgres import EmbeddedPostgres, EmbeddedPostgresError

_LONGEST_SOCKET = 100
_SOCKET = "crawlsock.sock"


@define
class Place:
    """The directories of one demo. `ours`: the data directory is a temporary one, made for this run."""

    data: Path
    runtime: Path
    ours: bool
    prefer: str | None = None

    @classmethod
    def make(cls, data_dir: str | None, prefer: str | None = None) -> Place:
        """Make what is missing. `prefer` is whose PostgreSQL it has. Raises `OSError` when that cannot be."""
        if data_dir is None:
            data = Path(tempfile.mkdtemp(prefix="crawlsock-demo-"))
            if os.geteuid() == 0:
                # PostgreSQL refuses to run as root; the account that it gets must be able to pass through here.
                data.chmod(0o711)
        else:
            data = Path(data_dir).expanduser().absolute()
            data.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        runtime = data / "run"
        if len(os.fsencode(runtime / _SOCKET)) > _LONGEST_SOCKET:
            # The path of a Unix socket has 107 bytes at most.
            runtime = Path(tempfile.mkdtemp(prefix="crawlsock-", dir="/tmp"))
        place = cls(data, runtime, data_dir is None, prefer)
        for folder in (place.logs, place.output):
            folder.mkdir(mode=0o700, exist_ok=True)
        return place

    @property
    def logs(self) -> Path:
        """What the children say."""
        return self.data / "logs"

    @property
    def output(self) -> Path:
        """What the crawlers write."""
        return self.data / "output"

    @property
    def tokens(self) -> Path:
        """The tokens that the server makes."""
        return self.data / "tokens"

    @property
    def socket(self) -> Path:
        """The server's socket."""
        return self.runtime / _SOCKET

    def stop_database(self) -> None:
        """End the embedded PostgreSQL if the server could not, and remove it when the place is ours; blocks."""
        postgres = self.data / "postgres"
        if not postgres.exists():
            return
        embedded = EmbeddedPostgres(postgres, prefer=self.prefer)
        try:
            if self.ours:
                embedded.destroy()
            else:
                embedded.stop(force=True)
        except EmbeddedPostgresError:
            pass  # it never came to life; what it left is below the directory that goes away

    def remove(self, keep_logs: bool) -> Path | None:
        """Remove what we made; return where the logs are if they are to be kept."""
        if self.runtime.parent != self.data:
            shutil.rmtree(self.runtime, ignore_errors=True)
        if not self.ours:
            return self.logs
        if not keep_logs:
            shutil.rmtree(self.data, ignore_errors=True)
            return None
        for entry in list(self.data.iterdir()):
            if entry != self.logs:
                shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
        return self.logs
