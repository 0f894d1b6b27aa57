"""The feed, as peers subscribe to it over the socket.

The law: nothing is buffered for a subscriber that does not read. Its subscription ends where it stands and begins
again from there when it reads; what is no longer kept by then is a gap, and is marked as one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from attrs import define
from twisted.internet.defer import Deferred

from crawlsock.feed.channels import Channels, Encode
from crawlsock.feed.filter import Filter
from crawlsock.server.peer import Peer
from crawlsock.server.pool import LOST, ConnectionPool
from crawlsock.wire.errors import ErrorCode, Refusal

MAX_SUBSCRIPTIONS: Final = 64
_EVENTS_A_PUSH: Final = 500


class Subscription(Protocol):
    """What the hub gives a subscriber."""

    def cancel(self) -> None:
        """Deliver no more."""


Deliver = Callable[[list[dict[str, Any]], str, bool, bool], None]
"""Takes events, the position after them, whether some are missing before, and whether they are a snapshot."""


class Hub(Protocol):
    """What this needs of `crawlsock.feed.Hub`."""

    def subscribe(
        self,
        filter: Filter,
        position: str | None,
        deliver: Deliver,
        failed: Callable[[Refusal], None] | None = None,
    ) -> Subscription:
        """Deliver what follows `position`; `failed` hears that there is no such position."""

    def channels(self, encode: Encode) -> Channels:
        """Make a place where viewers share what is read and encoded."""

    def statistics(self) -> Mapping[str, float]:
        """Return figures about the feed."""


@define(eq=False)
class _Feed:
    """One subscription of one peer."""

    name: str
    filter: Filter
    position: str | None
    subscription: Subscription | None = None
    ended: bool = False


class FeedKeeper:
    """Hold the subscriptions of all peers."""

    def __init__(self, hub: Hub, store: Any, pool: ConnectionPool) -> None:
        self._hub = hub
        self._store = store
        self._feeds: dict[Peer, dict[str, _Feed]] = {}
        pool.observe(self._seen)

    def __len__(self) -> int:
        return sum(map(len, self._feeds.values()))

    def subscribe(
        self, peer: Peer, subscription: str | None, filter: Mapping[str, Any], position: str | None
    ) -> Deferred[dict[str, Any]]:
        """Begin to push events that follow `position`, or that happen from now on; fire with name and position.

        Fails with ``duplicate`` for a name that the peer has in use, ``too_many_requests``, and ``invalid_message`` for
        a position that is none.
        """
        return Deferred.fromCoroutine(self._subscribe(peer, subscription, filter, position))

    async def _subscribe(
        self, peer: Peer, subscription: str | None, filter: Mapping[str, Any], position: str | None
    ) -> dict[str, Any]:
        feeds = self._feeds.setdefault(peer, {})
        name = subscription or f"s{secrets.token_hex(4)}"
        if name in feeds:
            raise Refusal(
                ErrorCode.DUPLICATE, f"this connection has a subscription {name} already", "/data/subscription"
            )
        if len(feeds) >= MAX_SUBSCRIPTIONS:
            raise Refusal(ErrorCode.TOO_MANY_REQUESTS, f"a connection may have {MAX_SUBSCRIPTIONS} subscriptions")
        account = filter.get("account")
        if peer.accounts is not None and account is not None and account not in peer.accounts:
            raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, f"there is no account {account}", "/data/filter/account")
        if position is None:
            position = await self._store.event_head()
        else:
            # A position that this store never gave is refused here, where somebody waits for the answer.
            await self._store.events_after(position, 1)
        if not peer.alive:
            self._feeds.pop(peer, None)
            raise Refusal(ErrorCode.SESSION_EXPIRED, "the connection was closed")
        feed = feeds[name] = _Feed(name, Filter.of(filter, peer.accounts), position)
        self._begin(peer, feed)
        return {"subscription": name, "position": position}

    def unsubscribe(self, peer: Peer, subscription: str) -> None:
        """End a subscription; one that is not there is ended already."""
        feed = self._feeds.get(peer, {}).pop(subscription, None)
        if feed is not None:
            self._end(feed)

    def _begin(self, peer: Peer, feed: _Feed) -> None:
        def deliver(events: list[dict[str, Any]], position: str, gap: bool, snapshot: bool) -> None:
            self._deliver(peer, feed, events, position, gap, snapshot)

        def failed(refusal: Refusal) -> None:
            self.unsubscribe(peer, feed.name)
            peer.refuse(refusal, None)

        feed.subscription = self._hub.subscribe(feed.filter, feed.position, deliver, failed)

    def _end(self, feed: _Feed) -> None:
        feed.ended = True
        if feed.subscription is not None:
            feed.subscription.cancel()
            feed.subscription = None

    def _deliver(
        self,
        peer: Peer,
        feed: _Feed,
        events: list[dict[str, Any]],
        position: str,
        gap: bool,
        snapshot: bool,
    ) -> None:
        if feed.ended:
            return
        if peer.link.congested:
            # From feed.position on, everything comes again when the peer reads.
            self._end(feed)
            peer.on_drained.append(lambda: self._again(peer, feed))
            return
        first = True
        for start in range(0, max(len(events), 1), _EVENTS_A_PUSH):
            part = events[start : start + _EVENTS_A_PUSH]
            last = start + _EVENTS_A_PUSH >= len(events)
            if not (part or gap or snapshot):
                break
            # Only the last part may be resumed after: the hub's position covers all of them.
            data: dict[str, Any] = {
                "subscription": feed.name,
                "position": position if last else feed.position or position,
                "events": part,
            }
            if not last:
                data["more"] = True
            if gap and first:
                data["gap"] = True
            if snapshot:
                data["snapshot"] = True
            peer.push("event", data)
            first = False
        feed.position = position

    def _again(self, peer: Peer, feed: _Feed) -> None:
        if peer.alive and self._feeds.get(peer, {}).get(feed.name) is feed:
            feed.ended = False
            self._begin(peer, feed)

    def _seen(self, event: str, peer: Peer, reason: str) -> None:
        if event == LOST:
            for feed in self._feeds.pop(peer, {}).values():
                self._end(feed)
