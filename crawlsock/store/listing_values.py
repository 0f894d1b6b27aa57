"""Say what lists, counts, trees and charts are made of, as frozen values.

The law of this module: shapes only, as in `crawlsock.store.values`; moments are aware and in UTC,
rates are items a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from attrs import field, frozen

from crawlsock.store.views import AccountView, JobView, ProgressView, QueueView

Sort = Literal["newest", "oldest", "queue"]
Verb = Literal["cancel", "pause", "resume", "retry"]


class JobCount(NamedTuple):
    """Count the jobs of one account, type and state."""

    account: str
    type: str
    state: str
    jobs: int


class ItemSum(NamedTuple):
    """Sum what crawlers of an account's jobs have processed, and what failed."""

    account: str
    processed: int
    failed: int


class SessionRate(NamedTuple):
    """Sum the pace of the jobs that one crawler does for one account."""

    session_id: str
    account: str
    rate: float


class Minute(NamedTuple):
    """Say what happened in one minute: jobs that ended well, jobs that failed for good, items done.

    `minute` is its beginning. `account` is whose jobs it was; "" where a list sums over accounts.
    """

    minute: datetime
    account: str
    completed: int
    failed: int
    items: int


@frozen
class Matched:
    """Answer a verb that was done to jobs that match: how many matched, how many it changed, and what
    crawlers must be told.

    `next_cursor`: there may be more, ask from there.
    """

    examined: int
    affected: int
    orders: Sequence[Any] = ()
    next_cursor: str | None = None


@frozen
class Branch:
    """Show a job in a tree: itself, and the sums of it and all below it.

    `whole` False: so much is below it that the sums stop short.
    """

    job: JobView
    below: ProgressView
    whole: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the JOBVIEW object of the protocol with `below`."""
        jobs = self.below.jobs or {}
        sums = {
            "jobs": jobs,
            "descendants": max(0, sum(jobs.values()) - 1),
            "processed": self.below.processed,
            "failed": self.below.failed,
        }
        more: dict[str, Any] = {"partial": True}
        if self.whole:
            names = ("total", "percent", "rate", "time_left")
            more = {name: value for name in names if (value := getattr(self.below, name)) is not None}
        return {**self.job.as_json(), "below": {**sums, **more}}


@frozen
class TreePage:
    """Carry one page of the jobs right below a job, oldest first; `next_cursor` is None on the last."""

    children: list[Branch]
    next_cursor: str | None = None


@frozen
class Standing:
    """Hold what the store knows of a job's chances to run: everything but who is connected where.

    `at` is the store's present. `ahead` counts due jobs that go before it, at most `MOST_AHEAD`. `held_by` and
    `held_at` say who paused it, or a job above it, where that was written down. `error` is its last error.
    """

    at: datetime
    job: JobView
    account: AccountView
    queues: Sequence[QueueView] = ()
    ahead: int = 0
    held_by: str | None = None
    held_at: datetime | None = None
    error: Mapping[str, Any] | None = field(default=None)


MOST_AHEAD = 10_000
"""Beyond this, nobody counts on."""
