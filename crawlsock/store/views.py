"""Say what people are shown: jobs, progress, crawlers, accounts, tokens, queues.

Here live read-only shapes and how each becomes the JSON object of the protocol (`as_json`): absent means
None is left out, because the protocol knows no ``null``. No secret ever has a field here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal

import attrs
from attrs import field, frozen

Entities = Mapping[str, Mapping[str, Any]]
Scope = Literal["job", "tree", "account", "all"]
Include = Literal["errors", "assignments", "milestones", "children"]


def rfc3339(moment: datetime) -> str:
    """Write an aware moment as the protocol does: UTC, microseconds, ``Z``."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """Turn a field into JSON: moments to text, sets to sorted lists, views to objects."""
    convert = _CONVERTERS.get(type(value))
    return value if convert is None else convert(value)


def as_object(view: Any, *leave_out: str) -> dict[str, Any]:
    """Build the JSON object of a view: its fields by name, without those that are None."""
    return {
        attribute.name: _plain(value)
        for attribute in attrs.fields(type(view))
        if attribute.name not in leave_out and (value := getattr(view, attribute.name)) is not None
    }


@frozen
class ProgressView:
    """Show how far something is: a job, the tree under a job, an account, or everything.

    `entities` maps a type to ``discovered``, ``processed``, ``failed`` and, when known, ``total``;
    `processed`, `failed`, `total` are their sums. `percent` is 0 to 100, `rate` items a second, `time_left`
    seconds; None where they mean nothing. `jobs` counts jobs by state, for every scope but ``job``.
    `milestones` are ``{"percent", "at"}``.
    """

    scope: Scope
    job_id: str | None = None
    account: str | None = None
    stage: str | None = None
    seq: int | None = None
    entities: Entities = field(factory=dict)
    processed: int = 0
    failed: int = 0
    total: int | None = None
    percent: float | None = None
    rate: float | None = None
    time_left: float | None = None
    jobs: dict[str, int] | None = None
    message: str | None = None
    updated_at: datetime | None = None
    milestones: list[dict[str, Any]] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the PROGRESSVIEW object of the protocol: each entity type has all of its counts."""
        entities = {
            kind: {"discovered": 0, "processed": 0, "failed": 0, **counts} for kind, counts in self.entities.items()
        }
        return as_object(attrs.evolve(self, entities=entities))


@frozen
class JobView:
    """Show a job.

    `attempt` counts assignments, `failures` what crawlers reported, `releases` what they handed back,
    `losses` what was taken from the dead. `errors`, `assignments`, `milestones` and `children` are there
    only when they were asked for.
    """

    job_id: str
    type: str
    state: str
    account: str
    priority: int
    attempt: int
    failures: int
    max_attempts: int
    releases: int
    losses: int
    root_id: str
    created_at: datetime
    run_at: datetime
    host: str | None = None
    entity_id: str | None = None
    namespace_path: str | None = None
    name: str | None = None
    parent_id: str | None = None
    job_key: str | None = None
    labels: tuple[str, ...] = ()
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    crawler_id: str | None = None
    cancel_requested: bool = False
    pause_requested: bool = False
    progress: ProgressView | None = None
    summary: dict[str, Any] | None = None
    files: list[dict[str, Any]] | None = None
    payload: dict[str, Any] | None = None
    estimated_size: int | None = None
    errors: list[dict[str, Any]] | None = None
    assignments: list[dict[str, Any]] | None = None
    milestones: list[dict[str, Any]] | None = None
    children: dict[str, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the JOBVIEW object of the protocol. The caller masks `payload`."""
        return as_object(self)


@frozen
class JobPage:
    """Carry one page of jobs; `next_cursor` is None on the last.

    `searched_to`: the store stopped looking before the page was full; jobs created beyond that moment come next.
    """

    jobs: list[JobView]
    next_cursor: str | None = None
    searched_to: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the data of a ``job_list_response``."""
        return as_object(self)


@frozen
class SessionView:
    """Show a crawler's session as the store knows it.

    `state` is ``connected`` or ``away``; paused and draining are known to the server that holds the
    connection. `deadline` is when the session ends without a heartbeat; `heartbeat_age` is in seconds, both
    by the store's clock. `hosts` is what hosts allow it, as its last heartbeat said.
    """

    session_id: str
    crawler_id: str
    server_id: str
    state: str
    slots: int
    labels: frozenset[str]
    job_types: frozenset[str] | None
    connected_at: datetime
    deadline: datetime
    lease_length: float
    heartbeat_age: float = 0.0
    jobs: int = 0
    hostname: str | None = None
    pid: int | None = None
    uid: int | None = None
    process_start: int | None = None
    boot_id: str | None = None
    version: str | None = None
    transport: str = "unix"
    status: str | None = None
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    hosts: tuple[Mapping[str, Any], ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object of a ``crawler_list_response``: nothing about the host's processes but the
        pid."""
        return as_object(self, "uid", "process_start", "boot_id", "deadline", "lease_length")


@frozen
class AccountView:
    """Show an account: `state` is ``none`` (no credential), ``valid`` or ``refused``."""

    account: str
    state: str
    generation: int
    jobs_waiting: int
    host: str | None = None
    kind: str | None = None
    expires_at: datetime | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object of an ``account_list_response``."""
        return as_object(self)


@frozen
class TokenRow:
    """Show an authentication token: its `hash`, never itself. `accounts` None is bound to none in
    particular."""

    token_id: str
    role: str
    name: str
    hash: bytes = field(repr=False)
    created_at: datetime = field()
    accounts: frozenset[str] | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object of a ``token_list_response``, without the hash."""
        return as_object(self, "hash")


@frozen
class QueueView:
    """Show a pause: of one `job_type`, or of all when it is None."""

    job_type: str | None
    paused: bool
    reason: str | None = None
    actor: str | None = None
    at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the pause as a JSON object."""
        return as_object(self)


_CONVERTERS: Mapping[type, Any] = {
    datetime: rfc3339,
    frozenset: sorted,
    tuple: list,
    list: lambda items: [_plain(item) for item in items],
    dict: lambda items: {key: _plain(item) for key, item in items.items()},
    ProgressView: ProgressView.as_json,
    JobView: JobView.as_json,
}
