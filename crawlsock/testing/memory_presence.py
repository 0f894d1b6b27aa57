"""Be there or away, and tell observers: what a store does besides keeping rows.

Here every verb of `MemoryStore` is carried out, one at a time; observers are called after it and before its
answer.
"""

from __future__ import annotations

import random as dice
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from crawlsock.jobs import POISON_LIMIT
from crawlsock.store.activity import Activity
from crawlsock.tally import JobTally
from crawlsock.testing.memory_rows import World
from crawlsock.wire.errors import ErrorCode, Refusal

T = TypeVar("T")


class Presence:
    """Hold a `World`, and whether it can be reached."""

    def __init__(
        self,
        clock: IReactorTime,
        *,
        random: Callable[[], float] = dice.random,
        poison_limit: int = POISON_LIMIT,
    ) -> None:
        self.state = "up"
        self._clock = clock
        self._world = World(clock, random, poison_limit)
        self._waiting_for_up: list[Deferred[None]] = []
        self._work_observers: list[Callable[[], None]] = []
        self._order_observers: list[Callable[[], None]] = []
        self._event_observers: list[Callable[[], None]] = []
        self._alarm: IDelayedCall | None = None

    @property
    def tally(self) -> JobTally:
        """How the jobs fared."""
        return self._world.tally

    @property
    def seen(self) -> Activity:
        """What happened in which minute."""
        return self._world.seen

    def take_down(self) -> None:
        """Behave like a database that is away: every verb is refused as ``unavailable`` until `bring_up`."""
        self.state = "down"

    def bring_up(self) -> None:
        """Be there again, with everything that was."""
        self.state = "up"
        waiting, self._waiting_for_up = self._waiting_for_up, []
        for deferred in waiting:
            deferred.callback(None)
        self._world.has_work = self._world.has_orders = self._world.has_events = True
        self._call_observers()

    def when_up(self) -> Deferred[None]:
        """Return a Deferred that fires as soon as the store is up."""
        if self.state == "up":
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiting_for_up.append(deferred)
        return deferred

    def stop(self) -> None:
        """Leave no delayed call behind."""
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self._alarm = None

    def _do(self, verb: Callable[..., T], *args: Any, **kwargs: Any) -> Deferred[T]:
        """Carry out one verb, then call observers, then answer."""
        if self.state != "up":
            return fail(Refusal(ErrorCode.UNAVAILABLE, "the store is away; try again", retry_after=1.0))
        answer = execute(verb, self._world, *args, **kwargs)
        self._call_observers()
        return answer

    def _call_observers(self) -> None:
        world = self._world
        happened = (
            (world.has_work, self._work_observers),
            (world.has_orders, self._order_observers),
            (world.has_events, self._event_observers),
        )
        if world.has_work:
            self._set_alarm()
        world.has_work = world.has_orders = world.has_events = False
        for has_happened, observers in happened:
            if has_happened:
                for observer in list(observers):
                    observer()

    def _set_alarm(self) -> None:
        """Arrange to announce work when the next job that waits for its time becomes due."""
        self.stop()
        now = self._world.now()
        later = [job.run_at for name in self._world.queued if (job := self._world.jobs[name]).run_at > now]
        if later:
            self._alarm = self._clock.callLater((min(later) - now).total_seconds(), self._due)

    def _due(self) -> None:
        self._alarm = None
        self._world.has_work = True
        self._call_observers()

    def on_work(self, callback: Callable[[], None]) -> None:
        """Call back whenever jobs may have become due."""
        self._work_observers.append(callback)

    def on_orders(self, callback: Callable[[], None]) -> None:
        """Call back whenever `pending_orders` may have changed."""
        self._order_observers.append(callback)

    def on_events(self, callback: Callable[[], None]) -> None:
        """Call back whenever `events_after` may have more."""
        self._event_observers.append(callback)
