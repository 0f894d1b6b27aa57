"""Tell the present state as events, for a subscriber whose past is no longer kept.

The law: the position is taken before the state is read. What happens meanwhile is delivered after the snapshot, perhaps
once more, and never missed.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

from attrs import evolve

from crawlsock.feed.filter import Event, Filter
from crawlsock.store.interface import IStore
from crawlsock.store.values import JobFilter, JobView, rfc3339
from crawlsock.wire.errors import ErrorCode, Refusal

SNAPSHOT_JOBS: Final = 500
"""The most jobs, newest first, that a snapshot shows one by one."""

_LARGE: Final = frozenset({"payload", "summary", "files"})
"""What a snapshot leaves out of jobs: ``job_get`` shows it."""


async def take_snapshot(store: IStore, filter: Filter, seconds: float) -> tuple[str, list[Event]]:
    """Return the state of the jobs that the filter is about, and the position to read on from.

    :param seconds: the time, since the epoch, that the snapshot says it is of.
    """
    position = await store.event_head()
    at = rfc3339(datetime.fromtimestamp(seconds, timezone.utc))
    return position, [_event(job, at) for job in await _jobs(store, filter)]


async def _jobs(store: IStore, filter: Filter) -> list[JobView]:
    if filter.job_id is not None:
        try:
            jobs = [await store.job(filter.job_id, frozenset())]
        except Refusal as refusal:
            if refusal.code is not ErrorCode.UNKNOWN_JOB:
                raise
            jobs = []  # it was pruned
    else:
        wanted = JobFilter(
            account=filter.account, root_id=filter.root_id, accounts=filter.accounts, limit=SNAPSHOT_JOBS
        )
        jobs = await _all(store, wanted)
    return [job for job in jobs if _about(filter, job)]


async def _all(store: IStore, wanted: JobFilter) -> list[JobView]:
    """Read on until nothing is left: a page of a busy store ends when its time is up, perhaps before it is full."""
    jobs: list[JobView] = []
    while True:
        page = await store.jobs(wanted)
        jobs += page.jobs
        if page.next_cursor is None or len(jobs) >= SNAPSHOT_JOBS:
            return jobs
        wanted = evolve(wanted, cursor=page.next_cursor, limit=SNAPSHOT_JOBS - len(jobs))


def _about(filter: Filter, job: JobView) -> bool:
    if filter.accounts is not None and job.account not in filter.accounts:
        return False
    return filter.account in (None, job.account) and filter.root_id in (None, job.root_id)


def _event(job: JobView, at: str) -> Event:
    fields = {name: value for name, value in job.as_json().items() if name not in _LARGE}
    return {"kind": "job_snapshot", "at": at, **fields}
