"""Lists of jobs between the wire and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from crawlsock.jobs import Backoff
from crawlsock.store.values import ItemStatus, NewJob


def moment(text: str) -> datetime:
    """Read a moment that the schema has found well-formed. (Before 3.11 Python does not read the Z.)"""
    return datetime.fromisoformat(text.upper().replace("Z", "+00:00"))


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "run_at": moment,
    "backoff": lambda given: Backoff(given["base"], given["cap"]),
    "labels": tuple,
}
_FIELDS: Final = (
    "type",
    "job_id",
    "account",
    "host",
    "entity_id",
    "namespace_path",
    "name",
    "priority",
    "run_at",
    "max_attempts",
    "backoff",
    "labels",
    "job_key",
    "payload",
    "no_progress_limit",
    "estimated_size",
)


def new_job(item: Mapping[str, Any]) -> NewJob:
    """Return the job that an item of ``job_submit`` or ``jobs_discovered`` asks for."""
    return NewJob(
        **{name: _READERS[name](item[name]) if name in _READERS else item[name] for name in _FIELDS if name in item}
    )


def statuses(items: Iterable[ItemStatus]) -> list[dict[str, Any]]:
    """Return the answer for each item, as both responses carry it."""
    return [_status(item) for item in items]


def _status(item: ItemStatus) -> dict[str, Any]:
    status: dict[str, Any] = {"status": item.status}
    if item.job_id is not None:
        status["job_id"] = item.job_id
    if item.error is not None:
        error = {"code": str(item.error.code), "message": item.error.message}
        if item.error.pointer is not None:
            error["pointer"] = item.error.pointer
        status["error"] = error
    return status
