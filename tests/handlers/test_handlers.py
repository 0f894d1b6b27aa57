"""Every handler, through the wire."""

from __future__ import annotations

from typing import Any

from crawlsock import handlers
from crawlsock.masking import HIDDEN
from crawlsock.server import routes
from crawlsock.testing.harness import WirePeer
from tests.server.base import HarnessCase


class WorkTests(HarnessCase):
    async def running(self, **job: Any) -> tuple[WirePeer, WirePeer, dict[str, str]]:
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp, job)
        return webapp, crawler, await self.take(crawler)

    async def test_started(self) -> None:
        """job_started makes an assigned job a running one."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        job = await self.take(crawler, started=False)
        self.assertEqual((await self.state(webapp, job["job_id"]))["state"], "assigned")
        await crawler.request("job_started", **job)
        self.assertEqual((await self.state(webapp, job["job_id"]))["state"], "running")

    async def test_progress(self) -> None:
        """job_progress is seen by who asks, and never goes back."""
        webapp, crawler, job = await self.running()
        report = {"stage": "fetching", "entities": {"issues": {"discovered": 10, "processed": 4, "total": 10}}}
        await crawler.request("job_progress", {"seq": 2, "message": "page 2", **report}, **job)
        report["entities"]["issues"]["processed"] = 1  # type: ignore[index]
        await crawler.request("job_progress", {"seq": 1, **report}, **job)
        reply = await webapp.request("progress_get", {"scope": "job"}, job_id=job["job_id"])
        progress = reply.data["progress"]
        self.assertEqual((progress["processed"], progress["message"], progress["stage"]), (4, "page 2", "fetching"))

    async def test_discovered(self) -> None:
        """jobs_discovered answers one status an item, and the same again when it is sent again."""
        webapp, crawler, job = await self.running()
        items = {"jobs": [{"type": "crawl_user", "entity_id": str(n)} for n in (1, 2, 1)]}
        first = (await crawler.request("jobs_discovered", items, **job)).data["items"]
        self.assertEqual([item["status"] for item in first], ["created", "created", "duplicate"])
        self.assertEqual(first[0]["job_id"], first[2]["job_id"])
        again = (await crawler.request("jobs_discovered", items, **job)).data["items"]
        self.assertEqual([item["job_id"] for item in again], [item["job_id"] for item in first])
        view = await webapp.request("job_get", {"include": ["children"]}, job_id=job["job_id"])
        self.assertEqual(view.data["job"]["children"]["queued"], 2)

    async def test_areas(self) -> None:
        """discovery records areas under the account of the job."""
        _, crawler, job = await self.running()
        area = {"kind": "group", "entity_id": "7", "path": "a/b", "colour": "blue"}
        await crawler.request("discovery", {"areas": [area]}, **job)
        ((account, known),) = self.harness.store.known_areas
        self.assertEqual((account, known.path), ("default", "a/b"))

    async def test_completed(self) -> None:
        """job_completed ends the job with counts, files and summary."""
        webapp, crawler, job = await self.running()
        files = [{"path": "a/issues.jsonl", "items": 3, "bytes": 900}]
        await crawler.request(
            "job_completed", {"entities": {"issues": {"processed": 3}}, "files": files, "summary": {"n": 1}}, **job
        )
        view = await self.state(webapp, job["job_id"])
        self.assertEqual((view["state"], view["files"], view["summary"]), ("completed", files, {"n": 1}))

    async def test_failed(self) -> None:
        """job_failed counts a failure with everything it says, and the job is tried again."""
        webapp, crawler, job = await self.running(max_attempts=2)
        failure = {
            "error_type": "HTTPError",
            "message": "500",
            "recoverable": True,
            "retry_after": 3,
            "context": {"page": 4},
            "stack": "Traceback",
            "request": {"method": "GET", "url": "https://gitlab.example.com/api", "status": 500},
            "resume_state": {"page": 4},
        }
        await crawler.request("job_failed", failure, **job)
        view = (await webapp.request("job_get", {"include": ["errors"]}, job_id=job["job_id"])).data["job"]
        self.assertEqual((view["state"], view["failures"]), ("queued", 1))
        self.assertEqual(view["errors"][0]["context"], {"page": 4})
        self.harness.advance(3)
        (again,) = (await crawler.request("job_request", {"slots": 1})).data["jobs"]
        self.assertEqual((again["attempt"], again["resume_state"]), (2, {"page": 4}))

    async def test_released(self) -> None:
        """job_released hands the job back unharmed, with where to go on from."""
        webapp, crawler, job = await self.running()
        await crawler.request("job_released", {"reason": "drain", "resume_state": {"page": 9}}, **job)
        view = await self.state(webapp, job["job_id"])
        self.assertEqual((view["state"], view["failures"], view["releases"]), ("queued", 0, 1))

    async def test_database_away(self) -> None:
        """While the database is away nothing is acknowledged, and the same request succeeds later."""
        webapp, crawler, job = await self.running()
        self.harness.store.take_down()
        refusal = self.refused(crawler.request("job_completed", {}, **job), "unavailable")
        self.assertIsNotNone(refusal.retry_after)
        self.assertIsNone(crawler.closed)
        self.harness.store.bring_up()
        await crawler.request("job_completed", {}, **job)
        self.assertEqual((await self.state(webapp, job["job_id"]))["state"], "completed")


class ControlTests(HarnessCase):
    async def test_submit(self) -> None:
        """job_submit answers each item by itself, and a client's own id makes one job however often it comes."""
        webapp = self.harness.connect("webapp")
        mine = "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11"
        jobs = [
            {"type": "crawl_group", "job_id": mine, "job_key": "nightly", "run_at": "2030-01-01T00:00:00Z"},
            {"type": "crawl_group", "job_key": "nightly"},
            {"type": "crawl_group", "account": "nobody"},
            {"type": "crawl_user", "labels": ["gpu"], "backoff": {"base": 1, "cap": 2}},
        ]
        for _ in range(2):
            items = (await webapp.request("job_submit", {"jobs": jobs})).data["items"]
            self.assertEqual([item["status"] for item in items], ["created", "duplicate", "invalid", "created"])
            self.assertEqual((items[0]["job_id"], items[1]["job_id"]), (mine, mine))
            self.assertEqual(items[2]["error"]["code"], "unknown_account")
        view = await self.state(webapp, mine)
        self.assertEqual(view["run_at"], "2030-01-01T00:00:00.000000Z")

    async def test_cancel_pause_resume_retry(self) -> None:
        """The four controls do what they say, and answer how many jobs it was."""
        webapp = self.harness.connect("webapp")
        (job_id,) = await self.submit(webapp)
        for type, state in (
            ("job_pause", "paused"),
            ("job_resume", "queued"),
            ("job_cancel", "cancelled"),
            ("job_retry", "queued"),
        ):
            reply = await webapp.request(type, {"reason": "test"}, job_id=job_id)
            self.assertEqual(reply.data, {"affected": 1})
            self.assertEqual((await self.state(webapp, job_id))["state"], state)

    async def test_refusals(self) -> None:
        """What cannot be done is refused with a typed error: no such job, wrong state."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        nobody = "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11"
        for type in ("job_cancel", "job_pause", "job_resume", "job_retry", "job_get"):
            self.refused(webapp.request(type, job_id=nobody), "unknown_job")
        (job_id,) = await self.submit(webapp)
        job = await self.take(crawler)
        self.refused(webapp.request("job_retry", job_id=job_id), "invalid_state")
        await crawler.request("job_completed", {}, **job)
        self.refused(webapp.request("job_cancel", job_id=job_id), "invalid_state")


class ReadTests(HarnessCase):
    async def test_list(self) -> None:
        """job_list filters and pages, and leaves out what may be large."""
        webapp = self.harness.connect("webapp")
        await self.submit(webapp, *({"name": f"job {n}", "payload": {"n": n}} for n in range(5)))
        first = (await webapp.request("job_list", {"limit": 3, "states": ["queued"]})).data
        rest = (await webapp.request("job_list", {"limit": 3, "cursor": first["next_cursor"]})).data
        self.assertEqual((len(first["jobs"]), len(rest["jobs"]), "next_cursor" in rest), (3, 2, False))
        self.assertNotIn("payload", first["jobs"][0])
        found = (await webapp.request("job_list", {"search": "job 4"})).data["jobs"]
        self.assertEqual([job["name"] for job in found], ["job 4"])

    async def test_payload_is_masked(self) -> None:
        """What looks like a secret in a payload is shown to nobody, and given to the crawler as it was."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        payload = {"token": "hush", "deep": [{"password": "hush"}, "Bearer abcdefgh"], "since": "2026"}
        (job_id,) = await self.submit(webapp, {"payload": payload})
        shown = (await self.state(webapp, job_id))["payload"]
        self.assertEqual(shown["token"], HIDDEN)
        self.assertEqual(shown["deep"][0]["password"], HIDDEN)
        self.assertNotIn("abcdefgh", str(shown))
        self.assertEqual(shown["since"], "2026")
        (job,) = (await crawler.request("job_request", {"slots": 1})).data["jobs"]
        self.assertEqual(job["payload"], payload)

    async def test_secrets_in_a_summary(self) -> None:
        """job_get shows what a crawler left behind, without what looks like a secret in it."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        job = await self.take(crawler)
        summary = {"issues": 3, "clone_url": "https://oauth2:glpat-abcdefgh1234@gitlab.test/a.git"}
        await crawler.request("job_completed", {"summary": summary}, **job)
        shown = (await self.state(webapp, job["job_id"]))["summary"]
        self.assertEqual(shown["issues"], 3)
        self.assertNotIn("glpat-", str(shown))

    async def test_progress_scopes(self) -> None:
        """progress_get answers for a job, a tree, an account and everything, and says what is missing."""
        webapp = self.harness.connect("webapp")
        (job_id,) = await self.submit(webapp)
        for scope in ("job", "tree"):
            reply = await webapp.request("progress_get", {"scope": scope}, job_id=job_id)
            self.assertEqual(reply.data["progress"]["scope"], scope)
            self.refused(webapp.request("progress_get", {"scope": scope}), "invalid_message")
        await webapp.request("progress_get", {"scope": "all"})
        await webapp.request("progress_get", {"scope": "account", "account": "default"})
        self.refused(webapp.request("progress_get", {"scope": "account"}), "invalid_message")
        self.refused(webapp.request("progress_get", {"scope": "account", "account": "x"}), "unknown_account")

    async def test_crawlers(self) -> None:
        """crawler_list shows what crawlers said about themselves."""
        crawler = self.harness.connect("crawler", crawler_id="c", slots=3, labels=["eu"], hostname="h", pid=5)
        budgets = [{"host": "g.example.com", "limit": 600, "remaining": 5, "resets_at": "2026-11-23T10:16:30Z"}]
        beat = {"status": "crawling", "active_jobs": [], "memory_bytes": 77, "hosts": budgets}
        await crawler.request("heartbeat", beat)
        (view,) = (await self.harness.connect("monitor").request("crawler_list")).data["crawlers"]
        self.assertEqual(
            (view["crawler_id"], view["slots"], view["labels"], view["memory_bytes"], view["status"], view["state"]),
            ("c", 3, ["eu"], 77, "crawling", "connected"),
        )
        self.assertEqual(view["hosts"], budgets)

    async def test_status_without_database(self) -> None:
        """status_get answers also when the database is away, and says so."""
        monitor = self.harness.connect("monitor")
        self.assertEqual((await monitor.request("status_get")).data["database"]["state"], "up")
        self.harness.store.take_down()
        status = (await monitor.request("status_get")).data
        self.assertEqual((status["database"]["state"], status["jobs"]), ("down", {}))

    async def test_bound_token(self) -> None:
        """To a token bound to accounts, everything of the others does not exist."""
        admin = self.harness.connect("admin")
        credential = {"account": "team", "host": "g.example.com", "kind": "personal", "access_token": "secret-1"}
        await admin.request("credential_put", credential)
        webapp = self.harness.connect("webapp", token=self.harness.token("webapp", frozenset({"team"})))
        theirs, mine = await self.submit(admin, {}, {"account": "team"})
        for type in ("job_get", "job_cancel", "job_pause", "job_resume", "job_retry"):
            self.refused(webapp.request(type, job_id=theirs), "unknown_job")
        self.refused(webapp.request("progress_get", {"scope": "job"}, job_id=theirs), "unknown_job")
        self.refused(webapp.request("progress_get", {"scope": "all"}), "forbidden")
        self.refused(webapp.request("subscribe", {"filter": {"job_id": theirs}}), "unknown_job")
        self.refused(webapp.request("credential_put", {**credential, "account": "other"}), "unknown_account")
        listed = (await webapp.request("job_list")).data["jobs"]
        self.assertEqual([job["job_id"] for job in listed], [mine])
        accounts = (await webapp.request("account_list")).data["accounts"]
        self.assertEqual([each["account"] for each in accounts], ["team"])
        status = (await webapp.request("status_get")).data
        self.assertEqual((status["jobs"]["queued"], "health" in status), (1, False))
        self.assertEqual((await admin.request("status_get")).data["jobs"]["queued"], 2)
        (item,) = (await webapp.request("job_submit", {"jobs": [{"type": "crawl_user"}]})).data["items"]
        self.assertEqual((item["status"], item["error"]["code"]), ("invalid", "forbidden"))


class AdminTests(HarnessCase):
    async def test_crawler_commands(self) -> None:
        """crawler_command pauses, resumes, drains and disconnects, and is in the audit."""
        admin = self.harness.connect("admin")
        crawler = self.harness.connect("crawler", crawler_id="c")
        for command in ("pause", "resume", "drain", "disconnect"):
            await admin.request("crawler_command", {"crawler_id": "c", "command": command, "reason": "test"})
        self.harness.settle()
        self.assertEqual([push.type for push in crawler.pushes], ["crawler_pause", "crawler_resume", "shutdown"])
        self.assertIsNotNone(crawler.closed)
        self.assertEqual(
            [each["action"] for each in self.harness.store.audits if each["action"].startswith("crawler_")],
            ["crawler_pause", "crawler_resume", "crawler_drain", "crawler_disconnect"],
        )
        self.assertEqual((await admin.request("crawler_list")).data["crawlers"], [])

    async def test_unknown_crawler(self) -> None:
        """A command for a crawler that is not here is refused."""
        admin = self.harness.connect("admin")
        command = {"crawler_id": "nobody", "command": "pause"}
        self.refused(admin.request("crawler_command", command), "unknown_crawler")

    async def test_silent_crawler(self) -> None:
        """A command that the crawler does not answer is refused as unavailable."""
        admin = self.harness.connect("admin")
        self.harness.connect("crawler", crawler_id="c", answers_pushes=False)
        reply = admin.request("crawler_command", {"crawler_id": "c", "command": "pause"})
        self.harness.advance(10)
        self.refused(reply, "unavailable")

    async def test_queues(self) -> None:
        """A paused queue gives out nothing until it is resumed."""
        admin, crawler = self.harness.connect("admin"), self.harness.connect("crawler")
        await crawler.request("job_request", {"slots": 5})
        await admin.request("queue_pause", {"job_type": "crawl_project", "reason": "test"})
        await self.submit(admin, {}, {"type": "crawl_group"})
        self.assertEqual([push.data["type"] for push in crawler.pushed("job_assignment")], ["crawl_group"])
        await admin.request("queue_resume", {"job_type": "crawl_project"})
        self.harness.settle()
        self.assertEqual(len(crawler.pushed("job_assignment")), 2)

    async def test_settings(self) -> None:
        """Settings are shown without secrets; what may change changes, and what may not is refused by its reason."""
        admin = self.harness.connect("admin")
        await admin.request("config_set", {"name": "poll_interval", "value": "250 ms"})
        self.assertEqual(self.harness.settings.current.poll_interval, 0.25)
        self.assertEqual(self.harness.server.duties["poll"].interval, 0.25)
        settings = {each["name"]: each for each in (await admin.request("config_get")).data["settings"]}
        self.assertEqual(settings["poll_interval"]["value"], "250 ms")
        self.refused(admin.request("config_set", {"name": "poll_intervall", "value": "1"}), "unknown_setting")
        self.refused(admin.request("config_set", {"name": "data_dir", "value": "/x"}), "not_reloadable")
        change = {"name": "poll_interval", "value": "soon"}
        refusal = self.refused(admin.request("config_set", change), "invalid_message")
        self.assertEqual(refusal.pointer, "/data/value")

    async def test_broadcast(self) -> None:
        """A broadcast reaches everybody, and who made it is in the audit."""
        admin, crawler = self.harness.connect("admin"), self.harness.connect("crawler")
        await admin.request("broadcast", {"message": "lunch"})
        self.harness.settle()
        self.assertEqual([push.data["message"] for push in crawler.pushed("broadcast")], ["lunch"])
        (entry,) = [each for each in self.harness.store.audits if each["action"] == "broadcast"]
        self.assertIn("admin", entry["actor"])

    async def test_tokens(self) -> None:
        """A token that was made works, is listed without itself, and ends when it is revoked."""
        admin = self.harness.connect("admin")
        made = (await admin.request("token_create", {"role": "monitor", "name": "wall", "accounts": ["team"]})).data
        self.harness.connect("monitor", token=made["token"])
        listed = (await admin.request("token_list")).data["tokens"]
        (row,) = [each for each in listed if each["token_id"] == made["token_id"]]
        self.assertEqual((row["role"], row["name"]), ("monitor", "wall"))
        self.assertNotIn(made["token"], str(listed))
        await admin.request("token_revoke", {"token_id": made["token_id"]})
        peer = self.harness.dial()
        self.refused(self.harness.hello(peer, "monitor", token=made["token"]), "authentication_failed")

    async def test_tokens_that_cannot_be_bound(self) -> None:
        """A token whose role concerns all accounts is not made as if it were bound to some."""
        admin = self.harness.connect("admin")
        for role in ("admin", "crawler"):
            wanted = {"role": role, "name": "half", "accounts": ["team"]}
            refusal = self.refused(admin.request("token_create", wanted), "invalid_message")
            self.assertEqual(refusal.pointer, "/data/accounts")


class RoleTests(HarnessCase):
    def test_every_type_for_every_role(self) -> None:
        """Each role may send what its schemas say, and everything else is forbidden to it."""
        catalog = self.harness.server.router.catalog
        for role in ("crawler", "webapp", "monitor", "admin"):
            for name, message_type in routes.requests_of(catalog).items():
                if role in message_type.requests_from:
                    continue
                peer = self.harness.connect(role)
                example = dict(message_type.examples[0])
                envelope = {key: example[key] for key in ("job_id", "lease") if key in example}
                self.refused(peer.request(name, example.get("data"), **envelope), "forbidden")

    def test_every_handler_is_documented(self) -> None:
        """Every handler says in a sentence what it does."""
        for name, handler in routes.find_handlers(*handlers.modules()).items():
            self.assertTrue(handler.__doc__, name)


class RateTests(HarnessCase):
    settings = {"rate_limit_requests": "10", "rate_limit_burst": "20"}

    def test_rate(self) -> None:
        """Above its rate a peer is put off with a time, and served after it."""
        webapp = self.harness.connect("webapp")
        for _ in range(20):
            self.successResultOf(webapp.request("ping"))
        refusal = self.refused(webapp.request("ping"), "rate_limited")
        assert refusal.retry_after is not None
        self.assertAlmostEqual(refusal.retry_after, 0.1, places=2)
        self.harness.clock.advance(refusal.retry_after)
        self.successResultOf(webapp.request("ping"))
        self.refused(webapp.request("ping"), "rate_limited")

    def test_for_long(self) -> None:
        """Over a long time a peer gets its rate, not more and not less."""
        webapp = self.harness.connect("webapp")
        served = 0
        for _ in range(300):
            self.harness.clock.advance(0.05)
            for _ in range(3):
                reply = webapp.request("ping")
                reply.addErrback(lambda _: None)
                served += getattr(reply, "result", None) is not None
        self.assertLess(abs(served - (20 + 10 * 15)), 4)

    def test_statistics(self) -> None:
        """Requests are counted by role and type, refusals by their code."""
        webapp = self.harness.connect("webapp")
        for _ in range(25):
            webapp.request("ping").addErrback(lambda _: None)
        row = self.harness.server.timing.rows["webapp", "ping"]
        self.assertEqual((row.count, row.refused), (25, {"rate_limited": 5}))
        self.assertGreater(row.slowest, 0)
