"""Answer what people look at: lists, counts, trees, charts, and verbs done to all that match.

The law of this module: no question costs more than its page. A list looks at candidates in portions, and stops when its
time is up; the answer then says how far it got.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Final

import attrs

from crawlsock.jobs import State
from crawlsock.store.listing_values import (
    MOST_AHEAD,
    Branch,
    ItemSum,
    JobCount,
    Matched,
    Minute,
    SessionRate,
    Standing,
    TreePage,
    Verb,
)
from crawlsock.store.pool import Row
from crawlsock.store.postgres.base import deferred, dumps, loads
from crawlsock.store.postgres.reads import Reads, aggregate, job_row
from crawlsock.store.postgres.scan import Place, Scan, plan
from crawlsock.store.values import AccountView, JobFilter, JobPage, JobView, Order
from crawlsock.wire.errors import Refusal

LIST_SECONDS: Final = 0.02
"""When this is over, a list is answered with what was found."""
_PORTION: Final = 800
_LARGEST_PORTION: Final = 8000
"""Candidates that one statement looks at."""
_COUNT_IS_OLD: Final = 600.0
"""Seconds after which a list has the jobs counted anew: for what is more and what is less, an old count is good."""
_MOST_BELOW: Final = 20_000
"""Jobs that the sums of one page of a tree look at."""

_ACTS_ON: Final[dict[str, frozenset[str]]] = {
    "cancel": frozenset({"queued", "assigned", "running", "paused", "waiting_credential"}),
    "pause": frozenset({"queued", "assigned", "running", "waiting_credential"}),
    "resume": frozenset({"paused", "assigned", "running"}),
    "retry": frozenset({"failed", "cancelled"}),
}
"""The states in which a verb can change a job; others are not even looked for."""


class Listing(Reads):
    """The part of the store that lists and counts.

    :ivar list_seconds: how long a list may take; portions get smaller as it comes near.
    """

    list_seconds: float = LIST_SECONDS

    _counts: list[JobCount] | None = None
    _counted_at: float | None = None
    _counting = False

    @deferred
    async def jobs(self, filter: JobFilter) -> JobPage:
        place = None if filter.cursor is None else Place.read(filter.sort, filter.cursor)
        scan = plan(filter, self._counts)
        if scan is None:
            return JobPage([])
        if scan.chosen:
            self._count_for_next_time()
        until = self.clock.seconds() + self.list_seconds
        found: list[JobView] = []
        portion = filter.limit + 1 if scan.exact else _PORTION
        while True:
            began = self.clock.seconds()
            rows = await self._portion(scan, place, filter.limit + 1 - len(found), portion)
            found += [job_row(row[1:]) for row in rows if row[1] is not None]
            if len(found) > filter.limit:
                last = found[filter.limit - 1]
                return JobPage(found[: filter.limit], _place(filter.sort, last).cursor())
            if rows[0][0] is None:
                return JobPage(found)
            place = Place.read(filter.sort, rows[0][0])
            now = self.clock.seconds()
            # No more than fits into the time that is left, as fast as the last portion went.
            affordable = portion * (until - now) / max(now - began, 0.001)
            if affordable < _PORTION:
                return JobPage(found, place.cursor(), place.at)
            portion = min(max(_PORTION, portion * 4), _LARGEST_PORTION, int(affordable))

    def _count_for_next_time(self) -> None:
        """Count jobs, unless that was done lately, so that later lists know which index is the shortest."""
        old = self._counted_at is None or self.clock.seconds() - self._counted_at > _COUNT_IS_OLD
        if old and not self._counting:
            self._counting = True
            self.census().addErrback(self._not_counted).addCallback(self._counted)

    def _not_counted(self, failure: Any) -> None:
        # The database is away: the next list tries again, and meanwhile states are taken for rarer than accounts.
        failure.trap(Refusal)

    def _counted(self, _: object) -> None:
        self._counting = False

    def _portion(self, scan: Scan, place: Place | None, limit: int, budget: int) -> Any:
        values: dict[str, Any] = {**scan.values, "limit": limit, "budget": budget}
        if place is not None:
            values.update(at=place.at, after=place.job_id, priority=place.priority)
        return self.read("jobs", values, **scan.parts(place))

    @deferred
    async def job_counts(self) -> dict[str, int]:
        counts = {state.value: 0 for state in State}
        counts.update((row[0], row[1]) for row in await self.read("job_counts"))
        return counts

    @deferred
    async def census(self) -> list[JobCount]:
        self._counts = [JobCount(*row) for row in await self.count("census")]
        self._counted_at = self.clock.seconds()
        return self._counts

    @deferred
    async def item_sums(self) -> list[ItemSum]:
        return [ItemSum(account, done or 0, failed or 0) for account, done, failed in await self.count("item_sums")]

    @deferred
    async def rates(self) -> list[SessionRate]:
        return [SessionRate(*row) for row in await self.count("rates")]

    @deferred
    async def control_jobs(self, verb: Verb, filter: JobFilter, *, reason: str | None, actor: str) -> Matched:
        states = _ACTS_ON[verb] & (filter.states or _ACTS_ON[verb])
        if not states:
            return Matched(0, 0)
        page = await self.jobs(attrs.evolve(filter, states=states, sort="newest"))
        if not page.jobs:
            return Matched(0, 0, (), page.next_cursor)
        ids = [job.job_id for job in page.jobs]
        shown = dumps(described(filter))
        affected, orders = (
            await self.function(
                "control_jobs(%s, %s::uuid[], %s, %s, %s, %s::jsonb)", verb, ids, sorted(states), reason, actor, shown
            )
        )[0]
        self._committed()
        if verb in ("resume", "retry"):
            self._work()
        return Matched(len(ids), affected, [Order(*order) for order in loads(orders)], page.next_cursor)

    @deferred
    async def job_tree(self, job_id: str, limit: int, cursor: str | None = None) -> TreePage:
        place = Place("oldest", _LONG_AGO, _LOWEST) if cursor is None else Place.read("oldest", cursor)
        await self.job(job_id)
        values = {"job_id": job_id, "at": place.at, "after": place.job_id, "limit": limit + 1}
        rows = await self.read("job_tree", values)
        jobs = [job_row(row) for row in rows[:limit]]
        sums = await self._sums_below([job.job_id for job in jobs])
        children = []
        for job in jobs:
            row = sums[job.job_id]
            below = aggregate(row[2:9]).view("tree", job_id=job.job_id, elapsed=row[9])
            children.append(Branch(job, below, whole=row[1]))
        return TreePage(children, _place("oldest", jobs[-1]).cursor() if len(rows) > limit else None)

    async def _sums_below(self, job_ids: list[str]) -> dict[str, Row]:
        if not job_ids:
            return {}
        rows = await self.read("sums_below", {"tops": job_ids, "most": _MOST_BELOW + len(job_ids)})
        return {row[0]: row for row in rows}

    @deferred
    async def standing(self, job_id: str) -> Standing:
        job = await self.job(job_id, frozenset({"errors"}))
        at, *account = (await self.read("account", {"account": job.account}))[0]
        ahead, paused = 0, []
        if job.state == State.QUEUED.value:
            values = {"job_id": job_id, "priority": job.priority, "run_at": job.run_at, "most": MOST_AHEAD}
            ahead = (await self.read("jobs_ahead", values))[0][0]
        elif job.state == State.PAUSED.value or job.pause_requested:
            paused = await self.read("who_paused", {"job_id": job_id})
        held_by, held_at = paused[0] if paused else (None, None)
        error = job.errors[-1] if job.errors else None
        return Standing(at, job, AccountView(*account), await self.queues(), ahead, held_by, held_at, error)

    @deferred
    async def oldest_queued(self, accounts: frozenset[str] | None) -> JobView | None:
        if accounts is None:
            rows = await self.read("oldest_queued")
        else:
            rows = await self.read("oldest_queued_of_accounts", {"accounts": sorted(accounts)})
        found = await self.read("job", {"job_id": rows[0][0]}) if rows else []
        return job_row(found[0]) if found else None

    @deferred
    async def add_activity(self, minutes: Sequence[Minute], server_id: str, before: datetime) -> None:
        rows = [[each.minute, each.account, each.completed, each.failed, each.items] for each in minutes]
        await self.function("add_activity(%s::jsonb, %s::uuid, %s::timestamptz)", dumps(rows), server_id, before)

    @deferred
    async def activity(self, since: datetime, accounts: frozenset[str] | None) -> list[Minute]:
        values = {"since": since, "accounts": None if accounts is None else sorted(accounts)}
        return [Minute(row[0], "", *row[1:]) for row in await self.read("activity", values)]


_LONG_AGO: Final = datetime(1900, 1, 1, tzinfo=timezone.utc)
_LOWEST: Final = "00000000-0000-0000-0000-000000000000"


def _place(sort: str, job: JobView) -> Place:
    return Place(sort, job.run_at if sort == "queue" else job.created_at, job.job_id, job.priority)


def described(filter: JobFilter) -> dict[str, Any]:
    """Return a filter as the audit shows it: what was asked for, and nothing else."""
    leave_out = ("limit", "cursor", "sort", "accounts")
    chosen = {
        attribute.name: getattr(filter, attribute.name)
        for attribute in attrs.fields(JobFilter)
        if attribute.name not in leave_out
    }
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in chosen.items() if value}
