"""Write and read the sessions of crawlers.

The law of this module: deadlines are compared by the database, never here.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from crawlsock import __version__
from crawlsock.store.pool import Row
from crawlsock.store.postgres.base import deferred, dumps, is_uuid, loads
from crawlsock.store.postgres.jobs import Jobs
from crawlsock.store.postgres.waiters import session_expired
from crawlsock.store.values import Assignment, HeldJob, NewSession, Order, Reaped, Resumed, SessionView
from crawlsock.wire.errors import ErrorCode, Refusal


def _view(row: Row) -> SessionView:
    beat = loads(row[19]) or {}
    hosts = beat.get("hosts")
    return SessionView(
        session_id=row[0],
        crawler_id=row[1],
        server_id=row[2],
        state=row[3],
        slots=row[4],
        labels=frozenset(row[5]),
        job_types=None if row[6] is None else frozenset(row[6]),
        connected_at=row[7],
        deadline=row[8],
        lease_length=row[9],
        heartbeat_age=max(0.0, row[10]),
        jobs=row[11],
        hostname=row[12],
        pid=row[13],
        uid=row[14],
        process_start=row[15],
        boot_id=row[16],
        version=row[17],
        transport=row[18],
        status=beat.get("status"),
        memory_bytes=beat.get("memory_bytes"),
        cpu_percent=beat.get("cpu_percent"),
        hosts=None if hosts is None else tuple(hosts),
    )


class Sessions(Jobs):
    """The part of the store that knows who is here."""

    @deferred
    async def open_session(self, session: NewSession) -> SessionView:
        session_id = str(uuid.uuid4())
        wish = {
            "session_id": session_id,
            "crawler_id": session.crawler_id,
            "server_id": session.server_id,
            "ticket": session.ticket_hash.hex(),
            "slots": session.slots,
            "labels": sorted(session.labels),
            "job_types": None if session.job_types is None else sorted(session.job_types),
            "pid": session.pid,
            "uid": session.uid,
            "process_start": session.process_start,
            "boot_id": session.boot_id,
            "hostname": session.hostname,
            "version": session.version,
            "transport": session.transport,
            "lease_length": session.lease_length,
        }
        outcome, ended = (await self.function("open_session(%s::jsonb, %s)", dumps(wish), self.poison_limit))[0]
        self.tally.taken_back(loads(ended), "dead")
        if outcome == "duplicate":
            raise Refusal(
                ErrorCode.DUPLICATE_CRAWLER,
                f"a crawler named {session.crawler_id!r} is connected: use another id, or end the other process",
            )
        self._committed()
        self._work()
        return await self._session("ticket_hash = %(ticket)s", {"ticket": session.ticket_hash})

    @deferred
    async def resume_session(
        self,
        ticket_hash: bytes,
        held: Sequence[str] | None,
        server_id: str,
        *,
        pid: int | None = None,
        uid: int | None = None,
        process_start: str | None = None,
        boot_id: str | None = None,
    ) -> Resumed:
        process: dict[str, Any] = {
            "server_id": server_id, "pid": pid, "uid": uid, "process_start": process_start, "boot_id": boot_id,
        }  # fmt: skip
        rows = await self.function(
            "resume_session(%s, %s::text[], %s::jsonb)",
            ticket_hash.hex(),
            None if held is None else list(held),
            dumps(process),
        )
        session_id, kept, lost, ended = rows[0]
        if session_id is None:
            raise session_expired()
        self.tally.taken_back(loads(ended))
        self.forget_counts()
        self._committed()
        self._work()
        session = await self._session("session_id = %(session_id)s", {"session_id": session_id})
        jobs = [HeldJob(*job) for job in loads(kept)]
        for job in jobs:
            self.seen.given(job.lease, job.account, None)
        return Resumed(session, jobs, loads(lost))

    @deferred
    async def unstarted(self, session_id: str) -> list[Assignment]:
        rows = await self.read("unstarted", {"session_id": session_id}) if is_uuid(session_id) else []
        parsed = [[None if each is None else loads(each) for each in row[13:15]] for row in rows]
        return [Assignment(*row[:13], *values, *row[15:]) for row, values in zip(rows, parsed, strict=True)]

    @deferred
    async def _session(self, which: str, parameters: dict[str, Any]) -> SessionView:
        rows = await self.read("sessions", parameters, which=f"c.{which}")
        if not rows:
            raise session_expired()
        return _view(rows[0])

    @deferred
    async def detach_session(self, session_id: str) -> None:
        if is_uuid(session_id):
            await self.function("detach_session(%s)", session_id)

    @deferred
    async def end_session(self, session_id: str, reason: str) -> None:
        if is_uuid(session_id):
            ended = (await self.function("end_session", session_id, reason))[0][0]
            self.tally.taken_back(loads(ended))
            self.forget_counts()
            self._committed()
            self._work()

    @deferred
    async def reap(self, session_ids: Sequence[str] | None = None) -> list[Reaped]:
        wanted = None if session_ids is None else [each for each in session_ids if is_uuid(each)]
        rows = await self.function("reap(%s::uuid[], %s)", wanted, self.poison_limit)
        if rows:
            self.forget_counts()
            self._committed()
            self._work()
        for row in rows:
            self.tally.taken_back(loads(row[4]), "expired" if session_ids is None else "dead")
        return [Reaped(*row[:4]) for row in rows]

    @deferred
    async def adopt_sessions(self, server_id: str, grace: float) -> list[SessionView]:
        await self._beat(server_id)
        ids = [row[0] for row in await self.function("adopt_sessions", server_id, grace)]
        if not ids:
            return []
        rows = await self.read("sessions", {"ids": ids}, which="c.session_id = ANY (%(ids)s::uuid[])")
        return [_view(row) for row in rows]

    @deferred
    async def sessions(self) -> list[SessionView]:
        return [_view(row) for row in await self.read("sessions", which="true")]

    @deferred
    async def pending_orders(self, server_id: str) -> list[Order]:
        await self._beat(server_id)
        return [Order(*row) for row in await self.read("pending_orders", {"server_id": server_id})]

    @deferred
    async def stuck(self) -> list[Order]:
        rows = await self.function("stuck", self.poison_limit)
        if rows:
            self.forget_counts()
            self._committed()
            self._work()
        self.tally.taken_back((loads(row[3]) for row in rows), "stuck")
        return [Order("cancel", session_id, job_id, lease, "no progress") for session_id, job_id, lease, _ in rows]

    @deferred
    async def _beat(self, server_id: str) -> None:
        rows = await self.write(
            "beat_server", {"server_id": server_id, "name": self.server_name, "version": __version__}
        )
        self.other_servers = rows[0][0]
