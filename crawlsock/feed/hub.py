"""Give each subscriber its events, in order, from where it asks, without a gap that is not marked.

The law of this module: a subscriber sees every event after its position that its filter lets through, once; or, when
the store no longer has them all, a delivery marked as a gap, and a snapshot, marked as such. Nothing is buffered here:
a subscriber that cannot take more cancels, and subscribes again from its last position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.feed.tail import Tail
from crawlsock.store.interface import IStore
from crawlsock.store.values import EventPage, JobFilter, rfc3339
from crawlsock.wire.errors import Refusal

Event = dict[str, Any]

Deliver = Callable[[list[Event], str, bool, bool], None]
"""Takes events, the position after them, whether some before them are missing, and whether they are a snapshot."""

SNAPSHOT_JOBS: Final = 500
"""The most jobs, newest first, that a snapshot shows one by one."""


class Subscription:
    """One subscriber's place in the feed."""

    def __init__(
        self,
        hub: Hub,
        wanted: Mapping[str, Any],
        position: str | None,
        deliver: Deliver,
        failed: Callable[[Refusal], None] | None,
    ) -> None:
        self._hub = hub
        self._wanted = {name: wanted[name] for name in ("job_id", "root_id", "account") if name in wanted}
        self._kinds = frozenset(wanted["kinds"]) if wanted.get("kinds") else None
        self._deliver = deliver
        self._failed = failed
        self.position = position
        self.cancelled = False

    def cancel(self) -> None:
        """Deliver no more. Twice is once."""
        self.cancelled = True
        self._hub.tail.remove(self)

    def matches(self, event: Event) -> bool:
        """Tell whether the filter lets the event through."""
        if self._kinds is not None and event["kind"] not in self._kinds:
            return False
        return all(event.get(name) == value for name, value in self._wanted.items())

    def take(self, page: EventPage) -> None:
        """Take a page from the tail."""
        if page.gap:
            self._hub.tail.remove(self)
            self._hub.bridge(self)
            return
        self.deliver([event for event in page.events if self.matches(event)], page.position)

    def fail(self, refusal: Refusal) -> None:
        """Learn that the position cannot be read from."""
        self.cancelled = True
        if self._failed is not None:
            self._failed(refusal)

    def deliver(self, events: list[Event], position: str, *, gap: bool = False, snapshot: bool = False) -> None:
        """Hand events on, unless there are none and nothing to mark; move to the position either way."""
        self.position = position
        if not self.cancelled and (events or gap or snapshot):
            self._deliver(events, position, gap, snapshot)

    @property
    def scope(self) -> JobFilter:
        """The jobs that a snapshot for this subscriber shows."""
        return JobFilter(account=self._wanted.get("account"), root_id=self._wanted.get("root_id"), limit=SNAPSHOT_JOBS)

    @property
    def job_id(self) -> str | None:
        """The one job it is about, if it is about one."""
        return self._wanted.get("job_id")


class Hub:
    """Take subscriptions; be started and stopped with the service."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: IStore, *, poll: float = 0.25) -> None:
        self._clock = clock
        self._store = store
        self.tail = Tail(clock, store, poll=poll)

    def start(self) -> None:
        """Begin to deliver. Twice is once."""
        self.tail.start()

    async def stop(self) -> None:
        """Deliver no more."""
        await self.tail.stop()

    def __len__(self) -> int:
        return len(self.tail)

    def subscribe(
        self,
        filter: Mapping[str, Any],
        position: str | None,
        deliver: Deliver,
        failed: Callable[[Refusal], None] | None = None,
    ) -> Subscription:
        """Deliver what follows `position` and passes the filter, until cancelled.

        :param filter: any of ``job_id``, ``root_id``, ``account`` and ``kinds`` (a list); empty: all events.
        :param position: of an earlier delivery, or the store's `event_head`; None for everything that is kept.
        :param failed: told when the position is none of this store's; the subscription has ended then.
        """
        subscription = Subscription(self, filter, position, deliver, failed)
        self.tail.add(subscription)
        return subscription

    def bridge(self, subscription: Subscription) -> None:
        """Carry a subscriber over a gap: a snapshot of what is, then events from there on."""
        Deferred.fromCoroutine(self._bridge(subscription)).addErrback(self._bridge_failed, subscription)

    async def _bridge(self, subscription: Subscription) -> None:
        # The position first: what happens while the snapshot is read is delivered again after it, never missed.
        position = await self._store.event_head()
        if subscription.job_id is None:
            jobs = (await self._store.jobs(subscription.scope)).jobs
        else:
            jobs = [await self._store.job(subscription.job_id)]
        now = rfc3339(datetime.fromtimestamp(self._clock.seconds(), timezone.utc))
        events = [{"kind": "job_snapshot", "at": now, **job.as_json()} for job in jobs]
        subscription.deliver(events, position, gap=True, snapshot=True)
        if not subscription.cancelled:
            self.tail.add(subscription)

    def _bridge_failed(self, failure: Any, subscription: Subscription) -> None:
        if isinstance(failure.value, Refusal):
            subscription.fail(failure.value)
        else:
            self._log.failure("A snapshot for a subscriber failed", failure)
            subscription.cancel()
