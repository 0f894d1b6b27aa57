"""What a server finds wrong with itself, and what it tells people to do."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.server.checks import BAD, OK, WARN, Checks, Line, graded, worst
from crawlsock.server.pulse import Disk
from crawlsock.store.vitals import Vitals
from crawlsock.testing import MemoryStore
from tests.server.base import HarnessCase

CALM = Vitals("15", 9, 0.0, None, "", 0, 10, 100)


class ChecksTests(SynchronousTestCase):
    """Lines, collected."""

    def test_only_what_is_needed_makes_a_server_unready(self) -> None:
        """A bad line that is not needed, and a needed one that only warns, leave the server ready."""
        lines = [Line("a", BAD, "x"), Line("b", WARN, "x", needed=True)]
        checks = Checks()
        checks.use(lambda: lines)
        self.assertTrue(checks.ready)
        lines.append(Line("c", BAD, "x", needed=True))
        self.assertFalse(checks.ready)
        self.assertEqual(worst(lines), BAD)
        self.assertEqual(worst([]), OK)

    def test_a_check_that_fails_is_a_line_itself(self) -> None:
        """A source that raises hides no other, and is shown as bad: blindness is no health."""

        def blind() -> list[Line]:
            raise ZeroDivisionError

        checks = Checks()
        checks.use(blind)
        checks.use(lambda: [Line("a", OK, "x")])
        self.assertEqual([(line.check, line.state) for line in checks.lines()], [("checks", BAD), ("a", OK)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_values_are_graded(self) -> None:
        """A value at a limit is beyond it."""
        self.assertEqual([graded(value, 1, 2) for value in (0.5, 1, 1.5, 2)], [OK, WARN, WARN, BAD])


class ToldStore(MemoryStore):
    """A store that says of its database what the test wants."""

    told: Vitals = CALM

    def vitals(self) -> Deferred[Vitals]:
        """Say it."""
        return self._do(lambda world: self.told)


class SymptomTests(HarnessCase):
    """Each thing that can be wrong, brought about, and its line."""

    settings = {"max_connections": "10"}

    def line(self, check: str) -> Line:
        """Return the one line of this name."""
        (found,) = [line for line in self.harness.server.checks.lines() if line.check == check]
        if found.state != OK:
            self.assertTrue(found.remedy, f"{check} does not say what to do")
        return found

    def told(self, **changes: Any) -> None:
        """Let the database say something else of itself from the next look on."""
        self.harness.server.pulse.vitals = attrs.evolve(CALM, **changes)

    def test_a_server_without_work_is_well_but_for_crawlers(self) -> None:
        """Nothing is wrong with a fresh server; that no crawler is there is worth a warning."""
        states = {line.check: line.state for line in self.harness.server.checks.lines()}
        self.assertEqual({name for name, state in states.items() if state != OK}, {"crawlers"})
        self.harness.connect("crawler")
        self.assertEqual(self.line("crawlers").state, OK)

    def test_a_database_that_is_away(self) -> None:
        """It is bad, needed, and the reason is said."""
        self.harness.store.take_down()
        self.harness.advance(1)
        line = self.line("database")
        self.assertEqual((line.state, line.needed), (BAD, True))
        self.assertIn("away", line.summary)
        self.assertFalse(self.harness.server.checks.ready)
        self.harness.store.bring_up()
        self.harness.advance(1)
        self.assertTrue(self.harness.server.checks.ready)

    def test_a_server_that_drains(self) -> None:
        """A server that leaves is not ready."""
        self.harness.server.factory.draining = 1.0
        self.assertFalse(self.harness.server.checks.ready)

    def test_a_slow_reactor(self) -> None:
        """Long waits are a warning, very long ones are bad."""
        self.harness.clock.advance(0.75)
        self.assertEqual(self.line("reactor").state, WARN)
        self.harness.clock.advance(5)
        self.assertEqual(self.line("reactor").state, BAD)

    def test_a_feed_that_is_held_back(self) -> None:
        """An open transaction is named as the cause, with how to find it."""
        self.told(held_back=10.0)
        self.assertEqual(self.line("feed").state, WARN)
        self.told(held_back=100.0)
        line = self.line("feed")
        self.assertEqual(line.state, BAD)
        self.assertIn("pg_stat_activity", line.remedy or "")

    def test_a_duty_that_fails(self) -> None:
        """One failure is a warning that names the duty, five in a row are bad."""
        duty = self.harness.server.duties["prune"]
        duty._work = lambda: 1 / 0  # type: ignore[assignment, return-value]
        duty.wake()
        self.harness.settle()
        self.assertEqual(self.line("duties").state, WARN)
        self.assertIn("prune", self.line("duties").summary)
        for _ in range(5):
            duty.wake()
            self.harness.settle()
        self.assertEqual(self.line("duties").state, BAD)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_a_queue_that_is_paused(self) -> None:
        """Whoever paused everything is named."""
        self.told(paused_by="admin:alice")
        line = self.line("queue")
        self.assertEqual(line.state, WARN)
        self.assertIn("admin:alice", line.summary)

    def test_a_queue_that_stalls(self) -> None:
        """Jobs that are overdue while crawlers ask are bad; while all crawlers are busy they are a warning, later."""
        self.told(overdue=100.0)
        self.assertEqual(self.line("queue").state, OK)
        self.told(overdue=700.0)
        self.assertEqual(self.line("queue").state, WARN)
        self.told(overdue=100.0)
        crawler = self.harness.connect("crawler")
        crawler.request("job_request", {"slots": 3})
        self.assertEqual(self.line("queue").state, BAD)

    def test_credentials_that_are_refused(self) -> None:
        """They are counted, and what to do is named."""
        self.told(refused=3)
        line = self.line("credentials")
        self.assertEqual(line.state, WARN)
        self.assertIn("3 accounts", line.summary)

    def test_connections_that_run_out(self) -> None:
        """A server that is nearly full warns."""
        for _ in range(9):
            self.harness.connect("monitor")
        self.assertEqual(self.line("connections").state, WARN)

    def test_a_disk_that_fills(self) -> None:
        """A tenth is a warning, nearly nothing is bad."""
        pulse = self.harness.server.pulse
        for free, state in ((50, OK), (9, WARN), (2, BAD)):
            pulse.disk = Disk(free * 1024**3, 100 * 1024**3)
            self.assertEqual(self.line("disk").state, state)

    def test_operators_are_told_over_the_wire(self) -> None:
        """`status_get` carries the lines, and how every part is, also while the store is away."""
        monitor = self.harness.connect("monitor")
        self.harness.store.take_down()
        self.harness.advance(1)
        reply = self.successResultOf(monitor.request("status_get"))
        health = {row["check"]: row for row in reply.data["health"]}
        self.assertEqual(health["database"]["state"], BAD)
        self.assertIn("remedy", health["database"])
        self.assertEqual(reply.data["database"]["state"], "down")
        self.assertIn("crawlsock", reply.data["versions"])
        self.assertGreater(reply.data["duties"]["pulse"]["runs"], 0)
