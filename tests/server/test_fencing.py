"""Nobody writes with a lost lease, whatever the message."""

from __future__ import annotations

from typing import Any

from crawlsock.wire.catalog import Catalog
from tests.server.base import HarnessCase

MESSAGES: dict[str, dict[str, Any]] = {
    "job_started": {},
    "job_progress": {"seq": 99, "stage": "fetching", "entities": {"issues": {"processed": 9}}},
    "jobs_discovered": {"jobs": [{"type": "crawl_project", "entity_id": "77"}]},
    "discovery": {"areas": [{"kind": "group", "entity_id": "1", "path": "a"}]},
    "job_completed": {"entities": {"issues": {"processed": 9}}},
    "job_failed": {"error_type": "X", "message": "x", "recoverable": False},
    "job_released": {"reason": "drain"},
    "job_cancelled": {},
    "token_refresh_request": {"generation": 1},
}


class FencingTests(HarnessCase):
    def test_all_types(self) -> None:
        """These tests know every message that carries a lease."""
        leased = {name for name, each in Catalog.load().types.items() if each.about_job == "lease"}
        requests = {name for name in leased if Catalog.load().types[name].requests_from}
        self.assertEqual(requests, set(MESSAGES))

    async def snapshot(self, job_id: str) -> Any:
        store = self.harness.store
        view = await store.job(job_id, frozenset({"errors", "assignments", "milestones", "children"}))
        head = await store.event_head()
        return view, head, await store.job_counts(), store.known_areas

    async def check(self, envelope: dict[str, str], crawler: Any) -> None:
        before = await self.snapshot(envelope["job_id"])
        for type, data in MESSAGES.items():
            self.refused(crawler.request(type, data, **envelope), "lease_lost")
        self.assertEqual(await self.snapshot(envelope["job_id"]), before)
        self.assertIsNone(crawler.closed)

    async def test_given_to_another(self) -> None:
        """After the job has gone to another crawler the old lease changes nothing."""
        webapp, first = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        old = await self.take(first)
        self.harness.advance(35)
        second = self.harness.connect("crawler")
        new = await self.take(second)
        self.assertEqual(new["job_id"], old["job_id"])
        await self.check(old, first)
        await second.request("job_completed", {}, **new)

    async def test_stolen_lease(self) -> None:
        """A lease is worth nothing in another session."""
        webapp, first = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        envelope = await self.take(first)
        await self.check(envelope, self.harness.connect("crawler"))

    async def test_invented_lease(self) -> None:
        """A lease that nobody gave out is worth nothing."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        envelope = await self.take(crawler)
        await self.check({**envelope, "lease": "invented"}, crawler)

    async def test_resent(self) -> None:
        """The same end of a job sent twice is answered the same, and acts once."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        envelope = await self.take(crawler)
        await crawler.request("job_completed", {"summary": {"n": 1}}, **envelope)
        before = await self.snapshot(job_id)
        await crawler.request("job_completed", {"summary": {"n": 1}}, **envelope)
        self.assertEqual(await self.snapshot(job_id), before)
