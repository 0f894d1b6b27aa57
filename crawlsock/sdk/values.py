"""
What users of the SDK hand in and get back: frozen, checked by the server's schemas, no behaviour.

`fields()` of each is the body that goes over the wire: what is absent is left out, never null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypedDict

import attrs
import uuid_utils


def new_job_id() -> str:
    """Make a job id (UUID version 7: rises with time, so that the server's indexes stay small)."""
    return str(uuid_utils.uuid7())


def _labels(labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(labels)


def _present(value: Any) -> dict[str, Any]:
    """Turn an attrs object into a message body without what is `None` or empty."""
    body: dict[str, Any] = {}
    for name in value.__slots__:
        if name == "__weakref__":
            continue
        item = getattr(value, name)
        if item is None or item == () or item == {}:
            continue
        body[name] = list(item) if isinstance(item, tuple) else item
    return body


def _counter(value: Any, attribute: Any, count: int | None) -> None:
    if count is not None and not 0 <= count < 2**53:
        raise ValueError(f"{attribute.name} is a number from 0 on, not {count}")


def _aware(value: Any, attribute: Any, moment: datetime | None) -> None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError(f"{attribute.name} must say its time zone")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@attrs.frozen
class Credential:
    """
    What a job shows to GitLab. `generation` rises by one with every renewal.

    :ivar kind: `oauth` (send as `Authorization: Bearer`) or `personal` (send as `PRIVATE-TOKEN`).
    :ivar expires_at: RFC 3339, when the server knows it.
    """

    access_token: str = attrs.field(repr=False)
    kind: str
    generation: int
    expires_at: str | None = None


@attrs.frozen
class OutputFile:
    """A file that a job has written: path below the crawler's output root, items in it, size in bytes."""

    path: str
    items: int
    bytes: int

    def fields(self) -> dict[str, Any]:
        return {"path": self.path, "items": self.items, "bytes": self.bytes}


@attrs.frozen
class JobResult:
    """What a job may return: the files it wrote and a small JSON summary."""

    files: Sequence[OutputFile] = ()
    summary: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class ChildJob:
    """
    A job found by a job. Its key is type, host and entity: found twice in one tree, it is made once.

    :ivar host: default the parent's. `labels` default the parent's.
    :ivar estimated_size: how many items it will give, if known; only for estimates.
    """

    type: str
    entity_id: str
    host: str | None = None
    namespace_path: str | None = None
    name: str | None = None
    priority: int | None = None
    estimated_size: int | None = None
    labels: tuple[str, ...] = attrs.field(default=(), converter=_labels)
    payload: dict[str, Any] | None = None
    max_attempts: int | None = None
    job_id: str = attrs.field(factory=new_job_id)

    def fields(self) -> dict[str, Any]:
        return _present(self)


@attrs.frozen
class Area:
    """A GitLab namespace that was seen. `kind` is `group`, `project` or `user`; `path` its full path."""

    kind: str
    entity_id: str
    path: str
    name: str | None = None
    parent_path: str | None = None
    visibility: str | None = None
    host: str | None = None

    def fields(self) -> dict[str, Any]:
        return _present(self)


@attrs.frozen
class HostBudget:
    """
    What a host allows a crawler, as it last said. People see it, and what waits for it.

    :ivar host: its name, with port and path where they are not the usual ones.
    :ivar limit: requests in one period; `remaining`: how many of them are left.
    :ivar resets_at: when the count begins again, a moment with its time zone.
    :ivar blocked_until: before this the host wants no request.
    """

    host: str = attrs.field(validator=attrs.validators.matches_re(r"[^\x00-\x1f\x7f]{1,255}"))
    limit: int | None = attrs.field(default=None, validator=_counter)
    remaining: int | None = attrs.field(default=None, validator=_counter)
    resets_at: datetime | None = attrs.field(default=None, validator=_aware)
    blocked_until: datetime | None = attrs.field(default=None, validator=_aware)

    def fields(self) -> dict[str, Any]:
        body = _present(self)
        return {name: _rfc3339(value) if isinstance(value, datetime) else value for name, value in body.items()}


@attrs.frozen
class NewJob:
    """
    A job to submit. With the id made here, submitting it again (after a lost answer) makes nothing new.

    :ivar run_at: RFC 3339; not before.
    :ivar job_key: two live jobs of one account never share one (the second is a `duplicate`).
    :ivar backoff: `{"base": seconds, "cap": seconds}` of the waits between attempts.
    :ivar no_progress_limit: seconds without progress after which the job is taken away.
    """

    type: str
    account: str | None = None
    host: str | None = None
    entity_id: str | None = None
    namespace_path: str | None = None
    name: str | None = None
    priority: int | None = None
    run_at: str | None = None
    max_attempts: int | None = None
    backoff: dict[str, float] | None = None
    labels: tuple[str, ...] = attrs.field(default=(), converter=_labels)
    job_key: str | None = None
    payload: dict[str, Any] | None = None
    no_progress_limit: float | None = None
    estimated_size: int | None = None
    job_id: str = attrs.field(factory=new_job_id)

    def fields(self) -> dict[str, Any]:
        return _present(self)


@attrs.frozen
class ItemStatus:
    """
    What became of one submitted or discovered job: `created`, `duplicate` or `invalid`.

    :ivar job_id: the new job's, or the id of the one that was there first. `None` when invalid.
    :ivar code: the error code when invalid; `message` and `pointer` say more.
    """

    status: str
    job_id: str | None = None
    code: str | None = None
    message: str | None = None
    pointer: str | None = None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> ItemStatus:
        """Build from one item of a `job_submit_response` or `jobs_discovered_response`."""
        error = item.get("error") or {}
        return cls(item["status"], item.get("job_id"), error.get("code"), error.get("message"), error.get("pointer"))


@attrs.frozen
class Event:
    """
    One thing that happened. A `kind` of `gap` means: events are missing here, read the state again.

    :ivar position: resume a subscription from here to get everything after the batch of this event.
    :ivar snapshot: the event tells a state found, not a change that was watched.
    :ivar data: the event as sent: `kind`, `at`, `job_id`, `root_id`, `account` and what the kind adds.
    """

    kind: str
    position: str
    data: Mapping[str, Any]
    snapshot: bool = False

    @property
    def job_id(self) -> str | None:
        return self.data.get("job_id")


class ProgressView(TypedDict, total=False):
    """Progress of a job, a tree, an account or everything, as the server tells it."""

    scope: str
    job_id: str
    account: str
    stage: str
    seq: int
    entities: dict[str, dict[str, int]]
    processed: int
    failed: int
    total: int
    percent: float
    rate: float
    time_left: float
    jobs: dict[str, int]
    message: str
    updated_at: str
    milestones: list[dict[str, Any]]


class JobView(TypedDict, total=False):
    """A job as the server tells it. Times are RFC 3339; what does not apply is absent."""

    job_id: str
    type: str
    state: str
    account: str
    host: str
    entity_id: str
    namespace_path: str
    name: str
    priority: int
    attempt: int
    failures: int
    max_attempts: int
    releases: int
    losses: int
    parent_id: str
    root_id: str
    job_key: str
    labels: list[str]
    created_at: str
    run_at: str
    assigned_at: str
    started_at: str
    finished_at: str
    reason: str
    crawler_id: str
    cancel_requested: bool
    pause_requested: bool
    progress: ProgressView
    summary: dict[str, Any]
    files: list[dict[str, Any]]
    payload: dict[str, Any]
    errors: list[dict[str, Any]]
    assignments: list[dict[str, Any]]
    milestones: list[dict[str, Any]]
    children: dict[str, int]
