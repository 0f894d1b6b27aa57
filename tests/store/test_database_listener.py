"""The listener's rules, on a clock, with a connection that is none."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.store.errors import DatabaseAway
from crawlsock.store.listener import PROBE_SECONDS, Listener, Notice
from tests.store.links import FakeLink, FakeServer

PROBE = "crawlsock_probe_me"
RESYNC = Notice("work", "", resync=True)


class Listening(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeServer()
        self.notices: list[Notice] = []
        self.listener = Listener(self.clock, self.server.connect, jitter=lambda low, high: high, token="me")
        self.listener.listen("work", self.notices.append)
        self.addCleanup(self.check_nothing_left)

    def check_nothing_left(self) -> None:
        self.listener.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def connected(self) -> FakeLink:
        self.listener.start()
        link = self.server.accept()
        while link.answers:
            link.answer()
            if link.executed[-1][0].startswith("SELECT"):
                break
        return link

    def test_order(self) -> None:
        """All channels are listened to before anybody is told to read everything."""
        self.listener.start()
        link = self.server.accept()
        self.assertEqual(self.notices, [])
        link.answer()
        self.assertEqual(self.notices, [])
        link.answer()
        self.assertEqual({sql for sql, _ in link.executed[:2]}, {'LISTEN "work"', f'LISTEN "{PROBE}"'})
        self.assertEqual(self.notices, [RESYNC])

    def test_channel_added_meanwhile(self) -> None:
        """A channel added while the connection is being made is not forgotten."""
        self.listener.start()
        link = self.server.accept()
        self.listener.listen("late", self.notices.append)
        for _ in range(3):
            link.answer()
        self.assertIn(('LISTEN "late"', None), link.executed)
        self.assertIn(Notice("late", "", resync=True), self.notices)

    def test_reconnects(self) -> None:
        """A lost connection is replaced, and every replacement brings a resync."""
        self.connected().close("killed")
        self.clock.advance(0)
        self.connected()
        self.assertEqual(self.notices, [RESYNC, RESYNC])
        self.assertEqual(self.listener.reconnects, 1)

    def test_refused(self) -> None:
        """Failing attempts are repeated for as long as it takes."""
        self.listener.start()
        for _ in range(5):
            self.server.refuse(DatabaseAway("connection refused"))
            self.clock.advance(2)
        self.assertEqual(len(self.server.attempts), 1)

    def test_bad_callback(self) -> None:
        """A callback that fails is logged and does not keep the others from being called."""

        def fail(notice: Notice) -> None:
            raise ZeroDivisionError

        self.listener.listen("first", fail)
        self.listener.listen("first", self.notices.append)
        link = self.connected()
        link.notify("first", "x")
        self.assertIn(Notice("first", "x"), self.notices)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_probe(self) -> None:
        """The listener works while its own notifications come back, and not any longer."""
        link = self.connected()
        self.assertIs(self.listener.round_trip_age, None)
        self.assertFalse(self.listener.works)
        link.notify(PROBE, "")
        self.assertTrue(self.listener.works)
        self.clock.advance(PROBE_SECONDS)
        self.assertEqual(self.listener.round_trip_age, PROBE_SECONDS)
        self.clock.advance(3 * PROBE_SECONDS)
        self.assertFalse(self.listener.works)
        self.assertEqual(self.notices, [RESYNC])
