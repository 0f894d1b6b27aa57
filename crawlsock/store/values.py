"""Say what goes into the store and what comes out of it, as frozen values.

Here live shapes only: no SQL, no JSON text, no clock, no rule. A value that a handler builds from a
message, or that a store hands back, is declared here once and means the same for every store. What people
look at (``JobView`` and its kin) is in `crawlsock.store.views` and is offered here too, so that callers
need one import.

Units: moments are aware `datetime` objects in UTC; durations are seconds; sizes are bytes. Counts are never
negative. The values made tens of thousands of times a second (`JobRef`, `Progress`) are named tuples: they
cost a third of a class instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from attrs import field, frozen

from crawlsock.jobs import Backoff
from crawlsock.store.credentials import (
    CredentialRow,
    Order,
    OrderKind,
    RefreshTicket,
    RefusedCredential,
    SealedCredential,
)
from crawlsock.store.views import (
    AccountView,
    Entities,
    Include,
    JobPage,
    JobView,
    ProgressView,
    QueueView,
    Scope,
    SessionView,
    TokenRow,
    rfc3339,
)

__all__ = [
    "AccountView",
    "Area",
    "Assignment",
    "Backoff",
    "Beat",
    "Completion",
    "Control",
    "CredentialRow",
    "Demand",
    "Entities",
    "EventPage",
    "Failure",
    "HeldJob",
    "Include",
    "ItemError",
    "ItemStatus",
    "JobFilter",
    "JobPage",
    "JobRef",
    "JobView",
    "NewJob",
    "NewSession",
    "Order",
    "OrderKind",
    "Progress",
    "ProgressView",
    "Pruned",
    "QueueView",
    "Reaped",
    "RefreshTicket",
    "RefusedCredential",
    "Release",
    "Resumed",
    "Scope",
    "SealedCredential",
    "SessionView",
    "TokenRow",
    "rfc3339",
]


class JobRef(NamedTuple):
    """Name a job as its crawler does: which job, under which lease, in which session.

    The three together are the fence: a verb that gets one acts only while `lease` is the current lease of
    `job_id` and belongs to `session_id`.
    """

    job_id: str
    lease: str
    session_id: str


class Progress(NamedTuple):
    """Carry one report of a running job.

    `seq` rises within an attempt. `entities` maps an entity type to any of ``discovered``, ``processed``,
    ``failed``, ``total``, ``page``, ``collection``; counts are cumulative over the job. `percent` (0 to
    100), `rate` (items a second) and `time_left` (seconds) are what `crawlsock.progress.ProgressTracker`
    adds; None where they mean nothing.
    """

    seq: int
    stage: str
    entities: Mapping[str, Mapping[str, Any]] = {}
    message: str | None = None
    resume_state: dict[str, Any] | None = None
    percent: float | None = None
    rate: float | None = None
    time_left: float | None = None


class ItemError(NamedTuple):
    """Say why one item of a list was refused while its neighbours went through.

    `code` is a value of `crawlsock.wire.errors.ErrorCode`; `pointer` a JSON pointer into the item, when one
    field is at fault.
    """

    code: str
    message: str
    pointer: str | None = None


class ItemStatus(NamedTuple):
    """Answer one item of a submit or a discovery.

    ``created``: the job exists because of this item (also when it is sent again). ``duplicate``: `job_id`
    names the job that was there first. ``invalid``: nothing was made, `error` says why.
    """

    status: Literal["created", "duplicate", "invalid"]
    job_id: str | None = None
    error: ItemError | None = None


@frozen
class NewJob:
    """Ask for a job.

    None means: the default for a submitted job, the parent's value for a discovered one. `account` is
    ignored in a discovery: a child always has its parent's. `labels` are what a crawler must have;
    `no_progress_limit` is in seconds. `job_id` is a lower-case UUID chosen by the client; with it, sending
    again is answered the same.
    """

    type: str
    job_id: str | None = None
    account: str = "default"
    host: str | None = None
    entity_id: str | None = None
    namespace_path: str | None = None
    name: str | None = None
    priority: int | None = None
    run_at: datetime | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    labels: tuple[str, ...] | None = None
    job_key: str | None = None
    payload: dict[str, Any] | None = None
    no_progress_limit: float | None = None
    estimated_size: int | None = None


@frozen
class Demand:
    """Ask for up to `slots` jobs for a session.

    `labels` are all that the crawler has: it gets jobs that need a subset of them. `job_types` None accepts
    any type.
    """

    session_id: str
    slots: int
    labels: frozenset[str] = frozenset()
    job_types: frozenset[str] | None = None


@frozen
class Assignment:
    """Give one job to one session under a new lease.

    `attempt` is the fence: it rises by one with every assignment. `credential_generation` is the generation
    of the account's credential, None for an account without one; the caller opens the credential itself,
    the store never holds a token in the clear. `resume_state` is the last that any attempt saved. `waited`
    (seconds) is how long the job had been due; None where an assignment is only repeated.
    """

    session_id: str
    job_id: str
    lease: str
    attempt: int
    type: str
    account: str
    priority: int
    root_id: str
    host: str | None = None
    entity_id: str | None = None
    namespace_path: str | None = None
    name: str | None = None
    parent_id: str | None = None
    payload: dict[str, Any] | None = None
    resume_state: dict[str, Any] | None = None
    no_progress_limit: float | None = None
    credential_generation: int | None = None
    waited: float | None = field(default=None, eq=False)


@frozen
class Completion:
    """End a job well: final counts, the files written (``path``, ``items``, ``bytes``), and a summary."""

    entities: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    files: Sequence[Mapping[str, Any]] = ()
    summary: dict[str, Any] | None = None


@frozen
class Failure:
    """Report that an attempt failed.

    `retry_after` (seconds) replaces the backoff when the job is tried again. `request` is ``method``,
    ``url``, ``status`` of the call that failed. Secrets are masked before a failure comes here.
    """

    error_type: str
    message: str
    recoverable: bool
    retry_after: float | None = None
    request: dict[str, Any] | None = None
    entities: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    resume_state: dict[str, Any] | None = None
    stack: str | None = None
    context: dict[str, Any] | None = None


@frozen
class Release:
    """Hand a job back, or report a cancel as carried out, with what has been reached."""

    reason: str = ""
    entities: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    resume_state: dict[str, Any] | None = None


@frozen
class Area:
    """Name a place in GitLab (``group``, ``project`` or ``user``) that a crawler has seen; `host` None is
    the job's."""

    kind: str
    entity_id: str
    path: str
    name: str | None = None
    parent_path: str | None = None
    visibility: str | None = None
    host: str | None = None


@frozen
class Control:
    """Answer a cancel, pause, resume or retry: how many jobs it changed, and what crawlers must be told."""

    affected: int
    orders: list[Order] = field(factory=list)


@frozen
class NewSession:
    """Open a session for a crawler.

    `ticket_hash` is a digest: the ticket itself is the crawler's. `lease_length` (seconds) is how long the
    session lives without a heartbeat. `process_start` (clock ticks since boot) and `boot_id` tell a process
    from a later one with the same `pid`.
    """

    crawler_id: str
    server_id: str
    ticket_hash: bytes
    lease_length: float
    slots: int = 0
    labels: frozenset[str] = frozenset()
    job_types: frozenset[str] | None = None
    pid: int | None = None
    uid: int | None = None
    process_start: int | None = None
    boot_id: str | None = None
    hostname: str | None = None
    version: str | None = None
    transport: str = "unix"


@frozen
class Beat:
    """Carry a heartbeat: what the crawler says about itself. `active_jobs` are job ids.

    `hosts` are objects of the protocol's ``host_budgets``: what hosts allow it.
    """

    status: str = "idle"
    active_jobs: tuple[str, ...] = ()
    totals: dict[str, int] | None = None
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    uptime_seconds: float | None = None
    hosts: tuple[dict[str, Any], ...] | None = None


@frozen
class HeldJob:
    """Describe a job that a crawler kept over a resume, with the wishes that came while it was away.

    `seq` is the last progress that was recorded under this lease, 0 for none.
    """

    job_id: str
    lease: str
    attempt: int
    type: str
    account: str
    seq: int = 0
    cancel_requested: bool = False
    pause_requested: bool = False


@frozen
class Resumed:
    """Answer a resume: the session, the jobs it still has, and the leases it had and has no more."""

    session: SessionView
    kept: list[HeldJob]
    lost: list[str]


@frozen
class Reaped:
    """Describe a session that was ended for its crawler: `jobs` taken back, `poisoned` of them failed for
    good."""

    session_id: str
    crawler_id: str
    jobs: int
    poisoned: int


@frozen
class JobFilter:
    """Choose jobs to list.

    Empty `states` means all. `accounts` is what the asking token may see, None for everything. `crawler_id` is who has
    the job now, `error` the fingerprint of what it is failed with. `search` is looked for in the name, the namespace
    path and the entity id, whatever the case; a job id finds that job and nothing else. `created_after` is included,
    `created_before` is not. `sort`: ``newest``, ``oldest``, or ``queue``: only queued jobs, in the order in which they
    are assigned. `limit` is 1 to 1000; `cursor` comes from the page before, of the same filter and sort.
    """

    states: frozenset[str] = frozenset()
    account: str | None = None
    accounts: frozenset[str] | None = None
    type: str | None = None
    host: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    crawler_id: str | None = None
    error: str | None = None
    search: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    sort: Literal["newest", "oldest", "queue"] = "newest"
    limit: int = 50
    cursor: str | None = None


@frozen
class EventPage:
    """Carry events after a position, oldest first, and the position to ask from next.

    `gap`: events between the position asked for and the first one here are no longer kept, or the position is of
    another database; show a snapshot instead. `more`: there is more to read already.
    """

    events: list[dict[str, Any]]
    position: str
    gap: bool = False
    more: bool = False


@frozen
class Pruned:
    """Say how many rows of each kind were removed."""

    events: int
    jobs: int
