"""Make stores, jobs and sessions for the claims of the contract."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Iterable
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.trial import unittest

from crawlsock.jobs import State
from crawlsock.store.interface import IStore
from crawlsock.store.values import (
    Assignment,
    Completion,
    Demand,
    Failure,
    Include,
    JobRef,
    JobView,
    NewJob,
    NewSession,
    SealedCredential,
    SessionView,
)
from crawlsock.wire.errors import Refusal

SERVER = "00000000-0000-4000-8000-00000000000a"
OTHER_SERVER = "00000000-0000-4000-8000-00000000000b"
EVERYTHING: frozenset[Include] = frozenset({"errors", "assignments", "milestones", "children"})
LEASE_LENGTH = 30.0


def fresh_id() -> str:
    """Return an id that no job has."""
    return str(uuid.uuid4())


@frozen
class Subject:
    """A job brought into some state, and its lease if it has one."""

    job_id: str
    ref: JobRef | None = None


class StoreContract(unittest.TestCase):
    """Say what a store's test module must provide, and offer what the claims need."""

    store: IStore

    def make_store(self) -> Deferred[IStore]:
        """Return a store that is up and knows nothing but the account ``default``."""
        raise NotImplementedError

    async def advance(self, seconds: float) -> None:
        """Let so much time pass for the store."""
        raise NotImplementedError

    def now(self) -> datetime:
        """Return the store's present."""
        raise NotImplementedError

    async def audited(self) -> list[tuple[str, str, str | None]]:
        """Return actor, action and target of all that was written into the audit, oldest first."""
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]
        self._names = iter(range(1, 1_000_000))
        self.store = await self.make_store()

    def in_(self, seconds: float) -> datetime:
        """Return the moment so many seconds from the store's present."""
        return self.now() + timedelta(seconds=seconds)

    async def refused(self, code: str, awaitable: Awaitable[Any]) -> Refusal:
        """Await something that must be refused with this code."""
        try:
            answer = await awaitable
        except Refusal as refusal:
            self.assertEqual(refusal.code.value, code)
            return refusal
        raise self.failureException(f"expected {code}, was answered {answer!r}")

    async def submit(self, type: str = "crawl_project", **fields: Any) -> str:
        """Submit one job; return its id."""
        (status,) = await self.store.submit([NewJob(type, **fields)], accounts=None)
        self.assertEqual(status.status, "created", status)
        assert status.job_id is not None
        return status.job_id

    async def session(self, crawler_id: str | None = None, **fields: Any) -> SessionView:
        """Open a session."""
        name = crawler_id or f"crawler-{next(self._names)}"
        fields.setdefault("server_id", SERVER)
        fields.setdefault("lease_length", LEASE_LENGTH)
        fields.setdefault("ticket_hash", name.encode())
        return await self.store.open_session(NewSession(crawler_id=name, **fields))

    async def assign(self, session: SessionView, slots: int = 1, **fields: Any) -> list[Assignment]:
        """Give jobs to a session."""
        return await self.store.assign([Demand(session.session_id, slots, **fields)])

    async def held(self, session: SessionView | None = None, **fields: Any) -> JobRef:
        """Submit a job and assign it, to a new session unless one is given."""
        job_id = await self.submit(**fields)
        return await self.take(session or await self.session(), job_id)

    async def take(self, session: SessionView, job_id: str) -> JobRef:
        """Assign the only job that waits, which must be this one."""
        (assignment,) = await self.assign(session)
        self.assertEqual(assignment.job_id, job_id)
        return JobRef(assignment.job_id, assignment.lease, assignment.session_id)

    async def running(self, session: SessionView | None = None, **fields: Any) -> JobRef:
        """Submit a job, assign it, start it."""
        ref = await self.held(session, **fields)
        await self.store.start(ref)
        return ref

    async def bring(self, state: State, **fields: Any) -> Subject:
        """Make a job and bring it into a state."""
        if state is State.WAITING_CREDENTIAL:
            await self.refused_account("locked")
            return Subject(await self.submit(account="locked", **fields))
        if state in (State.QUEUED, State.PAUSED):
            job_id = await self.submit(**fields)
            if state is State.PAUSED:
                await self.store.pause(job_id, tree=False, reason=None, actor="test")
            return Subject(job_id)
        ref = await self.held(**fields)
        if state is not State.ASSIGNED:
            await self.store.start(ref)
        if state is State.COMPLETED:
            await self.store.complete(ref, Completion())
        elif state is State.FAILED:
            await self.store.fail(ref, Failure("test", "for good", recoverable=False))
        elif state is State.CANCELLED:
            await self.store.cancel(ref.job_id, tree=False, reason=None, actor="test")
            await self.store.reap([ref.session_id])
        return Subject(ref.job_id, ref if state in (State.ASSIGNED, State.RUNNING) else None)

    async def account(self, account: str, *, kind: str = "oauth", expires_at: datetime | None = None) -> int:
        """Store a credential; return its generation."""
        sealed = SealedCredential(uuid.uuid4().bytes)
        return await self.store.put_credential(account, "gitlab.test", kind, sealed, expires_at, "test")

    async def refused_account(self, account: str) -> None:
        """Make an account whose credential was refused."""
        generation = await self.account(account)
        await self.store.refuse_credential(account, generation, "revoked")

    async def view(self, job_id: str) -> JobView:
        """Return all there is to see of a job."""
        return await self.store.job(job_id, EVERYTHING)

    async def state(self, job_id: str) -> str:
        """Return a job's state."""
        return (await self.store.job(job_id, frozenset())).state

    async def states(self, job_ids: Iterable[str]) -> list[str]:
        """Return the states of jobs."""
        return [await self.state(job_id) for job_id in job_ids]

    async def events(self) -> list[dict[str, Any]]:
        """Return the whole feed."""
        found: list[dict[str, Any]] = []
        position: str | None = None
        while True:
            page = await self.store.events_after(position, 100)
            if not page.events:
                return found
            found += page.events
            position = page.position

    async def kinds(self, job_id: str) -> list[str]:
        """Return the kinds of all events about a job, in order."""
        return [event["kind"] for event in await self.events() if event.get("job_id") == job_id]
