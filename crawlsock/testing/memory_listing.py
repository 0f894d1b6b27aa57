"""List, count and sum over `World`, and do verbs to all that match: what `crawlsock.store.listing` promises."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from crawlsock.jobs import HELD, LIVE, Action, State
from crawlsock.progress import Aggregate, Snapshot, count
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
from crawlsock.store.values import AccountView, JobFilter, JobPage, JobView
from crawlsock.testing import memory_accounts, memory_jobs, memory_views
from crawlsock.testing.memory_presence import Presence
from crawlsock.testing.memory_rows import JobRow, World
from crawlsock.wire.errors import ErrorCode, Refusal

_ACTS_ON = {
    "cancel": LIVE,
    "pause": LIVE - {State.PAUSED},
    "resume": HELD | {State.PAUSED},
    "retry": frozenset({State.FAILED, State.CANCELLED}),
}


class Listing(Presence):
    """The verbs of `crawlsock.store.listing.IListing`."""

    def census(self) -> Deferred[list[JobCount]]:
        """Count jobs by account, type and state."""
        return self._do(census)

    def item_sums(self) -> Deferred[list[ItemSum]]:
        """Sum items by account."""
        return self._do(item_sums)

    def rates(self) -> Deferred[list[SessionRate]]:
        """Return who is how fast."""
        return self._do(rates)

    def control_jobs(self, verb: Verb, filter: JobFilter, *, reason: str | None, actor: str) -> Deferred[Matched]:
        """Do a verb to all that match."""
        return self._do(control_jobs, verb, filter, reason, actor)

    def job_tree(self, job_id: str, limit: int, cursor: str | None = None) -> Deferred[TreePage]:
        """Show what is right below a job."""
        return self._do(job_tree, job_id, limit, cursor)

    def standing(self, job_id: str) -> Deferred[Standing]:
        """Say how a job stands."""
        return self._do(standing, job_id)

    def oldest_queued(self, accounts: frozenset[str] | None) -> Deferred[JobView | None]:
        """Return who waits for longest."""
        return self._do(oldest_queued, accounts)

    def add_activity(self, minutes: Sequence[Minute], server_id: str, before: datetime) -> Deferred[None]:
        """Record what happened."""
        return self._do(add_activity, minutes, before)

    def activity(self, since: datetime, accounts: frozenset[str] | None) -> Deferred[list[Minute]]:
        """Return what happened."""
        return self._do(activity, since, accounts)


def jobs(world: World, wanted: JobFilter) -> JobPage:
    """List jobs. The cursor is the sort and the number of the last job shown."""
    found = [job for job in world.jobs.values() if matches(world, job, wanted)]
    if wanted.sort == "queue":
        found = [job for job in found if job.state is State.QUEUED]
        found.sort(key=lambda job: (-job.priority, job.run_at, job.number))
    elif wanted.sort == "newest":
        found.reverse()
    start = 0
    if wanted.cursor is not None:
        start = _after(found, wanted)
    page = found[start : start + wanted.limit]
    more = len(found) > start + len(page)
    cursor = f"{wanted.sort}:{_place(page[-1], wanted.sort)}" if more else None
    return JobPage([memory_views.view(world, job) for job in page], cursor)


def _place(job: JobRow, sort: str) -> str:
    return f"{job.priority}:{job.run_at.timestamp()!r}:{job.number}" if sort == "queue" else str(job.number)


def _after(found: list[JobRow], wanted: JobFilter) -> int:
    """Return how many of the jobs found come before the place that the cursor names, itself included."""
    sort, *place = (wanted.cursor or "").split(":")
    try:
        numbers = [float(part) for part in place]
        if sort != wanted.sort or len(numbers) != (3 if sort == "queue" else 1):
            raise ValueError(place)
    except ValueError:
        message = "the cursor is none that was given out for this list: leave it out to start anew"
        raise Refusal(ErrorCode.INVALID_MESSAGE, message, "/data/cursor") from None
    if sort == "queue":
        last = (-numbers[0], numbers[1], numbers[2])
        return sum((-job.priority, job.run_at.timestamp(), job.number) <= last for job in found)
    if sort == "newest":
        return sum(job.number >= numbers[0] for job in found)
    return sum(job.number <= numbers[0] for job in found)


def matches(world: World, job: JobRow, wanted: JobFilter) -> bool:
    """Tell whether a filter lets a job through."""
    equal = (
        (wanted.account, job.account),
        (wanted.type, job.type),
        (wanted.host, job.host),
        (wanted.root_id, job.root_id),
        (wanted.parent_id, job.parent_id),
        (wanted.crawler_id, _crawler(world, job) if wanted.crawler_id else None),
    )
    if any(want is not None and want != have for want, have in equal):
        return False
    if wanted.states and job.state.value not in wanted.states:
        return False
    if wanted.accounts is not None and job.account not in wanted.accounts:
        return False
    if wanted.error is not None and wanted.error != _failed_with(job):
        return False
    if wanted.created_after is not None and job.created_at < wanted.created_after:
        return False
    if wanted.created_before is not None and job.created_at >= wanted.created_before:
        return False
    return wanted.search is None or _contains(job, wanted.search)


def _contains(job: JobRow, search: str) -> bool:
    if _is_uuid(search):
        return job.job_id == search
    needle = search.casefold()
    return any(needle in (text or "").casefold() for text in (job.name, job.namespace_path, job.entity_id))


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _failed_with(job: JobRow) -> str | None:
    return job.errors[-1]["fingerprint"] if job.state is State.FAILED and job.errors else None


def _crawler(world: World, job: JobRow) -> str | None:
    session = world.sessions.get(job.session_id or "") if job.state in HELD else None
    return None if session is None else session.new.crawler_id


def census(world: World) -> list[JobCount]:
    """Count jobs by account, type and state."""
    counts = Counter((job.account, job.type, job.state.value) for job in world.jobs.values())
    return [JobCount(*key, number) for key, number in counts.items()]


def item_sums(world: World) -> list[ItemSum]:
    """Sum items by account."""
    sums: dict[str, ItemSum] = {}
    for job in world.jobs.values():
        if job.progress is not None:
            done = count(job.progress.entities)
            _, processed, failed = sums.get(job.account, ItemSum(job.account, 0, 0))
            sums[job.account] = ItemSum(job.account, processed + done.processed, failed + done.failed)
    return list(sums.values())


def rates(world: World) -> list[SessionRate]:
    """Return who is how fast."""
    sums: dict[tuple[str, str], float] = {}
    for job in world.jobs.values():
        row = job.progress
        if job.state in HELD and row is not None and row.attempt == job.attempt and row.rate is not None:
            key = (job.session_id or "", job.account)
            sums[key] = sums.get(key, 0.0) + row.rate
    return [SessionRate(*key, rate) for key, rate in sums.items()]


def control_jobs(world: World, verb: Verb, wanted: JobFilter, reason: str | None, actor: str) -> Matched:
    """Do a verb to one portion of what matches."""
    states = frozenset(state.value for state in _ACTS_ON[verb])
    chosen = attrs.evolve(wanted, states=states & (wanted.states or states), sort="newest")
    if not chosen.states:
        return Matched(0, 0)
    page = jobs(world, chosen)
    rows = [world.jobs[job.job_id] for job in page.jobs]
    affected, orders = memory_jobs.steer(world, Action(verb), rows, reason)
    if affected:
        world.note(actor, f"job_{verb}", None, {"affected": affected, "reason": reason})
    return Matched(len(rows), affected, orders, page.next_cursor)


def job_tree(world: World, job_id: str, limit: int, cursor: str | None) -> TreePage:
    """Show what is right below a job, oldest first."""
    world.find(job_id)
    page = jobs(world, JobFilter(parent_id=job_id, sort="oldest", limit=limit, cursor=cursor))
    children = []
    for view in page.jobs:
        below = _sum(world.tree(view.job_id))
        elapsed = (world.now() - view.created_at).total_seconds()
        children.append(Branch(view, below.view("tree", job_id=view.job_id, elapsed=elapsed)))
    return TreePage(children, page.next_cursor)


def _sum(chosen: Iterable[JobRow]) -> Aggregate:
    aggregate = Aggregate()
    for job in chosen:
        row = job.progress
        if row is None:
            aggregate.add(Snapshot(job.state.value))
        else:
            aggregate.add(Snapshot(job.state.value, row.stage, row.entities, row.percent, row.rate, row.updated_at))
    return aggregate


def standing(world: World, job_id: str) -> Standing:
    """Say how a job stands."""
    job = world.find(job_id)
    view = memory_views.view(world, job)
    account = next((each for each in memory_accounts.accounts(world) if each.account == job.account), None)
    queues = sorted(world.pauses.values(), key=lambda pause: pause.job_type or "")
    noted = _pause_of(world, job) if job.state is State.PAUSED or job.pause_requested else {}
    return Standing(
        world.now(),
        view,
        account or AccountView(job.account, "none", 0, 0),
        queues,
        _ahead(world, job),
        noted.get("actor"),
        noted.get("at"),
        job.errors[-1] if job.errors else None,
    )


def _ahead(world: World, job: JobRow) -> int:
    if job.state is not State.QUEUED:
        return 0
    now, mine = world.now(), (-job.priority, job.run_at, job.number)
    due = (world.jobs[name] for name in world.queued)
    return min(
        MOST_AHEAD,
        sum(
            each.run_at <= now and (-each.priority, each.run_at, each.number) < mine and each.type not in world.pauses
            for each in due
        ),
    )


def _pause_of(world: World, job: JobRow) -> dict[str, Any]:
    above = [job.job_id]
    while (parent := world.jobs[above[-1]].parent_id) is not None:
        above.append(parent)
    for entry in reversed(world.audits):
        whole = entry["target"] == job.job_id or entry["detail"].get("tree")
        if entry["action"] == "job_pause" and entry["target"] in above and whole:
            return dict(entry)
    return {}


def oldest_queued(world: World, accounts: frozenset[str] | None) -> JobView | None:
    """Return the queued job that has been due for longest."""
    now = world.now()
    due = [
        job
        for name in world.queued
        if (job := world.jobs[name]).run_at <= now and (accounts is None or job.account in accounts)
    ]
    return memory_views.view(world, min(due, key=lambda job: (job.run_at, job.number))) if due else None


def add_activity(world: World, minutes: Sequence[Minute], before: datetime) -> None:
    """Record what happened."""
    for each in minutes:
        known = world.activity.get((each.minute, each.account), Minute(each.minute, each.account, 0, 0, 0))
        world.activity[each.minute, each.account] = _plus(known, each)
    for key in [key for key in world.activity if key[0] < before]:
        del world.activity[key]


def activity(world: World, since: datetime, accounts: frozenset[str] | None) -> list[Minute]:
    """Return what happened, by minute."""
    sums: dict[datetime, Minute] = {}
    for (minute, account), each in world.activity.items():
        if minute >= since and (accounts is None or account in accounts):
            sums[minute] = _plus(sums.get(minute, Minute(minute, "", 0, 0, 0)), each)
    return [sums[minute] for minute in sorted(sums)]


def _plus(one: Minute, two: Minute) -> Minute:
    return Minute(
        one.minute, one.account, one.completed + two.completed, one.failed + two.failed, one.items + two.items
    )
