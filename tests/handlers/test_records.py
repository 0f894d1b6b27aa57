"""What operators look back at, through the wire."""

from __future__ import annotations

from typing import Any

from crawlsock.masking import HIDDEN
from crawlsock.testing.harness import WirePeer
from tests.server.base import HarnessCase

SECRET = "whsec_" + "c2VjcmV0IHNlY3JldCBzZWNyZXQ="


class RecordTests(HarnessCase):
    settings = {"incident_threshold": "2"}

    def bound(self, account: str) -> WirePeer:
        """Return a web application whose token is bound to one account."""
        return self.harness.connect("webapp", token=self.harness.token("webapp", frozenset({account})))

    async def account(self, name: str) -> None:
        """Make an account."""
        credential = {"account": name, "host": "gitlab.test", "kind": "personal", "access_token": "t" * 20}
        await self.harness.connect("webapp").request("credential_put", credential)

    async def failing(self, message: str = "no field 7", **job: Any) -> dict[str, Any]:
        """Let a job fail for good; return its envelope."""
        crawler = self.harness.connect("crawler")
        await self.submit(self.harness.connect("webapp"), job)
        envelope = await self.take(crawler)
        failure = {"error_type": "KeyError", "message": message, "recoverable": False}
        await crawler.request("job_failed", failure, **envelope)
        crawler.close()
        self.harness.advance(1)
        return envelope

    async def test_errors(self) -> None:
        """error_list shows groups with what they mean, error_get the failures in one, and job_get explains each."""
        first, last = await self.failing(), await self.failing("no field 8")
        monitor = self.harness.connect("monitor")
        (group,) = (await monitor.request("error_list")).data["groups"]
        self.assertEqual((group["title"], group["count"], group["failed_now"]), ("KeyError: no field <n>", 2, 2))
        self.assertIn("code", group["explanation"])
        self.assertIn("stack", group["next_step"])
        page = (await monitor.request("error_get", {"fingerprint": group["fingerprint"], "limit": 1})).data
        self.assertEqual([each["job_id"] for each in page["occurrences"]], [last["job_id"]])
        more = {"fingerprint": group["fingerprint"], "account": "default", "cursor": page["next_cursor"]}
        page = (await monitor.request("error_get", more)).data
        self.assertEqual([each["job_id"] for each in page["occurrences"]], [first["job_id"]])
        view = await monitor.request("job_get", {"include": ["errors"]}, job_id=first["job_id"])
        (error,) = view.data["job"]["errors"]
        self.assertEqual(
            (error["fingerprint"], error["category"], error["severity"]), (group["fingerprint"], "crawler", "critical")
        )
        self.assertEqual(error["next_step"], group["next_step"])

    async def test_accounts(self) -> None:
        """To a token bound to an account nothing of others exists, nor of the service."""
        await self.account("acme")
        await self.failing()
        await self.failing(account="acme")
        await self.failing(account="acme")
        self.harness.advance(60)
        monitor, acme = self.harness.connect("monitor"), self.bound("acme")
        self.assertEqual(len((await monitor.request("error_list")).data["groups"]), 2)
        (group,) = (await acme.request("error_list")).data["groups"]
        self.assertEqual(group["account"], "acme")
        foreign = {"fingerprint": group["fingerprint"], "account": "default"}
        self.refused(acme.request("error_get", foreign), "unknown_account")
        self.refused(acme.request("error_get", {"fingerprint": "0" * 16}), "unknown_error")
        kinds = {each["kind"] for each in (await monitor.request("incident_list")).data["incidents"]}
        self.assertEqual(kinds, {"error_threshold", "crawler_lost"})
        (incident,) = (await acme.request("incident_list")).data["incidents"]
        self.assertEqual((incident["kind"], incident["account"]), ("error_threshold", "acme"))
        self.assertEqual((await acme.request("incident_list", {"account": "default"})).data["incidents"], [])
        self.assertEqual((await acme.request("area_list")).data["areas"], [])
        self.refused(acme.request("audit_list"), "forbidden")

    async def test_incidents_end(self) -> None:
        """incident_list shows what goes on, or all; what is over says when."""
        await self.failing()
        await self.failing()
        self.harness.advance(6)
        monitor = self.harness.connect("monitor")
        opened = (await monitor.request("incident_list", {"open": True})).data["incidents"]
        self.assertTrue(opened)
        self.assertTrue(all("closed_at" not in each for each in opened))
        self.harness.advance(700, step=5)
        monitor = self.harness.connect("monitor")
        self.assertEqual((await monitor.request("incident_list", {"open": True})).data["incidents"], [])
        ended = (await monitor.request("incident_list", {"limit": 1})).data
        self.assertIn("closed_at", ended["incidents"][0])

    async def test_a_failure_is_kept_without_secrets(self) -> None:
        """What looks like a secret in a failure is hidden before it is kept."""
        crawler, webapp = self.harness.connect("crawler"), self.harness.connect("webapp")
        await self.submit(webapp)
        envelope = await self.take(crawler)
        token = "glpat-0123456789abcdef"
        failure = {
            "error_type": "HTTPError",
            "message": f"refused {token}",
            "recoverable": False,
            "stack": f"headers = {{'Authorization': 'Bearer {token}'}}",
            "request": {"method": "GET", "url": f"https://x.test/?private_token={token}", "status": 401},
            "context": {"private_token": "anything", "page": 3, "deep": [{"note": f"with {token}"}]},
        }
        await crawler.request("job_failed", failure, **envelope)
        view = await webapp.request("job_get", {"include": ["errors"]}, job_id=envelope["job_id"])
        (error,) = view.data["job"]["errors"]
        self.assertNotIn(token, str(error))
        self.assertEqual((error["context"]["private_token"], error["context"]["page"]), (HIDDEN, 3))
        self.assertEqual(error["request"]["status"], 401)

    async def test_audit(self) -> None:
        """audit_list shows who did what, newest first, all or one kind."""
        admin = self.harness.connect("admin")
        await admin.request("queue_pause", {"reason": "lunch"})
        await admin.request("queue_resume")
        entries = (await admin.request("audit_list", {"limit": 2})).data["entries"]
        self.assertEqual([each["action"] for each in entries], ["queue_resumed", "queue_paused"])
        entries = (await admin.request("audit_list", {"action": "queue_paused"})).data["entries"]
        self.assertEqual([each["detail"]["reason"] for each in entries], ["lunch"])
        self.refused(self.harness.connect("webapp").request("audit_list"), "forbidden")

    async def test_areas(self) -> None:
        """area_list shows what crawlers have seen, page by page."""
        crawler, webapp = self.harness.connect("crawler"), self.harness.connect("webapp")
        await self.submit(webapp)
        envelope = await self.take(crawler)
        areas = [{"kind": "group", "entity_id": str(n), "path": f"team/{n}"} for n in range(3)]
        await crawler.request("discovery", {"areas": areas}, **envelope)
        page = (await webapp.request("area_list", {"limit": 2})).data
        self.assertEqual((len(page["areas"]), "host" in page["areas"][0]), (2, False))
        rest = (await webapp.request("area_list", {"limit": 2, "cursor": page["next_cursor"]})).data
        self.assertEqual((len(rest["areas"]), "next_cursor" in rest), (1, False))
        found = (await webapp.request("area_list", {"search": "EAM/1", "kind": "group"})).data["areas"]
        self.assertEqual([each["path"] for each in found], ["team/1"])
        self.refused(webapp.request("area_list", {"cursor": "nonsense"}), "invalid_message")

    async def test_queues(self) -> None:
        """queue_list shows the queue of all and of each type, with pauses, jobs and limits."""
        admin, webapp = self.harness.connect("admin"), self.harness.connect("webapp")
        await self.submit(webapp, {"type": "crawl_user"}, {"type": "crawl_user"})
        await admin.request("queue_pause", {"job_type": "crawl_group", "reason": "maintenance"})
        data = (await admin.request("queue_list")).data
        whole, *types = data["queues"]
        self.assertEqual((whole["paused"], whole["jobs"]["queued"], "job_type" in whole), (False, 2, False))
        by_type = {each["job_type"]: each for each in types}
        self.assertEqual(by_type["crawl_user"]["jobs"]["queued"], 2)
        self.assertEqual((by_type["crawl_group"]["paused"], by_type["crawl_group"]["reason"]), (True, "maintenance"))
        self.assertEqual((data["limits"]["live_jobs"], data["limits"]["queue_limit"]), (2, 1_000_000))
        await admin.request("queue_pause")
        self.assertTrue((await admin.request("queue_list")).data["queues"][0]["paused"])
        await self.account("acme")
        bound = (await self.bound("acme").request("queue_list")).data
        self.assertEqual((sum(bound["queues"][0]["jobs"].values()), "live_jobs" in bound["limits"]), (0, False))

    async def test_notifications(self) -> None:
        """notification_test puts a test into the outbox, where notification_list shows it; it needs a channel."""
        admin = self.harness.connect("admin")
        self.refused(admin.request("notification_test"), "invalid_state")
        self.refused(
            admin.request("config_set", {"name": "webhook_url", "value": "https://hooks.test/x"}), "invalid_message"
        )
        await admin.request("config_set", {"name": "webhook_secret", "value": SECRET})
        await admin.request("config_set", {"name": "webhook_url", "value": "https://hooks.test/x"})
        (made,) = (await admin.request("notification_test")).data["notifications"]
        self.harness.advance(1)
        data = (await admin.request("notification_list")).data
        (shown,) = data["notifications"]
        self.assertEqual((data["channels"], shown["notification_id"]), (["webhook"], made["notification_id"]))
        self.assertEqual((shown["event"], shown["state"], shown["attempts"]), ("test", "waiting", 1))
        self.assertIn("ConnectionError", shown["last_error"])
        settings = {each["name"]: each["value"] for each in (await admin.request("config_get")).data["settings"]}
        self.assertEqual(
            (settings["webhook_secret"], settings["webhook_url"]), (HIDDEN, f"https://hooks.test/{HIDDEN}")
        )
        self.refused(self.harness.connect("monitor").request("notification_test"), "forbidden")
