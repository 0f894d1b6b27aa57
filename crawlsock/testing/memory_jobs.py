"""Make jobs, steer them, give them out: the verbs of web applications and of the dispatcher, over `World`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import attrs

from crawlsock.jobs import (
    DEFAULT_BACKOFF,
    DEFAULT_MAX_ATTEMPTS,
    Action,
    Change,
    JobFacts,
    State,
    WrongState,
    apply,
    discovery_key,
    fits,
)
from crawlsock.store.values import (
    Assignment,
    Control,
    Demand,
    ItemError,
    ItemStatus,
    NewJob,
    Order,
    QueueView,
)
from crawlsock.testing.memory_rows import AssignmentRow, JobRow, World, new_id
from crawlsock.wire.errors import ErrorCode, Refusal

T = TypeVar("T")

_KINDS = {
    Action.PAUSE: "job_paused",
    Action.RESUME: "job_resumed",
    Action.RETRY: "job_retried",
}


def submit(world: World, jobs: Sequence[NewJob], accounts: frozenset[str] | None) -> list[ItemStatus]:
    """Make root jobs."""
    return _counted(world, [_submit_one(world, job, accounts) for job in jobs])


def _counted(world: World, statuses: list[ItemStatus]) -> list[ItemStatus]:
    world.tally.came(status.status for status in statuses)
    return statuses


def _submit_one(world: World, new: NewJob, accounts: frozenset[str] | None) -> ItemStatus:
    if accounts is not None and new.account not in accounts:
        return _invalid(ErrorCode.FORBIDDEN, f"this token may not use account {new.account!r}", "/account")
    if new.account not in world.accounts:
        return _invalid(ErrorCode.UNKNOWN_ACCOUNT, f"there is no account {new.account!r}", "/account")
    known = _known(world, new, new.account)
    if known is not None:
        return known
    if new.job_key is not None and (first := world.keys.get((new.account, new.job_key))):
        return ItemStatus("duplicate", first)
    return _make(world, new, None)


def discover(world: World, parent: JobRow, jobs: Sequence[NewJob]) -> list[ItemStatus]:
    """Make children of a job whose lease has been checked."""
    return _counted(world, [_discover_one(world, parent, job) for job in jobs])


def _discover_one(world: World, parent: JobRow, new: NewJob) -> ItemStatus:
    if parent.cancel_requested:
        return _invalid(ErrorCode.INVALID_STATE, "the job is to be cancelled, it gets no more children", None)
    if new.entity_id is None:
        return _invalid(ErrorCode.INVALID_MESSAGE, "a discovered job needs an entity id", "/entity_id")
    known = _known(world, new, parent.account)
    if known is not None:
        return known
    key = discovery_key(new.type, parent.host if new.host is None else new.host, new.entity_id)
    first = world.entities.get((parent.root_id, key)) or world.keys.get((parent.account, key))
    if first is not None:
        return ItemStatus("duplicate", first)
    return _make(world, new, parent)


def _known(world: World, new: NewJob, account: str) -> ItemStatus | None:
    """Answer an item whose id exists: the same item again, or somebody else's id."""
    there = world.jobs.get(new.job_id or "")
    if there is None:
        return None
    if there.account == account:
        return ItemStatus("created", there.job_id)
    return _invalid(ErrorCode.DUPLICATE, f"job id {new.job_id} is taken; choose a fresh UUID", "/job_id")


def _invalid(code: ErrorCode, message: str, pointer: str | None) -> ItemStatus:
    return ItemStatus("invalid", None, ItemError(code.value, message, pointer))


def _make(world: World, new: NewJob, parent: JobRow | None) -> ItemStatus:
    now = world.now()
    job_id = new.job_id or new_id()
    account = new.account if parent is None else parent.account
    host = new.host if new.host is not None or parent is None else parent.host
    entity = None if new.entity_id is None else discovery_key(new.type, host, new.entity_id)
    world.made += 1
    job = JobRow(
        job_id=job_id,
        number=world.made,
        type=new.type,
        account=account,
        root_id=job_id if parent is None else parent.root_id,
        parent_id=None if parent is None else parent.job_id,
        state=State.QUEUED,
        created_at=now,
        run_at=new.run_at or now,
        priority=_either(new.priority, parent.priority if parent else 0),
        max_attempts=_either(new.max_attempts, parent.max_attempts if parent else DEFAULT_MAX_ATTEMPTS),
        host=host,
        entity_id=new.entity_id,
        namespace_path=new.namespace_path,
        name=new.name,
        backoff=_either(new.backoff, parent.backoff if parent else DEFAULT_BACKOFF),
        labels=_either(new.labels, parent.labels if parent else ()),
        job_key=new.job_key if parent is None else entity,
        payload=new.payload,
        no_progress_limit=new.no_progress_limit
        if new.no_progress_limit is not None or parent is None
        else parent.no_progress_limit,
        estimated_size=new.estimated_size,
    )
    world.jobs[job_id] = job
    if entity is not None:
        world.entities[job.root_id, entity] = job_id
    if parent is not None:
        parent.children.append(job_id)
    world.move(job, _born(world.facts(job)))
    world.tell_job("job_created", job)
    return ItemStatus("created", job_id)


def _born(facts: JobFacts) -> Change:
    return apply(Action.REFUSE if facts.credential_refused else Action.RENEW, facts)


def _either(value: T | None, default: T) -> T:
    return default if value is None else value


def control(world: World, action: Action, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Control:
    """Cancel, pause, resume or retry a job or a tree."""
    root = world.find(job_id)
    changes: list[tuple[JobRow, Change]] = []
    for job in world.tree(job_id) if tree else [root]:
        try:
            change = apply(action, world.facts(job))
            if action is Action.RETRY and change.changed:
                _check_key(world, job)
        except WrongState as wrong:
            if not tree:
                raise Refusal(ErrorCode.INVALID_STATE, str(wrong)) from wrong
        except Refusal:
            if not tree:
                raise
        else:
            if change.changed:
                changes.append((job, change))
    orders = [_carry_out(world, action, job, change, reason) for job, change in changes]
    world.note(actor, f"job_{action.value}", job_id, {"tree": tree, "reason": reason, "affected": len(changes)})
    return Control(len(changes), [order for order in orders if order is not None])


def steer(world: World, action: Action, jobs: Iterable[JobRow], reason: str | None) -> tuple[int, list[Order]]:
    """Do to each job what the action does to it in its state; pass over those it does nothing to."""
    affected = 0
    orders: list[Order] = []
    for job in jobs:
        try:
            change = apply(action, world.facts(job))
            if action is Action.RETRY and change.changed:
                _check_key(world, job)
        except (WrongState, Refusal):
            continue
        if change.changed:
            affected += 1
            order = _carry_out(world, action, job, change, reason)
            if order is not None:
                orders.append(order)
    return affected, orders


def _check_key(world: World, job: JobRow) -> None:
    """Refuse to bring a job back to life whose key a live job has taken meanwhile."""
    first = world.keys.get((job.account, job.job_key)) if job.job_key is not None else None
    if first is not None:
        message = f"job {first} of the same account is live and has the same key"
        raise Refusal(ErrorCode.DUPLICATE, message, details={"job_id": first})


def _carry_out(world: World, action: Action, job: JobRow, change: Change, reason: str | None) -> Order | None:
    order = None
    if change.order is not None and job.session_id is not None and job.lease is not None:
        order = Order(change.order, job.session_id, job.job_id, job.lease, reason)
    world.move(job, change)
    job.reason = reason
    # A job that is let go on must not look stuck because of the time it was held.
    job.alive_at = world.now()
    kind = _KINDS.get(action)
    if kind is None:
        kind = "job_cancelled" if job.state is State.CANCELLED else "job_cancel_requested"
    world.tell_job(kind, job, reason)
    return order


def assign(world: World, demands: Sequence[Demand]) -> list[Assignment]:
    """Give due jobs to sessions that live."""
    now = world.now()
    everything_paused = None in world.pauses
    if everything_paused:
        return []
    due = sorted(
        (job for job_id in world.queued if (job := world.jobs[job_id]).run_at <= now and job.type not in world.pauses),
        key=lambda job: (-job.priority, job.run_at, job.number),
    )
    given: list[Assignment] = []
    for demand in demands:
        if demand.session_id not in world.sessions:
            continue
        fitting = [job for job in due if fits(frozenset(job.labels), job.type, demand.labels, demand.job_types)]
        for job in fitting[: demand.slots]:
            given.append(_give(world, job, demand.session_id))
            due.remove(job)
    return given


def _give(world: World, job: JobRow, session_id: str) -> Assignment:
    now = world.now()
    session = world.sessions[session_id]
    world.move(job, apply(Action.ASSIGN, world.facts(job)))
    lease = new_id()
    job.attempt += 1
    job.lease = lease
    job.session_id = session_id
    job.assigned_at = job.alive_at = now
    job.started_at = None
    row = AssignmentRow(job.job_id, job.attempt, lease, session_id, session.new.crawler_id, now)
    job.assignments.append(row)
    world.leases[lease] = row
    session.leases[lease] = job.job_id
    world.tell_job("job_assigned", job)
    free_since = job.assignments[-2].ended_at if len(job.assignments) > 1 else None
    waited = (now - max(job.run_at, free_since or job.run_at)).total_seconds()
    world.tally.assigned(job.type, waited)
    world.seen.given(lease, job.account, 0 if job.attempt == 1 else None)
    return attrs.evolve(_assignment(world, job, session_id, lease), waited=waited)


def unstarted(world: World, session_id: str) -> list[Assignment]:
    """Repeat the assignments of a session that it has not begun."""
    session = world.sessions.get(session_id)
    leases = {} if session is None else session.leases
    waiting = [(world.jobs[job_id], lease) for lease, job_id in leases.items()]
    return [_assignment(world, job, session_id, lease) for job, lease in waiting if job.state is State.ASSIGNED]


def _assignment(world: World, job: JobRow, session_id: str, lease: str) -> Assignment:
    account = world.accounts[job.account]
    return Assignment(
        session_id=session_id,
        job_id=job.job_id,
        lease=lease,
        attempt=job.attempt,
        type=job.type,
        account=job.account,
        priority=job.priority,
        root_id=job.root_id,
        host=job.host,
        entity_id=job.entity_id,
        namespace_path=job.namespace_path,
        name=job.name,
        parent_id=job.parent_id,
        payload=job.payload,
        resume_state=None if job.progress is None else job.progress.resume_state,
        no_progress_limit=job.no_progress_limit,
        credential_generation=account.generation if account.credential is not None else None,
    )


def pause_queue(world: World, job_type: str | None, paused: bool, reason: str | None, actor: str) -> None:
    """Stop or start the assigning of one type, or of all."""
    if paused == (job_type in world.pauses):
        return
    if paused:
        world.pauses[job_type] = QueueView(job_type, True, reason, actor, world.now())
    else:
        del world.pauses[job_type]
        world.has_work = True
    kind = "queue_paused" if paused else "queue_resumed"
    world.note(actor, kind, job_type, {"reason": reason})
    world.tell(kind, job_type=job_type, reason=reason)
