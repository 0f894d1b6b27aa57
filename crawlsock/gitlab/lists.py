"""Read lists quickly and hand them out in order.

Law: any number of pages may be on their way at once, but whoever reads gets them one after the other, in the
list's own order, each with the cursor that goes on behind it. Nothing is written or counted here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList, FirstError

from crawlsock.gitlab.paging import Cursor, Page

T = TypeVar("T")
Stop = TypeVar("Stop", bound=BaseException)
Fetch = Callable[[Cursor | None], Coroutine[Deferred[Any], Any, Page]]


@define
class PageReader:
    """Read the pages of one list from a cursor on.

    Where the number of the last page is known, up to `ahead` pages are fetched before they are asked for.
    """

    fetch: Fetch
    following: Cursor | None
    ahead: int
    _begun: bool = False
    _pages: deque[tuple[Cursor | None, Deferred[Page]]] = field(factory=deque)

    def begin(self) -> None:
        """Fetch the first page now, to be read later."""
        if not self._begun:
            self._begun = True
            self._request(self.following)

    async def read(self) -> Page | None:
        """Return the next page, or None behind the last. A failure to fetch it is raised here."""
        self.begin()
        if not self._pages:
            if self.following is None:
                return None
            self._request(self.following)
        _, waiting = self._pages.popleft()
        page = await waiting
        self.following = page.following
        if self._pages:
            # What comes next is on its way already; the list may have shrunk, then it will be empty.
            self.following = self._pages[0][0]
        if isinstance(page.following, int) and page.last_page is not None:
            last = self._pages[-1][0] if self._pages else page.following - 1
            while isinstance(last, int) and last < page.last_page and len(self._pages) < self.ahead:
                last += 1
                self._request(last)
        return page

    def _request(self, cursor: Cursor | None) -> None:
        waiting = Deferred.fromCoroutine(self.fetch(cursor))
        # Failed while nobody reads yet: it is raised when this page's turn comes, or dropped by `close`.
        self._pages.append((cursor, waiting))

    def close(self) -> None:
        """Drop what is on its way."""
        while self._pages:
            _, waiting = self._pages.popleft()
            waiting.addErrback(_ignore)
            waiting.cancel()


def _ignore(_: object) -> None:
    return None


@define
class Feed:
    """Hand the items of one list to the list below it, as they are written.

    Each entry is what the path below needs (an issue's `iid`), and the byte at which the item ends in its
    part.
    """

    _entries: deque[tuple[str, int]] = field(factory=deque)
    _finished: bool = False
    _waiting: Deferred[None] | None = None

    def push(self, entries: Iterable[tuple[str, int]]) -> None:
        """Add entries."""
        self._entries.extend(entries)
        self._wake()

    def finish(self) -> None:
        """Say that no more will come."""
        self._finished = True
        self._wake()

    def pop(self) -> tuple[str, int] | None:
        """Return the next entry if there is one now."""
        return self._entries.popleft() if self._entries else None

    async def more(self) -> bool:
        """Wait until there is an entry; False when there will never be another."""
        while not self._entries and not self._finished:
            self._waiting = Deferred()
            await self._waiting
        return bool(self._entries)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


async def together(coroutines: Iterable[Coroutine[Deferred[Any], Any, None]]) -> None:
    """Run coroutines at once. When one fails, the others are cancelled and waited for; then it is raised."""
    running = [Deferred.fromCoroutine(coroutine) for coroutine in coroutines]
    everything = DeferredList(running, fireOnOneErrback=True, consumeErrors=True)
    try:
        await everything
    except BaseException as error:
        for waiting in running:
            waiting.cancel()
        # All of them end: cancelling reaches what each waits for.
        await DeferredList(running, consumeErrors=True)
        if isinstance(error, FirstError):
            error.subFailure.raiseException()
        raise


async def unless(stopped: Deferred[Stop], work: Coroutine[Deferred[Any], Any, T]) -> T:
    """Do the work, unless `stopped` fires first: then the work is cancelled, and what it fired with is
    raised.
    """
    running = Deferred.fromCoroutine(work)
    reason: list[Stop] = []

    def stop(value: Stop) -> Stop:
        reason.append(value)
        running.cancel()
        return value

    stopped.addCallback(stop)
    try:
        return await running
    except BaseException:
        if reason:
            raise reason[0] from None
        raise
