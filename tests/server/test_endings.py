"""When the other side goes: a crawler's process dies, or the server leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crawlsock.server.peer_credentials import ProcessWatch, boot_id
from crawlsock.store.values import NewSession
from tests.server.base import HarnessCase


class FakeWatch:
    """A process whose death the test decides."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self.ended = ended
        self.is_dead = False
        self.stopped = False

    def dead(self) -> bool:
        return self.is_dead

    def stop(self) -> None:
        self.stopped = True


class ProcessTests(HarnessCase):
    def watch(self) -> list[FakeWatch]:
        """Let the server watch processes that the test controls."""
        watches: list[FakeWatch] = []
        sessions: Any = self.harness.server.sessions

        def watch_peer(peer: Any) -> None:
            watches.append(FakeWatch(sessions._died(peer.session_id)))
            sessions._keep(peer.session_id, watches[-1])

        sessions._watch_peer = watch_peer
        return watches

    async def test_link_lost_process_dead(self) -> None:
        """Link lost and process dead: the jobs are back at once."""
        watches = self.watch()
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        await self.take(crawler)
        watches[0].is_dead = True
        crawler.close()
        view = await self.state(webapp, job_id)
        self.assertEqual((view["state"], view["losses"]), ("queued", 1))
        self.assertTrue(watches[0].stopped)

    async def test_process_dies_later(self) -> None:
        """Link lost and process alive: the session waits, until the process dies."""
        watches = self.watch()
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        await self.take(crawler)
        crawler.close()
        self.assertEqual((await self.state(webapp, job_id))["state"], "running")
        watches[0].ended()
        self.assertEqual((await self.state(webapp, job_id))["state"], "queued")

    def test_start_with_dead_crawler(self) -> None:
        """A server that starts reaps the sessions of this machine whose process is gone."""
        self.open("gone", process_start=1)
        self.harness.kill()
        self.harness.restart()
        self.assertEqual(self.successResultOf(self.harness.store.sessions()), [])

    def test_start_with_foreign_crawler(self) -> None:
        """What is not to be seen from here is left to its deadline: another machine, or another boot."""
        self.open("abroad", process_start=1, boot="another")
        self.harness.kill()
        self.harness.restart()
        (session,) = self.successResultOf(self.harness.store.sessions())
        self.assertEqual(session.state, "away")

    def open(self, crawler_id: str, process_start: int, boot: str | None = None) -> None:
        self.successResultOf(
            self.harness.store.open_session(
                NewSession(
                    crawler_id,
                    self.harness.server.server_id,
                    b"hash",
                    30.0,
                    pid=1,
                    process_start=process_start,
                    boot_id=boot or boot_id(),
                )
            )
        )

    def test_watch_is_one_shot(self) -> None:
        """What stands in for a process here has the methods that the server calls."""
        for name in ("dead", "stop"):
            self.assertTrue(callable(getattr(ProcessWatch, name)) and callable(getattr(FakeWatch, name)))


class DrainTests(HarnessCase):
    settings = {"drain_timeout": "10"}

    def test_drain(self) -> None:
        """A server that leaves tells everybody, gives each crawler its own delay, and waits for them."""
        crawlers = [self.harness.connect("crawler", crawler_id=f"c{n}") for n in range(5)]
        webapp = self.harness.connect("webapp")
        drained = self.harness.server.factory.drain("stopping")
        self.harness.settle()
        delays = [crawler.pushed("shutdown")[0].data["reconnect_delay"] for crawler in crawlers]
        self.assertEqual(len(set(delays)), 5)
        self.assertTrue(all(0 <= delay <= 5 for delay in delays))
        self.assertIsNotNone(webapp.closed)
        self.assertNoResult(drained)
        for crawler in crawlers:
            crawler.close()
        self.successResultOf(drained)

    async def test_finish_while_draining(self) -> None:
        """While a server leaves, crawlers may finish what they hold and get nothing new."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp, {}, {})
        job = await self.take(crawler)
        drained = self.harness.server.factory.drain("stopping")
        self.refused(crawler.request("job_request", {"slots": 1}), "draining")
        await crawler.request("job_completed", {}, **job)
        self.assertEqual(crawler.pushed("job_assignment"), [])
        crawler.close()
        self.successResultOf(drained)

    def test_drain_deadline(self) -> None:
        """Who does not leave is cut off, and keeps the session."""
        crawler = self.harness.connect("crawler")
        drained = self.harness.server.factory.drain("stopping")
        self.harness.advance(10)
        self.successResultOf(drained)
        self.assertIsNotNone(crawler.closed)
        (session,) = self.successResultOf(self.harness.store.sessions())
        self.assertEqual(session.state, "away")

    def test_newcomers(self) -> None:
        """Who connects while the server leaves is told to come back."""
        self.harness.connect("crawler")
        self.harness.server.factory.drain("stopping")
        peer = self.harness.dial()
        self.assertEqual(peer.replies[0].data["code"], "draining")
        self.assertIsNotNone(peer.closed)
