"""
Waiting for the end of a job or of a tree.

The law: events only wake; the state is read from the server. With every event lost the answer is the same, a
look-around later.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from crawlsock.sdk.errors import NotAnswered
from crawlsock.sdk.subscription import Subscription
from crawlsock.sdk.values import JobView, ProgressView

LOOK_AROUND = 10.0
AT_MOST_EVERY = 0.1
"""Seconds between two reads of a busy tree, whose every job gives an event."""

ENDED = frozenset({"completed", "failed", "cancelled"})
_ENDINGS = ("job_completed", "job_failed", "job_cancelled")


class Readable(Protocol):
    """What waiting needs from a manager."""

    clock: IReactorTime

    def get(self, job_id: str) -> Coroutine[Deferred[Any], Any, JobView]: ...

    def progress(
        self, job_id: str | None = None, *, scope: str | None = None
    ) -> Coroutine[Deferred[Any], Any, ProgressView]: ...

    def subscribe(
        self, *, job_id: str | None = None, root_id: str | None = None, kinds: tuple[str, ...] = ()
    ) -> Subscription: ...


async def wait_for_job(manager: Readable, job_id: str, tree: bool, timeout: float | None) -> JobView:
    """Return the job once it, or everything below it too, has ended. See `JobManager.wait`."""
    clock = manager.clock
    began = clock.seconds()
    job = await manager.get(job_id)
    if await _over(manager, job, tree):
        return job
    root = job.get("root_id", job_id)
    events = (
        manager.subscribe(root_id=root, kinds=_ENDINGS) if tree else manager.subscribe(job_id=job_id, kinds=_ENDINGS)
    )
    try:
        while True:
            # Dropped before reading, not after: what happens while we read has to wake us again. The first read
            # comes after the subscription, so that nothing falls between the two.
            events.skip()
            job = await manager.get(job_id)
            if await _over(manager, job, tree):
                return job
            if tree:
                await _pause(clock, AT_MOST_EVERY)
            patience = LOOK_AROUND
            if timeout is not None:
                patience = min(patience, began + timeout - clock.seconds())
                if patience <= 0:
                    raise NotAnswered(f"job {job_id} is {job['state']} after {timeout:g} seconds")
            await events.stirred(clock, patience)
    finally:
        events.close()


async def _over(manager: Readable, job: JobView, tree: bool) -> bool:
    if job["state"] not in ENDED:
        return False
    if not tree:
        return True
    states = (await manager.progress(job["job_id"], scope="tree")).get("jobs", {})
    return all(state in ENDED or count == 0 for state, count in states.items())


async def _pause(clock: IReactorTime, seconds: float) -> None:
    pause: Deferred[None] = Deferred()
    clock.callLater(seconds, pause.callback, None)
    await pause
