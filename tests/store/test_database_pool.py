"""The pool's rules, on a clock, with connections that are none."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.store.errors import DatabaseAway, Unsuitable
from crawlsock.store.pool import LONGEST_DELAY, Pool, reconnect_delay
from tests.store.links import FakeLink, FakeServer


def longest(low: float, high: float) -> float:
    """Stand for the jitter: always the worst case."""
    return high


class PoolCase(SynchronousTestCase):
    size = 2

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeServer()
        self.states: list[tuple[str, str]] = []
        self.pool = Pool(
            self.clock,
            self.server.connect,
            size=self.size,
            jitter=longest,
            patience=5.0,
            longest_queue=2,
            on_state=lambda state, reason: self.states.append((state, reason)),
        )
        self.addCleanup(self.check_nothing_left)

    def check_nothing_left(self) -> None:
        self.pool.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def up(self) -> list[FakeLink]:
        self.pool.start()
        links = [self.server.accept() for _ in range(self.size)]
        self.clock.advance(60)
        return links


class HandingOut(PoolCase):
    def test_connects(self) -> None:
        """Starting opens all connections, and the first one makes the pool `up`."""
        self.pool.start()
        ready = self.pool.when_up()
        self.assertNoResult(ready)
        self.server.accept()
        self.successResultOf(ready)
        self.assertEqual(self.states, [("up", "connected")])
        self.assertEqual(len(self.server.attempts), 1)

    def test_exclusive(self) -> None:
        """A connection has one user at a time; who finds none waits for the first that comes back."""
        self.up()
        first = self.successResultOf(self.pool.acquire())
        second = self.successResultOf(self.pool.acquire())
        self.assertIsNot(first, second)
        waiting = self.pool.acquire()
        self.clock.advance(1)
        statistics = self.pool.statistics()
        self.assertEqual((statistics.in_use, statistics.waiting, statistics.oldest_wait), (2, 1, 1.0))
        self.pool.release(second)
        self.assertIs(self.successResultOf(waiting), second)

    def test_patience(self) -> None:
        """Waiting ends after the pool's patience."""
        self.up()
        self.pool.acquire(), self.pool.acquire()
        waiting = self.pool.acquire()
        self.clock.advance(5)
        self.failureResultOf(waiting, DatabaseAway)
        self.assertEqual(self.pool.statistics().waiting, 0)

    def test_longest_queue(self) -> None:
        """More callers than the queue holds are refused at once."""
        self.up()
        self.pool.acquire(), self.pool.acquire()
        patient = [self.pool.acquire(), self.pool.acquire()]
        self.failureResultOf(self.pool.acquire(), DatabaseAway)
        self.clock.advance(5)
        for waiting in patient:
            self.failureResultOf(waiting, DatabaseAway)

    def test_given_up(self) -> None:
        """A caller who no longer waits is given nothing."""
        self.up()
        first, _ = (self.successResultOf(self.pool.acquire()) for _ in range(2))
        waiting, next_one = self.pool.acquire(), self.pool.acquire()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.pool.release(first)
        self.assertIs(self.successResultOf(next_one), first)


class Losing(PoolCase):
    def test_idle_death(self) -> None:
        """A connection that dies while idle is never handed out, and replaced at once."""
        dead, alive = self.up()
        dead.close("killed")
        self.clock.advance(0)
        self.assertEqual(len(self.server.attempts), 1)
        self.assertIs(self.successResultOf(self.pool.acquire()), alive)
        self.assertEqual(self.pool.state, "up")

    def test_busy_death(self) -> None:
        """A connection that died in use is not taken back."""
        self.up()
        link = self.successResultOf(self.pool.acquire())
        link.close("killed")
        self.pool.release(link)
        self.assertEqual(self.pool.statistics().connections, 1)

    def test_away(self) -> None:
        """Once an attempt failed and no connection is left, everybody is told at once, who waits first of all."""
        links = self.up()
        for link in links:
            link.close("killed")
        self.clock.advance(0)
        waiting = self.pool.acquire()
        self.assertNoResult(waiting)
        self.server.refuse(DatabaseAway("connection refused"))
        failure = self.failureResultOf(waiting, DatabaseAway)
        self.assertEqual((failure.value.reason, failure.value.retry_after), ("connection refused", LONGEST_DELAY))
        self.failureResultOf(self.pool.acquire(), DatabaseAway)
        self.assertEqual(self.states[-1], ("down", "connection refused"))

    def test_return(self) -> None:
        """A pool whose database came back gives connections again, two seconds later at the latest."""
        self.pool.start()
        for _ in range(40):
            while self.server.attempts:
                self.server.refuse(DatabaseAway("connection refused"))
            self.clock.advance(LONGEST_DELAY)
        self.server.accept()
        self.successResultOf(self.pool.when_up())
        self.successResultOf(self.pool.acquire())
        self.assertEqual([state for state, _ in self.states], ["down", "up"])

    def test_unexpected(self) -> None:
        """An error that nobody foresaw is logged and does not end the reconnecting."""
        self.pool.start()
        self.server.refuse(ZeroDivisionError("a bug"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        attempts = len(self.server.attempts)
        self.clock.advance(LONGEST_DELAY)
        self.assertEqual(len(self.server.attempts), attempts + 1)

    def test_unsuitable(self) -> None:
        """Waiting for a server that can never do ends with the reason."""
        self.pool.start()
        ready = self.pool.when_up()
        self.server.refuse(Unsuitable("too old"))
        self.failureResultOf(ready, Unsuitable)
        self.failureResultOf(self.pool.when_up(), Unsuitable)

    def test_thrown_out(self) -> None:
        """A connection that was lost as soon as it was made is replaced after a pause."""
        self.pool.start()
        self.server.accept().close("killed")
        self.clock.advance(0)
        self.assertEqual(len(self.server.attempts), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.server.attempts), 2)

    def test_discard(self) -> None:
        """Suspect connections are closed and replaced."""
        links = self.up()
        self.pool.discard("suspect")
        self.assertEqual([link.closed_because for link in links], ["suspect", "suspect"])
        self.clock.advance(0)
        self.assertEqual(len(self.server.attempts), 2)

    def test_stop(self) -> None:
        """Stopping closes what is open, ends what is attempted, tells who waits; again, it does nothing."""
        self.pool.start()
        link = self.server.accept()
        self.successResultOf(self.pool.acquire())
        waiting = self.pool.acquire()
        self.pool.stop()
        self.pool.stop()
        self.failureResultOf(waiting, DatabaseAway)
        self.assertFalse(link.alive)
        self.failureResultOf(self.pool.acquire(), DatabaseAway)


class Jitter(SynchronousTestCase):
    def test_full(self) -> None:
        """The delay is drawn between zero and a cap that doubles up to two seconds."""
        caps = [reconnect_delay(failures, longest) for failures in (0, 1, 2, 5, 10**9)]
        self.assertEqual(caps, [0.1, 0.2, 0.4, LONGEST_DELAY, LONGEST_DELAY])
        self.assertEqual(reconnect_delay(9, lambda low, high: low), 0.0)
