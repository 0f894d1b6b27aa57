"""Give each subscriber its events, in order, from where it asks, without a gap that is not marked.

The law of this module: a subscriber sees every event after its position that its filter lets through, once; or, when
the store no longer has them all, a delivery marked as a gap, and a snapshot, marked as such. Nothing is buffered here:
a subscriber that cannot take more cancels, and subscribes again from its last position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.feed.channels import FIGURES, Channels, Encode
from crawlsock.feed.filter import Event, Filter
from crawlsock.feed.snapshot import take_snapshot
from crawlsock.feed.tail import Tail
from crawlsock.store.interface import IStore
from crawlsock.store.values import EventPage
from crawlsock.wire.errors import Refusal

Deliver = Callable[[list[Event], str, bool, bool], None]
"""Takes events, the position after them, whether some before them are missing, and whether they are a snapshot."""


class Subscription:
    """One subscriber's place in the feed."""

    def __init__(
        self,
        hub: Hub,
        filter: Filter,
        position: str | None,
        deliver: Deliver,
        failed: Callable[[Refusal], None] | None,
    ) -> None:
        self._hub = hub
        self._deliver = deliver
        self._failed = failed
        self.filter = filter
        self.position = position
        self.cancelled = False

    def cancel(self) -> None:
        """Deliver no more. Twice is once."""
        self.cancelled = True
        self._hub.tail.remove(self)

    def take(self, page: EventPage) -> None:
        """Take a page from the tail."""
        if page.gap:
            self._hub.tail.remove(self)
            self._hub.bridge(self)
            return
        self.deliver([event for event in page.events if self.filter.matches(event)], page.position)

    def rest(self) -> None:
        """Do nothing: what came has been delivered."""

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


class Hub:
    """Take subscriptions; be started and stopped with the service.

    :param poll: seconds between looks when nothing woke us.
    :param pace: seconds between looks, at least (`Tail`).
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: IStore, *, poll: float = 0.25, pace: float = 0.0) -> None:
        self._clock = clock
        self._store = store
        self.tail = Tail(clock, store, poll=poll, pace=pace)
        self._channels: list[Channels] = []
        self._subscriptions = 0

    def start(self) -> None:
        """Begin to deliver. Twice is once."""
        self.tail.start()

    async def stop(self) -> None:
        """Deliver no more."""
        for channels in self._channels:
            channels.stop()
        await self.tail.stop()

    def __len__(self) -> int:
        return len(self.tail)

    def subscribe(
        self,
        filter: Mapping[str, Any] | Filter,
        position: str | None,
        deliver: Deliver,
        failed: Callable[[Refusal], None] | None = None,
    ) -> Subscription:
        """Deliver what follows `position` and passes the filter, until cancelled.

        :param filter: any of ``job_id``, ``root_id``, ``account`` and ``kinds`` (a list); empty: all events.
        :param position: of an earlier delivery, or the store's `event_head`; None for everything that is kept.
        :param failed: told when the position is none of this store's; the subscription has ended then.
        """
        wanted = filter if isinstance(filter, Filter) else Filter.of(filter)
        subscription = Subscription(self, wanted, position, deliver, failed)
        self.tail.add(subscription)
        return subscription

    def channels(self, encode: Encode) -> Channels:
        """Make a place where many viewers share what is read and encoded; its figures are among `statistics`."""
        channels = Channels(self._clock, self._store, self.tail, encode)
        self._channels.append(channels)
        return channels

    def statistics(self) -> dict[str, float]:
        """Return figures about the feed: how far behind it is, who looks on, and what was done for them.

        ``lag``: for how many seconds no read has succeeded. ``readers``: places that are read from. ``viewers``: those
        who look on through channels; ``waiting``: of these, who takes no more at this moment. The rest counts since the
        start.
        """
        total: dict[str, float] = {"lag": self.tail.behind, "readers": len(self.tail), "reads": self.tail.reads}
        total.update(dict.fromkeys(FIGURES, 0))
        for channels in self._channels:
            for name, value in channels.statistics().items():
                total[name] += value
        return total

    def bridge(self, subscription: Subscription) -> None:
        """Carry a subscriber over a gap: a snapshot of what is, then events from there on."""
        Deferred.fromCoroutine(self._bridge(subscription)).addErrback(self._bridge_failed, subscription)

    async def _bridge(self, subscription: Subscription) -> None:
        position, events = await take_snapshot(self._store, subscription.filter, self._clock.seconds())
        subscription.deliver(events, position, gap=True, snapshot=True)
        if not subscription.cancelled:
            self.tail.add(subscription)

    def _bridge_failed(self, failure: Any, subscription: Subscription) -> None:
        if isinstance(failure.value, Refusal):
            subscription.fail(failure.value)
        else:
            self._log.failure("A snapshot for a subscriber failed", failure)
            subscription.cancel()
