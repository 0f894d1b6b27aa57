"""
ProgressReporter: what a job says about how far it is.

The law: numbers are cumulative and only rise; at most one `job_progress` of a job is on its way at any
time, and no more than one an interval is sent, however often the job reports. What is reported while one is
on its way is folded into the next. The last word is always said before the job's end.

Counts belong to a resume state: `save()` stores the counters of that moment in it under the reserved key
`_progress`, and a later attempt starts counting from there, so that work done twice is not counted twice.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from crawlsock.sdk.errors import LeaseLost
from crawlsock.wire.guard import GuardError, check_opaque, find_nul

if TYPE_CHECKING:
    from crawlsock.sdk.job import Job

RESERVED_KEY = "_progress"
MAX_MESSAGE = 4096

Counts = dict[str, dict[str, Any]]


class ProgressReporter:
    """
    Report one job's progress. Every method but `flush()` returns at once; sending is the reporter's concern.

    Entity types are words such as `issue` or `project` (`[a-z][a-z0-9_]*`, at most 32 of them a job).
    """

    __slots__ = (
        "_acknowledged",
        "_dirty",
        "_entities",
        "_in_flight",
        "_inherited",
        "_job",
        "_last_sent",
        "_message",
        "_saved",
        "_saved_sent",
        "_seq",
        "_stage",
        "_timer",
        "_waiting",
    )

    def __init__(self, job: Job, counts: Counts | None = None) -> None:
        self._job = job
        self._entities: Counts = counts or {}
        self._inherited = _processed(self._entities)
        self._stage = "fetching"
        self._message: str | None = None
        self._saved: dict[str, Any] | None = None
        self._saved_sent = True
        self._seq = 0
        self._acknowledged = 0
        self._dirty = False
        self._in_flight = 0
        self._last_sent: float | None = None
        self._timer: IDelayedCall | None = None
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def stage(self, name: str) -> None:
        """Say what the job is doing: `discovering`, `fetching`, `completed` or `failed`."""
        self._stage = name
        self._changed()

    def count(self, entity: str, *, discovered: int = 0, processed: int = 0, failed: int = 0) -> None:
        """Add to the counters of an entity type; negative numbers are refused with `ValueError`."""
        if discovered < 0 or processed < 0 or failed < 0:
            raise ValueError("counters only rise")
        counters = self._counters(entity)
        for name, more in (("discovered", discovered), ("processed", processed), ("failed", failed)):
            if more:
                counters[name] = counters.get(name, 0) + more
        self._changed()

    def total(self, entity: str, n: int) -> None:
        """Say how many there are of an entity type, once that is known."""
        self._counters(entity)["total"] = n
        self._changed()

    def page(self, entity: str, n: int, collection: str | None = None) -> None:
        """Say which page is being read, and of which sub-collection."""
        counters = self._counters(entity)
        counters["page"] = n
        if collection is not None:
            counters["collection"] = collection
        self._changed()

    def message(self, text: str) -> None:
        """Leave a line for people to read (at most 4096 characters, the rest is cut)."""
        self._message = text[:MAX_MESSAGE]
        self._changed()

    def save(self, resume_state: dict[str, Any]) -> None:
        """
        Mark where another attempt would go on from: any JSON object of at most 64 KiB.

        The counters of this moment are saved with it. It is durable once `flush()` has returned; it also goes
        out with the next progress, and with the job's release or failure.

        :raises ValueError: the state is no JSON, too large, deeper than 8 levels, holds a NUL or an integer of
            more than 64 bits, or uses the reserved key `_progress`.
        """
        if RESERVED_KEY in resume_state:
            raise ValueError(f"{RESERVED_KEY!r} in a resume state is reserved for the counters")
        state = dict(resume_state)
        if self._entities:
            state[RESERVED_KEY] = {name: dict(counters) for name, counters in self._entities.items()}
        self._saved = _frozen(state)
        self._saved_sent = False
        self._changed()

    async def flush(self) -> None:
        """
        Wait until everything reported so far is durable at the server.

        :raises LeaseLost: the job belongs to somebody else by now.
        """
        if self._job.lost is not None:
            raise self._job.lost
        if not self._dirty and not self._in_flight:
            return
        waiter: Deferred[None] = Deferred()
        self._waiting.append((self._seq + (1 if self._dirty else 0), waiter))
        if self._dirty and not self._in_flight:
            self._send()
        await waiter

    def _counters(self, entity: str) -> dict[str, Any]:
        counters = self._entities.get(entity)
        if counters is None:
            counters = self._entities[entity] = {}
        return counters

    def _changed(self) -> None:
        self._dirty = True
        if self._in_flight or self._timer is not None or self._job.finished:
            return
        link = self._job.link
        wait = 0.0
        if self._last_sent is not None:
            wait = max(0.0, self._last_sent + link.progress_interval - link.clock.seconds())
        self._timer = link.clock.callLater(wait, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._dirty and not self._in_flight:
            self._send()

    def _send(self) -> None:
        self._drop_timer()
        self._seq += 1
        data: dict[str, Any] = {"seq": self._seq, "stage": self._stage}
        if self._entities:
            data["entities"] = self.entities()
        if self._message is not None:
            data["message"] = self._message
        if not self._saved_sent:
            data["resume_state"] = self._saved
            self._saved_sent = True
        self._dirty = False
        self._in_flight += 1
        link = self._job.link
        self._last_sent = link.clock.seconds()
        link.tell(self._job, "job_progress", data, partial(self._answered, self._seq))

    def _answered(self, seq: int, refusal: Exception | None) -> None:
        """Take the answer to a progress; what came meanwhile goes out when its time has come."""
        self._in_flight -= 1
        if isinstance(refusal, LeaseLost):
            self._wake(refusal)
            return
        # A progress that was refused for another reason (a bad entity name, say) will not get better by
        # being sent again: whoever waits is told, the job goes on.
        self._acknowledged = max(self._acknowledged, seq)
        wanted = any(seq > self._acknowledged for seq, _ in self._waiting)
        self._wake(refusal)
        if self._dirty:
            if wanted and not self._in_flight:
                self._send()
            else:
                self._changed()

    def _wake(self, refusal: Exception | None) -> None:
        ready, self._waiting = (
            [each for each in self._waiting if refusal or each[0] <= self._acknowledged],
            [each for each in self._waiting if not refusal and each[0] > self._acknowledged],
        )
        for _, waiter in ready:
            if refusal is None:
                waiter.callback(None)
            else:
                waiter.errback(refusal)

    # What follows is for the executor.

    def entities(self) -> Counts:
        """Return a copy of the counters, as messages carry them."""
        return {name: dict(counters) for name, counters in self._entities.items()}

    @property
    def stage_now(self) -> str:
        return self._stage

    def fresh(self) -> int:
        """Return how many items this attempt has processed; what earlier ones did is not in it."""
        return _processed(self._entities) - self._inherited

    def say_last(self) -> None:
        """Send what is still unsaid, whatever the interval: the job's end follows."""
        if self._dirty:
            self._send()
        self._drop_timer()

    def closing(self) -> dict[str, Any]:
        """Return the counters for the message that ends the job."""
        return {"entities": self.entities()} if self._entities else {}

    def state(self) -> dict[str, Any]:
        """Return the last saved resume state for the message that hands the job back."""
        return {"resume_state": self._saved} if self._saved is not None else {}

    def stop(self, reason: Exception) -> None:
        """Say nothing more; whoever waits in `flush()` meets the reason."""
        self._drop_timer()
        self._dirty = False
        self._wake(reason)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _processed(entities: Counts) -> int:
    return sum(int(counters.get("processed", 0)) for counters in entities.values())


def _frozen(state: dict[str, Any]) -> dict[str, Any]:
    """
    Copy a resume state as it will arrive, so that it may be changed afterwards.

    What a server would refuse is refused here: the mistake should be met where it was made.
    """
    try:
        copy: dict[str, Any] = orjson.loads(orjson.dumps(state))
        check_opaque(copy, True)
    except (TypeError, GuardError) as error:
        raise ValueError(f"the resume state cannot be saved: {error}") from None
    if find_nul(copy) is not None:
        raise ValueError("the resume state cannot be saved: it holds the character NUL")
    return copy
