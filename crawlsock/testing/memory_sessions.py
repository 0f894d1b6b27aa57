"""Open, resume, renew and end sessions, over `World`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from crawlsock import jobs as rules
from crawlsock.store.values import (
    Beat,
    HeldJob,
    NewSession,
    Order,
    Reaped,
    Resumed,
    SessionView,
)
from crawlsock.testing.memory_crawl import end, take_back
from crawlsock.testing.memory_rows import JobRow, SessionRow, World, new_id
from crawlsock.wire.errors import ErrorCode, Refusal


def open_session(world: World, new: NewSession) -> SessionView:
    """Open a session, or find the one that this ticket opened."""
    now = world.now()
    for row in list(world.sessions.values()):
        if row.new.ticket_hash == new.ticket_hash:
            return view(world, row)
        if row.new.crawler_id == new.crawler_id:
            if row.state == "connected" and row.deadline >= now:
                raise Refusal(ErrorCode.DUPLICATE_CRAWLER, f"a crawler named {new.crawler_id!r} is already connected")
            reap(world, [row.session_id])
    row = SessionRow(
        session_id=new_id(),
        new=new,
        server_id=new.server_id,
        state="connected",
        connected_at=now,
        heartbeat_at=now,
        deadline=now + timedelta(seconds=new.lease_length),
        pid=new.pid,
        uid=new.uid,
        process_start=new.process_start,
        boot_id=new.boot_id,
    )
    world.sessions[row.session_id] = row
    world.tell("crawler_connected", crawler_id=new.crawler_id, session_id=row.session_id)
    return view(world, row)


def resume_session(
    world: World,
    ticket_hash: bytes,
    held: Sequence[str] | None,
    server_id: str,
    pid: int | None,
    uid: int | None,
    process_start: int | None,
    boot_id: str | None,
) -> Resumed:
    """Go on with a session on a new connection."""
    row = next((row for row in world.sessions.values() if row.new.ticket_hash == ticket_hash), None)
    if row is None:
        raise Refusal(ErrorCode.SESSION_EXPIRED, "the session of this ticket has ended; open a new one")
    row.server_id = server_id
    row.state = "connected"
    row.pid, row.uid, row.process_start, row.boot_id = pid, uid, process_start, boot_id
    row.heartbeat_at = world.now()
    row.deadline = world.now() + timedelta(seconds=row.new.lease_length)
    claimed = list(dict.fromkeys(row.leases if held is None else held))
    for lease, job_id in list(row.leases.items()):
        if lease not in claimed:
            job = world.jobs[job_id]
            end(world, job, rules.release(world.facts(job)), "released", reason="not_held")
    kept = [_held_job(world.jobs[row.leases[lease]], lease) for lease in claimed if lease in row.leases]
    lost = [lease for lease in claimed if lease not in row.leases]
    world.tell("crawler_connected", crawler_id=row.new.crawler_id, session_id=row.session_id)
    return Resumed(view(world, row), kept, lost)


def _held_job(job: JobRow, lease: str) -> HeldJob:
    recorded = job.progress is not None and job.progress.attempt == job.attempt
    return HeldJob(
        job_id=job.job_id,
        lease=lease,
        attempt=job.attempt,
        type=job.type,
        account=job.account,
        seq=job.progress.seq if job.progress is not None and recorded else 0,
        cancel_requested=job.cancel_requested,
        pause_requested=job.pause_requested,
    )


def heartbeat(world: World, session_id: str, beat: Beat) -> None:
    """Renew the deadline."""
    row = world.sessions.get(session_id)
    if row is None:
        raise Refusal(ErrorCode.SESSION_EXPIRED, "the session has ended; open a new one")
    row.beat = beat
    row.heartbeat_at = world.now()
    row.deadline = world.now() + timedelta(seconds=row.new.lease_length)


def detach_session(world: World, session_id: str) -> None:
    """Note that the link is lost."""
    row = world.sessions.get(session_id)
    if row is not None:
        row.state = "away"


def end_session(world: World, session_id: str, reason: str) -> None:
    """End politely: whatever is still there goes back unharmed."""
    row = world.sessions.get(session_id)
    if row is None:
        return
    for job_id in list(row.leases.values()):
        job = world.jobs[job_id]
        end(world, job, rules.release(world.facts(job)), "released", reason=reason)
    del world.sessions[session_id]
    world.gone.append((row.new, reason, world.now()))
    world.tell("crawler_ended", crawler_id=row.new.crawler_id, session_id=session_id, reason=reason)


def reap(world: World, session_ids: Sequence[str] | None) -> list[Reaped]:
    """End sessions whose time is over, or those named."""
    now = world.now()
    if session_ids is None:
        ending = [row for row in world.sessions.values() if row.deadline < now]
    else:
        ending = [world.sessions[name] for name in dict.fromkeys(session_ids) if name in world.sessions]
    why = "expired" if session_ids is None else "dead"
    return [_reap_one(world, row, why) for row in ending]


def _reap_one(world: World, row: SessionRow, why: str) -> Reaped:
    lost = [world.jobs[job_id] for job_id in row.leases.values()]
    for job in lost:
        take_back(world, job, rules.lose(world.facts(job), world.poison_limit), "lost", "crawler_lost", why)
    del world.sessions[row.session_id]
    world.gone.append((row.new, why, world.now()))
    world.tell("crawler_lost", crawler_id=row.new.crawler_id, session_id=row.session_id)
    poisoned = sum(job.reason == "poison" for job in lost)
    return Reaped(row.session_id, row.new.crawler_id, len(lost), poisoned)


def adopt_sessions(world: World, server_id: str, grace: float) -> list[SessionView]:
    """Give crawlers time to come back."""
    now = world.now()
    adopted = [row for row in world.sessions.values() if row.server_id == server_id or row.deadline < now]
    for row in adopted:
        row.deadline = max(row.deadline, now + timedelta(seconds=grace))
    return [view(world, row) for row in adopted]


def pending_orders(world: World, server_id: str) -> list[Order]:
    """Return the wishes for jobs whose crawlers are connected to a server."""
    return [
        Order("cancel" if job.cancel_requested else "pause", row.session_id, job_id, lease, job.reason)
        for row in world.sessions.values()
        if row.server_id == server_id
        for lease, job_id in row.leases.items()
        if (job := world.jobs[job_id]).cancel_requested or job.pause_requested
    ]


def view(world: World, row: SessionRow) -> SessionView:
    """Show a session."""
    return SessionView(
        session_id=row.session_id,
        crawler_id=row.new.crawler_id,
        server_id=row.server_id,
        state=row.state,
        slots=row.new.slots,
        labels=row.new.labels,
        job_types=row.new.job_types,
        connected_at=row.connected_at,
        deadline=row.deadline,
        lease_length=row.new.lease_length,
        heartbeat_age=(world.now() - row.heartbeat_at).total_seconds(),
        jobs=len(row.leases),
        hostname=row.new.hostname,
        pid=row.pid,
        uid=row.uid,
        process_start=row.process_start,
        boot_id=row.boot_id,
        version=row.new.version,
        transport=row.new.transport,
        status=row.beat.status,
        memory_bytes=row.beat.memory_bytes,
        cpu_percent=row.beat.cpu_percent,
        hosts=row.beat.hosts,
    )
