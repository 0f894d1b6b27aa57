"""Which server processes belong to a cluster, and how they are ended.

The law of this module: a process is ours only when it is a `postgres` whose working directory is the
cluster. A pid in a file proves nothing: after a crash the number may be somebody else's.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
from attrs import frozen

_READY: Final = "ready"
_FAST, _IMMEDIATE = signal.SIGINT, signal.SIGQUIT
# How long each way of asking is given. Fast shutdown writes a checkpoint, which takes a while on a slow disk.
_PATIENCE: Final = ((_FAST, 30.0), (_IMMEDIATE, 5.0), (signal.SIGKILL, 5.0))


@frozen
class PidFile:
    """What PostgreSQL's `postmaster.pid` says: line 1 the pid, 5 the socket directory, 8 the state."""

    pid: int
    socket_dir: str
    ready: bool


def read_pid_file(cluster: Path) -> PidFile | None:
    """Return the content of `postmaster.pid`, or None when there is none or it is being written."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid = int(lines[0])
    except (OSError, ValueError, IndexError):
        return None
    socket_dir = lines[4].strip() if len(lines) > 4 else ""
    return PidFile(pid=pid, socket_dir=socket_dir, ready=len(lines) > 7 and lines[7].strip() == _READY)


def find_postmaster(cluster: Path) -> psutil.Process | None:
    """Return the living postmaster of `cluster`, or None."""
    written = read_pid_file(cluster)
    if written is None or written.pid <= 0:
        return None
    try:
        process = psutil.Process(written.pid)
        return process if _belongs(process, cluster) else None
    except psutil.Error:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Tell whether this very process still runs; a zombie does not, nor does another one with its number."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end_postmaster(process: psutil.Process) -> None:
    """Stop a postmaster and wait until it is gone: fast, then immediate, then by force."""
    for number, patience in _PATIENCE:
        with suppress(psutil.Error):
            process.send_signal(number)
        if _gone([process], patience):
            return


def end_orphans(cluster: Path) -> int:
    """Kill the children that outlived their postmaster, and return how many there were.

    A backend that is stopped, or busy, does not notice that its postmaster died, and while it is attached
    to the shared memory no new postmaster may start. The cluster needs crash recovery either way, so
    nothing is lost.
    """
    orphans = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() in ("postgres", "postmaster") and _belongs(process, cluster):
                orphans.append(process)
    for process in orphans:
        with suppress(psutil.Error):
            process.kill()
    _gone(orphans, 5.0)
    return len(orphans)


def _belongs(process: psutil.Process, cluster: Path) -> bool:
    if process.status() == psutil.STATUS_ZOMBIE or process.name() not in ("postgres", "postmaster"):
        return False
    return os.path.realpath(process.cwd()) == os.path.realpath(cluster)


def _gone(processes: list[psutil.Process], patience: float) -> bool:
    # Not psutil.wait_procs: it would wait for a zombie whose parent never looks, as in a container without
    # an init.
    until = time.monotonic() + patience
    while any(is_alive(process) for process in processes):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
