"""Which servers are accepted, and how a name becomes an address."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.store.errors import DatabaseAway, Unsuitable
from crawlsock.store.handshake import check_server, greeting
from crawlsock.store.resolve import resolve


class Servers(SynchronousTestCase):
    def test_accepted(self) -> None:
        """A writable server from version 14 on is accepted."""
        check_server(140000, "14.0", read_only=False, standby=False)
        check_server(180006, "18.6", read_only=False, standby=False)

    def test_too_old(self) -> None:
        """An older one never is, and the refusal names both versions."""
        error = self.assertRaises(Unsuitable, check_server, 130009, "13.9", read_only=False, standby=False)
        self.assertIn("13.9", str(error))
        self.assertIn("14", str(error))

    def test_no_writes(self) -> None:
        """One that takes no writes is away, for it may take them tomorrow."""
        for state in ({"read_only": True, "standby": False}, {"read_only": True, "standby": True}):
            self.assertRaises(DatabaseAway, check_server, 150000, "15.0", **state)

    def test_greeting(self) -> None:
        """The settings travel with the first statement, as parameters."""
        sql, parameters = greeting({"TimeZone": "UTC", "x.y": "it's"})
        self.assertEqual(sql.count("set_config(%s, %s, false)"), 2)
        self.assertEqual(parameters, ["TimeZone", "UTC", "x.y", "it's"])


class LookupThreads(Clock):
    """A clock with a thread pool in which look-ups end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Any, ...]] = []
        self._answer: Callable[[bool, Any], object] | None = None

    def getThreadPool(self) -> LookupThreads:
        return self

    def callInThreadWithCallback(
        self, answer: Callable[[bool, Any], object], function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        self.asked.append(args)
        self._answer = answer

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    def answer(self, *addresses: str) -> None:
        assert self._answer is not None
        self._answer(True, [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses])


class Resolving(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = LookupThreads()

    def resolve(self, **given: str) -> Deferred[dict[str, str]]:
        return Deferred.fromCoroutine(resolve(self.threads, given, 3.0))

    def test_nothing_to_do(self) -> None:
        """Sockets, addresses and lists of hosts are left to libpq."""
        for given in (
            {},
            {"host": "/run/postgresql"},
            {"host": "192.0.2.1"},
            {"host": "fe80::1%eth0"},
            {"host": "one,two"},
            {"host": "name", "hostaddr": "192.0.2.1"},
        ):
            self.assertEqual(self.successResultOf(self.resolve(**given)), {})
        self.assertEqual(self.threads.asked, [])

    def test_name(self) -> None:
        """A name is looked up in a thread, and libpq gets each of its addresses once."""
        resolved = self.resolve(host="db.example")
        self.assertNoResult(resolved)
        self.threads.answer("192.0.2.1", "192.0.2.2", "192.0.2.1")
        self.assertEqual(
            self.successResultOf(resolved),
            {"host": "db.example,db.example", "hostaddr": "192.0.2.1,192.0.2.2"},
        )

    def test_silence(self) -> None:
        """A name service that does not answer is a database that is away."""
        resolved = self.resolve(host="db.example")
        self.threads.advance(3)
        failure = self.failureResultOf(resolved, DatabaseAway)
        self.assertIn("db.example", failure.value.reason)
