"""What can be wrong between a server and its PostgreSQL, brought about with real parts on fake connections."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.server.checks import BAD, OK, WARN, Line
from crawlsock.server.database_symptoms import DatabaseSymptoms, SocketSymptoms
from crawlsock.server.pulse import Pulse
from crawlsock.store.vitals import Vitals
from crawlsock.testing import MemoryStore
from tests.metrics.engine import Engine

CALM = Vitals("15", 9, 0.0, None, "", 0, 10, 100)


class DatabaseTests(SynchronousTestCase):
    """Each line, well and not well."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.engine = Engine(self.clock)
        self.engine.start()
        self.addCleanup(self.engine.stop)
        self.pulse = Pulse(self.clock, MemoryStore(self.clock), Path(self.mktemp()))
        self.pulse.vitals = CALM
        self.symptoms = DatabaseSymptoms(self.engine, self.engine.group, self.pulse, 9, lambda: 5.0)

    def line(self, check: str) -> Line:
        """Return the line of this name."""
        (found,) = [line for line in self.symptoms.lines() if line.check == check]
        self.assertEqual(found.remedy is None, found.state == OK, found)
        return found

    def test_all_is_well(self) -> None:
        """With a schema as it should be, and a notification that came back, nothing is wrong."""
        self.assertEqual({line.state for line in self.symptoms.lines()}, {OK})

    def test_a_schema_that_is_not_ours(self) -> None:
        """A newer schema wants a newer program, an older one a restart; neither server is ready."""
        for version, remedy in ((10, "upgrade"), (8, "restart")):
            self.pulse.vitals = attrs.evolve(CALM, schema=version)
            line = self.line("schema")
            self.assertEqual((line.state, line.needed), (BAD, True))
            self.assertIn(remedy, line.remedy or "")
        self.pulse.vitals = None
        self.assertEqual(self.line("schema").state, BAD)

    def test_behind_a_proxy_that_pools_transactions(self) -> None:
        """Where LISTEN does not work it is said that it does not, why, and that the server polls; it is ready."""
        for _ in range(4):
            self.clock.advance(5)
            self.engine.link.answer()
        line = self.line("listener")
        self.assertEqual((line.state, line.needed), (WARN, False))
        self.assertIn("proxy that pools transactions", line.summary)
        self.assertIn("polling, 5 s later", line.summary)
        self.engine.notify()
        self.assertEqual(self.line("listener").state, OK)

    def test_a_listener_without_a_connection(self) -> None:
        """A connection that is lost is another thing than a proxy, and comes back by itself."""
        self.clock.advance(20)
        self.engine.link.close("lost")
        line = self.line("listener")
        self.assertEqual(line.state, WARN)
        self.assertNotIn("proxy", line.summary)

    def test_a_group_of_writes_that_does_not_end(self) -> None:
        """Seconds are a warning, many seconds are bad; when it has ended all is well."""
        self.engine.write()
        self.clock.advance(3)
        self.assertEqual(self.line("commit").state, WARN)
        self.clock.advance(10)
        self.assertEqual(self.line("commit").state, BAD)
        self.engine.commit()
        self.assertEqual(self.line("commit").state, OK)

    def test_calls_that_wait_for_a_connection(self) -> None:
        """A wait of seconds is worth a word."""
        self.engine.pool.acquire()
        self.engine.pool.acquire().addErrback(lambda _: None)
        self.clock.advance(2)
        self.assertEqual(self.line("pool").state, WARN)

    def test_a_database_server_that_is_full(self) -> None:
        """Nine tenths of its connections are a warning."""
        self.pulse.vitals = attrs.evolve(CALM, connections=90)
        self.assertEqual(self.line("database_connections").state, WARN)

    def test_the_figures_are_told(self) -> None:
        """Everything that `status_response` promises of the database is there."""
        status = self.symptoms.status()
        self.assertEqual(set(status), {"database", "database_pool", "listener", "group_commit"})
        self.assertTrue(status["listener"]["works"])
        self.assertEqual(status["database_pool"]["size"], 1)


@attrs.define
class Socket:
    """Something that listens, or does not."""

    endpoint: str
    serving: bool = True


class SocketTests(SynchronousTestCase):
    """Whether who connects reaches the server."""

    def test_every_socket_is_needed(self) -> None:
        """One of two that does not listen makes the server unready, and is named."""
        symptoms = SocketSymptoms()
        unix, tls = Socket("unix:/run/x"), Socket("ssl:1")
        for each in (unix, tls):
            symptoms.add(each)
        (line,) = symptoms.lines()
        self.assertEqual((line.state, line.needed), (OK, True))
        tls.serving = False
        (line,) = symptoms.lines()
        self.assertEqual(line.state, BAD)
        self.assertIn("ssl:1", line.summary)
        self.assertNotIn("unix", line.summary)
