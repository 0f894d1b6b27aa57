"""PostgreSQL goes away under a server that cannot start it again, and comes back."""

from __future__ import annotations

import os
import select
import signal
import uuid
from contextlib import ExitStack
from typing import Any

from twisted.internet.threads import deferToThread

from crawlsock.postgres import EmbeddedPostgres
from tests.integration.fault_case import LEASE, FaultCase
from tests.integration.postgres import own_cluster
from tests.integration.processes import Child, reactor, until
from tests.integration.sample import shared_sample
from tests.integration.second_client import Client, Message

BACK_WITHIN = 10.0
"""Seconds after its return in which everything is well again."""


class AwayTests(FaultCase):
    """One server, with a cluster of its own that only the test starts and stops."""

    cluster: EmbeddedPostgres
    served: Child

    def setUp(self) -> None:
        # Entered first and so left last: the server must not lose it before it ends.
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)
        self.cluster = self.stack.enter_context(own_cluster())
        super().setUp()
        self.clients: list[Client] = []

    async def begin(self, **changes: Any) -> None:
        """Start the cluster and the server."""
        self.dsn = self.cluster.start().dsn()
        self.served = await self.server(**{"database_deadline": 1, **changes})

    def crash(self) -> None:
        """Let PostgreSQL end at once, without finishing anything."""
        self.postmaster().send_signal(signal.SIGQUIT)

    async def come_back(self) -> None:
        """Start PostgreSQL again while all clients read: who answers no ping meanwhile would be cut off."""
        started = deferToThread(self.cluster.start)
        await until("PostgreSQL is back", lambda: self.read() or started.called)
        await started

    async def gone(self) -> None:
        """Wait until it has ended."""
        await until("PostgreSQL has ended", lambda: not self.cluster.is_running())

    def connect(self, role: str, **hello: Any) -> Client:
        """Connect a plain client that is read from, and so answers pings, in whatever this test waits for."""
        client = Client(self.socket)
        self.addCleanup(client.close)
        client.hello(role, self.token(role), **hello)
        self.clients.append(client)
        return client

    async def answer(self, client: Client, type: str, data: Message | None = None, **envelope: Any) -> Message:
        """Ask, and wait for the answer while all clients read."""
        number = client.send(type, data, **envelope)
        await until(f"{type} is answered", lambda: self.read() or number in client.replies)
        return client.replies[number]

    def read(self) -> bool:
        """Take whatever has arrived; False, so that a wait can read and go on."""
        ready, _, _ = select.select([client.socket for client in self.clients], [], [], 0)
        for client in self.clients:
            if client.socket in ready:
                client.take_one()
            while client.arrived():
                client.take_one()
        return False

    async def submit(self, webapp: Client) -> tuple[str, Message]:
        """Submit one job; return its id and the answer."""
        job_id = str(uuid.uuid4())
        return job_id, await self.answer(webapp, "job_submit", {"jobs": [{"job_id": job_id, "type": "crawl_user"}]})

    async def pass_time(self, seconds: float) -> None:
        """Let more than a lease go by."""
        end = reactor.seconds() + seconds
        await until("time has passed", lambda: self.read() or reactor.seconds() > end)

    def assert_unavailable(self, answer: Message) -> None:
        """Check that the answer is a refusal that says when to come back."""
        self.assertEqual((answer["type"], answer["data"].get("code")), ("error", "unavailable"), answer)
        self.assertGreater(answer["data"]["retry_after"], 0)

    async def well_again(self, webapp: Client) -> float:
        """Wait until a submission is acknowledged; return how long that took."""
        began = reactor.seconds()
        while (await self.submit(webapp))[1]["type"] != "job_submit_response":
            self.assertLess(reactor.seconds() - began, 30.0)
        return float(reactor.seconds() - began)

    def known(self, job_ids: list[str]) -> list[str]:
        """Return which of the jobs are in the database."""
        found = {str(job_id) for (job_id,) in self.rows("SELECT job_id::text FROM crawlsock.job")}
        return [job_id for job_id in job_ids if job_id in found]

    async def test_a_crash(self) -> None:
        """While PostgreSQL is away all is answered `unavailable` on living connections; what was acknowledged stays."""
        await self.begin()
        webapp, crawler = self.connect("webapp"), self.connect("crawler", crawler_id="c")
        acknowledged = []
        for _ in range(5):
            job_id, answer = await self.submit(webapp)
            self.assertEqual(answer["data"]["items"][0]["status"], "created")
            acknowledged.append(job_id)
        job = crawler.job()
        about = {"job_id": job["job_id"], "lease": job["lease"]}
        self.crash()
        await self.gone()
        refused, answer = await self.submit(webapp)
        self.assert_unavailable(answer)
        self.assert_unavailable(await self.answer(webapp, "job_get", job_id=acknowledged[0]))
        self.assert_unavailable(await self.answer(crawler, "job_progress", {"seq": 1, "stage": "fetching"}, **about))
        self.assert_unavailable(
            await self.answer(crawler, "heartbeat", {"status": "crawling", "active_jobs": [job["job_id"]]})
        )
        for client in (webapp, crawler):
            self.assertEqual((await self.answer(client, "ping", {}))["type"], "ack")
        stranger = Client(self.socket)
        self.addCleanup(stranger.close)
        self.assert_unavailable(stranger.hello("webapp", self.token("webapp")))
        self.assertEqual((await self.answer(webapp, "status_get"))["data"]["database"]["state"], "down")
        # Longer than the lease: nobody could say that they live, and nobody loses a job for it.
        await self.pass_time(LEASE + 0.5)
        await self.come_back()
        self.assertLess(await self.well_again(webapp), BACK_WITHIN)
        self.assertEqual(self.known([*acknowledged, refused]), acknowledged)
        self.assertEqual((await self.answer(crawler, "job_completed", {}, **about))["type"], "ack")
        self.assertEqual(self.rows("SELECT DISTINCT losses FROM crawlsock.job_queue"), [(0,)])
        self.assertTrue(self.served.alive)

    async def test_a_frozen_database(self) -> None:
        """A PostgreSQL that is stopped is given up after the deadline, and taken back when it goes on."""
        await self.begin()
        webapp = self.connect("webapp")
        job_id, _ = await self.submit(webapp)
        postmaster = self.postmaster()
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            process.suspend()
        try:
            began = reactor.seconds()
            self.assert_unavailable((await self.submit(webapp))[1])
            self.assert_unavailable(await self.answer(webapp, "job_get", job_id=job_id))
            self.assertLess(reactor.seconds() - began, 15.0)
            self.assertEqual((await self.answer(webapp, "ping", {}))["type"], "ack")
        finally:
            for process in family:
                if process.is_running():
                    process.resume()
        self.assertLess(await self.well_again(webapp), BACK_WITHIN)
        self.assertEqual(self.known([job_id]), [job_id])

    async def test_a_frozen_backend(self) -> None:
        """One stopped backend after the other holds nobody up for longer than the deadline."""
        await self.begin()
        webapp = self.connect("webapp")
        await self.submit(webapp)
        own = "application_name LIKE 'crawlsock%' AND pid <> pg_backend_pid()"
        frozen = [int(str(pid)) for (pid,) in self.rows(f"SELECT pid FROM pg_stat_activity WHERE {own}")]
        self.assertGreater(len(frozen), 2)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.assertLess(await self.well_again(webapp), BACK_WITHIN)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)

    async def test_terminated_backends(self) -> None:
        """Connections that an administrator ends, again and again, cost no request its answer."""
        await self.begin()
        webapp = self.connect("webapp")
        acknowledged = []
        for _ in range(5):
            self.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                      "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")  # fmt: skip
            job_id, answer = await self.submit(webapp)
            if answer["type"] == "job_submit_response":
                acknowledged.append(job_id)
            else:
                self.assert_unavailable(answer)
        self.assertLess(await self.well_again(webapp), BACK_WITHIN)
        self.assertEqual(self.known(acknowledged), acknowledged)

    async def test_in_the_middle_of_a_crawl(self) -> None:
        """A crawl outlives a database that is away for longer than the leases, and no job is run twice."""
        self.sample = await shared_sample()
        await self.begin()
        for name in ("one", "two"):
            self.crawler(name)
        webapp = await self.manager()
        root = await self.crawl(webapp)
        await self.half_way(0.2)
        self.crash()
        await self.gone()
        await self.pass_time(LEASE + 0.5)
        await self.come_back()
        await self.assert_whole(webapp, root)
        self.assertEqual(self.rows("SELECT DISTINCT failures, losses FROM crawlsock.job_queue"), [(0, 0)])
        self.assertEqual(self.rows("SELECT * FROM crawlsock.job_assignment WHERE outcome <> 'completed' "
                                   "AND (outcome <> 'released' OR started_at IS NOT NULL)"), [])  # fmt: skip
