"""Reading ahead, in order."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.gitlab.lists import Feed, PageReader, together, unless
from crawlsock.gitlab.paging import Cursor, Item, Page


class PageReaderTests(SynchronousTestCase):
    """A reader whose pages arrive when the test says so."""

    def setUp(self) -> None:
        self.asked: list[Cursor | None] = []
        self.dropped: list[Cursor | None] = []
        self.pages: dict[Cursor | None, Deferred[Page]] = {}

    async def fetch(self, cursor: Cursor | None) -> Page:
        self.asked.append(cursor)
        self.pages[cursor] = Deferred(lambda _: self.dropped.append(cursor))
        return await self.pages[cursor]

    def read(self, reader: PageReader) -> Deferred[Page | None]:
        return Deferred.fromCoroutine(reader.read())

    def items(self, reading: Deferred[Page | None]) -> list[Item]:
        page = self.successResultOf(reading)
        assert page is not None
        return page.items

    def test_ahead(self) -> None:
        """With a known last page several are fetched at once, and read in order whichever comes first."""
        reader = PageReader(self.fetch, None, 3)
        first = self.read(reader)
        self.pages[None].callback(Page([{"id": 1}], 2, 500, 5))
        self.assertEqual(self.items(first), [{"id": 1}])
        self.assertEqual((self.asked, reader.following), ([None, 2, 3, 4], 2))
        self.pages[4].callback(Page([{"id": 4}], 5, 500, 5))
        second = self.read(reader)
        self.assertNoResult(second)
        self.pages[2].callback(Page([{"id": 2}], 3, 500, 5))
        self.assertEqual(self.items(second), [{"id": 2}])
        self.assertEqual((self.asked[-1], reader.following), (5, 3))

    def test_sequential(self) -> None:
        """Without a known last page each is fetched when the one before it has come."""
        reader = PageReader(self.fetch, None, 3)
        first = self.read(reader)
        self.pages[None].callback(Page([], "/next"))
        self.successResultOf(first)
        self.assertEqual((self.asked, reader.following), ([None], "/next"))
        second = self.read(reader)
        self.pages["/next"].callback(Page([], None))
        self.successResultOf(second)
        self.assertIsNone(reader.following)
        self.assertIsNone(self.successResultOf(self.read(reader)))

    def test_grown(self) -> None:
        """A list that has grown while it was read is read to its new end."""
        reader = PageReader(self.fetch, 1, 3)
        for cursor, following, last in ((1, 2, 2), (2, 3, 3), (3, None, 3)):
            waiting = self.read(reader)
            self.pages[cursor].callback(Page([], following, 1, last))
            self.successResultOf(waiting)
        self.assertEqual(self.asked, [1, 2, 3])
        self.assertIsNone(self.successResultOf(self.read(reader)))

    def test_close(self) -> None:
        """What is on its way when the reader is closed is cancelled."""
        reader = PageReader(self.fetch, None, 3)
        reader.begin()
        reader.close()
        self.assertEqual(self.dropped, [None])


class FeedTests(SynchronousTestCase):
    """What one list hands to the list below it."""

    def test_waits(self) -> None:
        """Whoever wants more waits until there is more, or there will be none."""
        feed = Feed()
        waiting = Deferred.fromCoroutine(feed.more())
        self.assertNoResult(waiting)
        feed.push([("1", 10)])
        self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(feed.pop(), ("1", 10))
        self.assertIsNone(feed.pop())
        waiting = Deferred.fromCoroutine(feed.more())
        feed.finish()
        self.assertFalse(self.successResultOf(waiting))


class TogetherTests(SynchronousTestCase):
    """Coroutines that live and die together."""

    def test_failure(self) -> None:
        """When one fails, the others are cancelled and have ended before the failure is raised."""
        never: Deferred[None] = Deferred()
        trigger: Deferred[None] = Deferred()
        ended: list[str] = []

        async def waits() -> None:
            try:
                await never
            except CancelledError:
                ended.append("cancelled")
                raise

        async def fails() -> None:
            await trigger
            raise KeyError("x")

        running = Deferred.fromCoroutine(together([waits(), fails()]))
        trigger.callback(None)
        self.failureResultOf(running, KeyError)
        self.assertEqual(ended, ["cancelled"])

    def test_unless(self) -> None:
        """Work that is to stop is cancelled, and the reason is raised."""
        stopped: Deferred[ValueError] = Deferred()

        async def work() -> int:
            await Deferred()
            return 1

        running = Deferred.fromCoroutine(unless(stopped, work()))
        stopped.callback(ValueError("enough"))
        self.failureResultOf(running, ValueError)
