"""Read jobs, progress and the feed.

The law of this module: nothing here changes a row. Aggregates are summed by the database and mean what
`crawlsock.progress` says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import attrs

from crawlsock.jobs import State
from crawlsock.progress import Aggregate, Snapshot, TypeSums, job_view
from crawlsock.store.pool import Row
from crawlsock.store.postgres.accounts import Accounts
from crawlsock.store.postgres.base import deferred, is_uuid, loads, unknown_job
from crawlsock.store.values import (
    EventPage,
    Include,
    JobView,
    ProgressView,
    Pruned,
    Scope,
    rfc3339,
)
from crawlsock.wire.errors import ErrorCode, Refusal

_PAGE_BYTES: Final = 512 * 1024
"""About as much as one read of the feed brings, in bytes of the database: a busy hour's commits are large."""
_SCOPES: Final = {
    "tree": "j.job_id IN (SELECT job_id FROM branch)",
    "account": "j.account = %(account)s",
    "all": "true",
}


def _progress(job_id: str, state: str, row: Row) -> ProgressView | None:
    reported_by, stage, seq, entities, percent, rate, time_left, message, updated_at = row
    if reported_by is None:
        # A job may be done without having said anything on the way.
        return job_view(job_id, Snapshot(state)) if state == State.COMPLETED.value else None
    snapshot = Snapshot(state, stage, loads(entities), percent, rate, updated_at)
    return job_view(job_id, snapshot, seq=seq, message=message, time_left=time_left)


def job_row(row: Row) -> JobView:
    """Return the view of a job from a row of the columns that all queries of jobs share, in their order."""
    return JobView(
        job_id=row[0],
        type=row[1],
        state=row[2],
        account=row[3],
        priority=row[4],
        attempt=row[5],
        failures=row[6],
        max_attempts=row[7],
        releases=row[8],
        losses=row[9],
        root_id=row[10],
        created_at=row[11],
        run_at=row[12],
        host=row[13],
        entity_id=row[14],
        namespace_path=row[15],
        name=row[16],
        parent_id=row[17],
        job_key=row[18],
        labels=tuple(row[19] or ()),
        assigned_at=row[20],
        started_at=row[21],
        finished_at=row[22],
        reason=row[23],
        crawler_id=row[24],
        cancel_requested=row[25],
        pause_requested=row[26],
        payload=loads(row[27]) or None,
        estimated_size=row[28],
        files=loads(row[29]) or None,
        summary=None if row[30] is None else loads(row[30]),
        progress=_progress(row[0], row[2], row[31:]),
    )


def aggregate(row: Row) -> Aggregate:
    """Return the sums over jobs from a row of what `Aggregate` holds."""
    jobs, entities, share, discovering, vague, rate, updated_at = row
    return Aggregate(
        jobs=dict(loads(jobs) or {}),
        entities={kind: TypeSums(*counts) for kind, counts in dict(loads(entities) or {}).items()},
        live_share=share,
        discovering=discovering,
        vague=vague,
        rate=rate,
        updated_at=updated_at,
    )


def _position(text: str) -> tuple[str, int]:
    xid, _, number = text.partition(".")
    if not (
        xid.isdecimal()
        and number.isdecimal()
        and len(xid) <= 20
        and len(number) <= 18
        and xid.isascii()
        and number.isascii()
    ):
        raise Refusal(
            ErrorCode.INVALID_MESSAGE,
            "the position is none that was given out: leave it out to start now",
            "/data/position",
        )
    return xid, int(number)


def _events(groups: str, at: datetime) -> list[dict[str, Any]]:
    """Unfold the groups of one commit; absent values are left out."""
    moment = rfc3339(at)
    return [
        {"at": moment, **{name: value for name, value in zip(group["columns"], row, strict=False) if value is not None}}
        for group in loads(groups)
        for row in group["rows"]
    ]


class Reads(Accounts):
    """The part of the store that answers questions."""

    @deferred
    async def job(self, job_id: str, include: frozenset[Include] = frozenset()) -> JobView:
        rows = await self.read("job", {"job_id": job_id}) if is_uuid(job_id) else []
        if not rows:
            raise unknown_job(job_id)
        more: dict[str, Any] = {}
        for name in include:
            more[name] = _INCLUDED[name](await self.read(f"job_{name}", {"job_id": job_id}))
        return attrs.evolve(job_row(rows[0]), **more)

    @deferred
    async def live_jobs(self) -> int:
        """Return how many jobs are not finished: what a limit of the queue is about."""
        return int((await self.read("live_jobs"))[0][0])

    @deferred
    async def progress_of(self, scope: Scope, job_id: str | None = None, account: str | None = None) -> ProgressView:
        if scope in ("job", "tree"):
            view = await self.job(job_id or "", frozenset({"milestones"}))
            if scope == "job":
                progress = view.progress or job_view(view.job_id, Snapshot(view.state))
                return attrs.evolve(progress, milestones=view.milestones)
        if scope == "account":
            await self.credential(account or "")
        rows = await self.read("progress_of_jobs", {"job_id": job_id, "account": account}, scope=_SCOPES[scope])
        return aggregate(rows[0][:7]).view(scope, job_id=job_id, account=account, elapsed=rows[0][7])

    # -- feed ----------------------------------------------------------------------------------------------------

    @deferred
    async def events_after(self, position: str | None, limit: int) -> EventPage:
        xid, number = ("0", 0) if position is None else _position(position)
        rows = await self.read("events_after", {"xid": xid, "id": number, "limit": limit, "bytes": _PAGE_BYTES})
        horizon_xid, horizon_number, lost = rows[0][:3]
        found = [row[3:] for row in rows if row[3] is not None]
        more = False
        if found:
            xid, number = found[-1][:2]
            in_sight = found[0][4]
            more = in_sight == limit or len(found) < in_sight
        elif lost:
            xid, number = horizon_xid, horizon_number
        events = [event for _, _, at, groups, _ in found for event in _events(groups, at)]
        return EventPage(events, f"{xid}.{number}", position is not None and lost, more)

    @deferred
    async def event_head(self) -> str:
        rows = await self.read("event_head")
        return f"{rows[0][0]}.{rows[0][1]}"

    @deferred
    async def prune(self, before_events: datetime, before_jobs: datetime) -> Pruned:
        events, jobs = (await self.function("prune(%s::timestamptz, %s::timestamptz)", before_events, before_jobs))[0]
        return Pruned(events, jobs)


def _record(names: str, row: Row, **readers: Any) -> dict[str, Any]:
    pairs = zip(names.split(), row, strict=True)
    return {name: readers[name](value) if name in readers else value for name, value in pairs if value is not None}


_INCLUDED: Final[dict[str, Callable[[list[Row]], Any]]] = {
    "errors": lambda rows: [
        _record(
            "error_type message recoverable attempt at request stack context fingerprint category severity",
            row,
            request=loads,
            context=loads,
        )
        for row in rows
    ],
    "assignments": lambda rows: [
        _record("attempt session_id crawler_id assigned_at started_at ended_at outcome detail", row) for row in rows
    ],
    "milestones": lambda rows: [_record("percent at", row) for row in rows],
    "children": lambda rows: {row[0]: row[1] for row in rows},
}
