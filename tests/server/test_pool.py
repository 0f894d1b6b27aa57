"""Who is connected, and who no longer answers."""

from __future__ import annotations

from crawlsock.server.peer import PeerLost, PeerTimeout
from crawlsock.server.pool import AUTHENTICATED, CONNECTED, LOST
from crawlsock.wire.errors import Refusal
from tests.server.base import HarnessCase


class PoolTests(HarnessCase):
    def test_events(self) -> None:
        """Observers are told of every connection's life, in its order, and one that fails disturbs nobody."""
        seen: list[str] = []

        def broken(event: str, peer: object, reason: str) -> None:
            raise ZeroDivisionError

        pool = self.harness.server.pool
        end_broken = pool.observe(broken)
        end = pool.observe(lambda event, peer, reason: seen.append(event))
        self.harness.connect("webapp").close()
        end()
        end()
        self.harness.connect("webapp")
        end_broken()
        self.assertEqual(seen, [CONNECTED, AUTHENTICATED, LOST])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 5)

    def test_statistics(self) -> None:
        """Statistics count connections by role and state, and keep what gone ones did."""
        self.harness.connect("crawler")
        webapp = self.harness.connect("webapp")
        self.harness.dial().send_bytes(b"nonsense")
        webapp.close()
        statistics = self.harness.server.pool.statistics()
        self.assertEqual((statistics["by_role"], statistics["by_state"]), ({"crawler": 1}, {"ready": 1}))
        self.assertEqual((statistics["connected"], statistics["lost"], statistics["broken"]), (3, 2, 1))
        self.assertEqual((statistics["received"], statistics["sent"]), (2, 3))

    def test_broadcast(self) -> None:
        """A broadcast reaches everybody who has said hello, or one role."""
        crawler, webapp, stranger = (
            self.harness.connect("crawler"),
            self.harness.connect("webapp"),
            self.harness.dial(),
        )
        pool = self.harness.server.pool
        self.assertEqual(pool.broadcast("broadcast", {"message": "all"}), 2)
        self.assertEqual(pool.broadcast("broadcast", {"message": "some"}, "webapp"), 1)
        self.harness.settle()
        self.assertEqual([len(each.pushes) for each in (crawler, webapp, stranger)], [1, 2, 0])

    def test_send_with_deadline(self) -> None:
        """What must be answered and is not fails after its deadline; the connection's end fails it at once."""
        self.harness.connect("crawler", answers_pushes=False, crawler_id="c")
        pool = self.harness.server.pool
        peer = pool.by_crawler("c")
        assert peer is not None
        overdue = pool.send(peer, "crawler_pause", {}, deadline=3)
        self.harness.advance(3)
        self.failureResultOf(overdue, PeerTimeout)
        lost = pool.send(peer, "crawler_pause", {}, deadline=3)
        self.harness.peers[0].close()
        self.failureResultOf(lost, PeerLost)
        self.failureResultOf(pool.send(peer, "crawler_pause", {}, deadline=3), PeerLost)

    def test_refused_push(self) -> None:
        """A peer that answers a push with an error refuses it, and whoever pushed learns why."""
        crawler = self.harness.connect("crawler", answers_pushes=False, crawler_id="c")
        pool = self.harness.server.pool
        peer = pool.by_crawler("c")
        assert peer is not None
        answer = pool.send(peer, "crawler_pause", {}, deadline=3)
        self.harness.settle()
        id = crawler.pushes[-1].id
        crawler.send("error", {"code": "invalid_state", "message": "busy"}, re=id)
        self.harness.settle()
        self.assertEqual(self.failureResultOf(answer, Refusal).value.code.value, "invalid_state")

    def test_clear_unhealthy(self) -> None:
        """Peers from which nothing came for too long are cut off together."""
        silent, alive = self.harness.connect("webapp"), self.harness.connect("webapp")
        self.harness.clock.advance(9)
        self.successResultOf(alive.request("ping"))
        self.assertEqual(self.harness.server.pool.clear_unhealthy(5), 1)
        self.harness.settle()
        self.assertEqual((silent.closed is None, alive.closed), (False, None))

    def test_when_empty(self) -> None:
        """Who waits for everybody to be gone is told when they are, at once if nobody is there."""
        pool = self.harness.server.pool
        self.successResultOf(pool.when_empty())
        webapp = self.harness.connect("webapp")
        empty = pool.when_empty()
        self.assertNoResult(empty)
        webapp.close()
        self.successResultOf(empty)


class HealthTests(HarnessCase):
    def test_silent_peer(self) -> None:
        """A peer that is silent is asked whether it lives, and cut off when it does not answer."""
        dead = self.harness.connect("webapp", answers_pushes=False)
        alive = self.harness.connect("webapp")
        self.harness.advance(45)
        self.assertEqual((dead.closed is None, alive.closed), (False, None))
        self.assertGreaterEqual(len(alive.pushed("ping")), 1)

    def test_busy_peer(self) -> None:
        """Who sends something is not asked."""
        webapp = self.harness.connect("webapp")
        for _ in range(6):
            self.harness.advance(8)
            self.successResultOf(webapp.request("ping"))
        self.assertEqual(webapp.pushes, [])

    def test_stranger(self) -> None:
        """Who never says hello is closed after five seconds."""
        stranger = self.harness.dial()
        self.harness.advance(5)
        self.assertEqual((stranger.replies[0].data["code"], stranger.closed is None), ("hello_timeout", False))


class NotReadingTests(HarnessCase):
    settings = {"send_high_water": "64 KiB", "send_deadline": "30 s"}

    async def test_no_jobs(self) -> None:
        """A crawler that does not read gets no more jobs, and is cut off after the deadline."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await crawler.request("job_request", {"slots": 1000})
        crawler.wire.pauseProducing()
        await self.submit(webapp, *({"payload": {"x": "y" * 1000}} for _ in range(500)))
        self.harness.settle()
        counts = await self.harness.store.job_counts()
        self.assertGreater(counts["queued"], 300)
        self.assertLess(crawler.server_transport.waiting, 300_000)
        self.harness.advance(31)
        self.assertIsNotNone(crawler.closed)

    async def test_reads_again(self) -> None:
        """A crawler that reads again gets the rest."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await crawler.request("job_request", {"slots": 1000})
        crawler.wire.pauseProducing()
        await self.submit(webapp, *({"payload": {"x": "y" * 1000}} for _ in range(200)))
        self.harness.advance(5)
        crawler.wire.resumeProducing()
        self.harness.advance(2)
        self.assertEqual(len(crawler.pushed("job_assignment")), 200)

    def test_requests_without_reading(self) -> None:
        """A peer that asks and never reads does not fill the server's memory."""
        webapp = self.harness.connect("webapp")
        webapp.wire.pauseProducing()
        for id in range(100, 30_100):
            webapp.send("config_get" if id % 2 else "ping", id=id)
        self.harness.settle()
        self.assertLess(webapp.server_transport.waiting, 400_000)
        self.harness.advance(31)
        self.assertIsNotNone(webapp.closed)
