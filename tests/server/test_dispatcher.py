"""Jobs to crawlers with credit."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.store.values import Assignment
from tests.server.base import HarnessCase


class CreditTests(HarnessCase):
    async def test_pushed_when_it_comes(self) -> None:
        """A crawler with credit gets a job the moment it is submitted, without asking again."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        reply = await crawler.request("job_request", {"slots": 2})
        self.assertEqual(reply.data["jobs"], [])
        await self.submit(webapp, {"entity_id": "1"}, {"entity_id": "2"}, {"entity_id": "3"})
        pushes = crawler.pushed("job_assignment")
        self.assertEqual([push.data["entity_id"] for push in pushes], ["1", "2"])
        self.assertTrue(all(push.job_id and push.lease for push in pushes))

    async def test_credit_adds_up(self) -> None:
        """Credit adds up, and is used up job by job."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        for slots in (1, 2):
            await crawler.request("job_request", {"slots": slots})
        await self.submit(webapp, *({"entity_id": str(n)} for n in range(5)))
        self.assertEqual(len(crawler.pushed("job_assignment")), 3)

    async def test_withdrawn(self) -> None:
        """Zero slots withdraw all credit."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await crawler.request("job_request", {"slots": 5})
        await crawler.request("job_request", {"slots": 0})
        await self.submit(webapp)
        self.assertEqual(crawler.pushed("job_assignment"), [])

    async def test_no_credit_over_a_resume(self) -> None:
        """A new connection begins without credit."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await crawler.request("job_request", {"slots": 5})
        crawler.close()
        again = self.harness.connect("crawler", resume={"ticket": crawler.welcome["ticket"], "leases": []})
        await self.submit(webapp)
        self.assertEqual(again.pushed("job_assignment"), [])

    async def test_labels_and_types(self) -> None:
        """A crawler gets only jobs of its types whose labels it has."""
        webapp = self.harness.connect("webapp")
        plain = self.harness.connect("crawler", job_types=["crawl_group"])
        able = self.harness.connect("crawler", labels=["region=eu"])
        for crawler in (plain, able):
            await crawler.request("job_request", {"slots": 5})
        await self.submit(webapp, {"labels": ["region=eu"], "entity_id": "1"}, {"type": "crawl_user", "labels": ["x"]})
        self.assertEqual(plain.pushed("job_assignment"), [])
        self.assertEqual([each.data["entity_id"] for each in able.pushed("job_assignment")], ["1"])

    async def test_paused_crawler(self) -> None:
        """A paused crawler gets nothing, and what it had credit for when it goes on."""
        webapp, admin = self.harness.connect("webapp"), self.harness.connect("admin")
        crawler = self.harness.connect("crawler", crawler_id="c")
        await crawler.request("job_request", {"slots": 1})
        await admin.request("crawler_command", {"crawler_id": "c", "command": "pause"})
        await self.submit(webapp)
        self.assertEqual([each.type for each in crawler.pushes], ["crawler_pause"])
        await admin.request("crawler_command", {"crawler_id": "c", "command": "resume"})
        self.harness.settle()
        self.assertEqual(len(crawler.pushed("job_assignment")), 1)

    async def test_poll(self) -> None:
        """A job whose time comes without any notification is assigned a poll interval later."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await crawler.request("job_request", {"slots": 1})
        self.harness.store._work_observers.clear()
        await self.submit(webapp)
        self.assertEqual(crawler.pushed("job_assignment"), [])
        self.harness.advance(1)
        self.assertEqual(len(crawler.pushed("job_assignment")), 1)


class SlowStoreTests(HarnessCase):
    def slow(self) -> list[tuple[Any, Deferred[list[Assignment]]]]:
        """Let assigning take until the test lets it go on."""
        asked: list[tuple[Any, Deferred[list[Assignment]]]] = []
        assign = self.harness.store.assign

        def later(demands: Any) -> Deferred[list[Assignment]]:
            gate: Deferred[list[Assignment]] = Deferred()
            gate.addCallback(lambda _: assign(demands))
            asked.append((demands, gate))
            return gate

        self.harness.store.assign = later  # type: ignore[method-assign]
        return asked

    def go(self, gate: Deferred[list[Assignment]]) -> None:
        gate.callback([])
        self.harness.settle()

    async def test_one_question(self) -> None:
        """One question is under way at a time, and the next carries the demands of all."""
        asked = self.slow()
        crawlers = [self.harness.connect("crawler", crawler_id=f"c{n}") for n in range(3)]
        replies = [crawler.request("job_request", {"slots": 1}) for crawler in crawlers]
        self.assertEqual(len(asked), 1)
        self.go(asked[0][1])
        self.assertEqual([len(demands) for demands, _ in asked], [1, 3])
        self.go(asked[1][1])
        for reply in replies:
            self.assertEqual(self.successResultOf(reply).data["jobs"], [])

    async def test_crawler_left(self) -> None:
        """A job assigned to a crawler that left meanwhile goes back unharmed."""
        asked = self.slow()
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        crawler.request("job_request", {"slots": 1}).addErrback(lambda _: None)
        crawler.close()
        self.go(asked[0][1])
        view = await self.state(webapp, job_id)
        self.assertEqual((view["state"], view["losses"], view["failures"]), ("queued", 0, 0))

    async def test_credit_withdrawn_meanwhile(self) -> None:
        """A job assigned to a crawler that withdrew its credit meanwhile goes back unharmed."""
        asked = self.slow()
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        first = crawler.request("job_request", {"slots": 1})
        await crawler.request("job_request", {"slots": 0})
        self.go(asked[0][1])
        self.assertEqual(self.successResultOf(first).data["jobs"], [])
        self.assertEqual((await self.state(webapp, job_id))["state"], "queued")

    async def test_store_away(self) -> None:
        """While the store is away a request for jobs is refused and gives no credit."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        self.harness.store.take_down()
        self.refused(crawler.request("job_request", {"slots": 3}), "unavailable")
        self.harness.store.bring_up()
        await self.submit(webapp)
        self.assertEqual(crawler.pushed("job_assignment"), [])

    async def test_credit_outlives_outage(self) -> None:
        """Credit given before an outage is served after it."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await crawler.request("job_request", {"slots": 1})
        self.harness.store.take_down()
        self.harness.advance(3)
        self.harness.store.bring_up()
        await self.submit(webapp)
        self.assertEqual(len(crawler.pushed("job_assignment")), 1)

    async def test_bug(self) -> None:
        """A failure of ours while assigning is answered, and the next question is asked."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        assign = self.harness.store.assign

        def broken(demands: Any) -> Deferred[list[Assignment]]:
            raise ZeroDivisionError

        self.harness.store.assign = broken  # type: ignore[method-assign]
        self.refused(crawler.request("job_request", {"slots": 1}), "internal")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.harness.store.assign = assign  # type: ignore[method-assign]
        await self.submit(webapp)
        await self.take(crawler)
