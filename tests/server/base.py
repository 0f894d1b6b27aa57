"""What the tests of the server share: a harness, ended properly, and a job in a crawler's hands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial import unittest

from crawlsock.testing.harness import WireHarness, WirePeer
from crawlsock.wire.errors import Refusal
from crawlsock.wire.message import Message


class HarnessCase(unittest.TestCase):
    """Run each test against a server in memory, and see that it leaves no delayed call behind."""

    settings: Mapping[str, str] = {}

    def setUp(self) -> None:
        self.harness = WireHarness(self.settings)
        self.addCleanup(self.end)

    def end(self) -> None:
        self.harness.stop()
        self.assertEqual(self.harness.clock.getDelayedCalls(), [])

    async def submit(self, webapp: WirePeer, *jobs: Mapping[str, Any]) -> list[str]:
        """Submit jobs; return their ids."""
        given = [{"type": "crawl_project", **job} for job in jobs or ({},)]
        reply = await webapp.request("job_submit", {"jobs": given})
        return [item["job_id"] for item in reply.data["items"]]

    async def take(self, crawler: WirePeer, started: bool = True) -> dict[str, Any]:
        """Give the crawler one job; return the envelope of messages about it."""
        reply = await crawler.request("job_request", {"slots": 1})
        (job,) = reply.data["jobs"]
        envelope = {"job_id": job["job_id"], "lease": job["lease"]}
        if started:
            await crawler.request("job_started", **envelope)
        return envelope

    async def state(self, webapp: WirePeer, job_id: str) -> dict[str, Any]:
        """Return the view of a job."""
        reply = await webapp.request("job_get", job_id=job_id)
        job: dict[str, Any] = reply.data["job"]
        return job

    def refused(self, reply: Deferred[Message], code: str) -> Refusal:
        """Assert that a request was refused with a code; return the refusal."""
        refusal = self.failureResultOf(reply, Refusal).value
        assert isinstance(refusal, Refusal)
        self.assertEqual(refusal.code.value, code)
        return refusal
