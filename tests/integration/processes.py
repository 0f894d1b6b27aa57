"""Real processes for tests: begun, watched, stopped, frozen and killed; none is left when the test is over.

The law: a process is known by the `Child` that began it, and ends with it. What it says goes into a file, which is
shown when a test fails. Nothing here waits by sleeping: `until` asks again and again through the reactor, up to a
deadline.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from attrs import define, field
from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater

ROOT: Final = Path(__file__).parents[2]
_POLL_SECONDS: Final = 0.02
_TAIL_LINES: Final = 40
_PR_SET_PDEATHSIG: Final = 1
reactor = cast(Any, installed_reactor)

T = TypeVar("T")


class TooLate(AssertionError):
    """Something did not happen before its deadline."""


async def until(what: str, ask: Callable[[], T | Awaitable[T]], seconds: float = 20.0) -> T:
    """Ask until the answer is true, and return it.

    :raise TooLate: it was not within `seconds`; the message says `what`, and what the last answer was.
    """
    deadline = reactor.seconds() + seconds
    while True:
        answer = ask()
        if isawaitable(answer):
            answer = await answer
        if answer:
            return cast(T, answer)
        if reactor.seconds() > deadline:
            raise TooLate(f"{what}: not within {seconds:g} s; last seen: {answer!r}")
        await deferLater(reactor, _POLL_SECONDS)


def listens(path: Path) -> bool:
    """Tell whether somebody takes connections on this Unix socket. A stale one refuses them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a process of ours: nothing of the tester's settings, and the code under test."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CRAWLSOCK_", "DATABASE_", "PYTHON"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(extra or {})}


def _die_with_parent() -> None:
    # Runs in the child: when the tests are killed, nobody is left who could end it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@define(eq=False)
class Child:
    """A process that was begun here."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to it, if it has not ended."""
        if self.alive:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait until the kernel has buried it."""
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def freeze(self) -> None:
        """Stop it with SIGSTOP: it lives, and does nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    async def ended(self, seconds: float = 20.0) -> int:
        """Wait until it has ended, and return its exit code."""
        await until(f"{self.name} ends", lambda: not self.alive, seconds)
        return int(self.process.returncode)

    async def terminated(self, seconds: float = 20.0) -> int:
        """Ask it to end (SIGTERM), and return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(seconds)

    def text(self) -> str:
        """Return what it said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """Return the JSON lines that it logged."""
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{") and line.endswith("}")]

    def said(self, words: str) -> bool:
        """Tell whether it said `words`."""
        return words in self.text()

    def tail(self) -> str:
        """Return its last lines, for people."""
        state = "alive" if self.alive else f"ended with {self.process.returncode}"
        last = "\n".join(self.text().splitlines()[-_TAIL_LINES:])
        return f"----- {self.name} (pid {self.pid}, {state})\n{last}\n"


@define(eq=False)
class Children:
    """All processes of a test, or of a whole session."""

    directory: Path
    children: list[Child] = field(factory=list)

    def begin(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        extra: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> Child:
        """Begin a process; a name that is used again continues the same log. `stdout`: default the log."""
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / f"{name}.log"
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=stdin,
                stdout=stream if stdout is None else stdout,
                stderr=stream,
                cwd=cwd or self.directory,
                env=environment(extra),
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        child = Child(name, log, process)
        self.children.append(child)
        return child

    def end_all(self) -> None:
        """Kill whatever is left, the youngest first."""
        for child in reversed(self.children):
            child.kill()
            if child.process.stdin is not None:
                child.process.stdin.close()

    def tails(self) -> str:
        """Return the last lines of every process."""
        return "\n".join(child.tail() for child in self.children)


def python(module: str, *arguments: str | os.PathLike[str]) -> list[str]:
    """Return the command line of one of our modules."""
    return [sys.executable, "-m", module, *(os.fspath(each) for each in arguments)]


def twistd(*arguments: str | os.PathLike[str]) -> list[str]:
    """Return the command line of twistd."""
    return [
        sys.executable,
        "-c",
        "from twisted.scripts.twistd import run; run()",
        *(os.fspath(each) for each in arguments),
    ]
