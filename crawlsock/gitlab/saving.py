"""Make progress durable: now and then, all streams at once.

Law: snapshot, then parts on disk, then the server, in this order. What the server holds as resume state is
always on disk; what the job has reported as processed is always in a resume state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from crawlsock.gitlab.state import Stream
from crawlsock.sdk import Job

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]
"""Run something that blocks, elsewhere; the Deferred fires with what it returns."""


@define
class Worker:
    """Do what blocks in a thread, one thing after the other, and know whether it is still being done.

    Cancelling whoever waits does not stop a thread: files must not be closed under it. `idle` tells when
    they may.
    """

    in_thread: InThread
    _running: Deferred[None] | None = None

    async def do(self, work: Callable[[], Any]) -> Any:
        """Run this in a thread and return its result."""
        await self.idle()
        finished: Deferred[None] = Deferred()
        self._running = finished
        outcome: Deferred[Any] = Deferred()

        def settle(result: Any) -> Any:
            self._running = None
            finished.callback(None)
            return result

        self.in_thread(work).addBoth(settle).chainDeferred(outcome)
        return await outcome

    async def idle(self) -> None:
        """Return when nothing is being done."""
        while self._running is not None:
            waiter: Deferred[None] = Deferred()
            self._running.chainDeferred(waiter)
            await waiter


@frozen
class Counted:
    """How a stream is reported: under which entity type, and whether its items are only discovered here."""

    entity: str
    discovery: bool = False


@define
class Saver:
    """Save the streams of a job every `interval` seconds in which something happened.

    `prepare` is called for each save; it returns what has to run in a thread before the snapshot counts,
    and the function that makes a resume state of the snapshot.
    """

    job: Job
    clock: IReactorTime
    interval: float
    worker: Worker
    streams: Mapping[str, Stream]
    counted: Mapping[str, Counted]
    prepare: Callable[[], Callable[[], None]]
    to_state: Callable[[Mapping[str, Stream]], dict[str, Any]]
    _dirty: bool = False
    _stopped: bool = False
    _nap: tuple[Deferred[None], IDelayedCall] | None = None

    def touched(self) -> None:
        """Say that something is worth saving."""
        self._dirty = True

    async def run(self) -> None:
        """Save regularly until stopped."""
        while not self._stopped:
            nap: Deferred[None] = Deferred()
            self._nap = (nap, self.clock.callLater(self.interval, nap.callback, None))
            try:
                await nap
            finally:
                call = self._nap[1]
                self._nap = None
                if call.active():
                    call.cancel()
            if self._dirty and not self._stopped:
                await self.save()

    def stop(self) -> None:
        """Save no more regularly; a save under way is finished."""
        self._stopped = True
        if self._nap is not None:
            self._nap[1].cancel()
            self._nap[0].callback(None)

    async def save(self) -> None:
        """Return when everything read so far is durable here and at the server. Raises `LeaseLost`."""
        await self.put_by()
        await self.job.report.flush()

    async def put_by(self) -> None:
        """Make everything read so far durable here, and leave the resume state with the reporter."""
        self._dirty = False
        work = self.prepare()
        snapshot = {name: evolve(stream) for name, stream in self.streams.items()}
        await self.worker.do(work)
        for name, stream in snapshot.items():
            self._report(name, stream)
        self.job.report.save(self.to_state(snapshot))

    def _report(self, name: str, stream: Stream) -> None:
        counted = self.counted[name]
        new = stream.items - stream.counted
        if new > 0:
            if counted.discovery:
                self.job.report.count(counted.entity, discovered=new)
            else:
                self.job.report.count(counted.entity, discovered=new, processed=new)
            stream.counted = self.streams[name].counted = stream.items
        if stream.done:
            # Discovered areas are items of their own jobs, and make up no part of this one.
            own = any(each.entity == counted.entity and not each.discovery for each in self.counted.values())
            if not counted.discovery:
                self.job.report.total(counted.entity, stream.items)
            elif not own:
                self.job.report.total(counted.entity, 0)
