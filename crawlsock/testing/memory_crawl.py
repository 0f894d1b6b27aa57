"""Take what crawlers say about their jobs: the fenced verbs, over `World`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from crawlsock import jobs as rules
from crawlsock.incidents import judge
from crawlsock.jobs import HELD, TERMINAL, Change, State
from crawlsock.progress import MILESTONES, merge, milestones_crossed
from crawlsock.store.values import Area, Completion, Failure, JobRef, Order, Progress, Release, rfc3339
from crawlsock.testing.memory_incidents import note_failure
from crawlsock.testing.memory_rows import AssignmentRow, JobRow, ProgressRow, World
from crawlsock.wire.errors import ErrorCode, Refusal

_OWN_ENDS = frozenset({"completed", "failed", "released", "cancelled"})

_EVENTS = {
    "completed": "job_completed",
    "failed": "job_retried",
    "released": "job_released",
    "lost": "job_lost",
    "stuck": "job_lost",
    "credential": "job_waiting_credential",
}


def held(world: World, ref: JobRef) -> JobRow:
    """Return the job if the lease is current. Errors: ``lease_lost``."""
    job = world.jobs.get(ref.job_id)
    if job is None or job.state not in HELD or job.lease != ref.lease or job.session_id != ref.session_id:
        raise Refusal(
            ErrorCode.LEASE_LOST,
            f"job {ref.job_id} is no longer yours; nothing was changed, stop working on it",
        )
    return job


def _repeated(world: World, ref: JobRef, outcome: str) -> AssignmentRow | None:
    """Find the assignment that this crawler ended by this very verb."""
    row = world.leases.get(ref.lease)
    mine = row is not None and row.job_id == ref.job_id and row.session_id == ref.session_id
    return row if row is not None and mine and row.outcome == outcome else None


def _finished_by(world: World, ref: JobRef) -> bool:
    """Tell whether the job has ended, under this lease, by its crawler's own word."""
    job = world.jobs.get(ref.job_id)
    if job is None or job.state not in TERMINAL or not job.assignments:
        return False
    last = job.assignments[-1]
    return last.lease == ref.lease and last.session_id == ref.session_id and last.outcome in _OWN_ENDS


def start(world: World, ref: JobRef) -> None:
    """Mark the job as running."""
    if _finished_by(world, ref):
        return
    job = held(world, ref)
    change = rules.start(world.facts(job))
    if change.changed:
        world.move(job, change)
        job.started_at = job.alive_at = job.assignments[-1].started_at = world.now()
        world.tell_job("job_started", job)


def progress(world: World, ref: JobRef, report: Progress) -> None:
    """Fold a report into the snapshot."""
    if _finished_by(world, ref):
        return
    job = held(world, ref)
    before = job.progress
    same_attempt = before is not None and before.attempt == job.attempt
    if before is not None and same_attempt and report.seq <= before.seq:
        return
    job.alive_at = world.now()
    report = world.tracker.note(job.job_id, job.attempt, report, world.clock.seconds())
    if before is None or not same_attempt:
        row = ProgressRow(job.attempt, report.seq, report.stage, world.now(), merge({}, report.entities))
        row.message = report.message
        row.percent = report.percent
    else:
        row = before
        row.seq, row.stage, row.updated_at = report.seq, report.stage, world.now()
        row.entities = merge(row.entities, report.entities)
        row.message = report.message if report.message is not None else row.message
        row.percent = max((p for p in (row.percent, report.percent) if p is not None), default=None)
    row.rate, row.time_left = report.rate, report.time_left
    if report.resume_state is not None:
        row.resume_state = report.resume_state
    elif before is not None:
        row.resume_state = before.resume_state
    job.progress = row
    world.seen.reported(ref.lease, row.entities, world.clock.seconds())
    world.tell(
        "job_progress",
        job_id=job.job_id,
        root_id=job.root_id,
        account=job.account,
        type=job.type,
        attempt=job.attempt,
        seq=row.seq,
        stage=row.stage,
        entities=row.entities,
        percent=row.percent,
        rate=row.rate,
        time_left=row.time_left,
        message=row.message,
    )
    for mark in milestones_crossed(None, row.percent):
        if mark not in job.milestones:
            job.milestones[mark] = world.now()
            world.tell("milestone", job_id=job.job_id, root_id=job.root_id, account=job.account, percent=mark)


def areas(world: World, ref: JobRef, seen: Sequence[Area]) -> None:
    """Record areas by account, host, kind and entity."""
    job = held(world, ref)
    for area in seen:
        host = area.host or job.host or ""
        key = (job.account, host, area.kind, area.entity_id)
        world.areas[key] = attrs.evolve(area, host=host)
        first = world.areas_seen[key][0] if key in world.areas_seen else world.now()
        world.areas_seen[key] = (first, world.now(), job.job_id)


def complete(world: World, ref: JobRef, completion: Completion) -> None:
    """End the job well."""
    if _repeated(world, ref, "completed") is not None:
        return
    job = held(world, ref)
    end(world, job, rules.complete(world.facts(job)), "completed", completion.entities, None)
    job.files = [dict(file) for file in completion.files] or None
    job.summary = completion.summary
    for mark in MILESTONES:
        job.milestones.setdefault(mark, world.now())


def fail(world: World, ref: JobRef, failure: Failure) -> str:
    """Record the failure and do what the rules say."""
    repeated = _repeated(world, ref, "failed")
    if repeated is not None:
        return repeated.result or ""
    job = held(world, ref)
    facts = world.facts(job)
    change = rules.fail(facts, failure.recoverable, failure.retry_after, job.backoff, world.random)
    judged = judge(failure.error_type, failure.message, failure.recoverable, failure.request)
    error = {
        "attempt": job.attempt,
        "at": rfc3339(world.now()),
        "error_type": failure.error_type,
        "message": failure.message,
        "recoverable": failure.recoverable,
        "request": failure.request,
        "stack": failure.stack,
        "context": failure.context,
        "fingerprint": judged.fingerprint,
        "category": judged.category.value,
        "severity": judged.severity.value,
    }
    job.errors.append({name: value for name, value in error.items() if value is not None})
    world.failed_at[job.job_id, job.attempt] = world.now()
    note_failure(world, job, failure, judged)
    end(world, job, change, "failed", failure.entities, failure.resume_state, failure.error_type)
    return job.state.value


def release(world: World, ref: JobRef, handed_back: Release) -> None:
    """Take the job back unharmed."""
    if _repeated(world, ref, "released") is None:
        job = held(world, ref)
        change = rules.release(world.facts(job))
        end(world, job, change, "released", handed_back.entities, handed_back.resume_state, handed_back.reason)


def cancelled(world: World, ref: JobRef, handed_back: Release) -> None:
    """End the job as its crawler was asked to."""
    if _repeated(world, ref, "cancelled") is None:
        job = held(world, ref)
        change = rules.cancelled(world.facts(job))
        reason = handed_back.reason or job.reason
        end(world, job, change, "cancelled", handed_back.entities, handed_back.resume_state, reason)


def end(
    world: World,
    job: JobRow,
    change: Change,
    outcome: str,
    entities: Any = None,
    resume_state: dict[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """End the current assignment of a job, for whatever reason."""
    _last_word(world, job, change.state, entities or {}, resume_state)
    assignment = job.assignments[-1]
    assignment.ended_at = world.now()
    assignment.outcome = outcome
    assignment.result = change.state.value
    counted = job.progress.entities if job.progress is not None and job.progress.attempt == job.attempt else None
    world.seen.ended(assignment.lease, change.state.value, counted, world.clock.seconds())
    ran = None if job.started_at is None else (world.now() - job.started_at).total_seconds()
    if outcome == "completed":
        world.tally.completed(job.type, [ran])
    else:
        world.tally.over(job.type, outcome, change.state.value, ran)
    world.move(job, change)
    job.reason = change.reason or reason
    if job.state not in TERMINAL:
        job.assigned_at = job.started_at = None
    kinds = {State.FAILED: "job_failed", State.CANCELLED: "job_cancelled"}
    world.tell_job(kinds.get(job.state) or _EVENTS[outcome], job, job.reason, last_word=True)


def _last_word(world: World, job: JobRow, state: State, entities: Any, resume_state: dict[str, Any] | None) -> None:
    """Fold what came with the end of an assignment into the snapshot."""
    row = job.progress
    if row is None and not entities and resume_state is None:
        return
    if row is None or (row.attempt != job.attempt and entities):
        earlier = row.resume_state if row is not None else None
        row = ProgressRow(job.attempt, 0, "fetching", world.now(), resume_state=earlier)
    elif row.attempt != job.attempt:
        row.attempt, row.seq = job.attempt, 0
    row.entities = merge(row.entities, entities)
    row.resume_state = row.resume_state if resume_state is None else resume_state
    row.rate = row.time_left = None
    row.updated_at = world.now()
    if state in (State.COMPLETED, State.FAILED):
        row.stage = state.value
    if state is State.COMPLETED:
        row.percent, row.resume_state = 100.0, None
    job.progress = row


def take_back(world: World, job: JobRow, change: Change, outcome: str, reason: str, why: str | None = None) -> Order:
    """End an assignment that its crawler did not end; return the order that tells it to stop.

    :param why: under which of `JobTally.leases_lost` it counts.
    """
    order = Order("cancel", job.session_id or "", job.job_id, job.lease or "", reason)
    if why is not None:
        world.tally.leases_lost[why] += 1
    end(world, job, change, outcome, None, None, reason)
    return order


def stuck(world: World) -> list[Order]:
    """Take back what has made no progress for longer than it may."""
    now = world.now()
    held_jobs = [world.jobs[job_id] for row in world.sessions.values() for job_id in row.leases.values()]

    def is_stuck(job: JobRow) -> bool:
        limit = job.no_progress_limit
        if limit is None or job.pause_requested or job.alive_at is None:
            return False
        return (now - job.alive_at).total_seconds() > limit

    return [
        take_back(world, job, rules.lose(world.facts(job), world.poison_limit), "stuck", "no_progress", "stuck")
        for job in held_jobs
        if is_stuck(job)
    ]
