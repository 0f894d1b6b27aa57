"""Links, processes and sessions: who keeps their jobs, who loses them, and how soon."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import datetime
from typing import Any, Final

from tests.integration import second_client
from tests.integration.cutting import CuttingRoom
from tests.integration.fault_case import FaultCase
from tests.integration.processes import Child, reactor, until
from tests.integration.sample import shared_sample
from tests.integration.second_client import Client, Closed

LONG: Final[dict[str, Any]] = {"heartbeat_interval": 10, "lease_length": 30, "resume_grace": 30}
"""Deadlines that no test reaches: what happens under them is not their work."""


class SessionCase(FaultCase):
    """A server on a database of its own, and plain clients."""

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()
        self.clients: list[Client] = []
        self.addCleanup(self._close_clients)

    def _close_clients(self) -> None:
        for client in self.clients:
            client.close()

    def client(self) -> Client:
        """Connect a plain client."""
        self.clients.append(Client(self.socket))
        return self.clients[-1]

    def submit(self, count: int = 1) -> list[str]:
        """Submit so many jobs, and return their ids."""
        webapp = self.client()
        webapp.hello("webapp", self.token("webapp"))
        jobs = [{"type": "crawl_project", "host": "example.com", "entity_id": f"{n}"} for n in range(count)]
        return [item["job_id"] for item in webapp.ask("job_submit", {"jobs": jobs})["data"]["items"]]

    async def holder(self, how: str, name: str) -> tuple[Child, dict[str, Any]]:
        """Begin a process that takes a job and holds it (`cut`: without its link); return it and the job."""
        child = self.children.begin(
            name,
            [sys.executable, "-I", second_client.__file__, how, self.socket, self.data / "tokens", name],
            stdin=subprocess.PIPE,
        )
        await until(f"{name} holds a job", lambda: child.text().endswith("\n") or not child.alive)
        return child, json.loads(child.text().splitlines()[-1])

    def now(self) -> datetime:
        """Return the time by the database's clock."""
        [(now,)] = self.rows("SELECT clock_timestamp()")
        assert isinstance(now, datetime)
        return now

    async def queued_again(self, job_id: str) -> datetime:
        """Wait until the job is back in the queue; return when its assignment ended."""
        [(ended_at,)] = await until(
            "the job is back",
            lambda: self.rows(
                "SELECT ended_at FROM crawlsock.job_assignment JOIN crawlsock.job_queue USING (job_id, attempt) "
                f"WHERE job_id = '{job_id}' AND state = 'queued' AND ended_at IS NOT NULL"
            ),
        )
        assert isinstance(ended_at, datetime)
        return ended_at


class LinkTests(SessionCase):
    """A link is not a session."""

    async def test_cut_links(self) -> None:
        """Crawlers whose links are cut again and again keep their jobs: none is run twice, and the crawl is whole."""
        self.sample = await shared_sample()
        await self.server()
        room = CuttingRoom(reactor, self.directory / "room.sock", self.socket)
        self.addCleanup(room.stop)
        for name in ("one", "two"):
            self.crawler(name, endpoint=self.directory / "room.sock", slots=4)
        webapp = await self.manager()
        root = await self.crawl(webapp)
        for share in (0.05, 0.2, 0.4):
            await self.half_way(share)
            room.cut()
            await until("both are back", lambda: room.links == 2)
        await self.assert_whole(webapp, root)
        self.assertEqual(room.cuts, 3)
        self.assertEqual(self.rows("SELECT DISTINCT failures, losses FROM crawlsock.job_queue"), [(0, 0)])
        self.assertEqual(self.rows("SELECT * FROM crawlsock.job_assignment WHERE outcome <> 'completed' "
                                   "AND (outcome <> 'released' OR started_at IS NOT NULL)"), [])  # fmt: skip
        self.assertEqual(
            self.rows("SELECT crawler_id FROM crawlsock.crawler_session WHERE ended_at IS NULL ORDER BY 1"),
            [("one",), ("two",)],
        )

    async def test_a_ticket(self) -> None:
        """A link closed and a ticket shown: the lease is kept, another client cannot have it, and the job goes on."""
        await self.server(**LONG)
        [job_id] = self.submit()
        first = self.client()
        first.hello("crawler", self.token("crawler"), crawler_id="c")
        job = first.job()
        about = {"job_id": job_id, "lease": job["lease"]}
        first.ask("job_started", **about)
        first.close()
        waiting = "SELECT FROM crawlsock.crawler_session WHERE state = 'away' AND ended_at IS NULL"
        await until("the session waits", lambda: self.rows(waiting))
        thief = self.client()
        refused = thief.hello("crawler", self.token("crawler"), resume={"ticket": "no-such-ticket", "leases": []})
        self.assertEqual(refused["data"]["code"], "session_expired")
        second = self.client()
        welcome = second.hello(
            "crawler",
            self.token("crawler"),
            resume={"ticket": first.welcome["ticket"], "leases": [job["lease"], "not-mine"]},
        )
        self.assertTrue(welcome["resumed"])
        self.assertEqual((welcome["leases_kept"], welcome["leases_lost"]), ([job["lease"]], ["not-mine"]))
        self.assertEqual(welcome["session_id"], first.welcome["session_id"])
        self.assertEqual(second.ask("job_completed", {}, **about)["type"], "ack")
        self.assertEqual(self.rows("SELECT state, attempt, losses FROM crawlsock.job_queue"), [("completed", 1, 0)])

    async def test_lost_link_and_dead(self) -> None:
        """A crawler without a link keeps its job while its process lives, and loses it at once when that dies."""
        await self.server(**LONG)
        self.submit()
        child, job = await self.holder("cut", "quiet")
        waiting = "SELECT FROM crawlsock.crawler_session WHERE state = 'away' AND ended_at IS NULL"
        await until("its session waits", lambda: self.rows(waiting))
        self.assertEqual(self.rows("SELECT state FROM crawlsock.job_queue"), [("running",)])
        killed_at = self.now()
        child.kill()
        self.assertLess((await self.queued_again(job["job_id"]) - killed_at).total_seconds(), 1.0)

    async def test_dead_while_the_server_was_down(self) -> None:
        """A crawler that died while there was no server loses its job as soon as there is one again."""
        server = await self.server(**LONG)
        self.submit()
        child, job = await self.holder("hold", "unlucky")
        server.kill()
        child.kill()
        await self.server(**LONG)
        started_at = self.now()
        self.assertLess((await self.queued_again(job["job_id"]) - started_at).total_seconds(), 1.0)
        self.assertEqual(self.rows("SELECT losses, failures FROM crawlsock.job_queue"), [(1, 0)])

    async def test_alive_while_the_server_was_down(self) -> None:
        """A server that starts waits for the living crawlers it had: their jobs stay theirs."""
        server = await self.server(**LONG)
        self.submit()
        _, job = await self.holder("hold", "patient")
        server.kill()
        await self.server(**LONG)
        self.assertEqual(self.rows("SELECT state, attempt FROM crawlsock.job_queue"), [("running", 1)])
        again = self.client()
        welcome = again.hello(
            "crawler", self.token("crawler"), resume={"ticket": job["ticket"], "leases": [job["lease"]]}
        )
        self.assertEqual(welcome["leases_kept"], [job["lease"]])
        done = again.ask("job_completed", {}, job_id=job["job_id"], lease=job["lease"])
        self.assertEqual(done["type"], "ack")


class IdentityTests(SessionCase):
    """Who has a crawler id."""

    async def test_a_living_double(self) -> None:
        """A second login with the id of a living crawler is refused, and the first goes on."""
        await self.server(**LONG)
        first, second = self.client(), self.client()
        first.hello("crawler", self.token("crawler"), crawler_id="c")
        asked = second.send(
            "hello", {"role": "crawler", "token": self.token("crawler"), "versions": [1], "crawler_id": "c"}
        )
        while first.take_one()["type"] != "ping":
            pass
        self.assertEqual(second.reply(asked)["data"]["code"], "duplicate_crawler")
        self.assertRaises(Closed, second.take_one)
        self.assertEqual(first.ask("ping", {})["type"], "ack")

    async def test_a_dead_double(self) -> None:
        """A second login with the id of a crawler that does not answer takes its place; the first is closed."""
        await self.server(hello_timeout=0.5, **LONG)
        first, second = self.client(), self.client()
        first.hello("crawler", self.token("crawler"), crawler_id="c")
        welcome = second.hello("crawler", self.token("crawler"), crawler_id="c")
        self.assertNotEqual(welcome["session_id"], first.welcome["session_id"])
        with self.assertRaises((Closed, ConnectionResetError, BrokenPipeError)):
            while True:
                first.take_one()


class PoisonTests(SessionCase):
    """Losing a process is not failing a job; three are too many."""

    async def test_poison(self) -> None:
        """A job that has taken three crawlers down is failed as poison; none of them counts as its failure."""
        await self.server(**LONG)
        self.submit()
        for number in range(3):
            child, job = await self.holder("hold", f"victim{number}")
            self.assertEqual(job["attempt"], number + 1)
            child.kill()
            if number < 2:
                await self.queued_again(job["job_id"])
        end = "SELECT reason, losses, failures FROM crawlsock.job_queue WHERE state = 'failed'"
        self.assertEqual(await until("it is parked", lambda: self.rows(end)), [("poison", 3, 0)])
        self.assertEqual(self.rows("SELECT DISTINCT outcome FROM crawlsock.job_assignment"), [("lost",)])


class DrainTests(SessionCase):
    """Leaving politely."""

    async def test_a_crawler_drains(self) -> None:
        """SIGTERM lets a crawler hand its jobs back unharmed, with what they saved; another one goes on from there."""
        self.sample = await shared_sample()
        await self.server(**LONG)
        first = self.crawler("first", slots=4)
        webapp = await self.manager()
        root = await self.crawl(webapp)
        await self.half_way(0.2)
        self.assertEqual(await first.terminated(), 0)
        released = "SELECT count(*) FROM crawlsock.job_assignment WHERE outcome = 'released'"
        [(count,)] = self.rows(released)
        self.assertTrue(count)
        self.assertFalse(
            self.rows("SELECT FROM crawlsock.job_queue WHERE session_id IS NOT NULL AND finished_at IS NULL")
        )
        self.crawler("second", slots=4)
        await self.assert_whole(webapp, root)
        self.assertEqual(self.rows(released), [(count,)])
        self.assertEqual(self.rows("SELECT DISTINCT failures, losses FROM crawlsock.job_queue"), [(0, 0)])

    async def test_the_server_drains(self) -> None:
        """SIGTERM lets the server tell everybody, each with a delay of its own, and it ends within its deadline."""
        server = await self.server(drain_timeout=1, reconnect_spread=3, **LONG)
        self.submit()
        crawlers = [self.client() for _ in range(5)]
        for number, crawler in enumerate(crawlers):
            crawler.hello("crawler", self.token("crawler"), crawler_id=f"c{number}")
        job = crawlers[0].job()
        about = {"job_id": job["job_id"], "lease": job["lease"]}
        began = reactor.seconds()
        server.signal(signal.SIGTERM)
        goodbyes = [crawler.push("shutdown")["data"] for crawler in crawlers]
        self.assertEqual({each["graceful"] for each in goodbyes}, {True})
        self.assertEqual({each["deadline"] for each in goodbyes}, {1})
        delays = {each["reconnect_delay"] for each in goodbyes}
        self.assertGreater(len(delays), 3)
        self.assertTrue(all(0 <= delay <= 3 for delay in delays))
        # What is in hand may still be said; what would begin something new is refused.
        self.assertEqual(crawlers[0].ask("job_started", **about)["type"], "ack")
        self.assertEqual(crawlers[1].ask("job_request", {"slots": 1})["data"]["code"], "draining")
        self.assertEqual(await server.ended(), -signal.SIGTERM)  # twistd cleans up, then dies of it
        self.assertLess(reactor.seconds() - began, 4.0)
        self.assertEqual(self.rows("SELECT state, losses FROM crawlsock.job_queue"), [("running", 0)])
        self.assertEqual(self.rows("SELECT DISTINCT state FROM crawlsock.crawler_session"), [("away",)])
        self.assertEqual([each for each in server.records() if each["level"] in ("error", "critical")], [])

    async def test_a_drained_server_comes_back(self) -> None:
        """A server that is stopped in the middle of a crawl and started again costs no job an attempt's work."""
        self.sample = await shared_sample()
        server = await self.server()
        for name in ("one", "two"):
            self.crawler(name)
        webapp = await self.manager()
        root = await self.crawl(webapp)
        await self.half_way(0.2)
        self.assertEqual(await server.terminated(10), -signal.SIGTERM)
        await self.server()
        await self.assert_whole(webapp, root)
        self.assertEqual(self.rows("SELECT DISTINCT failures, losses FROM crawlsock.job_queue"), [(0, 0)])
