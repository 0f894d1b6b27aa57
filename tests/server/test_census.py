"""Claims about counting jobs seldom enough, and often enough."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.server.census import FRESH_SECONDS, SHARE, Count
from crawlsock.wire.errors import ErrorCode, Refusal


class CountTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.readings: list[Deferred[int]] = []
        self.count: Count[int] = Count(self.clock, self.read)

    def read(self) -> Deferred[int]:
        """Begin to count, as a database does: the answer comes later."""
        self.readings.append(Deferred())
        return self.readings[-1]

    def taken(self, seconds: float, value: int) -> None:
        """Let the count under way end after so many seconds."""
        self.clock.advance(seconds)
        self.readings[-1].callback(value)

    def test_who_asks_at_once_shares_one_count(self) -> None:
        """Two who ask while a count is under way both get it, and it says when it began."""
        asked = [self.count.get(), self.count.get()]
        self.clock.advance(0.01)
        self.taken(0.01, 7)
        for each in asked:
            taken = self.successResultOf(each)
            self.assertEqual((taken.value, taken.at.timestamp()), (7, 0.0))
        self.assertEqual(len(self.readings), 1)

    def test_a_quick_count_is_a_second_old_at_most(self) -> None:
        """What is counted quickly is counted anew after a second, and waited for."""
        self.count.get()
        self.taken(0.01, 7)
        self.clock.advance(FRESH_SECONDS - 0.02)
        self.assertEqual(self.successResultOf(self.count.get()).value, 7)
        self.clock.advance(0.02)
        asked = self.count.get()
        self.assertNoResult(asked)
        self.taken(0.01, 8)
        self.assertEqual(self.successResultOf(asked).value, 8)

    def test_a_slow_count_takes_its_share_of_the_time_and_no_more(self) -> None:
        """What takes long is counted so seldom that it costs its share; who asks gets the last one meanwhile."""
        self.count.get()
        self.taken(2.0, 7)
        self.clock.advance(2.0 / SHARE - 2.1)
        self.assertEqual(self.successResultOf(self.count.get()).value, 7)
        self.assertEqual(len(self.readings), 1)
        self.clock.advance(0.2)
        for _ in range(3):
            self.assertEqual(self.successResultOf(self.count.get()).value, 7)
        self.assertEqual(len(self.readings), 2)
        self.taken(1.0, 8)
        self.assertEqual(self.successResultOf(self.count.get()).value, 8)

    def test_a_small_count_is_waited_for_however_long_it_took(self) -> None:
        """With few jobs a count that was slow, because the machine was busy, is taken anew after a second, too."""
        count: Count[int] = Count(self.clock, self.read, lambda: True)
        count.get()
        self.taken(3.0, 7)
        self.clock.advance(FRESH_SECONDS)
        asked = count.get()
        self.assertNoResult(asked)
        self.taken(3.0, 8)
        self.assertEqual(self.successResultOf(asked).value, 8)

    def test_a_failed_count_is_told_to_who_waits(self) -> None:
        """Who waits for a count that fails is refused as the store refuses; the next one counts again."""
        asked = self.count.get()
        self.readings[-1].errback(Refusal(ErrorCode.UNAVAILABLE, "away"))
        self.failureResultOf(asked, Refusal)
        again = self.count.get()
        self.taken(0.01, 7)
        self.assertEqual(self.successResultOf(again).value, 7)

    def test_a_failed_count_leaves_the_last_one(self) -> None:
        """A slow count that fails behind everybody's back leaves what was known."""
        self.count.get()
        self.taken(1.0, 7)
        self.clock.advance(1.0 / SHARE)
        self.assertEqual(self.successResultOf(self.count.get()).value, 7)
        self.readings[-1].errback(Refusal(ErrorCode.UNAVAILABLE, "away"))
        self.assertEqual(self.successResultOf(self.count.get()).value, 7)

    def test_a_store_in_memory_answers_at_once(self) -> None:
        """A count that is there within the call is given within the call."""
        numbers = iter(range(5))
        count: Count[int] = Count(self.clock, lambda: succeed(next(numbers)))
        self.assertEqual(self.successResultOf(count.get()).value, 0)
        self.clock.advance(FRESH_SECONDS)
        self.assertEqual(self.successResultOf(count.get()).value, 1)
