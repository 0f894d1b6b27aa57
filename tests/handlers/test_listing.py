"""Lists, counts, trees, reasons, the overview, and verbs for all that match, through the wire."""

from __future__ import annotations

from typing import Any

from crawlsock.store.values import SealedCredential
from crawlsock.testing.harness import WirePeer
from tests.server.base import HarnessCase


class ListingCase(HarnessCase):
    async def account(self, name: str) -> None:
        """Make an account."""
        sealed = SealedCredential(name.encode())
        await self.harness.store.put_credential(name, "gitlab.test", "personal", sealed, None, "test")

    async def pages(self, webapp: WirePeer, data: dict[str, Any]) -> list[str]:
        """Return the ids on all pages of a list."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            reply = await webapp.request("job_list", {**data, **cursor})
            found += [job["job_id"] for job in reply.data["jobs"]]
            if "next_cursor" not in reply.data:
                return found
            cursor = {"cursor": reply.data["next_cursor"]}


class ListTests(ListingCase):
    async def test_filters_and_sorts(self) -> None:
        """job_list takes every filter and sort, page by page, and refuses a cursor of another list."""
        webapp = self.harness.connect("webapp")
        made = []
        for number in range(4):
            made += await self.submit(
                webapp, {"host": f"h{number % 2}.test", "name": f"job {number}", "priority": number}
            )
            self.harness.advance(1)
        begin = (await self.state(webapp, made[0]))["created_at"]
        third = (await self.state(webapp, made[2]))["created_at"]
        for data, expected in (
            ({}, made[::-1]),
            ({"sort": "oldest"}, made),
            ({"sort": "queue"}, made[::-1]),
            ({"host": "h1.test"}, [made[3], made[1]]),
            ({"created_after": begin, "created_before": third}, [made[1], made[0]]),
            ({"search": "JOB 2"}, [made[2]]),
            ({"crawler_id": "nobody"}, []),
            ({"error": "0123456789abcdef"}, []),
            ({"states": ["queued"], "type": "crawl_project", "account": "default", "sort": "oldest"}, made),
        ):
            for limit in (1, 3, 500):
                self.assertEqual(await self.pages(webapp, {**data, "limit": limit}), expected, data)
        cursor = (await webapp.request("job_list", {"limit": 1})).data["next_cursor"]
        self.refused(webapp.request("job_list", {"sort": "oldest", "cursor": cursor}), "invalid_message")

    async def test_a_bound_token_sees_its_accounts(self) -> None:
        """Lists, counts, trees, reasons and verbs of a token that is bound to accounts are about those alone."""
        await self.account("mine")
        (other,) = await self.submit(self.harness.connect("webapp"))
        bound = self.harness.connect("webapp", token=self.harness.token("webapp", frozenset({"mine"})))
        (job_id,) = await self.submit(bound, {"account": "mine"})
        self.assertEqual(await self.pages(bound, {}), [job_id])
        self.assertEqual((await bound.request("job_counts", {})).data["jobs"]["queued"], 1)
        self.assertNotIn("hosts", (await bound.request("overview_get", {})).data)
        self.refused(bound.request("job_counts", {"account": "default"}), "unknown_account")
        for type in ("job_tree", "job_explain"):
            await bound.request(type, job_id=job_id)
            self.refused(bound.request(type, job_id=other), "unknown_job")
        done = await bound.request("job_control", {"verb": "cancel", "filter": {}})
        self.assertEqual(done.data, {"affected": 1, "examined": 1})
        overview = (await bound.request("overview_get", {})).data
        self.assertEqual(sum(overview["jobs"].values()), 1)
        self.assertNotIn("health", overview)


class CountTests(ListingCase):
    async def test_counts(self) -> None:
        """job_counts counts by state, of everything, of an account, of a type, and says when."""
        await self.account("team")
        webapp = self.harness.connect("webapp")
        await self.submit(webapp, {}, {"account": "team"}, {"account": "team", "type": "crawl_user"})
        for data, expected in (({}, 3), ({"account": "team"}, 2), ({"type": "crawl_user"}, 1), ({"type": "none"}, 0)):
            reply = await webapp.request("job_counts", data)
            self.assertEqual((reply.data["jobs"]["queued"], reply.data["jobs"]["failed"]), (expected, 0))
            self.assertIn("counts_at", reply.data)

    async def test_the_overview_adds_up(self) -> None:
        """At the end of a crawl every number of the overview is what was done."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp, {"name": "first"}, {}, {})
        before = (await webapp.request("overview_get", {})).data
        self.assertEqual((before["jobs"]["queued"], before["oldest_queued"]["name"]), (3, "first"))
        self.harness.advance(3)
        for number in range(3):
            job = await self.take(crawler)
            if number:
                report = {"entities": {"issues": {"processed": 5, "failed": 1}}}
                await crawler.request("job_completed", report, **job)
            else:
                await crawler.request("job_failed", {"error_type": "X", "message": "y", "recoverable": False}, **job)
        self.harness.advance(5)
        after = (await webapp.request("overview_get", {})).data
        self.assertEqual((after["jobs"]["completed"], after["jobs"]["failed"]), (2, 1))
        self.assertEqual((after["items"]["processed"], after["items"]["failed"]), (10, 2))
        self.assertEqual(after["types"], [{"type": "crawl_project", "jobs": {"completed": 2, "failed": 1}}])
        self.assertEqual(len(after["activity"]), 60)
        sums = {name: sum(each[name] for each in after["activity"]) for name in ("completed", "failed", "items")}
        self.assertEqual(sums, {"completed": 2, "failed": 1, "items": 12})
        self.assertEqual((after["crawlers"]["connected"], after["rate"]), (1, 0))
        self.assertNotIn("oldest_queued", after)
        self.assertTrue(after["health"])

    async def test_hosts_are_as_the_last_crawler_saw_them(self) -> None:
        """Of several crawlers that say what a host allows, the one that said it last is shown, with when that was."""
        for remaining in (100, 70):
            crawler = self.harness.connect("crawler", crawler_id=f"c{remaining}")
            self.harness.advance(2)
            hosts = [{"host": "gitlab.test", "limit": 600, "remaining": remaining}]
            await crawler.request("heartbeat", {"status": "crawling", "active_jobs": [], "hosts": hosts})
        self.harness.advance(1)
        (host,) = (await self.harness.connect("monitor").request("overview_get")).data["hosts"]
        self.assertEqual((host["host"], host["limit"], host["remaining"]), ("gitlab.test", 600, 70))
        self.assertIn("at", host)

    async def test_crawlers_say_how_they_are_connected(self) -> None:
        """crawler_list shows the transport of each crawler."""
        self.harness.connect("crawler")
        (crawler,) = (await self.harness.connect("monitor").request("crawler_list")).data["crawlers"]
        self.assertEqual(crawler["transport"], "memory")


class TreeTests(ListingCase):
    async def test_a_tree_is_paged(self) -> None:
        """job_tree shows children page by page, with the sums below each."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        root = await self.take(crawler)
        items = {"jobs": [{"type": "crawl_user", "entity_id": str(n), "name": f"user {n}"} for n in range(3)]}
        await crawler.request("jobs_discovered", items, **root)
        names: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            data = (await webapp.request("job_tree", {"limit": 2, **cursor}, job_id=root["job_id"])).data
            names += [child["name"] for child in data["children"]]
            for child in data["children"]:
                self.assertEqual(child["below"]["jobs"], {"queued": 1})
            if "next_cursor" not in data:
                break
            cursor = {"cursor": data["next_cursor"]}
        self.assertEqual(names, ["user 0", "user 1", "user 2"])


class ControlTests(ListingCase):
    async def test_all_that_match(self) -> None:
        """job_control goes over all that match in portions, tells crawlers, and is in the audit."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp, *({"name": f"old/{n}"} for n in range(5)))
        (spared,) = await self.submit(webapp, {"name": "new"})
        job = await self.take(crawler)
        affected = 0
        cursor: dict[str, str] = {}
        while True:
            data = {"verb": "cancel", "filter": {"search": "old/"}, "reason": "no longer needed", "limit": 2, **cursor}
            reply = await webapp.request("job_control", data)
            affected += reply.data["affected"]
            self.assertLessEqual(reply.data["examined"], 2)
            if "next_cursor" not in reply.data:
                break
            cursor = {"cursor": reply.data["next_cursor"]}
        self.assertEqual(affected, 5)
        self.assertEqual((await self.state(webapp, spared))["state"], "queued")
        (push,) = [each for each in crawler.pushes if each.type == "job_cancel"]
        self.assertEqual((push.job_id, push.data), (job["job_id"], {"reason": "no longer needed"}))
        self.assertIn("job_cancel", [each["action"] for each in self.harness.store.audits])

    async def test_who_may(self) -> None:
        """A monitor reads and does not steer."""
        monitor = self.harness.connect("monitor")
        self.refused(monitor.request("job_control", {"verb": "cancel", "filter": {}}), "forbidden")
        await monitor.request("overview_get", {})


class ExplainTests(ListingCase):
    async def explain(self, webapp: WirePeer, job_id: str) -> dict[str, Any]:
        """Return the data of an explanation."""
        return dict((await webapp.request("job_explain", job_id=job_id)).data)

    async def test_why_it_waits_and_that_it_runs(self) -> None:
        """job_explain names what is in the way, one thing after the other, and says when nothing is."""
        admin = self.harness.connect("admin")
        (job_id,) = await self.submit(admin, {"labels": ["gpu"]})
        self.assertEqual((await self.explain(admin, job_id))["reasons"][0]["code"], "no_crawler")
        self.harness.connect("crawler")
        self.assertEqual((await self.explain(admin, job_id))["reasons"][0]["code"], "no_crawler_with_labels")
        await admin.request("queue_pause", {"reason": "maintenance"})
        (paused, _) = (await self.explain(admin, job_id))["reasons"]
        self.assertEqual((paused["code"], paused["actor"]), ("queue_paused", "admin:test admin"))
        await admin.request("queue_resume", {})
        crawler = self.harness.connect("crawler", labels=["gpu"])
        self.assertEqual((await self.explain(admin, job_id))["reasons"][0]["code"], "next")
        await self.take(crawler)
        self.assertEqual(await self.explain(admin, job_id), {"state": "running", "runs": True, "reasons": []})
        await admin.request("job_pause", {}, job_id=job_id)
        answer = await self.explain(admin, job_id)
        self.assertEqual((answer["runs"], answer["reasons"][0]["actor"]), (False, "admin:test admin"))
