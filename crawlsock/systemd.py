"""Tell the service manager how the process is: systemd's notification protocol.

The law: one datagram a message, never waited for, never an error: a process that nobody watches runs like any other.
What is said is a sentence about the whole; what it is made of is not known here.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHDOG_PID: Final = "WATCHDOG_PID"
_DATAGRAMS: Final = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
STATUS_SECONDS: Final = 5.0
_LONGEST_STATUS: Final = 512


@frozen
class Manager:
    """The service manager that started this process, as it said in the environment.

    :ivar address: of its socket; one that begins with ``@`` is in the abstract namespace.
    :ivar watchdog: seconds within which it wants to hear that the process is well; None when it does not ask.
    """

    address: str
    watchdog: float | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int | None = None) -> Manager | None:
        """Return the manager; None when there is none.

        The variables are taken out of the environment: they are about this process, and its children (PostgreSQL says
        that it is ready, too) must not speak for it.
        """
        address = environ.pop(_SOCKET, "")
        asked = environ.pop(_WATCHDOG, "")
        about = environ.pop(_WATCHDOG_PID, "")
        if not address.startswith(("/", "@")) or len(address) < 2:
            return None
        mine = not about or about == str(os.getpid() if pid is None else pid)
        microseconds = int(asked) if asked.isascii() and asked.isdecimal() and mine else 0
        return cls(address, microseconds / 1e6 if microseconds else None)

    def notify(self, **fields: str) -> bool:
        """Send fields, ``READY="1"`` for instance; tell whether the manager's socket took them."""
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sender:
                sender.sendto(text.encode(), name)
        except OSError:
            return False
        return True


class Notifier:
    """Keep the manager informed. Does nothing without one.

    :param status: says in a sentence how the process is.
    :param well: whether the process should go on living; while it is not, the watchdog hears nothing, and the manager
        ends and restarts the process.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, manager: Manager | None, status: Callable[[], str], well: Callable[[], bool]
    ) -> None:
        self._clock = clock
        self._manager = manager
        self._status = status
        self._well = well
        self._said = ""
        self._loops: list[LoopingCall] = []

    def starting(self, status: str) -> None:
        """Say what the start waits for."""
        self._send(STATUS=_line(status))

    def ready(self) -> None:
        """Say that the process is ready, and go on saying how it is. Again is fine."""
        if self._manager is None:
            return
        self._said = _line(self._status())
        if not self._send(READY="1", STATUS=self._said):
            self._log.warn("The service manager does not listen at {address}", address=self._manager.address)
        if not self._loops:
            self._begin(STATUS_SECONDS, self._tell)
            if self._manager.watchdog is not None:
                # Twice as often as it must be, as systemd asks for.
                self._begin(self._manager.watchdog / 2, self._feed)

    def reloading(self) -> None:
        """Say that the configuration is being read; `ready` says that it was."""
        # systemd wants to know when, by the clock that no one sets.
        self._send(RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))

    def stopping(self, status: str) -> None:
        """Say that the process is about to end. The watchdog is still fed: leaving may take its time."""
        self._send(STOPPING="1", STATUS=_line(status))

    def stop(self) -> None:
        """Say nothing more. Again is fine."""
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.stop()

    def _begin(self, seconds: float, work: Callable[[], None]) -> None:
        loop = LoopingCall(work)
        loop.clock = self._clock
        loop.start(seconds, now=True).addErrback(lambda failure: self._log.failure("Telling systemd failed", failure))
        self._loops.append(loop)

    def _tell(self) -> None:
        status = _line(self._status())
        if status != self._said and self._send(STATUS=status):
            self._said = status

    def _feed(self) -> None:
        if self._well():
            self._send(WATCHDOG="1")
        else:
            self._log.error("This process is not well, and lets the watchdog end it: {status}", status=self._status())

    def _send(self, **fields: str) -> bool:
        return self._manager is not None and self._manager.notify(**fields)


def _line(text: str) -> str:
    """Return a sentence as one line of bounded length."""
    return " ".join(text.split())[:_LONGEST_STATUS]
