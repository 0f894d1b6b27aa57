"""How late the reactor is, on a clock that the test moves."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.lifecycle import Duty
from crawlsock.server.lag import INTERVAL, RECENT, ReactorLag


class LagTests(SynchronousTestCase):
    """A timer that is late tells by how much."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lag = ReactorLag(self.clock)
        self.duty = Duty("lag", INTERVAL, self.lag.run, self.clock)
        self.duty.start()
        self.addCleanup(self.duty.stop)

    def test_a_punctual_reactor_has_none(self) -> None:
        """Runs that come when they should are observations of nothing."""
        self.clock.pump([INTERVAL] * 10)
        self.assertEqual((self.lag.lags.count, self.lag.lags.total, self.lag.recent), (10, 0.0, 0.0))

    def test_a_blocked_reactor_shows(self) -> None:
        """What was waited beyond the interval is the lag; it is remembered for half a minute."""
        self.clock.advance(INTERVAL + 2.0)
        self.assertEqual((self.lag.last, self.lag.recent), (2.0, 2.0))
        self.clock.pump([INTERVAL] * int(RECENT / INTERVAL - 4))
        self.assertEqual((self.lag.last, self.lag.recent), (0.0, 2.0))
        self.clock.pump([INTERVAL] * 8)
        self.assertEqual(self.lag.recent, 0.0)

    def test_the_worst_of_several_is_remembered(self) -> None:
        """A smaller lag after a larger one does not hide it, and comes forward when that one is forgotten."""
        for lag in (1.0, 3.0, 2.0):
            self.clock.advance(INTERVAL + lag)
        self.assertEqual(self.lag.recent, 3.0)
        self.clock.pump([INTERVAL] * int((RECENT - 2.0) / INTERVAL))
        self.assertEqual(self.lag.recent, 2.0)

    def test_a_run_that_is_overdue_counts_already(self) -> None:
        """A reactor that never runs the next timer is noticed by whoever still asks."""
        self.duty.stop()
        self.clock.advance(INTERVAL + 5.0)
        self.assertEqual((self.lag.overdue, self.lag.recent), (5.0, 5.0))
