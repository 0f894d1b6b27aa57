"""Read on, from as many places as readers stand at.

The law of this module: readers at one position share one read, and that is all there is to it. A reader that comes late
reads its own pages until it stands where the others stand; there is no other way to be "live", so a late one and one
that was always there have read the same events in the same order. Positions are compared for equality only: they are
the store's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from crawlsock.store.interface import IStore
from crawlsock.store.values import EventPage
from crawlsock.wire.errors import ErrorCode, Refusal

T = TypeVar("T")

PAGE: Final = 200
"""Commits that one read brings at most; each holds the events of one batch."""
_BROKEN: Final = Refusal(ErrorCode.INTERNAL, "the server failed to deliver events; its log says why")


class Reader(Protocol):
    """Who reads: it stands at a position, takes pages, and may be told that it cannot go on."""

    position: str | None

    def take(self, page: EventPage) -> None:
        """Take the page that follows `position`, and move on to the page's position."""

    def rest(self) -> None:
        """Learn that at this moment there is nothing after `position`."""

    def fail(self, refusal: Refusal) -> None:
        """Learn that this position cannot be read from."""


class Tail:
    """Keep readers reading.

    :param poll: seconds between looks when nothing woke us: what a transaction still running held back, or a lost
        notification, is seen that much later.
    :param pace: seconds from the beginning of one look to the next, at least, unless the first did not reach the end.
        A busy store commits hundreds of times a second, and each look is a query. After a quiet time it is at once.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: IStore, *, poll: float = 0.25, pace: float = 0.0) -> None:
        self._clock = clock
        self._read_at = clock.seconds()
        self._store = store
        self._poll = poll
        self._pace = pace
        self._readers: dict[Reader, None] = {}
        self._reading: Deferred[None] | None = None
        self._began = float("-inf")
        self._later: IDelayedCall | None = None
        self._again = False
        self._looping = LoopingCall(self.wake)
        self._looping.clock = clock
        self._stopped = True
        self.reads = 0
        store.on_events(self.wake)

    def start(self) -> None:
        """Begin to read. Twice is once."""
        self._stopped = False
        if not self._looping.running:
            self._looping.start(self._poll, now=False)

    async def stop(self) -> None:
        """Read no more; return when no read is under way. Twice is once."""
        self._stopped = True
        if self._looping.running:
            self._looping.stop()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._reading is not None:
            done: Deferred[None] = Deferred()
            self._reading.addBoth(lambda _: done.callback(None))
            await done

    def add(self, reader: Reader) -> None:
        """Let the reader have what follows its position; None stands for the oldest event kept."""
        if not self._readers:
            self._read_at = self._clock.seconds()
        self._readers[reader] = None
        self.wake()

    def remove(self, reader: Reader) -> None:
        """Give the reader nothing more. One that is not there is fine."""
        self._readers.pop(reader, None)

    @property
    def behind(self) -> float:
        """Seconds for which readers have been waiting for a read to succeed; below `poll` and a bit, all is well."""
        return max(0.0, self._clock.seconds() - self._read_at) if self._readers else 0.0

    def __len__(self) -> int:
        return len(self._readers)

    def wake(self) -> None:
        """Look for more, soon or right after the look under way. Cheap: it sets a flag, or starts one read."""
        if self._stopped or not self._readers:
            return
        now = self._clock.seconds()
        if self._reading is not None:
            self._again = True
        elif self._later is None:
            wait = self._began + self._pace - now
            if wait > 0:
                self._later = self._clock.callLater(wait, self._look)
            else:
                self._look()

    def _look(self) -> None:
        self._later = None
        self._again = False
        self._began = self._clock.seconds()
        # Set before the round begins: a store in memory may finish it within this very call.
        self._reading = Deferred()
        Deferred.fromCoroutine(self._rounds()).addErrback(
            lambda failure: self._log.failure("Reading the feed failed", failure)
        ).addBoth(self._rested)

    def _rested(self, _: object) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.callback(None)
        if self._again:
            self.wake()

    async def _rounds(self) -> None:
        while not self._stopped:
            self._again = False
            if not await self._round() and (not self._again or self._pace > 0):
                return

    async def _round(self) -> bool:
        """Read one page from every position where somebody stands; tell whether there is more."""
        standing: dict[str | None, list[Reader]] = {}
        for reader in self._readers:
            standing.setdefault(reader.position, []).append(reader)
        more = False
        for position, readers in standing.items():
            try:
                page = await self._store.events_after(position, PAGE)
            except Refusal as refusal:
                if refusal.code is ErrorCode.UNAVAILABLE:
                    return False
                for reader in self._present(readers):
                    self.remove(reader)
                    self._tell(reader, reader.fail, refusal)
                continue
            self.reads += 1
            self._read_at = self._clock.seconds()
            # One may have been moved by itself while the page was on its way.
            present = [reader for reader in self._present(readers) if reader.position == position]
            if page.events or page.gap:
                for reader in present:
                    self._tell(reader, reader.take, page)
            if page.more:
                more = True
                continue
            for reader in self._present(present):
                reader.rest()
        return more

    def _present(self, readers: list[Reader]) -> list[Reader]:
        return [reader for reader in readers if reader in self._readers]

    def _tell(self, reader: Reader, method: Callable[[T], None], what: T) -> None:
        try:
            method(what)
        except Exception:
            self._log.failure("A reader of the feed failed and gets no more")
            self.remove(reader)
            if what is not _BROKEN:
                self._tell(reader, reader.fail, _BROKEN)
