"""Hold what a `MemoryStore` knows: rows in dictionaries, and the few moves that keep them consistent.

Here live rows, indexes and the feed. What a verb means is in the modules beside this one; what becomes of a
job is decided in `crawlsock.jobs`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime

from crawlsock.jobs import DEFAULT_BACKOFF, HELD, TERMINAL, Backoff, Change, JobFacts, State
from crawlsock.progress import ProgressTracker
from crawlsock.store.activity import Activity
from crawlsock.store.listing_values import Minute
from crawlsock.store.records_values import ErrorGroup, IncidentView
from crawlsock.store.values import Area, Beat, CredentialRow, NewSession, QueueView, TokenRow, rfc3339
from crawlsock.tally import JobTally
from crawlsock.wire.errors import ErrorCode, Refusal


@define
class AssignmentRow:
    """Remember who had an attempt, and how it ended (`outcome` None: it has not). `result` is the state
    after it."""

    job_id: str
    attempt: int
    lease: str
    session_id: str
    crawler_id: str
    assigned_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    result: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Show it, without the lease."""
        shown = {
            "attempt": self.attempt,
            "crawler_id": self.crawler_id,
            "session_id": self.session_id,
            "assigned_at": rfc3339(self.assigned_at),
            "started_at": self.started_at and rfc3339(self.started_at),
            "ended_at": self.ended_at and rfc3339(self.ended_at),
            "outcome": self.outcome,
        }
        return {name: value for name, value in shown.items() if value is not None}


@define
class ProgressRow:
    """Hold the current snapshot of a job."""

    attempt: int
    seq: int
    stage: str
    updated_at: datetime
    entities: dict[str, dict[str, Any]] = Factory(dict)
    message: str | None = None
    resume_state: dict[str, Any] | None = None
    percent: float | None = None
    rate: float | None = None
    time_left: float | None = None


@define
class JobRow:
    """Hold a job, its queue state, and all that happened to it. `number` rises with every job made."""

    job_id: str
    number: int
    type: str
    account: str
    root_id: str
    state: State
    created_at: datetime
    run_at: datetime
    priority: int
    max_attempts: int
    parent_id: str | None = None
    host: str | None = None
    entity_id: str | None = None
    namespace_path: str | None = None
    name: str | None = None
    backoff: Backoff = DEFAULT_BACKOFF
    labels: tuple[str, ...] = ()
    job_key: str | None = None
    payload: dict[str, Any] | None = None
    no_progress_limit: float | None = None
    estimated_size: int | None = None
    attempt: int = 0
    failures: int = 0
    releases: int = 0
    losses: int = 0
    cancel_requested: bool = False
    pause_requested: bool = False
    reason: str | None = None
    lease: str | None = None
    session_id: str | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    alive_at: datetime | None = None
    progress: ProgressRow | None = None
    files: list[dict[str, Any]] | None = None
    summary: dict[str, Any] | None = None
    milestones: dict[int, datetime] = Factory(dict)
    errors: list[dict[str, Any]] = Factory(list)
    assignments: list[AssignmentRow] = Factory(list)
    children: list[str] = Factory(list)


@define
class SessionRow:
    """Hold a session that lives; it goes when it ends."""

    session_id: str
    new: NewSession
    server_id: str
    state: str
    connected_at: datetime
    heartbeat_at: datetime
    deadline: datetime
    pid: int | None = None
    uid: int | None = None
    process_start: int | None = None
    boot_id: str | None = None
    beat: Beat = Factory(Beat)
    leases: dict[str, str] = Factory(dict)


@define
class AccountRow:
    """Hold an account; `credential` None is one that needs none. `holder` is the server that refreshes,
    `until` when."""

    account: str
    generation: int = 0
    credential: CredentialRow | None = None
    holder: str | None = None
    until: datetime | None = None

    @property
    def refused(self) -> bool:
        """Tell whether jobs of this account must wait for a new credential."""
        return self.credential is not None and self.credential.state == "refused"


@define
class IncidentRow:
    """Hold an incident. `subject` tells those of one kind apart; `notified_at` is when people were last told."""

    view: IncidentView
    subject: str
    base: int
    notified_at: datetime | None = None


@define
class OutboxRow:
    """Hold a notification, sent or not."""

    notification_id: str
    channel: str
    event: str
    account: str | None
    content: dict[str, Any]
    created_at: datetime
    due_at: datetime
    state: str = "waiting"
    attempts: int = 0
    ended_at: datetime | None = None
    last_error: str | None = None


@define
class World:
    """Hold all rows, and tell what has happened since observers were last called."""

    clock: IReactorTime
    random: Callable[[], float]
    poison_limit: int
    tracker: ProgressTracker = Factory(ProgressTracker)
    tally: JobTally = Factory(JobTally)
    seen: Activity = Factory(Activity)
    jobs: dict[str, JobRow] = Factory(dict)
    queued: set[str] = Factory(set)
    keys: dict[tuple[str, str], str] = Factory(dict)
    entities: dict[tuple[str, str], str] = Factory(dict)
    leases: dict[str, AssignmentRow] = Factory(dict)
    sessions: dict[str, SessionRow] = Factory(dict)
    accounts: dict[str, AccountRow] = field(factory=lambda: {"default": AccountRow("default")})
    pauses: dict[str | None, QueueView] = Factory(dict)
    tokens: dict[str, TokenRow] = Factory(dict)
    areas: dict[tuple[str, str, str, str], Area] = Factory(dict)
    areas_seen: dict[tuple[str, str, str, str], tuple[datetime, datetime, str]] = Factory(dict)
    audits: list[dict[str, Any]] = Factory(list)
    groups: dict[tuple[str, str], ErrorGroup] = Factory(dict)
    failed_at: dict[tuple[str, int], datetime] = Factory(dict)
    gone: list[tuple[NewSession, str, datetime]] = Factory(list)
    incidents: list[IncidentRow] = Factory(list)
    outbox: list[OutboxRow] = Factory(list)
    events: list[dict[str, Any]] = Factory(list)
    activity: dict[tuple[datetime, str], Minute] = Factory(dict)
    forgotten: int = 0
    made: int = 0
    has_work: bool = False
    has_orders: bool = False
    has_events: bool = False

    def now(self) -> datetime:
        """Return the moment of the clock: its seconds since the Unix epoch."""
        return datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=self.clock.seconds())

    def find(self, job_id: str) -> JobRow:
        """Return a job. Errors: ``unknown_job``."""
        job = self.jobs.get(job_id)
        if job is None:
            raise Refusal(ErrorCode.UNKNOWN_JOB, f"there is no job {job_id}")
        return job

    def find_account(self, account: str) -> AccountRow:
        """Return an account. Errors: ``unknown_account``."""
        row = self.accounts.get(account)
        if row is None:
            raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, f"there is no account {account!r}; store its credential first")
        return row

    def tree(self, job_id: str) -> Iterator[JobRow]:
        """Yield a job and all below it, parents before children."""
        waiting = [job_id]
        while waiting:
            job = self.jobs[waiting.pop()]
            yield job
            waiting.extend(reversed(job.children))

    def facts(self, job: JobRow) -> JobFacts:
        """Return what the rules look at."""
        return JobFacts(
            state=job.state,
            failures=job.failures,
            max_attempts=job.max_attempts,
            releases=job.releases,
            losses=job.losses,
            cancel_requested=job.cancel_requested,
            pause_requested=job.pause_requested,
            credential_refused=self.accounts[job.account].refused,
        )

    def move(self, job: JobRow, change: Change) -> None:
        """Make a job what a rule decided, with keys, queue and lease as its new state wants them."""
        was_held = job.state in HELD
        job.state = change.state
        job.failures = change.failures
        job.releases = change.releases
        job.losses = change.losses
        job.cancel_requested = change.cancel_requested
        job.pause_requested = change.pause_requested
        if change.due_in is not None:
            job.run_at = self.now() + timedelta(seconds=change.due_in)
        if change.order is not None and change.holds_lease:
            self.has_orders = True
        if was_held and not change.holds_lease:
            session = self.sessions.get(job.session_id or "")
            if session is not None:
                session.leases.pop(job.lease or "", None)
            job.lease = job.session_id = None
            self.tracker.forget(job.job_id)
        if change.state in TERMINAL:
            job.finished_at = job.finished_at or self.now()
            if job.job_key is not None and self.keys.get((job.account, job.job_key)) == job.job_id:
                del self.keys[job.account, job.job_key]
        else:
            job.finished_at = None
            if job.job_key is not None:
                self.keys[job.account, job.job_key] = job.job_id
        if change.state is State.QUEUED:
            self.queued.add(job.job_id)
            self.has_work = True
        else:
            self.queued.discard(job.job_id)

    def tell(self, kind: str, **fields: Any) -> None:
        """Put an event into the feed, without the fields that are None."""
        event = {"kind": kind, "at": rfc3339(self.now())}
        event.update((name, value) for name, value in fields.items() if value is not None)
        self.events.append(event)
        self.has_events = True

    def tell_job(self, kind: str, job: JobRow, reason: str | None = None, last_word: bool = False) -> None:
        """Put an event about what a job is now into the feed; with `last_word` also how far it is."""
        self.tell(
            kind,
            job_id=job.job_id,
            root_id=job.root_id,
            account=job.account,
            type=job.type,
            attempt=job.attempt,
            state=job.state.value,
            reason=reason,
            **(_last_word(job) if last_word else {}),
        )

    def note(self, actor: str, action: str, target: str | None, detail: dict[str, Any]) -> None:
        """Write into the audit."""
        self.audits.append({"at": self.now(), "actor": actor, "action": action, "target": target, "detail": detail})


def _last_word(job: JobRow) -> dict[str, Any]:
    """Return what the event of an end says about progress."""
    row = job.progress
    if row is None:
        return {"stage": "completed", "entities": {}, "percent": 100} if job.state is State.COMPLETED else {}
    return {
        "seq": row.seq,
        "stage": row.stage,
        "entities": row.entities,
        "percent": row.percent,
        "message": row.message,
    }


def new_id() -> str:
    """Return a fresh identifier for a row, a lease or a session."""
    return str(uuid.uuid4())
