"""Whether the database is there, as it is asked every second."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.lifecycle import Duty
from crawlsock.server.pulse import DEADLINE, INTERVAL, STALE, Pulse
from crawlsock.store.vitals import Vitals
from crawlsock.testing import MemoryStore


class SilentStore(MemoryStore):
    """A store that may be frozen: it is there, and does not answer."""

    frozen = False
    asked = 0

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.looked: list[float] = []

    def vitals(self) -> Deferred[Vitals]:
        """Note when it was asked."""
        self.looked.append(self._clock.seconds())
        return super().vitals()

    def pulse(self) -> Deferred[None]:
        """Answer, or do not."""
        self.asked += 1
        return Deferred() if self.frozen else super().pulse()


class PulseTests(SynchronousTestCase):
    """The database is lost, or frozen, and comes back."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = SilentStore(self.clock)
        self.pulse = Pulse(self.clock, self.store, Path(self.mktemp()))
        self.duty = Duty("pulse", INTERVAL, self.pulse.run, self.clock)
        self.addCleanup(self.duty.stop)

    def test_nothing_is_said_before_the_first_look(self) -> None:
        """A database that was never asked does not count as there."""
        self.assertFalse(self.pulse.beats)
        self.duty.start()
        self.assertTrue(self.pulse.beats)
        self.assertIsNotNone(self.pulse.vitals)

    def test_a_lost_database_is_lost_at_once(self) -> None:
        """When the store says that it is away nobody waits for the next look."""
        self.duty.start()
        self.store.take_down()
        self.assertFalse(self.pulse.beats)
        self.clock.advance(INTERVAL)
        self.assertIn("away", self.pulse.reason)
        self.store.bring_up()
        self.clock.advance(INTERVAL)
        self.assertTrue(self.pulse.beats)

    def test_a_frozen_database_is_lost_within_its_deadline(self) -> None:
        """One that does not answer counts as lost after the deadline, well below five seconds."""
        self.duty.start()
        self.store.frozen = True
        self.clock.pump([0.1] * int((INTERVAL + DEADLINE) * 10 + 1))
        self.assertFalse(self.pulse.beats)
        self.assertIn("no answer", self.pulse.reason)
        self.assertLess(INTERVAL + DEADLINE, 5.0)
        self.store.frozen = False
        self.clock.pump([0.1] * 11)
        self.assertTrue(self.pulse.beats)

    def test_a_look_that_never_ends_makes_it_stale(self) -> None:
        """If nobody looks any more, what was seen last is not believed for ever."""
        self.duty.start()
        self.duty.stop()
        self.clock.advance(STALE + 0.1)
        self.assertFalse(self.pulse.beats)

    def test_the_vitals_are_asked_now_and_then(self) -> None:
        """Of ten looks one asks how the database is; all others cost next to nothing."""
        self.duty.start()
        self.clock.pump([INTERVAL] * 25)
        self.assertEqual(self.store.asked, 26)
        self.assertEqual(self.store.looked, [0.0, 10.0, 20.0])
