"""Offer a store without a database.

`MemoryStore` keeps every promise of `crawlsock.store.interface.IStore` but one: nothing survives the
process. It takes its clock and its dice from its maker, so a test says what time it is and how far a
backoff jitters. Here live the verbs as callers see them; what they do is in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from crawlsock.jobs import Action
from crawlsock.store.interface import IStore
from crawlsock.store.values import (
    AccountView,
    Area,
    Assignment,
    Beat,
    Completion,
    Control,
    CredentialRow,
    Demand,
    EventPage,
    Failure,
    Include,
    ItemStatus,
    JobFilter,
    JobPage,
    JobRef,
    JobView,
    NewJob,
    NewSession,
    Order,
    Progress,
    ProgressView,
    Pruned,
    QueueView,
    Reaped,
    RefreshTicket,
    RefusedCredential,
    Release,
    Resumed,
    Scope,
    SealedCredential,
    SessionView,
    TokenRow,
)
from crawlsock.testing import (
    memory_accounts,
    memory_crawl,
    memory_jobs,
    memory_listing,
    memory_sessions,
    memory_views,
)
from crawlsock.testing.memory_listing import Listing
from crawlsock.testing.memory_records import Records
from crawlsock.testing.memory_vitals import MemoryVitals
from crawlsock.testing.memory_web import WebSessions


@implementer(IStore)
class MemoryStore(Listing, WebSessions, MemoryVitals, Records):
    """Keep jobs, sessions, progress, accounts, tokens and events in memory.

    Give it a `twisted.internet.task.Clock` and advance it, or the reactor. `random` returns numbers from 0
    up to 1. Call `stop` at the end of a test that uses a real reactor: a job that is due later holds a
    delayed call.
    """

    # -- what only a fake can show

    @property
    def audits(self) -> list[dict[str, Any]]:
        """Return what was written into the audit, oldest first."""
        return list(self._world.audits)

    @property
    def known_areas(self) -> list[tuple[str, Area]]:
        """Return all areas with their account, each with its host filled in."""
        return [(key[0], area) for key, area in self._world.areas.items()]

    # -- jobs: the web application

    def submit(self, jobs: Sequence[NewJob], *, accounts: frozenset[str] | None) -> Deferred[list[ItemStatus]]:
        """Make root jobs."""
        return self._do(memory_jobs.submit, jobs, accounts)

    def cancel(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Cancel a job or a tree."""
        return self._do(memory_jobs.control, Action.CANCEL, job_id, tree=tree, reason=reason, actor=actor)

    def pause(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Hold a job or a tree."""
        return self._do(memory_jobs.control, Action.PAUSE, job_id, tree=tree, reason=reason, actor=actor)

    def resume(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Let a job or a tree go on."""
        return self._do(memory_jobs.control, Action.RESUME, job_id, tree=tree, reason=reason, actor=actor)

    def retry(self, job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Queue failed or cancelled jobs afresh."""
        return self._do(memory_jobs.control, Action.RETRY, job_id, tree=tree, reason=reason, actor=actor)

    def job(self, job_id: str, include: frozenset[Include] = frozenset()) -> Deferred[JobView]:
        """Show a job."""
        return self._do(lambda world: memory_views.view(world, world.find(job_id), include))

    def jobs(self, filter: JobFilter) -> Deferred[JobPage]:
        """List jobs."""
        return self._do(memory_listing.jobs, filter)

    def live_jobs(self) -> Deferred[int]:
        """Count the jobs that are not finished."""
        return self._do(memory_views.live_jobs)

    def job_counts(self) -> Deferred[dict[str, int]]:
        """Count jobs by state."""
        return self._do(memory_views.job_counts)

    def progress_of(
        self, scope: Scope, job_id: str | None = None, account: str | None = None
    ) -> Deferred[ProgressView]:
        """Show how far something is."""
        return self._do(memory_views.progress_of, scope, job_id, account)

    # -- jobs: the crawler

    def assign(self, demands: Sequence[Demand]) -> Deferred[list[Assignment]]:
        """Give due jobs to sessions."""
        return self._do(memory_jobs.assign, demands)

    def unstarted(self, session_id: str) -> Deferred[list[Assignment]]:
        """Repeat what a session was given and has not begun."""
        return self._do(memory_jobs.unstarted, session_id)

    def start(self, ref: JobRef) -> Deferred[None]:
        """Mark a job as running."""
        return self._do(memory_crawl.start, ref)

    def progress(self, ref: JobRef, progress: Progress) -> Deferred[None]:
        """Record a report."""
        return self._do(memory_crawl.progress, ref, progress)

    def discover(self, ref: JobRef, jobs: Sequence[NewJob]) -> Deferred[list[ItemStatus]]:
        """Make child jobs."""
        return self._do(lambda world: memory_jobs.discover(world, memory_crawl.held(world, ref), jobs))

    def areas(self, ref: JobRef, areas: Sequence[Area]) -> Deferred[None]:
        """Record areas."""
        return self._do(memory_crawl.areas, ref, areas)

    def complete(self, ref: JobRef, completion: Completion) -> Deferred[None]:
        """End a job well."""
        return self._do(memory_crawl.complete, ref, completion)

    def fail(self, ref: JobRef, failure: Failure) -> Deferred[str]:
        """Record a failure; return the job's new state."""
        return self._do(memory_crawl.fail, ref, failure)

    def release(self, ref: JobRef, release: Release) -> Deferred[None]:
        """Take a job back unharmed."""
        return self._do(memory_crawl.release, ref, release)

    def cancelled(self, ref: JobRef, release: Release) -> Deferred[None]:
        """End a job as cancelled."""
        return self._do(memory_crawl.cancelled, ref, release)

    # -- sessions

    def open_session(self, session: NewSession) -> Deferred[SessionView]:
        """Open a session."""
        return self._do(memory_sessions.open_session, session)

    def resume_session(
        self,
        ticket_hash: bytes,
        held: Sequence[str] | None,
        server_id: str,
        *,
        pid: int | None = None,
        uid: int | None = None,
        process_start: int | None = None,
        boot_id: str | None = None,
    ) -> Deferred[Resumed]:
        """Go on with a session."""
        return self._do(memory_sessions.resume_session, ticket_hash, held, server_id, pid, uid, process_start, boot_id)

    def heartbeat(self, session_id: str, beat: Beat) -> Deferred[None]:
        """Renew a session."""
        return self._do(memory_sessions.heartbeat, session_id, beat)

    def detach_session(self, session_id: str) -> Deferred[None]:
        """Note that a link is lost."""
        return self._do(memory_sessions.detach_session, session_id)

    def end_session(self, session_id: str, reason: str) -> Deferred[None]:
        """End a session politely."""
        return self._do(memory_sessions.end_session, session_id, reason)

    def reap(self, session_ids: Sequence[str] | None = None) -> Deferred[list[Reaped]]:
        """End sessions whose time is over, or those named."""
        return self._do(memory_sessions.reap, session_ids)

    def adopt_sessions(self, server_id: str, grace: float) -> Deferred[list[SessionView]]:
        """Give crawlers time to come back."""
        return self._do(memory_sessions.adopt_sessions, server_id, grace)

    def sessions(self) -> Deferred[list[SessionView]]:
        """Return sessions that live, by crawler id."""
        return self._do(
            lambda world: sorted(
                (memory_sessions.view(world, row) for row in world.sessions.values()),
                key=lambda session: session.crawler_id,
            )
        )

    def pending_orders(self, server_id: str) -> Deferred[list[Order]]:
        """Hand out orders, each once."""
        return self._do(memory_sessions.pending_orders, server_id)

    def stuck(self) -> Deferred[list[Order]]:
        """Take back jobs without progress."""
        return self._do(memory_crawl.stuck)

    # -- queues

    def pause_queue(self, job_type: str | None, paused: bool, reason: str | None, actor: str) -> Deferred[None]:
        """Stop or start the assigning of a type, or of all."""
        return self._do(memory_jobs.pause_queue, job_type, paused, reason, actor)

    def queues(self) -> Deferred[list[QueueView]]:
        """Return the pauses in force."""
        return self._do(lambda world: sorted(world.pauses.values(), key=lambda pause: pause.job_type or ""))

    # -- accounts

    def put_credential(
        self,
        account: str,
        host: str,
        kind: str,
        sealed: SealedCredential,
        expires_at: datetime | None,
        actor: str,
    ) -> Deferred[int]:
        """Make an account or renew its credential."""
        return self._do(memory_accounts.put_credential, account, host, kind, sealed, expires_at, actor)

    def credential(self, account: str) -> Deferred[CredentialRow | None]:
        """Return a credential as stored."""
        return self._do(memory_accounts.credential, account)

    def begin_refresh(
        self, account: str, generation: int, server_id: str, ttl: float
    ) -> Deferred[RefreshTicket | None]:
        """Let one server refresh."""
        return self._do(memory_accounts.begin_refresh, account, generation, server_id, ttl)

    def finish_refresh(
        self, account: str, generation: int, sealed: SealedCredential, expires_at: datetime | None
    ) -> Deferred[int]:
        """Replace what was refreshed."""
        return self._do(memory_accounts.finish_refresh, account, generation, sealed, expires_at)

    def refuse_credential(self, account: str, generation: int, reason: str) -> Deferred[RefusedCredential]:
        """Mark a credential as refused."""
        return self._do(memory_accounts.refuse_credential, account, generation, reason)

    def expiring_credentials(self, within: float) -> Deferred[list[CredentialRow]]:
        """Return what should be refreshed soon."""
        return self._do(memory_accounts.expiring_credentials, within)

    def newer_credentials(self, known: Mapping[str, int]) -> Deferred[list[CredentialRow]]:
        """Return what was renewed since."""
        return self._do(memory_accounts.newer_credentials, known)

    def accounts(self) -> Deferred[list[AccountView]]:
        """Return all accounts by name."""
        return self._do(memory_accounts.accounts)

    def sessions_of_account(self, account: str) -> Deferred[list[tuple[str, str, str]]]:
        """Return who works for an account."""
        return self._do(memory_accounts.sessions_of_account, account)

    # -- tokens, audit

    def create_token(
        self,
        role: str,
        name: str,
        hash: bytes,
        accounts: frozenset[str] | None,
        expires_at: datetime | None,
        actor: str,
    ) -> Deferred[str]:
        """Record a token."""
        return self._do(memory_accounts.create_token, role, name, hash, accounts, expires_at, actor)

    def token_by_hash(self, hash: bytes) -> Deferred[TokenRow | None]:
        """Find a token that is good."""
        return self._do(memory_accounts.token_by_hash, hash)

    def tokens(self) -> Deferred[list[TokenRow]]:
        """Return all tokens, oldest first."""
        return self._do(lambda world: list(world.tokens.values()))

    def revoke_token(self, token_id: str, actor: str) -> Deferred[None]:
        """Revoke a token."""
        return self._do(memory_accounts.revoke_token, token_id, actor)

    def audit(self, actor: str, action: str, target: str | None, detail: dict[str, Any]) -> Deferred[None]:
        """Record that somebody did something."""
        return self._do(lambda world: world.note(actor, action, target, detail))

    # -- feed

    def events_after(self, position: str | None, limit: int) -> Deferred[EventPage]:
        """Read the feed."""
        return self._do(memory_views.events_after, position, limit)

    def event_head(self) -> Deferred[str]:
        """Return the position after the newest event."""
        return self._do(memory_views.event_head)

    def prune(self, before_events: datetime, before_jobs: datetime) -> Deferred[Pruned]:
        """Forget what is old."""
        return self._do(memory_views.prune, before_events, before_jobs)
