"""Claims about writing down what happens."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.duties.chronicle import KEPT, Chronicle
from crawlsock.store.activity import MOST_LEASES, Activity
from crawlsock.store.listing_values import Minute
from crawlsock.testing import MemoryStore

LONG_AGO = datetime.fromtimestamp(0, timezone.utc)


class ChronicleTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(7200)
        self.store = MemoryStore(self.clock)
        self.addCleanup(self.store.stop)
        self.chronicle = Chronicle(self.clock, self.store, "server")

    def happen(self, lease: str, account: str = "team") -> None:
        """Let a job be given out and completed."""
        self.store.seen.given(lease, account, 0)
        self.store.seen.ended(lease, "completed", {"issue": {"processed": 4, "failed": 1}}, self.clock.seconds())

    async def written(self) -> list[Minute]:
        """Return what is recorded."""
        return await self.store.activity(LONG_AGO, None)

    async def test_it_adds_what_happened(self) -> None:
        """Each run adds what happened since the last, to the minute it happened in."""
        for lease in ("a", "b"):
            self.happen(lease)
            await self.chronicle.run()
        self.clock.advance(60)
        self.happen("c")
        await self.chronicle.stop()
        await self.chronicle.run()
        self.assertEqual([each[2:] for each in await self.written()], [(2, 0, 10), (1, 0, 5)])

    async def test_what_the_store_does_not_take_is_kept(self) -> None:
        """While the database is away nothing is lost: it is written when it is back."""
        self.happen("a")
        self.store.take_down()
        await self.chronicle.run()
        self.store.bring_up()
        self.happen("b")
        await self.chronicle.run()
        self.assertEqual([each.completed for each in await self.written()], [2])

    async def test_old_entries_go(self) -> None:
        """Entries are kept for hours, not for ever."""
        self.happen("a")
        await self.chronicle.run()
        self.clock.advance(KEPT.total_seconds() + 60)
        self.happen("b")
        await self.chronicle.run()
        (left,) = await self.written()
        self.assertLess(abs(left.minute.timestamp() - self.clock.seconds()), timedelta(minutes=1).total_seconds())


class ActivityTests(unittest.TestCase):
    def test_leases_do_not_pile_up(self) -> None:
        """Leases whose end nobody saw are forgotten at some number, the first first."""
        seen = Activity()
        for number in range(MOST_LEASES + 1):
            seen.given(str(number), "a", 0)
        seen.ended("0", "completed", None, 0.0)
        self.assertEqual(seen.take(), [])
        seen.ended(str(MOST_LEASES), "failed", None, 0.0)
        (minute,) = seen.take()
        self.assertEqual(minute[1:], ("a", 0, 1, 0))

    def test_other_ends_count_no_job(self) -> None:
        """A job that was released, cancelled or will be tried again did not end; its items count."""
        seen = Activity()
        seen.given("a", "x", 0)
        seen.ended("a", "queued", {"issue": {"processed": 2}}, 0.0)
        (minute,) = seen.take()
        self.assertEqual(minute[2:], (0, 0, 2))
