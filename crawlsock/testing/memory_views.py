"""Show jobs, progress and the feed, and forget old ones, over `World`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from crawlsock.jobs import LIVE, TERMINAL, State
from crawlsock.progress import Aggregate, Snapshot, job_view
from crawlsock.store.values import (
    EventPage,
    Include,
    JobView,
    ProgressView,
    Pruned,
    Scope,
    rfc3339,
)
from crawlsock.testing import memory_incidents
from crawlsock.testing.memory_rows import JobRow, World
from crawlsock.wire.errors import ErrorCode, Refusal


def view(world: World, job: JobRow, include: frozenset[Include] = frozenset()) -> JobView:
    """Show a job."""
    session = world.sessions.get(job.session_id or "")
    reported = job.progress is not None or job.state is State.COMPLETED
    return JobView(
        job_id=job.job_id,
        type=job.type,
        state=job.state.value,
        account=job.account,
        priority=job.priority,
        attempt=job.attempt,
        failures=job.failures,
        max_attempts=job.max_attempts,
        releases=job.releases,
        losses=job.losses,
        root_id=job.root_id,
        created_at=job.created_at,
        run_at=job.run_at,
        host=job.host,
        entity_id=job.entity_id,
        namespace_path=job.namespace_path,
        name=job.name,
        parent_id=job.parent_id,
        job_key=job.job_key,
        labels=job.labels,
        assigned_at=job.assigned_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        reason=job.reason,
        crawler_id=session.new.crawler_id if session is not None else None,
        cancel_requested=job.cancel_requested,
        pause_requested=job.pause_requested,
        progress=_progress(job) if reported else None,
        summary=job.summary,
        files=job.files,
        payload=job.payload,
        estimated_size=job.estimated_size,
        errors=list(job.errors) if "errors" in include else None,
        assignments=[row.as_json() for row in job.assignments] if "assignments" in include else None,
        milestones=_milestones(job) if "milestones" in include else None,
        children=_children(world, job) if "children" in include else None,
    )


def _milestones(job: JobRow) -> list[dict[str, object]]:
    return [{"percent": mark, "at": rfc3339(at)} for mark, at in sorted(job.milestones.items())]


def _children(world: World, job: JobRow) -> dict[str, int]:
    counts: dict[str, int] = {}
    for child in job.children:
        state = world.jobs[child].state.value
        counts[state] = counts.get(state, 0) + 1
    return counts


def _snapshot(job: JobRow) -> Snapshot:
    row = job.progress
    if row is None:
        return Snapshot(job.state.value)
    return Snapshot(job.state.value, row.stage, row.entities, row.percent, row.rate, row.updated_at)


def _progress(job: JobRow, milestones: bool = False) -> ProgressView:
    row = job.progress
    marks = _milestones(job) if milestones else None
    if row is None:
        return job_view(job.job_id, _snapshot(job), milestones=marks)
    return job_view(
        job.job_id,
        _snapshot(job),
        seq=row.seq,
        message=row.message,
        time_left=row.time_left,
        milestones=marks,
    )


def _number(text: str, pointer: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise Refusal(ErrorCode.INVALID_MESSAGE, "this is no position that the store gave", pointer)
    return int(text)


def live_jobs(world: World) -> int:
    """Count the jobs that are not finished."""
    return sum(job.state in LIVE for job in world.jobs.values())


def job_counts(world: World) -> dict[str, int]:
    """Count jobs by state."""
    counts = {state.value: 0 for state in State}
    for job in world.jobs.values():
        counts[job.state.value] += 1
    return counts


def progress_of(world: World, scope: Scope, job_id: str | None, account: str | None) -> ProgressView:
    """Show how far a job, a tree, an account or everything is."""
    if scope == "job":
        return _progress(world.find(job_id or ""), milestones=True)
    if scope == "tree":
        root = world.find(job_id or "")
        elapsed = (world.now() - root.created_at).total_seconds()
        return _sum(world.tree(root.job_id)).view("tree", job_id=root.job_id, elapsed=elapsed)
    if scope == "account":
        name = world.find_account(account or "").account
        return _sum(job for job in world.jobs.values() if job.account == name).view("account", account=name)
    return _sum(world.jobs.values()).view("all")


def _sum(chosen: Iterable[JobRow]) -> Aggregate:
    aggregate = Aggregate()
    for job in chosen:
        aggregate.add(_snapshot(job))
    return aggregate


def events_after(world: World, position: str | None, limit: int) -> EventPage:
    """Read the feed. A position is the number of events before it."""
    head = world.forgotten + len(world.events)
    asked = world.forgotten if position is None else _number(position, "/position")
    lost = not world.forgotten <= asked <= head
    first = world.forgotten if lost else asked
    start = first - world.forgotten
    found = world.events[start : start + limit]
    return EventPage([dict(event) for event in found], str(first + len(found)), lost, first + len(found) < head)


def event_head(world: World) -> str:
    """Return the position after the newest event."""
    return str(world.forgotten + len(world.events))


def prune(world: World, before_events: datetime, before_jobs: datetime) -> Pruned:
    """Forget old events, and trees that ended long ago."""
    limit = rfc3339(before_events)
    keep = next((n for n, event in enumerate(world.events) if event["at"] >= limit), len(world.events))
    del world.events[:keep]
    world.forgotten += keep
    removed = 0
    for root in [job for job in world.jobs.values() if job.parent_id is None]:
        tree = list(world.tree(root.job_id))
        if all(_ended_before(job, before_jobs) for job in tree):
            for job in tree:
                _forget(world, job)
            removed += len(tree)
    memory_incidents.prune(world, before_jobs)
    return Pruned(keep, removed)


def _ended_before(job: JobRow, moment: datetime) -> bool:
    return job.state in TERMINAL and job.finished_at is not None and job.finished_at < moment


def _forget(world: World, job: JobRow) -> None:
    del world.jobs[job.job_id]
    for row in job.assignments:
        world.leases.pop(row.lease, None)
    for key in [key for key, job_id in world.entities.items() if job_id == job.job_id]:
        del world.entities[key]
