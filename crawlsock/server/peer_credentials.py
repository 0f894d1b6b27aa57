"""Who is at the other end of a Unix socket, and whether that process still lives: what the kernel knows.

The law: only the kernel is asked, never the peer. TCP answers the same questions with lies, so the family of the
socket comes first.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_SO_PEERPIDFD: Final = 77
"""Linux 6.5; not in Python's socket module before 3.14."""
_UCRED = struct.Struct("3i")
_STARTTIME_FIELD: Final = 22
"""Of /proc/<pid>/stat, counted from 1 as proc(5) does."""


@frozen
class PeerCredentials:
    """The process at the other end: `start` and `boot_id` tell it from a later one with the same pid."""

    pid: int
    uid: int
    gid: int
    start: int | None
    boot_id: str | None


def peer_credentials(handle: socket.socket) -> PeerCredentials | None:
    """Return who connected this socket, or None when it is no Unix socket or the system does not say."""
    if handle.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    pid, uid, gid = _UCRED.unpack(handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if pid <= 0:
        # A process outside of our pid namespace: there is nobody to watch.
        return None
    return PeerCredentials(pid, uid, gid, process_start(pid), boot_id())


def peer_pidfd(handle: socket.socket) -> int | None:
    """Return a descriptor of the process that connected this Unix socket, or None when there is none to be had.

    ``SO_PEERPIDFD`` names the very process that connected; ``pidfd_open`` of its pid, on older kernels, names
    whoever has that pid now, so the start time is compared.
    """
    if handle.family != socket.AF_UNIX:
        return None
    try:
        return _pidfd_option(handle)
    except OSError:
        pass
    found = peer_credentials(handle)
    return None if found is None else open_pidfd(found.pid, found.start)


def _pidfd_option(handle: socket.socket) -> int:
    return handle.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)


def open_pidfd(pid: int, start: int | None) -> int | None:
    """Return a descriptor of the process `pid` that began at `start`; None when it is gone or cannot be watched."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    # Only now: a process that is watched keeps its pid, so this compares the right one.
    if start is not None and process_start(pid) != start:
        os.close(descriptor)
        return None
    return descriptor


def is_alive(pid: int, start: int | None) -> bool:
    """Tell whether the process `pid` that began at `start` lives; one that has ended and waits to be read does not."""
    now = process_start(pid)
    return now is not None and (start is None or now == start)


def process_start(pid: int) -> int | None:
    """Return when the process began, in ticks since boot; None when it is gone, or dead and not yet waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name of the program stands in parentheses and may hold anything, parentheses and spaces too.
    fields = stat[stat.rindex(")") + 2 :].split()
    state, start = fields[0], fields[_STARTTIME_FIELD - 3]
    return None if state in ("Z", "X") else int(start)


def boot_id() -> str | None:
    """Return what is different after every boot of this machine, and within every container's kernel the same."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


@implementer(IReadDescriptor)
class ProcessWatch:
    """Call back once when a process has ended.

    A pidfd becomes readable when its process ends and is silent when only a connection was closed.

    :param descriptor: a pidfd; closed by this object.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet, descriptor: int, ended: Callable[[], None]) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._ended: Callable[[], None] | None = ended
        reactor.addReader(self)

    def fileno(self) -> int:
        """Return the pidfd, or -1 when it is closed, as the reactor expects."""
        return self._descriptor

    def logPrefix(self) -> str:
        """Name this in the log."""
        return "process"

    def doRead(self) -> None:
        """Take the reactor's word that the process has ended."""
        ended = self._ended
        self.stop()
        if ended is not None:
            ended()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop watching: the reactor is ending or could not read."""
        self.stop()

    def dead(self) -> bool:
        """Tell, without waiting for the reactor, whether the process has ended."""
        if self._descriptor < 0:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def stop(self) -> None:
        """Stop watching. Again is fine."""
        if self._descriptor < 0:
            return
        self._ended = None
        self._reactor.removeReader(self)
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise


class ProcessWatcher:
    """Watch processes, where the system and the reactor can.

    :param reactor: None, or one without `IReactorFDSet`, watches nothing: deadlines then do the work alone.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor if IReactorFDSet.providedBy(reactor) else None

    def of_socket(self, handle: socket.socket, ended: Callable[[], None]) -> ProcessWatch | None:
        """Watch the process that connected this socket."""
        if self._reactor is None:
            return None
        descriptor = peer_pidfd(handle)
        return None if descriptor is None else ProcessWatch(self._reactor, descriptor, ended)

    def of_process(self, pid: int, start: int | None, ended: Callable[[], None]) -> ProcessWatch | None:
        """Watch a process known by pid and start time; None when it cannot be watched, or is gone."""
        if self._reactor is None:
            return None
        descriptor = open_pidfd(pid, start)
        return None if descriptor is None else ProcessWatch(self._reactor, descriptor, ended)
