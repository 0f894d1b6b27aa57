"""Cancels, pauses and resumes on their way to crawlers."""

from __future__ import annotations

from crawlsock.testing.harness import WirePeer
from tests.server.base import HarnessCase


class OrderTests(HarnessCase):
    async def running(self, **crawler: bool) -> tuple[WirePeer, WirePeer, dict[str, str]]:
        webapp, peer = self.harness.connect("webapp"), self.harness.connect("crawler", **crawler)
        await self.submit(webapp)
        return webapp, peer, await self.take(peer)

    async def test_cancel(self) -> None:
        """A cancel reaches the crawler at once, with job, lease and reason, and ends when it was carried out."""
        webapp, crawler, job = await self.running()
        reply = await webapp.request("job_cancel", {"reason": "no need"}, job_id=job["job_id"])
        self.assertEqual(reply.data["affected"], 1)
        (order,) = crawler.pushed("job_cancel")
        self.assertEqual(({"job_id": order.job_id, "lease": order.lease}, order.data["reason"]), (job, "no need"))
        await crawler.request("job_cancelled", {}, **job)
        self.assertEqual((await self.state(webapp, job["job_id"]))["state"], "cancelled")

    async def test_once(self) -> None:
        """However often the store is polled, a crawler is told once."""
        webapp, crawler, job = await self.running()
        await webapp.request("job_cancel", job_id=job["job_id"])
        await webapp.request("job_cancel", job_id=job["job_id"])
        self.harness.advance(5)
        self.assertEqual(len(crawler.pushed("job_cancel")), 1)

    async def test_told_again(self) -> None:
        """A crawler that did not acknowledge an order is told again."""
        webapp, crawler, job = await self.running(answers_pushes=False)
        await webapp.request("job_cancel", job_id=job["job_id"])
        self.harness.advance(12)
        self.assertGreaterEqual(len(crawler.pushed("job_cancel")), 2)

    async def test_pause_and_resume(self) -> None:
        """A pause and the resume after it reach the crawler in this order, every time."""
        webapp, crawler, job = await self.running()
        for _ in range(2):
            await webapp.request("job_pause", job_id=job["job_id"])
            await webapp.request("job_resume", job_id=job["job_id"])
        self.harness.advance(3)
        told = [push.type for push in crawler.pushes]
        self.assertEqual(told, ["job_pause", "job_resume", "job_pause", "job_resume"])

    async def test_given_elsewhere(self) -> None:
        """An order that another server gave is found in the store, and so is its end."""
        _, crawler, job = await self.running()
        store = self.harness.store
        store._order_observers.clear()
        await store.pause(job["job_id"], tree=False, reason=None, actor="other")
        self.assertEqual(crawler.pushes, [])
        self.harness.advance(1.5)
        self.assertEqual([push.type for push in crawler.pushes], ["job_pause"])
        await store.resume(job["job_id"], tree=False, reason=None, actor="other")
        self.harness.advance(1.5)
        self.assertEqual([push.type for push in crawler.pushes], ["job_pause", "job_resume"])

    async def test_tree(self) -> None:
        """A cancel of a tree reaches every crawler that works below it."""
        webapp, first, job = await self.running()
        second = self.harness.connect("crawler")
        await first.request("jobs_discovered", {"jobs": [{"type": "crawl_project", "entity_id": "9"}]}, **job)
        child = await self.take(second)
        reply = await webapp.request("job_cancel", {"tree": True}, job_id=job["job_id"])
        self.assertEqual(reply.data["affected"], 2)
        self.assertEqual(first.pushed("job_cancel")[0].job_id, job["job_id"])
        self.assertEqual(second.pushed("job_cancel")[0].job_id, child["job_id"])

    async def test_no_progress_limit(self) -> None:
        """A job that reports nothing for longer than its limit is taken, though its crawler sends heartbeats."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp, {"no_progress_limit": 20})
        job = await self.take(crawler)
        for _ in range(3):
            self.harness.advance(9)
            await crawler.request("heartbeat", {"status": "crawling", "active_jobs": [job_id]})
        view = await self.state(webapp, job_id)
        self.assertEqual((view["state"], view["losses"]), ("queued", 1))
        self.assertEqual(len(crawler.pushed("job_cancel")), 1)
        self.refused(crawler.request("job_completed", {}, **job), "lease_lost")
