"""
Monitor: the crawler's heartbeat, at the interval that the server named. It renews the session and its leases.

Memory and processor time are read from the operating system without further packages; where it does not tell,
they are left out.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from crawlsock.sdk.in_hand import JobsInHand
from crawlsock.sdk.job import Job
from crawlsock.sdk.outbox import Request
from crawlsock.sdk.requests import Requests
from crawlsock.sdk.values import HostBudget

MOST_HOSTS = 64


class Monitor:
    """
    Send a heartbeat every interval while connected; the first one at once.

    :ivar hosts: asked at every heartbeat for what hosts allow this crawler.
    """

    hosts: Callable[[], Iterable[HostBudget]] | None = None

    def __init__(self, in_hand: JobsInHand, requests: Requests, clock: IReactorTime) -> None:
        self._in_hand = in_hand
        self._requests = requests
        self._clock = clock
        self._log = Logger()
        self._born = clock.seconds()
        self._measured: tuple[float, float] | None = None
        self._last_failed = 0
        self._loop: LoopingCall | None = None

    def start(self, interval: float) -> None:
        """Begin, or go on at another interval. 0: the server wants none."""
        self.stop()
        if interval > 0:
            loop = self._loop = LoopingCall(self.beat)
            loop.clock = self._clock
            # A heartbeat that could not be made must not be the last one.
            loop.start(interval, now=True).addErrback(self._failed, interval)

    def stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and loop.running:
            loop.stop()

    def beat(self) -> None:
        """Send one heartbeat."""
        self._requests.send(Request("heartbeat", self.state(), keep=False))

    def _failed(self, failure: Any, interval: float) -> None:
        self._log.failure("A heartbeat could not be made", failure)
        self._clock.callLater(interval, self.start, interval)

    def state(self) -> dict[str, Any]:
        """Say how the crawler is, as a heartbeat's body."""
        in_hand = self._in_hand
        jobs = in_hand.jobs
        body: dict[str, Any] = {
            "status": self.status(jobs),
            "active_jobs": [job.id for job in jobs],
            "totals": {
                "completed": in_hand.completed,
                "failed": in_hand.failed,
                "items": in_hand.items + sum(job.report.fresh() for job in jobs if job.reported),
            },
            "uptime_seconds": round(self._clock.seconds() - self._born, 3),
        }
        memory = resident_bytes()
        if memory is not None:
            body["memory_bytes"] = memory
        percent = self._cpu_percent()
        if percent is not None:
            body["cpu_percent"] = percent
        hosts = self._host_budgets()
        if hosts:
            body["hosts"] = hosts
        return body

    def _host_budgets(self) -> list[dict[str, Any]]:
        """Ask the crawler. What goes wrong there must not cost it its heartbeat, and with it its session."""
        if self.hosts is None:
            return []
        try:
            return [budget.fields() for budget in islice(self.hosts(), MOST_HOSTS)]
        except Exception:
            self._log.failure("The crawler could not tell what its hosts allow")
            return []

    def status(self, jobs: list[Job]) -> str:
        """
        Derive the one word from the jobs' stages.

        `error`: jobs have failed since the last heartbeat and none is being worked on. Such a crawler only fails.
        """
        failed, self._last_failed = self._last_failed, self._in_hand.failed
        if not jobs:
            return "error" if self._in_hand.failed > failed else "idle"
        stages = {job.report.stage_now if job.reported else "fetching" for job in jobs}
        return "discovering" if stages == {"discovering"} else "crawling"

    def _cpu_percent(self) -> float | None:
        """Processor time used since the last heartbeat, in percent of one core; `None` at the first."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        now = (self._clock.seconds(), usage.ru_utime + usage.ru_stime)
        before, self._measured = self._measured, now
        if before is None or now[0] <= before[0]:
            return None
        return round(100 * (now[1] - before[1]) / (now[0] - before[0]), 1)


def resident_bytes() -> int | None:
    """Return the resident memory of this process, in bytes, where `/proc` tells."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
