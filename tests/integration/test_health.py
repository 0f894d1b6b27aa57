"""What a real server says of its health, with a real PostgreSQL that goes away, freezes and comes back."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import psutil
import psycopg2
from twisted.trial.unittest import SkipTest

from tests.integration.postgres import own_cluster
from tests.integration.processes import Child, reactor, until
from tests.integration.web_case import WebCase

LOST_WITHIN = 5.0
BACK_WITHIN = 10.0
PROMISED = frozenset({"database", "draining", "schema", "listener", "socket"})


class HealthCase(WebCase):
    """One server, and what it says of itself."""

    async def begin(self, **changes: Any) -> Child:
        """Start the server, and wait until it is ready."""
        served = await self.serve(**changes)
        await self.ready_is(200, 10.0)
        return served

    async def ready_is(self, status: int, seconds: float) -> float:
        """Wait until /readyz has this status; return how long that took."""
        began = reactor.seconds()

        async def asked() -> bool:
            return (await self.http("GET", "/readyz")).status == status

        await self.becomes(f"/readyz is {status}", asked, seconds)
        return float(reactor.seconds() - began)

    async def becomes(self, what: str, ask: Callable[[], bool | Awaitable[bool]], seconds: float) -> None:
        """Wait until something is so."""
        await until(what, ask, seconds)

    async def lines(self) -> dict[str, str]:
        """Return the lines of /readyz?verbose: mark by name of the check."""
        text = (await self.http("GET", "/readyz?verbose", token=self.token("monitor"))).body.decode()
        return {line[4:].partition(":")[0]: line[1] for line in text.splitlines() if line.startswith("[")}

    async def metrics(self) -> dict[str, float]:
        """Return all metrics, by name with labels."""
        answer = await self.http("GET", "/metrics", token=self.token("monitor"))
        self.assertEqual(answer.status, 200, answer.body)
        pairs = (line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


class DatabaseTests(HealthCase):
    """The database is lost in every way, and comes back: a cluster of the test's own."""

    def setUp(self) -> None:
        # Entered first and so left last: the server must not lose it before it ends.
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.cluster = stack.enter_context(own_cluster())
        super().setUp()

    def use_shared_database(self) -> None:
        """Use the test's own."""
        self.dsn = self.cluster.start().dsn()

    async def test_a_crash_is_told_and_its_end_too(self) -> None:
        """Ready is 503 within five seconds of a crash and 200 within ten of the return; alive it is all the time."""
        await self.begin()
        before = await self.metrics()
        self.assertEqual((before["crawlsock_database_up"], before["crawlsock_ready"]), (1, 1))
        self.postmaster().send_signal(signal.SIGQUIT)
        await until("PostgreSQL has ended", lambda: not self.cluster.is_running())
        await self.ready_is(503, LOST_WITHIN)
        self.assertEqual((await self.http("GET", "/livez")).status, 200)
        marks = await self.lines()
        self.assertEqual(marks["database"], "-", marks)
        during = await self.metrics()
        self.assertEqual((during["crawlsock_database_up"], during["crawlsock_ready"]), (0, 0))
        self.assertEqual(during['crawlsock_check_state{check="database"}'], 2)
        self.cluster.start()
        await self.ready_is(200, BACK_WITHIN)

    async def test_a_frozen_database_is_a_lost_one(self) -> None:
        """A PostgreSQL that is there and does not answer makes the server not ready, in the same time."""
        await self.begin(database_deadline=3)
        await self.lines()  # so that the token is known when nobody can be asked
        postmaster = self.postmaster()
        frozen: list[psutil.Process] = [postmaster, *postmaster.children(recursive=True)]
        for process in frozen:
            process.suspend()
        try:
            await self.ready_is(503, LOST_WITHIN)
            self.assertEqual((await self.lines())["database"], "-")
            self.assertEqual((await self.metrics())["crawlsock_database_up"], 0)
        finally:
            for process in frozen:
                process.resume()
        await self.ready_is(200, BACK_WITHIN)


class LinesTests(HealthCase):
    """What the lines say on a server that is well, and on one that is not."""

    async def test_a_server_that_is_well_says_so(self) -> None:
        """Every promised check has a line and is well, the round trip of a notification among them."""
        await self.begin()

        async def notified() -> bool:
            return (await self.lines()).get("listener") == "+"

        await self.becomes("a notification has come back", notified, 20.0)
        marks = await self.lines()
        self.assertEqual(set(marks) & PROMISED, PROMISED)
        self.assertEqual({name for name, mark in marks.items() if mark == "-"}, set())
        status = (await self.http("GET", "/api/v1/status", token=self.token("monitor"))).json()
        self.assertTrue(status["listener"]["works"])
        self.assertEqual({row["check"] for row in status["health"]}, set(marks))

    async def test_strangers_are_told_nothing(self) -> None:
        """Without a sign-in there is the bare word, verbose or not, and no metrics at all."""
        await self.begin()
        answer = await self.http("GET", "/readyz?verbose")
        self.assertEqual((answer.status, answer.body), (200, b"ready\n"))
        self.assertEqual((await self.http("GET", "/metrics")).status, 401)
        webapp = await self.http("GET", "/metrics", token=self.token("webapp"))
        self.assertEqual(webapp.status, 403)

    async def test_a_socket_that_was_taken_away_is_noticed(self) -> None:
        """A server whose socket is gone gets no traffic, and says why."""
        await self.begin()
        self.socket.unlink()
        await self.ready_is(503, LOST_WITHIN)
        self.assertEqual((await self.lines())["socket"], "-")

    async def test_a_transaction_that_holds_the_feed_back_is_seen(self) -> None:
        """Events that wait for an open transaction are a warning and a number, for as long as it is open."""
        await self.begin()
        assert self.dsn is not None
        other = psycopg2.connect(self.dsn)
        self.addCleanup(other.close)
        other.cursor().execute("SELECT pg_current_xact_id()")
        job = {"jobs": [{"type": "crawl_user"}]}
        answer = await self.http("POST", "/api/v1/jobs", token=self.token("webapp"), json=job)
        self.assertEqual(answer.status, 200, answer.body)

        async def held(is_held: bool) -> bool:
            seen = (await self.metrics())["crawlsock_feed_held_back_seconds"] >= 5
            return seen is is_held and ((await self.lines())["feed"] == "!") is is_held

        await self.becomes("the server says that the feed is held back", lambda: held(True), 40.0)
        self.assertEqual((await self.http("GET", "/readyz")).status, 200)
        other.rollback()
        await self.becomes("the server says that it is no more", lambda: held(False), 40.0)

    async def test_a_server_that_leaves_is_not_ready(self) -> None:
        """While it leads its crawlers out, a server is alive and not ready."""
        served = await self.begin(drain_timeout=20)
        held = self.children.begin("holder", self.holding(self.socket, self.token("crawler")))
        await until("the crawler is there", lambda: held.said("connected"))
        served.signal(signal.SIGTERM)
        await self.ready_is(503, LOST_WITHIN)
        self.assertEqual((await self.http("GET", "/livez")).status, 200)
        self.assertEqual((await self.lines())["draining"], "-")
        held.kill()
        await served.ended()

    def holding(self, path: object, token: str) -> list[str]:
        """Return the command of a crawler that says hello and stays, whatever it is told."""
        code = (
            "import time, tests.integration.second_client as c, pathlib\n"
            f"client = c.Client(pathlib.Path({str(path)!r}))\n"
            f"client.hello('crawler', {token!r}, crawler_id='holder')\n"
            "print('connected', flush=True)\n"
            "time.sleep(60)\n"
        )
        return [sys.executable, "-c", code]


class SystemdTests(HealthCase):
    """What systemd would hear of a real server."""

    def listening(self) -> Callable[[str, str], bool]:
        """Be the manager of processes begun from now on; return what tells whether something was said."""
        address = f"@crawlsock-test-{secrets.token_hex(8)}"
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(receiver.close)
        receiver.bind("\0" + address[1:])
        receiver.setblocking(False)
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
        os.environ.update(environ)
        self.addCleanup(lambda: [os.environ.pop(name, None) for name in environ])
        heard: list[dict[str, str]] = []

        def said(field: str, value: str) -> bool:
            while True:
                try:
                    text = receiver.recv(65536).decode()
                except BlockingIOError:
                    return any(value in message.get(field, "\0") for message in heard)
                heard.append(dict(line.split("=", 1) for line in text.split("\n")))

        return said

    async def test_the_server_tells_its_life(self) -> None:
        """A real server says that it starts, is ready, is well, reloads, loses its database, and stops."""
        said = self.listening()
        served = await self.begin()
        await until("the server said that it waits", lambda: said("STATUS", "waiting for the database"))
        await until("the server said that it is ready", lambda: said("READY", "1"))
        await until("the server said that it is well", lambda: said("WATCHDOG", "1"))
        self.assertTrue(said("STATUS", "0 crawlers connected"))
        served.signal(signal.SIGHUP)
        await until("the server said that it reloads", lambda: said("RELOADING", "1"))
        self.socket.unlink()
        await until("the server said what is wrong", lambda: said("STATUS", "nothing listens on"))
        served.signal(signal.SIGTERM)
        await until("the server said that it stops", lambda: said("STOPPING", "1"))
        await served.ended()


class MetricsTests(HealthCase):
    """The numbers of a real server."""

    async def test_promtool_finds_nothing_wrong(self) -> None:
        """`promtool check metrics` accepts what a server with a database tells."""
        if shutil.which("promtool") is None:
            raise SkipTest("promtool is not installed; Debian has it in its package prometheus")
        await self.begin()
        answer = await self.http("GET", "/metrics", token=self.token("admin"))
        done = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        self.assertIn(b"crawlsock_group_commit_items_bucket", answer.body)
        self.assertIn(b"process_resident_memory_bytes", answer.body)
