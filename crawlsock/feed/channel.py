"""Read for a group of viewers, and show each of them the same bytes.

The law: a channel that is behind shows whole pages as it reads them; one that is where the store is shows what happens
as soon as the order and the pace of progress allow. When the store no longer has what comes next, or there is more than
anybody would read, its viewers are shown the present state instead, once, marked as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from crawlsock.feed.filter import Filter
from crawlsock.feed.fold import Fold
from crawlsock.feed.recent import Delivery, Recent
from crawlsock.feed.sheet import Item
from crawlsock.feed.snapshot import take_snapshot
from crawlsock.store.values import EventPage
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.feed.channels import Channels, Seat

Encode = Callable[[Sequence[Item], str, bool, bool], bytes]
"""Makes a message of events, the position after them, whether some before are missing, and whether it is a snapshot."""

REPLAY_PAGES: Final = 100
"""Pages that are read one after the other, for who comes back or when more happens than can be read, before a snapshot
is better for everybody."""


class Channel:
    """A reader of the tail that shows what it reads to all its seats.

    :ivar position: up to where it has read.
    :ivar shown: up to where its viewers were shown everything.
    :ivar live: whether it has been where the store is.
    :ivar closed: whether it has ended, because nobody looked on any more.
    """

    def __init__(self, channels: Channels, filter: Filter, position: str, pages: int, interval: float) -> None:
        self._channels = channels
        self._interval = interval
        self._fold = Fold(interval)
        self._flushed = float("-inf")
        self._later: IDelayedCall | None = None
        self.closed = False
        self.filter = filter
        # The tail compares positions; a channel always has one.
        self.position: str | None = position
        self.shown = position
        self.pages = pages
        self.live = False
        self.bridging = False
        self.recent = Recent()
        self.seats: dict[Seat, None] = {}

    @property
    def waiting(self) -> bool:
        """Whether something was read and not shown yet."""
        return len(self._fold) > 0

    # -- seats

    def missed_by(self, position: str) -> list[Delivery] | None:
        """Return what was shown here after a position; None when this channel does not know."""
        if position == self.shown:
            return []
        return self.recent.after(position)

    def admit(self, seat: Seat, missed: Iterable[Delivery]) -> None:
        """Take a viewer in, and show it what it missed. One that cannot take all of it comes again."""
        for delivery in missed:
            if seat.ready:
                seat.show(delivery.data, delivery.position)
        if seat.ready:
            seat.position = self.shown
            seat.channel = self
            self.seats[seat] = None
        elif not self.seats:
            self._close()

    def remove(self, seat: Seat) -> None:
        """Let a viewer go; without viewers the channel ends."""
        self.seats.pop(seat, None)
        if not self.seats:
            self._close()

    def absorb(self, other: Channel) -> None:
        """Take over the viewers of another channel that has shown up to the same position."""
        if self.closed:
            return
        self.recent.mark(self.shown)
        for seat in list(other.seats):
            seat.channel = self
            self.seats[seat] = None
        other.seats.clear()
        other._close()

    def _close(self) -> None:
        self.closed = True
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._channels.close(self)

    # -- reading

    def take(self, page: EventPage) -> None:
        """Take a page from the tail."""
        self.pages += 1
        if page.gap or self.pages > REPLAY_PAGES:
            self._bridge()
            return
        self.position = page.position
        self._fold.add(self._channels.sheet(page).matching(self.filter))
        if self.live:
            self._arrange()
        else:
            self.flush()
        self._channels.settle(self)

    def rest(self) -> None:
        """Learn that there is no more at this moment."""
        self.pages = 0
        if not self.live:
            self.live = True
            self._channels.settle(self)

    def fail(self, refusal: Refusal) -> None:
        """Learn that the position is none."""
        for seat in list(self.seats):
            seat.refused(refusal)

    # -- showing

    def _arrange(self) -> None:
        """Show what waits, now or as soon as it may be."""
        if self._later is not None:
            return
        now = self._channels.clock.seconds()
        due = max(self._flushed + self._channels.pace, self._fold.not_before)
        if not self.waiting or due <= now:
            self.flush()
        else:
            self._later = self._channels.clock.callLater(due - now, self._due)

    def _due(self) -> None:
        self._later = None
        self._arrange()
        self._channels.settle(self)

    def flush(self) -> None:
        """Show everything that was read."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        now = self._channels.clock.seconds()
        items = self._fold.take(now)
        assert self.position is not None
        self.shown = self.position
        if items:
            self._flushed = now
            self._show(items)

    def _show(self, items: Sequence[Item], gap: bool = False, snapshot: bool = False) -> None:
        data = self._channels.encode(self, items, gap, snapshot)
        self.recent.add(Delivery(data, self.shown), self._channels.recent_bytes)
        for seat in list(self.seats):
            # Showing one may make another leave.
            if seat.channel is self:
                seat.show(data, self.shown)

    # -- gaps

    def _bridge(self) -> None:
        self.bridging = True
        self._channels.tail.remove(self)
        Deferred.fromCoroutine(self._carry_over()).addErrback(self._failed)

    async def _carry_over(self) -> None:
        channels = self._channels
        position, events = await take_snapshot(channels.store, self.filter, channels.clock.seconds())
        if self.closed:
            return
        # What waited is in the snapshot.
        self._fold = Fold(self._interval)
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self.bridging = False
        self.pages = 0
        self.position = self.shown = position
        self._show([Item(event) for event in events], gap=True, snapshot=True)
        if not self.closed:
            channels.tail.add(self)

    def _failed(self, failure: Any) -> None:
        self.bridging = False
        refusal = failure.value if isinstance(failure.value, Refusal) else None
        if refusal is None:
            self._channels.log.failure("A snapshot for viewers failed", failure)
            refusal = Refusal(ErrorCode.INTERNAL, "the present state could not be read; the failure is in the log")
        if refusal.code is ErrorCode.UNAVAILABLE and not self.closed:
            # The tail will find the store away, too, and the gap again when it is back.
            self._channels.tail.add(self)
        else:
            self.fail(refusal)
