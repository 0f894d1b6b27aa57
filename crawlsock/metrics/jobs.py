"""Numbers about jobs: how many there are, and how those fared that went through this server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

from crawlsock.jobs import State
from crawlsock.metrics.families import Labels, by_one, counter, counters, gauge, gauges, histograms
from crawlsock.tally import OWN_TYPES
from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from crawlsock.server.assembly import Server

_PATIENCE: Final = 2.0
"""Seconds that a scrape waits for a count; then it shows the last one, and when that was taken."""
_STATES: Final = tuple(state.value for state in State)


class JobMetrics:
    """Tell about jobs. The counts of all jobs are the census's: of the whole database, the same on every server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._counts: dict[Labels, float] = {}
        self._counted_at: float | None = None

    async def refresh(self) -> None:
        """Ask the census; when it has no answer soon, the numbers stay those of before."""
        try:
            taken = await Deferred.fromCoroutine(self._server.census.jobs(None)).addTimeout(
                _PATIENCE, self._server.clock
            )
        except (Refusal, DeferredTimeout):
            return
        label = self._server.store.tally.label
        counts: dict[Labels, float] = {(type, state): 0 for type in OWN_TYPES for state in _STATES}
        for row in taken.value:
            key = (label(row.type), row.state)
            counts[key] = counts.get(key, 0) + row.jobs
        self._counts = counts
        self._counted_at = taken.at.timestamp()

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        tally = self._server.store.tally
        yield gauges("jobs", "Jobs in the database, by type and state.", ("type", "state"), self._counts)
        if self._counted_at is not None:
            yield gauge("jobs_counted_timestamp_seconds", "When the jobs were counted.", self._counted_at)
        yield counters(
            "jobs_submitted",
            "Jobs submitted or discovered through this server, by what became of them.",
            ("status",),
            by_one(tally.submitted),
        )
        yield counter("assignments", "Jobs given to crawlers of this server.", self._server.dispatcher.assigned)
        yield histograms(
            "job_wait_seconds",
            "How long jobs had been due when they were assigned, by type.",
            ("type",),
            [((type,), waited) for type, waited in tally.waited.items()],
        )
        yield histograms(
            "job_run_seconds",
            "How long attempts ran, from the start to their end, whatever it was, by type.",
            ("type",),
            [((type,), ran) for type, ran in tally.ran.items()],
        )
        yield counters(
            "attempts",
            "Attempts that ended, by type and how: completed; failed for good, or retried; cancelled; released "
            "unharmed; lost with their crawler, poisoned when that was once too often; stuck; credential refused.",
            ("type", "outcome"),
            {(type, outcome): count for type, ended in tally.ended.items() for outcome, count in ended.items()},
        )
        yield counters(
            "leases_lost",
            "Leases taken back: the session expired, its process is dead, or the job made no progress.",
            ("reason",),
            by_one(tally.leases_lost),
        )
        yield counters(
            "stale_messages",
            "Messages refused because their lease was no longer the job's, by type.",
            ("type",),
            self._stale(),
        )

    def _stale(self) -> dict[tuple[str, ...], float]:
        stale: dict[tuple[str, ...], float] = {}
        for (_, type), row in self._server.timing.rows.items():
            if self._server.router.catalog.types[type].about_job == "lease":
                stale[type,] = stale.get((type,), 0) + row.refused.get("lease_lost", 0)
        return stale
