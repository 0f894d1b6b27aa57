"""Hold the limit of the queue to its claims."""

from __future__ import annotations

from crawlsock.server.admission import RETRY_SECONDS
from tests.server.base import HarnessCase


class AdmissionTests(HarnessCase):
    """More live jobs than `queue_limit` are never submitted."""

    settings = {"queue_limit": "3"}

    async def test_a_full_queue_refuses(self) -> None:
        """What does not fit is refused whole, with the numbers, and nothing is made of it."""
        webapp = self.harness.connect("webapp")
        await self.submit(webapp, {}, {})
        two = {"jobs": [{"type": "crawl_project"}, {"type": "crawl_project"}]}
        refusal = self.refused(webapp.request("job_submit", two), "queue_full")
        self.assertIn("2 of at most 3", refusal.message)
        self.assertEqual(refusal.retry_after, RETRY_SECONDS)
        await self.submit(webapp, {})
        self.assertEqual(await self.harness.store.live_jobs(), 3)
        self.refused(webapp.request("job_submit", {"jobs": [{"type": "crawl_project"}]}), "queue_full")

    async def test_room_is_found_again(self) -> None:
        """After jobs have ended, new ones are taken within the time that the refusal named."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp, {}, {}, {})
        self.refused(webapp.request("job_submit", {"jobs": [{"type": "crawl_project"}]}), "queue_full")
        await crawler.request("job_completed", **await self.take(crawler))
        self.harness.advance(RETRY_SECONDS)
        await self.submit(webapp, {})

    async def test_the_limit_may_change(self) -> None:
        """A limit that is raised while the server runs counts at once."""
        webapp = self.harness.connect("webapp")
        await self.submit(webapp, {}, {}, {})
        self.harness.server.settings.set("queue_limit", "4")
        await self.submit(webapp, {})

    async def test_discoveries_are_not_refused(self) -> None:
        """A crawl does not lose what it found because the queue is full."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp, {}, {}, {})
        job = await self.take(crawler)
        found = {"jobs": [{"type": "crawl_user", "entity_id": str(number)} for number in range(5)]}
        reply = await crawler.request("jobs_discovered", found, **job)
        self.assertEqual({item["status"] for item in reply.data["items"]}, {"created"})
