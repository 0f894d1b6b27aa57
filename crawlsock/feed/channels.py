"""Let many viewers of the same share one reading, one encoding, and one memory of what was last shown.

The law: viewers with equal filters that stand at one position are one channel; a viewer that does not take more leaves
its channel, is remembered by its position alone, and comes back by it. So nothing is ever buffered for a viewer here.
Everybody is shown whole deliveries, in order, and a position that covers all that was shown; two viewers that were
shown up to one position know the same, whenever they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.feed.channel import Channel, Encode
from crawlsock.feed.filter import Filter
from crawlsock.feed.sheet import Item, Sheet
from crawlsock.feed.tail import Tail
from crawlsock.store.interface import IStore
from crawlsock.store.values import EventPage
from crawlsock.wire.errors import Refusal

__all__ = ["Channels", "Encode", "Seat", "Viewer"]

PROGRESS_INTERVAL: Final = 0.25
"""Seconds between two reports of one job's progress, at least, and between two deliveries, at most."""
QUICKEST: Final = 0.04
"""Seconds between two deliveries of one channel, at least: a page redraws no oftener than people see."""
SHOWS_A_SECOND: Final = 1000
"""How many times all viewers together are written to in a second, about, while that delays nobody more than
`PROGRESS_INTERVAL`."""
RECENT_BYTES: Final = 8 * 1024 * 1024
RECENT_OF_ONE: Final = 256 * 1024
"""Bytes of earlier deliveries that all channels keep, and that one keeps at most."""

FIGURES: Final = ("viewers", "waiting", "channels", "deliveries", "delivered_bytes", "shows", "snapshots")
"""Names of what `Channels.statistics` tells."""


class Viewer(Protocol):
    """Who looks on."""

    def show(self, data: bytes) -> None:
        """Take a delivery; call the seat's `pause` when this is enough for now."""

    def refused(self, refusal: Refusal) -> None:
        """Learn that nothing more will be shown, and why."""


class Seat:
    """One viewer's place: what it wants, and up to where it was shown everything."""

    def __init__(self, channels: Channels, viewer: Viewer, filter: Filter, position: str) -> None:
        self._channels = channels
        self._viewer = viewer
        self._told = position
        self.filter = filter
        self.position = position
        self.channel: Channel | None = None
        self.ready = True
        self.behind = 0
        """Pages that were read for it since it last was where the others are."""

    def pause(self) -> None:
        """Show nothing more until `resume`. Twice is once."""
        if self.ready:
            self.ready = False
            self._stand_up()

    def resume(self) -> None:
        """Go on where it was. Twice is once."""
        if not self.ready and self in self._channels.seats:
            self.ready = True
            self._channels.place(self)

    def leave(self) -> None:
        """Show nothing more. Twice is once."""
        self._channels.seats.pop(self, None)
        self.ready = False
        self._stand_up()

    def news(self) -> str | None:
        """Return the position, if the viewer was shown everything up to it and has not been told so yet."""
        if self.channel is not None:
            self.position = self.channel.shown
            self.channel.recent.mark(self.position)
        if self.position == self._told:
            return None
        self._told = self.position
        return self.position

    def show(self, data: bytes, position: str) -> None:
        """Show one delivery. For channels."""
        self.position = self._told = position
        try:
            self._viewer.show(data)
        except Exception:
            Channels.log.failure("A viewer of the feed failed and is shown no more")
            self.leave()

    def refused(self, refusal: Refusal) -> None:
        """Say that there will be nothing more. For channels."""
        self.leave()
        self._viewer.refused(refusal)

    def _stand_up(self) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            self.position = channel.shown
            self.behind = channel.pages
            channel.remove(self)


class Channels:
    """All channels of one kind of encoding.

    :param encode: makes the bytes of a delivery, once for all who share it.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, store: IStore, tail: Tail, encode: Encode) -> None:
        self.clock = clock
        self.store = store
        self.tail = tail
        self.seats: dict[Seat, None] = {}
        self.deliveries = self.delivered_bytes = self.shows = self.snapshots = 0
        self._encode = encode
        self._channels: dict[Filter, list[Channel]] = {}
        self._page: EventPage | None = None
        self._sheet = Sheet(())

    def __len__(self) -> int:
        return sum(map(len, self._channels.values()))

    # -- viewers

    async def begin(self, filter: Filter) -> str:
        """Return a position from which a new viewer is shown what happens from now on."""
        for channel in self._channels.get(filter, ()):
            if channel.live:
                channel.recent.mark(channel.shown)
                return channel.shown
        return await self.store.event_head()

    async def check(self, filter: Filter, position: str) -> None:
        """Raise `Refusal` unless a viewer may come back with this position, even if too late.

        Errors: ``invalid_message`` for what is no position, and ``unavailable``.
        """
        if all(channel.missed_by(position) is None for channel in self._channels.get(filter, ())):
            await self.store.events_after(position, 0)

    def join(self, viewer: Viewer, filter: Filter, position: str) -> Seat:
        """Give the viewer a seat; once it is placed (`place`) the viewer is shown everything after the position.

        Two steps, because the first deliveries may come within the second, and a viewer must know its seat to pause it.
        """
        seat = Seat(self, viewer, filter, position)
        self.seats[seat] = None
        return seat

    def place(self, seat: Seat) -> None:
        """Put a seat into the channel that stands where it does, or into a new one."""
        channels = self._channels.setdefault(seat.filter, [])
        for channel in channels:
            missed = channel.missed_by(seat.position)
            if missed is not None:
                channel.admit(seat, missed)
                return
        channel = Channel(self, seat.filter, seat.position, seat.behind, PROGRESS_INTERVAL)
        channels.append(channel)
        channel.admit(seat, [])
        if channel in channels:
            self.tail.add(channel)

    def stop(self) -> None:
        """Forget all channels; who looks on is shown nothing more."""
        for seat in list(self.seats):
            seat.leave()

    # -- channels

    @property
    def pace(self) -> float:
        """Seconds between two deliveries of one channel, at least."""
        return min(PROGRESS_INTERVAL, max(QUICKEST, len(self.seats) / SHOWS_A_SECOND))

    @property
    def recent_bytes(self) -> int:
        """Bytes of earlier deliveries that one channel may keep."""
        return min(RECENT_OF_ONE, RECENT_BYTES // max(1, len(self)))

    def sheet(self, page: EventPage) -> Sheet:
        """Return the page for everybody who takes it now."""
        if page is not self._page:
            self._page, self._sheet = page, Sheet(page.events)
        return self._sheet

    def encode(self, channel: Channel, items: Sequence[Item], gap: bool, snapshot: bool) -> bytes:
        """Encode a delivery of a channel, and count it."""
        data = self._encode(items, channel.shown, gap, snapshot)
        self.deliveries += 1
        self.delivered_bytes += len(data)
        self.shows += len(channel.seats)
        self.snapshots += snapshot
        return data

    def close(self, channel: Channel) -> None:
        """Forget a channel that nobody looks at."""
        channels = self._channels.get(channel.filter, [])
        if channel in channels:
            channels.remove(channel)
        if not channels:
            self._channels.pop(channel.filter, None)
        self.tail.remove(channel)
        if not self._channels:
            self._page, self._sheet = None, Sheet(())

    def settle(self, channel: Channel) -> None:
        """Make one channel of two that have read up to the same place, as soon as both have shown it."""
        for other in list(self._channels.get(channel.filter, ())):
            if other is channel or other.position != channel.position or channel.bridging or other.bridging:
                continue
            if channel.closed:
                return
            stays, goes = sorted((channel, other), key=_standing, reverse=True)
            if not stays.waiting:
                goes.flush()
                stays.absorb(goes)
                return

    def statistics(self) -> Mapping[str, float]:
        """Return figures, each under a name of `FIGURES`."""
        waiting = sum(seat.channel is None for seat in self.seats)
        counted = (self.deliveries, self.delivered_bytes, self.shows, self.snapshots)
        return dict(zip(FIGURES, (len(self.seats), waiting, len(self), *counted), strict=True))


def _standing(channel: Channel) -> tuple[bool, int]:
    return channel.live, len(channel.seats)
