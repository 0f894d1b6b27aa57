"""Say what a store promises; `tests/store/contract` holds every store to it.

Here live names, arguments and promises. Two implementations keep them: PostgreSQL
(`crawlsock.store.postgres`) and memory (`crawlsock.testing.MemoryStore`). Nothing above the store may know
which one it has.

What holds for every verb:

- It returns a Deferred that fires after the change is durable.
- Sent twice it acts once and is answered the same, as far as its arguments tell that it is the same.
- It refuses with `crawlsock.wire.errors.Refusal` and then has changed nothing. A database that is away is
  ``unavailable`` with a `retry_after`, never another exception.
- The rules are those of `crawlsock.jobs`; the clock is the store's.
- The change and its event are one transaction: who reads the feed sees every change, once, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute

from crawlsock.store.activity import Activity
from crawlsock.store.listing import IListing
from crawlsock.store.records import IRecords
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
    HeldJob,
    Include,
    ItemStatus,
    JobRef,
    JobView,
    NewJob,
    NewSession,
    Order,
    Progress,
    Pruned,
    QueueView,
    Reaped,
    RefreshTicket,
    RefusedCredential,
    Release,
    Resumed,
    SealedCredential,
    SessionView,
    TokenRow,
)
from crawlsock.store.vitals import IVitals
from crawlsock.store.web_sessions import IWebSessions
from crawlsock.tally import JobTally

__all__ = ["HeldJob", "IStore"]


class IStore(IListing, IWebSessions, IVitals, IRecords):
    """Keep jobs, sessions, progress, accounts, tokens and events."""

    state: str = Attribute("``up`` or ``down``: whether verbs can succeed at this moment.")
    tally: JobTally = Attribute(
        "How the jobs fared that went through this store; counted once each has been committed."
    )
    seen: Activity = Attribute("What happened in which minute; emptied by who writes it down.")

    def when_up() -> Deferred[None]:
        """Return a Deferred that fires as soon as `state` is ``up``, at once if it is."""

    # -- jobs: the web application

    def submit(jobs: Sequence[NewJob], *, accounts: frozenset[str] | None) -> Deferred[list[ItemStatus]]:
        """Make a root job of every item, in state ``queued`` (``waiting_credential`` if the account's is
        refused).

        Answers one status an item, in order; a bad item never fails its neighbours. An item whose `job_id`
        exists in the same account is ``created`` again and changes nothing; one whose `job_key` a live job
        of the account has is ``duplicate``, with that job's id. ``invalid``: account unknown
        (``unknown_account``) or not among `accounts` (``forbidden``), or `job_id` taken by a job of another
        account (``duplicate``).
        """

    def cancel(job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Cancel a job, or with `tree` the job and all below it.

        Jobs that nobody works on are ``cancelled`` now; those with a lease have `cancel_requested` and an
        order is returned. Jobs already cancelled, or asked to be, are not counted again. A single completed
        or failed job is ``invalid_state``; inside a tree such jobs are passed over. Errors:
        ``unknown_job``.
        """

    def pause(job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Hold a job, or a tree: waiting jobs are ``paused`` now, those with a lease have `pause_requested`
        and an order.

        A job with a lease keeps it while it holds. Errors as for `cancel` (a cancelled job too is
        ``invalid_state``).
        """

    def resume(job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Let a paused job, or tree, go on: ``paused`` becomes ``queued`` (or ``waiting_credential``).

        A job with a lease loses `pause_requested`, and a ``resume`` order is returned. Jobs that are not
        paused are not counted. Errors as for `pause`.
        """

    def retry(job_id: str, *, tree: bool, reason: str | None, actor: str) -> Deferred[Control]:
        """Queue a failed or cancelled job, or all such in a tree, afresh: failures and losses 0, due now,
        resume state kept.

        A single queued job is accepted and not counted (it is the second time it was asked). Any other
        state of a single job is ``invalid_state``. Where a live job has taken the key meanwhile:
        ``duplicate``, or passed over in a tree.
        """

    def job(job_id: str, include: frozenset[Include] = ...) -> Deferred[JobView]:
        """Return a job with its progress, and what `include` asks for. Errors: ``unknown_job``."""

    # -- jobs: the crawler

    def assign(demands: Sequence[Demand]) -> Deferred[list[Assignment]]:
        """Give due jobs to sessions: highest priority first, then the earliest `run_at`, then the oldest.

        Every assigned job is in state ``assigned``, with `attempt` one higher, a new lease, and an open
        assignment row. A demand gets only jobs of its types whose labels it has, of queues that are not
        paused. Sessions that do not live get none. No job is ever given twice at a time.
        """

    def start(ref: JobRef) -> Deferred[None]:
        """Mark the job ``running``. Errors: ``lease_lost``.

        This, and all verbs with a `ref`, act only under the current lease. Sent again after it acted, the
        same verb under the same lease succeeds and changes nothing: an end (`complete`, `fail`, `release`,
        `cancelled`) for ever, `start` and `progress` as long as the job has not gone to the queue again.
        Everything else under a lease that is not current is ``lease_lost``; so is everything once somebody
        else ended the lease.
        """

    def progress(ref: JobRef, progress: Progress) -> Deferred[None]:
        """Record a report: the snapshot has its counts, each at least what the attempt had before, and its
        resume state. The store adds percent, rate and time left (`crawlsock.progress.ProgressTracker`).

        A `seq` that is not above the last of this attempt changes nothing and succeeds. A new attempt's
        first report replaces the snapshot. Milestones that the percentage crosses are recorded once a job.
        Errors: ``lease_lost``.
        """

    def discover(ref: JobRef, jobs: Sequence[NewJob]) -> Deferred[list[ItemStatus]]:
        """Make child jobs of the job; one status an item, as `submit`. Errors: ``lease_lost``.

        A child has its parent's account and root, and its host, labels, priority, attempts, backoff and
        no-progress limit where the item has none. Its key is type, host and entity
        (`crawlsock.jobs.discovery_key`): unique for ever in the tree, its root included, and among the live
        jobs of the account; otherwise ``duplicate`` with the first's id. A job that is to be cancelled gets
        no more children: its items are ``invalid`` (``invalid_state``).
        """

    def areas(ref: JobRef, areas: Sequence[Area]) -> Deferred[None]:
        """Record areas of the job's account, replacing what was known by host, kind and entity id. Errors:
        ``lease_lost``."""

    def complete(ref: JobRef, completion: Completion) -> Deferred[None]:
        """End the job as ``completed``, with counts, files and summary; its progress is 100 %. Errors:
        ``lease_lost``."""

    def fail(ref: JobRef, failure: Failure) -> Deferred[str]:
        """Record the error, and queue the job again or end it, as `crawlsock.jobs.fail` decides; return the
        new state.

        Errors: ``lease_lost``.
        """

    def release(ref: JobRef, release: Release) -> Deferred[None]:
        """Queue the job again, with no attempt used (``cancelled`` or ``paused`` when that was asked).
        Errors: ``lease_lost``."""

    def cancelled(ref: JobRef, release: Release) -> Deferred[None]:
        """End the job as ``cancelled``. Errors: ``lease_lost``."""

    # -- sessions

    def open_session(session: NewSession) -> Deferred[SessionView]:
        """Open a session, ``connected``, with its deadline one lease length from now.

        A session of the same crawler that is ``away``, or past its deadline, is reaped first. One that is
        connected: ``duplicate_crawler``. The same `ticket_hash` again returns the session it opened.
        """

    def resume_session(
        ticket_hash: bytes,
        held: Sequence[str] | None,
        server_id: str,
        *,
        pid: int | None = ...,
        uid: int | None = ...,
        process_start: int | None = ...,
        boot_id: str | None = ...,
    ) -> Deferred[Resumed]:
        """Continue a session, now connected to `server_id`, with its deadline renewed.

        `held` are the leases that the crawler has; None is all of the session's. Those of the session that
        it does not hold are queued again unharmed, as by `release`; those it holds and the session does not
        are `lost`. Errors: ``session_expired`` when the session has ended.
        """

    def unstarted(session_id: str) -> Deferred[list[Assignment]]:
        """Return the jobs that the session was given and has not begun, as `assign` gave them, leases and all.

        For a crawler that resumed without naming its leases: an assignment may have been lost with its link.
        """

    def heartbeat(session_id: str, beat: Beat) -> Deferred[None]:
        """Renew the session's deadline and record the beat. Errors: ``session_expired``.

        A session lives until it is reaped or ended, also when its deadline has passed by a little.
        """

    def detach_session(session_id: str) -> Deferred[None]:
        """Mark the session ``away``: the link is lost. Its deadline and its leases stay. Unknown sessions
        are ignored."""

    def end_session(session_id: str, reason: str) -> Deferred[None]:
        """End the session politely: jobs it still has are queued again unharmed. Unknown sessions are
        ignored."""

    def reap(session_ids: Sequence[str] | None = None) -> Deferred[list[Reaped]]:
        """End sessions whose deadline has passed, or those named, at once, and take their jobs back.

        Each job counts a loss and becomes ``cancelled`` if that was asked, ``failed`` with reason
        ``poison`` at the third loss, ``paused`` if that was asked, otherwise ``queued`` (or
        ``waiting_credential``), due now.
        """

    def adopt_sessions(server_id: str, grace: float) -> Deferred[list[SessionView]]:
        """Give crawlers time to come back: return the sessions of this server, and all past their deadline,
        extended.

        Their deadline is at least `grace` seconds from now. Called when a server starts, and when the
        database is back. States are not changed.
        """

    def sessions() -> Deferred[list[SessionView]]:
        """Return all sessions that live, by crawler id."""

    def pending_orders(server_id: str) -> Deferred[list[Order]]:
        """Return what is wished for leases that sessions of this server hold: ``cancel``, else ``pause``.

        Reading changes nothing: a wish is listed until the lease ends or the wish is taken back, so an order
        whose delivery failed is not lost. A server sends each wish once to each connection, and ``resume``
        for a lease that it has paused and that is no longer listed.
        """

    def stuck() -> Deferred[list[Order]]:
        """Take leases whose job has reported nothing for longer than its no-progress limit; return cancels
        for crawlers.

        The jobs count a loss and go where `reap` sends them. Jobs asked to pause are not stuck.
        """

    # -- queues

    def pause_queue(job_type: str | None, paused: bool, reason: str | None, actor: str) -> Deferred[None]:
        """Stop, or start again, the assigning of one job type, or of all."""

    def queues() -> Deferred[list[QueueView]]:
        """Return the pauses that are in force."""

    # -- accounts

    def put_credential(
        account: str,
        host: str,
        kind: str,
        sealed: SealedCredential,
        expires_at: datetime | None,
        actor: str,
    ) -> Deferred[int]:
        """Make the account or renew its credential; return the new generation. Waiting jobs are queued.

        Sent again with the same sealed bytes it returns the same generation.
        """

    def credential(account: str) -> Deferred[CredentialRow | None]:
        """Return the account's credential as stored, None if it has none. Errors: ``unknown_account``."""

    def begin_refresh(account: str, generation: int, server_id: str, ttl: float) -> Deferred[RefreshTicket | None]:
        """Allow one server to refresh this generation, for `ttl` seconds; None for all others.

        None also when `generation` is no longer the current one, or was refused. The holder that asks again
        gets its ticket again. Errors: ``unknown_account``, ``credential_missing``.
        """

    def finish_refresh(
        account: str, generation: int, sealed: SealedCredential, expires_at: datetime | None
    ) -> Deferred[int]:
        """Replace `generation` by the refreshed credential; return the current generation. Waiting jobs are
        queued.

        When `generation` is no longer current nothing changes: somebody was first.
        """

    def refuse_credential(account: str, generation: int, reason: str) -> Deferred[RefusedCredential]:
        """Mark the credential refused, and move the account's queued and running jobs to
        ``waiting_credential``.

        Leases of running jobs end (no failure, loss or release is counted) and a cancel order is returned
        for each. Paused jobs stay paused. When `generation` is not current, or already refused, nothing
        changes.
        """

    def expiring_credentials(within: float) -> Deferred[list[CredentialRow]]:
        """Return valid OAuth credentials that expire within so many seconds, or have expired."""

    def newer_credentials(known: Mapping[str, int]) -> Deferred[list[CredentialRow]]:
        """Return the valid credentials whose generation is above the one known for their account."""

    def accounts() -> Deferred[list[AccountView]]:
        """Return all accounts by name; ``default`` is always there."""

    def sessions_of_account(account: str) -> Deferred[list[tuple[str, str, str]]]:
        """Return session id, job id and lease of every job of the account that is with a crawler."""

    # -- tokens, audit

    def create_token(
        role: str,
        name: str,
        hash: bytes,
        accounts: frozenset[str] | None,
        expires_at: datetime | None,
        actor: str,
    ) -> Deferred[str]:
        """Record a token by its hash; return its id. The same hash again returns the same id."""

    def token_by_hash(hash: bytes) -> Deferred[TokenRow | None]:
        """Return the token if it exists and is neither revoked nor past its time, and note that it was
        used."""

    def tokens() -> Deferred[list[TokenRow]]:
        """Return all tokens, revoked ones too, oldest first."""

    def revoke_token(token_id: str, actor: str) -> Deferred[None]:
        """Revoke a token, for good. Again is fine; one that never was is ``unknown_token``."""

    def audit(actor: str, action: str, target: str | None, detail: dict[str, Any]) -> Deferred[None]:
        """Record that somebody did something. Verbs that take an `actor` record themselves."""

    # -- feed

    def events_after(position: str | None, limit: int) -> Deferred[EventPage]:
        """Return events after `position` (None: from the oldest kept), oldest first, about `limit` of them.

        Positions are opaque. A position older than what is kept, or newer than anything there is (another database
        gave it), gives `gap`, and what there is. One that no store can have given is ``invalid_message``. `more` says
        that there is more to read already.
        """

    def event_head() -> Deferred[str]:
        """Return the position after the newest event."""

    def prune(before_events: datetime, before_jobs: datetime) -> Deferred[Pruned]:
        """Remove events older than one moment, and trees whose every job ended before another, with all
        they have."""

    # -- observers

    def on_work(callback: Callable[[], None]) -> None:
        """Call back whenever jobs may have become due. Cheap, perhaps without cause, never missed for
        good."""

    def on_orders(callback: Callable[[], None]) -> None:
        """Call back whenever `pending_orders` may have changed."""

    def on_events(callback: Callable[[], None]) -> None:
        """Call back whenever `events_after` may have more."""
