"""
Meter: what a stretch of work cost, in seconds and in CPU seconds by process.

The law: figures only; nothing is started or stopped here. CPU seconds are kept beside every rate because they mean the
same on a busy machine, where a rate does not.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import psycopg2

CLIENT = "client"


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and all below it, those that have ended included."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for each in family:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended between two lines; its parent has its time, or will
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Meter:
    """Measure from `start()` to `stop()`: this process is the client, `pids` names the others."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = {CLIENT: os.getpid(), **pids}
        self._cpu: dict[str, float] = {}
        self._began = 0.0

    def start(self) -> None:
        """Begin."""
        self._cpu = self._read()
        self._began = time.perf_counter()

    def stop(self) -> dict[str, Any]:
        """Return `seconds`, and `cpu`: CPU seconds by process."""
        seconds = time.perf_counter() - self._began
        cpu = self._read()
        return {"seconds": seconds, "cpu": {name: cpu[name] - self._cpu[name] for name in cpu}}

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}


def machine(dsn: str) -> dict[str, Any]:
    """Describe what all this runs on, and how durable the database is."""
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            settings = {}
            for name in ("server_version", "fsync", "synchronous_commit", "wal_sync_method"):
                cursor.execute("SELECT current_setting(%s)", (name,))
                settings[name] = (cursor.fetchone() or ("unknown",))[0]
    finally:
        connection.close()
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "postgresql": settings.pop("server_version"),
        **settings,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
