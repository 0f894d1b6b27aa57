"""Look at what incidents are made of, record them, and keep the outbox, over `World`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs

from crawlsock.incidents import Judgement
from crawlsock.jobs import State, fits
from crawlsock.store.records_values import (
    ErrorGroup,
    Finding,
    IncidentView,
    Loss,
    OpenIncident,
    Outgoing,
    Parked,
    Recorded,
    RefusedAccount,
    SeenGroup,
    Stalled,
    Watched,
)
from crawlsock.store.values import Failure
from crawlsock.testing.memory_rows import IncidentRow, JobRow, OutboxRow, World, new_id


def note_failure(world: World, job: JobRow, failure: Failure, judged: Judgement) -> None:
    """Put a failure into its group."""
    key = (job.account, judged.fingerprint)
    known = world.groups.get(key)
    world.groups[key] = ErrorGroup(
        fingerprint=judged.fingerprint,
        account=job.account,
        error_type=failure.error_type,
        category=judged.category.value,
        severity=judged.severity.value,
        title=judged.title if known is None else known.title,
        count=1 if known is None else known.count + 1,
        first_seen=world.now() if known is None else known.first_seen,
        last_seen=world.now(),
        last_job_id=job.job_id,
        last_message=failure.message,
    )


def watch(world: World, window: float, threshold: int, stalled_after: float) -> Watched:
    """Return what the rules look at."""
    since = world.now() - timedelta(seconds=window)
    return Watched(
        groups=_groups(world, since, threshold),
        losses=_losses(world, since, window),
        poison=_parked(world, since, window),
        refused=[
            RefusedAccount(
                row.account,
                row.credential.host,
                row.credential.reason,
                sum(
                    job.account == row.account and job.state is State.WAITING_CREDENTIAL for job in world.jobs.values()
                ),
            )
            for row in world.accounts.values()
            if row.credential is not None and row.refused
        ],
        stalled=_stalled(world, stalled_after),
        open=[
            OpenIncident(row.view.incident_id, row.view.kind, row.subject, row.view.account, row.view.count, row.base)
            for row in world.incidents
            if row.view.closed_at is None
        ],
    )


def _groups(world: World, since: datetime, threshold: int) -> list[SeenGroup]:
    recent = Counter(
        (job.account, each["fingerprint"])
        for job in world.jobs.values()
        for each in job.errors
        if world.failed_at[job.job_id, each["attempt"]] > since
    )
    return [
        SeenGroup(
            group.account,
            group.fingerprint,
            group.error_type,
            group.category,
            group.severity,
            group.title,
            group.count,
            min(threshold, recent[key]),
            group.last_message,
        )
        for key, group in world.groups.items()
        if group.last_seen > since
    ]


def _begin(
    world: World, since: datetime, window: float, kind: str, account: str | None = None, subject: str = ""
) -> datetime:
    """Return from when on things count: from before the incident that is open, if there is one."""
    row = _open(world, kind, subject, account)
    return since if row is None else min(since, row.view.opened_at - timedelta(seconds=window))


def _losses(world: World, since: datetime, window: float) -> list[Loss]:
    begin = _begin(world, since, window, "crawler_lost")
    return [
        Loss(new.crawler_id, why, at > since)
        for new, why, at in reversed(world.gone)
        if at > begin and why in ("expired", "dead")
    ]


def _parked(world: World, since: datetime, window: float) -> list[Parked]:
    found: dict[tuple[str, str], list[datetime]] = {}
    for job in world.jobs.values():
        begin = _begin(world, since, window, "job_poison", job.account, job.type)
        parked = job.state is State.FAILED and job.reason == "poison"
        if parked and job.finished_at is not None and job.finished_at > begin:
            found.setdefault((job.account, job.type), []).append(job.finished_at)
    return [Parked(*key, len(ends), sum(end > since for end in ends)) for key, ends in found.items()]


def _stalled(world: World, stalled_after: float) -> list[Stalled]:
    limit = world.now() - timedelta(seconds=stalled_after)
    due: dict[tuple[str, tuple[str, ...]], list[datetime]] = {}
    for name in world.queued:
        job = world.jobs[name]
        if job.run_at < limit:
            due.setdefault((job.type, job.labels), []).append(job.run_at)
    crawlers = [row.new for row in world.sessions.values()] + [new for new, _, at in world.gone if at > limit]
    return [
        Stalled(kind, labels, len(moments), (world.now() - min(moments)).total_seconds())
        for (kind, labels), moments in due.items()
        if None not in world.pauses
        and kind not in world.pauses
        and not any(fits(frozenset(labels), kind, new.labels, new.job_types) for new in crawlers)
    ]


def _open(world: World, kind: str, subject: str, account: str | None) -> IncidentRow | None:
    return next((row for row in _alike(world, kind, subject, account) if row.view.closed_at is None), None)


def _alike(world: World, kind: str, subject: str, account: str | None) -> list[IncidentRow]:
    return [
        row for row in world.incidents if (row.view.kind, row.subject, row.view.account) == (kind, subject, account)
    ]


def record(
    world: World,
    findings: Sequence[Finding],
    over: Sequence[tuple[str, int]],
    channels: Sequence[str],
    cool_down: float,
) -> Recorded:
    """Open, count up and close incidents, and put what people must be told into the outbox."""
    before = len(world.outbox)
    opened = sum(_found(world, finding, channels, cool_down) for finding in findings)
    closed = 0
    for incident_id, count in over:
        for row in world.incidents:
            view = row.view
            if (view.incident_id, view.count, view.closed_at) == (incident_id, count, None):
                row.view = attrs.evolve(view, closed_at=world.now())
                closed += 1
                _tell(world, "incident_closed", row)
                if row.notified_at is not None:
                    _notify(world, row, "incident.closed", channels)
    return Recorded(opened, closed, len(world.outbox) - before)


def _found(world: World, finding: Finding, channels: Sequence[str], cool_down: float) -> bool:
    """Record one finding; tell whether it opened an incident."""
    now = world.now()
    alike = _alike(world, finding.kind, finding.subject, finding.account)
    told = max((row.notified_at for row in alike if row.notified_at is not None), default=None)
    lately = told is not None and told > now - timedelta(seconds=cool_down)
    quiet = finding.quiet or lately or not channels
    if finding.away is not None:
        began = now - timedelta(seconds=finding.away)
        if any(row.view.closed_at is not None and row.view.closed_at > began for row in alike):
            return False
    row = None if finding.away is not None else _open(world, finding.kind, finding.subject, finding.account)
    if row is None:
        row = IncidentRow(_view(finding, now), finding.subject, finding.base)
        world.incidents.append(row)
        _tell(world, "incident_opened", row)
        if not quiet:
            _notify(world, row, "incident.opened", channels)
        return True
    if finding.count > row.view.count:
        row.view = attrs.evolve(
            row.view,
            count=finding.count,
            last_at=now,
            severity=finding.severity,
            title=finding.title,
            detail=finding.detail,
            next_step=finding.next_step,
        )
        _tell(world, "incident_counted", row)
        if not quiet:
            _notify(world, row, "incident.opened" if row.notified_at is None else "incident.continued", channels)
    return False


def _view(finding: Finding, now: datetime) -> IncidentView:
    return IncidentView(
        incident_id=new_id(),
        kind=finding.kind,
        severity=finding.severity,
        title=finding.title,
        count=finding.count,
        opened_at=now - timedelta(seconds=finding.away or 0),
        last_at=now,
        detail=finding.detail,
        account=finding.account,
        fingerprint=finding.fingerprint,
        closed_at=None if finding.away is None else now,
        next_step=finding.next_step,
    )


def _tell(world: World, kind: str, row: IncidentRow) -> None:
    view = row.view
    world.tell(
        kind,
        incident_id=view.incident_id,
        account=view.account,
        incident=view.kind,
        severity=view.severity,
        title=view.title,
        count=view.count,
    )


def _notify(world: World, row: IncidentRow, event: str, channels: Sequence[str]) -> None:
    row.notified_at = world.now()
    for channel in sorted(set(channels)):
        _post(world, channel, event, row.view.account, row.view.as_json())


def _post(world: World, channel: str, event: str, account: str | None, content: dict[str, Any]) -> OutboxRow:
    row = OutboxRow(new_id(), channel, event, account, content, world.now(), world.now())
    world.outbox.append(row)
    return row


def test(world: World, channels: Sequence[str], actor: str) -> list[tuple[str, str]]:
    """Put a test into the outbox for each channel."""
    named = sorted(set(channels))
    world.note(actor, "notification_test", " ".join(named), {})
    title = f"A test, asked for by {actor}"
    return [(_post(world, channel, "test", None, {"title": title}).notification_id, channel) for channel in named]


def take(world: World, channels: Sequence[str], hold: float, limit: int) -> list[Outgoing]:
    """Give out notifications that are due, each to one taker at a time."""
    now = world.now()
    due = [row for row in world.outbox if row.state == "waiting" and row.due_at <= now and row.channel in channels]
    taken = sorted(due, key=lambda row: row.due_at)[:limit]
    for row in taken:
        row.attempts += 1
        row.due_at = now + timedelta(seconds=hold)
    return [
        Outgoing(row.notification_id, row.channel, row.event, row.created_at, row.attempts, row.content)
        for row in taken
    ]


def settle(world: World, notification_id: str, attempt: int, outcome: str, error: str | None, again: float) -> None:
    """Note how a try went."""
    for row in world.outbox:
        if (row.notification_id, row.attempts, row.state) == (notification_id, attempt, "waiting"):
            row.state, row.last_error = outcome, error
            if outcome == "waiting":
                row.due_at = world.now() + timedelta(seconds=again)
            else:
                row.ended_at = world.now()


def prune(world: World, before: datetime) -> None:
    """Forget groups, incidents and notifications that ended long ago."""
    for row in world.outbox:
        if row.state == "waiting" and row.created_at < world.now() - timedelta(days=7):
            row.state, row.ended_at, row.last_error = "failed", world.now(), "not sent within a week"
    world.groups = {key: group for key, group in world.groups.items() if group.last_seen >= before}
    world.incidents = [row for row in world.incidents if row.view.closed_at is None or row.view.closed_at >= before]
    world.outbox = [row for row in world.outbox if row.ended_at is None or row.ended_at >= before]
