"""The demo's child processes: start, log, stop.

The law: a child that was started is ended by `stop`, first in order and then by force, with everything in its process
group; `stop` fires only when it is gone. What a child says goes into its log file.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

import crawlsock

_MOST_LINE = 1_000_000


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for children: without settings of ours, which are meant for another server.

    The folder of this very package goes first, so that children run the same crawlsock wherever they start.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("CRAWLSOCK_", "PG")) and name != "DATABASE_URL"
    }
    home = str(Path(crawlsock.__file__).resolve().parent.parent)
    paths = [os.path.abspath(path) for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([home, *paths]))
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def cause(reason: Failure) -> str:
    """Return how a process ended, in words."""
    error = reason.value
    if isinstance(error, ProcessTerminated):
        if error.signal is not None:
            return f"was killed by signal {error.signal} ({signal.Signals(error.signal).name})"
        return f"ended with exit code {error.exitCode}"
    return "ended" if isinstance(error, ProcessDone) else str(error)


class Child(ProcessProtocol):
    """One child process. `name` is what people are told; `log` is where its output goes.

    :param on_end: told how it ended when nobody had asked it to.
    :param first_line: fires with the first line of its stdout, which then does not go into the log.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        log: Path,
        on_end: Callable[[Child, str], None],
        first_line: Deferred[bytes] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._reactor = reactor
        self._on_end = on_end
        self._first_line = first_line
        self._heard = b""
        self._stopping = False
        self._gone: list[Deferred[None]] = []
        self.alive = False

    def start(self, command: Sequence[str], environ: Mapping[str, str], directory: Path) -> None:
        """Start the process; its stdin stays open as long as we live."""
        leash = [sys.executable, "-m", "crawlsock.demo.leash", str(os.getpid()), *command]
        with self.log.open("ab") as log:
            output: int | str = "r" if self._first_line is not None else log.fileno()
            self.alive = True
            self._reactor.spawnProcess(
                self, leash[0], leash, dict(environ), str(directory), childFDs={0: "w", 1: output, 2: log.fileno()}
            )

    @property
    def pid(self) -> int | None:
        """The process id while it lives."""
        return None if self.transport is None else self.transport.pid

    def outReceived(self, data: bytes) -> None:
        """Take the first line."""
        waiting = self._first_line
        if waiting is None:
            return
        self._heard += data
        line, newline, _ = self._heard.partition(b"\n")
        if newline or len(self._heard) > _MOST_LINE:
            self._first_line = None
            waiting.callback(line)

    def processEnded(self, reason: Failure) -> None:
        """Tell everybody."""
        self.alive = False
        gone, self._gone = self._gone, []
        for each in gone:
            each.callback(None)
        if not self._stopping:
            self._on_end(self, cause(reason))

    def stop(self, patience: float) -> Deferred[None]:
        """End it: SIGTERM now, SIGKILL after `patience` seconds; fires when it is gone. Again is fine."""
        self._stopping = True
        gone: Deferred[None] = Deferred()
        if not self.alive:
            gone.callback(None)
            return gone
        self._gone.append(gone)
        self._signal(signal.SIGTERM)
        late = self._reactor.callLater(patience, self.kill)

        def keep(result: None) -> None:
            if late.active():
                late.cancel()

        return gone.addCallback(keep)

    def kill(self) -> None:
        """End it and all of its process group at once."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        pid = self.pid
        if not self.alive or pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        if number == signal.SIGKILL:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)

    def last_words(self, count: int = 12) -> list[str]:
        """Return the last lines of the log."""
        try:
            with self.log.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 64 * 1024))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-count:]
