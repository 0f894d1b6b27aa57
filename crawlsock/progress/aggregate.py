"""Add up the progress of many jobs: a tree, an account, everything.

A sum is made of a few numbers (`Aggregate`), which a store may collect job by job (`add`) or by a GROUP BY;
what they mean to a person is decided here, once (`view`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import floor
from typing import Any, Final, NamedTuple

from attrs import Factory, define

from crawlsock.jobs import HELD, TERMINAL
from crawlsock.progress.counts import ALMOST, Entities, count
from crawlsock.store.views import ProgressView, Scope

_HELD: Final = frozenset(state.value for state in HELD)
_TERMINAL: Final = frozenset(state.value for state in TERMINAL)
_MEANINGFUL_SHARE: Final = 0.1
_LONGEST: Final = 30 * 86400.0


class Snapshot(NamedTuple):
    """Hold what one job contributes. `state` is the job's; the rest its last report, if it made one."""

    state: str
    stage: str | None = None
    entities: Entities = {}
    percent: float | None = None
    rate: float | None = None
    updated_at: datetime | None = None


class TypeSums(NamedTuple):
    """Sum one entity type over jobs; `open` counts the jobs that report it without a total."""

    discovered: int = 0
    processed: int = 0
    failed: int = 0
    total: int = 0
    open: int = 0


@define
class Aggregate:
    """Collect sums over jobs.

    `jobs` counts them by state. `live_share` is the sum over jobs that have not ended of how far they are,
    each 0 to 1. `discovering` counts live jobs in that stage, `vague` live jobs whose remaining work nobody
    knows (no report, or a type without a total). `rate` is the sum over jobs that are with a crawler, items
    a second; None if none has one.
    """

    jobs: dict[str, int] = Factory(dict)
    entities: dict[str, TypeSums] = Factory(dict)
    live_share: float = 0.0
    discovering: int = 0
    vague: int = 0
    rate: float | None = None
    updated_at: datetime | None = None

    def add(self, job: Snapshot) -> None:
        """Add one job."""
        self.jobs[job.state] = self.jobs.get(job.state, 0) + 1
        for kind, counts in job.entities.items():
            self.entities[kind] = _plus(self.entities.get(kind, TypeSums()), counts)
        if job.updated_at is not None and (self.updated_at is None or job.updated_at > self.updated_at):
            self.updated_at = job.updated_at
        if job.state in _TERMINAL:
            return
        self.live_share += (job.percent or 0.0) / 100
        self.discovering += job.stage == "discovering"
        self.vague += count(job.entities).open
        if job.rate is not None and job.state in _HELD:
            self.rate = (self.rate or 0.0) + job.rate

    def view(
        self,
        scope: Scope,
        *,
        job_id: str | None = None,
        account: str | None = None,
        elapsed: float | None = None,
    ) -> ProgressView:
        """Return what to show. `elapsed` (seconds since the work began) allows an estimate of the time left.

        Every job weighs the same: the size of one that has not begun is unknown. While a job lives the
        answer stays at 99 %, because it may still discover more.
        """
        live = sum(number for state, number in self.jobs.items() if state not in _TERMINAL)
        everything = sum(self.jobs.values())
        return ProgressView(
            scope=scope,
            job_id=job_id,
            account=account,
            stage=self._stage(live) if everything else None,
            entities={kind: _shown(sums) for kind, sums in sorted(self.entities.items())},
            processed=sum(sums.processed for sums in self.entities.values()),
            failed=sum(sums.failed for sums in self.entities.values()),
            total=self._total(),
            percent=self._percent(live, everything),
            rate=self.rate if live else None,
            time_left=self._time_left(live, everything, elapsed),
            jobs=dict(self.jobs),
            updated_at=self.updated_at,
        )

    def _stage(self, live: int) -> str:
        if self.discovering:
            return "discovering"
        if live:
            return "fetching"
        return "completed" if self.jobs.get("completed") else "failed"

    def _total(self) -> int | None:
        if self.vague or not self.entities or any(sums.open for sums in self.entities.values()):
            return None
        return sum(sums.total for sums in self.entities.values())

    def _percent(self, live: int, everything: int) -> float | None:
        if not everything:
            return None
        if not live:
            return 100.0
        return min(ALMOST, floor((everything - live + self.live_share) * 10000 / everything) / 100)

    def _time_left(self, live: int, everything: int, elapsed: float | None) -> float | None:
        if not live or self.discovering:
            return None
        total = self._total()
        if total is not None and self.rate:
            done = sum(min(sums.processed + sums.failed, sums.total) for sums in self.entities.values())
            return _bounded((total - done) / self.rate)
        share = (everything - live + self.live_share) / everything
        if elapsed is None or share < _MEANINGFUL_SHARE:
            return None
        return _bounded(elapsed * (1 - share) / share)


def job_view(
    job_id: str,
    job: Snapshot,
    *,
    seq: int | None = None,
    message: str | None = None,
    time_left: float | None = None,
    milestones: list[dict[str, Any]] | None = None,
) -> ProgressView:
    """Return what to show of a single job. Only a job that is with a crawler has a pace; a completed one is
    at 100."""
    counts = count(job.entities)
    held = job.state in _HELD
    completed = job.state == "completed"
    return ProgressView(
        scope="job",
        job_id=job_id,
        stage="completed" if completed else job.stage,
        seq=seq,
        entities={kind: dict(values) for kind, values in job.entities.items()},
        processed=counts.processed,
        failed=counts.failed,
        total=counts.total,
        percent=100.0 if completed else job.percent,
        rate=job.rate if held else None,
        time_left=time_left if held else None,
        message=message,
        updated_at=job.updated_at,
        milestones=milestones,
    )


def _plus(sums: TypeSums, counts: Mapping[str, Any]) -> TypeSums:
    total = counts.get("total")
    return TypeSums(
        sums.discovered + counts.get("discovered", 0),
        sums.processed + counts.get("processed", 0),
        sums.failed + counts.get("failed", 0),
        sums.total + (total or 0),
        sums.open + (total is None),
    )


def _shown(sums: TypeSums) -> dict[str, int]:
    shown = {"discovered": sums.discovered, "processed": sums.processed, "failed": sums.failed}
    if not sums.open:
        shown["total"] = sums.total
    return shown


def _bounded(seconds: float) -> float | None:
    return seconds if seconds <= _LONGEST else None
