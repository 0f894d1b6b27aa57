"""Say what operators look back at, as frozen values: groups of failures, incidents, the audit, areas, notifications.

The law of this module: shapes only, as in `crawlsock.store.values`; each view knows how it becomes the JSON of the
protocol. Moments are aware and in UTC. What is explained to people is added by the handlers, not kept here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from attrs import field, frozen

from crawlsock.store.views import as_object

ErrorSort = Literal["recent", "frequent"]


@frozen
class ErrorFilter:
    """Choose groups of failures. `accounts` is what the asking token may see, None for everything."""

    account: str | None = None
    accounts: frozenset[str] | None = None
    error_type: str | None = None
    category: str | None = None
    sort: ErrorSort = "recent"
    limit: int = 50
    cursor: str | None = None


@frozen
class ErrorGroup:
    """Show failures of one account that are the same failure.

    `count` is how often it was reported, `failed_now` how many jobs are failed with it at this moment.
    """

    fingerprint: str
    account: str
    error_type: str
    category: str
    severity: str
    title: str
    count: int
    first_seen: datetime
    last_seen: datetime
    last_job_id: str
    last_message: str
    failed_now: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the ERROR_GROUP object of the protocol, without what explains it."""
        return as_object(self)


@frozen
class ErrorPage:
    """Carry one page of groups; `next_cursor` is None on the last."""

    groups: list[ErrorGroup]
    next_cursor: str | None = None


@frozen
class Occurrence:
    """Show one failure of a group, and the job that had it as it is now."""

    job_id: str
    type: str
    state: str
    attempt: int
    message: str
    recoverable: bool
    at: datetime
    name: str | None = None
    namespace_path: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the occurrence as a JSON object."""
        return as_object(self)


@frozen
class ErrorDetail:
    """Show a group with one page of its occurrences, newest first."""

    group: ErrorGroup
    occurrences: list[Occurrence]
    next_cursor: str | None = None


@frozen
class IncidentView:
    """Show an incident: something that asks for people. `closed_at` None: it goes on."""

    incident_id: str
    kind: str
    severity: str
    title: str
    count: int
    opened_at: datetime
    last_at: datetime
    detail: str | None = None
    account: str | None = None
    fingerprint: str | None = None
    closed_at: datetime | None = None
    next_step: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the INCIDENT object of the protocol."""
        return as_object(self)


@frozen
class IncidentPage:
    """Carry one page of incidents, newest first."""

    incidents: list[IncidentView]
    next_cursor: str | None = None


@frozen
class AuditFilter:
    """Choose entries of the audit."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    limit: int = 50
    cursor: str | None = None


@frozen
class AuditEntry:
    """Show who did what to what, and when."""

    at: datetime
    actor: str
    action: str
    target: str | None = None
    detail: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return as_object(self)


@frozen
class AuditPage:
    """Carry one page of the audit, newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None = None


@frozen
class AreaFilter:
    """Choose areas. `search` is looked for in path and name, whatever the case."""

    account: str | None = None
    accounts: frozenset[str] | None = None
    host: str | None = None
    kind: str | None = None
    search: str | None = None
    limit: int = 50
    cursor: str | None = None


@frozen
class AreaView:
    """Show a group, project or user that crawlers have seen; `job_id` is the job that saw it last."""

    account: str
    host: str
    kind: str
    entity_id: str
    path: str
    first_seen: datetime
    last_seen: datetime
    name: str | None = None
    parent_path: str | None = None
    visibility: str | None = None
    job_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the area as a JSON object; a job without a host has seen it at none."""
        return as_object(self, *(() if self.host else ("host",)))


@frozen
class AreaPage:
    """Carry one page of areas, those first seen last coming first.

    A search looks at a bounded number of areas for one page: it may find less than the limit and have a `next_cursor`.
    """

    areas: list[AreaView]
    next_cursor: str | None = None


@frozen
class NotificationView:
    """Show one message to people: what about, by which channel, and how the sending went."""

    notification_id: str
    channel: str
    event: str
    title: str
    state: str
    attempts: int
    created_at: datetime
    account: str | None = None
    incident_id: str | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None
    last_error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the notification as a JSON object."""
        return as_object(self)


@frozen
class NotificationPage:
    """Carry one page of notifications, newest first."""

    notifications: list[NotificationView]
    next_cursor: str | None = None


# -- what the rules look at, and what they find


class SeenGroup(NamedTuple):
    """A group of failures that was seen within the window; `recent` counts up to the threshold and no further."""

    account: str
    fingerprint: str
    error_type: str
    category: str
    severity: str
    title: str
    total: int
    recent: int
    last_message: str


class Loss(NamedTuple):
    """A crawler that was lost, and whether within the window."""

    crawler_id: str
    reason: str
    recent: bool


class Parked(NamedTuple):
    """Jobs of one account and type that took too many crawlers down: all that count, and those within the window."""

    account: str
    type: str
    total: int
    recent: int


class RefusedAccount(NamedTuple):
    """An account whose credential was refused, and how many jobs wait for another one."""

    account: str
    host: str | None
    reason: str | None
    jobs: int


class Stalled(NamedTuple):
    """Due jobs of one type and one set of labels that no crawler may take; `waited` is the longest wait, in seconds."""

    type: str
    labels: tuple[str, ...]
    jobs: int
    waited: float


class OpenIncident(NamedTuple):
    """An incident that goes on, as the rules know it."""

    incident_id: str
    kind: str
    subject: str
    account: str | None
    counted: int
    base: int


@frozen
class Watched:
    """Everything that the rules for incidents look at. `feed_age`: seconds the feed is behind, None: not at all."""

    groups: Sequence[SeenGroup] = ()
    losses: Sequence[Loss] = ()
    poison: Sequence[Parked] = ()
    refused: Sequence[RefusedAccount] = ()
    stalled: Sequence[Stalled] = ()
    feed_age: float | None = None
    open: Sequence[OpenIncident] = ()


@frozen
class Finding:
    """Something that is the case, as an incident says it.

    `subject` tells incidents of one kind apart. `count` is how much of it there is since the incident opened, or would
    be if it opened now; `base` is what was taken off to get there.
    `away`: it lasted so many seconds, and is over. `quiet`: it is recorded, and nobody is told.
    """

    kind: str
    severity: str
    title: str
    subject: str = ""
    account: str | None = None
    fingerprint: str | None = None
    detail: str | None = None
    next_step: str | None = None
    count: int = 1
    base: int = 0
    away: float | None = None
    quiet: bool = False


@frozen
class Verdict:
    """What the rules found: what is the case, and which incidents are over (id, and the count they had)."""

    findings: list[Finding] = field(factory=list)
    over: list[tuple[str, int]] = field(factory=list)


class Recorded(NamedTuple):
    """How many incidents were opened and closed, and how many notifications were put into the outbox."""

    opened: int
    closed: int
    notified: int


@frozen
class Outgoing:
    """A notification in the hands of the server that sends it. `attempt` is the number of this try."""

    notification_id: str
    channel: str
    event: str
    created_at: datetime
    attempt: int
    content: Mapping[str, Any]
