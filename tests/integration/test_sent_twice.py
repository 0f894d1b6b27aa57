"""Every request that changes state, sent twice over the wire, acts once and is answered the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from crawlsock.wire.catalog import Catalog
from tests.integration.fault_case import FaultCase
from tests.integration.second_client import Client, Message

READS: Final = frozenset(
    {
        "account_list",
        "area_list",
        "audit_list",
        "config_get",
        "crawler_list",
        "error_get",
        "error_list",
        "incident_list",
        "job_counts",
        "job_explain",
        "job_get",
        "job_list",
        "job_tree",
        "notification_list",
        "overview_get",
        "ping",
        "progress_get",
        "queue_list",
        "status_get",
        "token_list",
    }
)
"""Requests that change nothing."""

CONNECTION: Final = frozenset(
    {
        "broadcast",
        "crawler_command",
        "heartbeat",
        "hello",
        "job_request",
        "notification_test",
        "subscribe",
        "unsubscribe",
    }
)
"""Requests whose effect ends with the connection, or that people mean each time they send them; tested where they
live."""

STATE: Final = {
    "job": "true",
    "job_queue": "true",
    "job_key": "true",
    "job_assignment": "true",
    "job_progress": "true",
    "job_milestone": "true",
    "job_result": "true",
    "job_error": "true",
    "error_group": "true",
    "area": "true",
    "queue": "true",
    "event": "true",
}


class SentTwiceTests(FaultCase):
    """A web application, an administrator and a crawler, each of which stutters."""

    webapp: Client
    admin: Client
    worker: Client
    seen: set[str]

    async def begin(self) -> None:
        """Start a server and connect everybody."""
        self.use_shared_database()
        await self.server(heartbeat_interval=10, lease_length=30)
        self.seen = set()
        self.webapp, self.admin, self.worker = (self.client(role) for role in ("webapp", "admin", "crawler"))

    def client(self, role: str) -> Client:
        """Connect a plain client."""
        client = Client(self.socket)
        self.addCleanup(client.close)
        client.hello(role, self.token(role))
        return client

    def twice(
        self, client: Client, type: str, data: Message | None = None, *, tables: dict[str, str] = STATE, **about: Any
    ) -> Message:
        """Send a request twice, the second time when the first is answered; return the answer that both got."""
        self.seen.add(type)
        first = client.ask(type, data, **about)
        after = self.dump(tables)
        second = client.ask(type, data, **about)
        self.assertNotEqual(first["type"], "error", (type, first))
        for answer in (first, second):
            answer.pop("re")
            answer.pop("timestamp", None)
        self.assertEqual(second, first, type)
        self.assertEqual(self.dump(tables), after, f"{type}, sent again, changed a row")
        return first

    def job(self, **fields: Any) -> Message:
        """Submit a job, twice, and take it; return what identifies it in a crawler's messages."""
        job_id = str(uuid.uuid4())
        item = {"job_id": job_id, "type": "crawl_project", "host": "example.com", "entity_id": job_id[:8], **fields}
        answer = self.twice(self.webapp, "job_submit", {"jobs": [item]})
        self.assertEqual(answer["data"]["items"], [{"status": "created", "job_id": job_id}])
        taken = self.worker.job()
        self.assertEqual(taken["job_id"], job_id)
        return {"job_id": job_id, "lease": taken["lease"]}

    def state(self, about: Message) -> str:
        """Return the state of a job."""
        [(state,)] = self.rows(f"SELECT state FROM crawlsock.job_queue WHERE job_id = '{about['job_id']}'")
        return str(state)

    async def test_a_crawler(self) -> None:
        """A crawler may say everything about its job twice, endings too."""
        await self.begin()
        say = self.worker
        about = self.job()
        self.twice(say, "job_started", **about)
        progress = {"seq": 1, "stage": "fetching", "entities": {"issues": {"processed": 3, "total": 4}}}
        self.twice(say, "job_progress", {**progress, "resume_state": {"page": 2}}, **about)
        entities = [{"type": "crawl_user", "entity_id": "1"}, {"type": "crawl_user", "entity_id": "2"}]
        children = [{**entity, "job_id": str(uuid.uuid4())} for entity in entities]
        made = self.twice(say, "jobs_discovered", {"jobs": children}, **about)["data"]["items"]
        self.assertEqual(made, [{"status": "created", "job_id": child["job_id"]} for child in children])
        # Found again by somebody who does not know these ids: nothing is made, and the ids come back.
        found = self.twice(say, "jobs_discovered", {"jobs": entities}, **about)["data"]["items"]
        self.assertEqual(found, [{"status": "duplicate", "job_id": child["job_id"]} for child in children])
        without_time = {**STATE, "area": "false"}
        area = {"areas": [{"kind": "group", "entity_id": "1", "path": "a", "name": "A"}]}
        self.twice(say, "discovery", area, tables=without_time, **about)
        self.assertEqual(self.rows("SELECT kind, path FROM crawlsock.area"), [("group", "a")])
        files = [{"path": "a.jsonl", "items": 4, "bytes": 10}]
        self.twice(say, "job_completed", {"entities": {"issues": {"processed": 4}}, "files": files}, **about)
        self.assertEqual(self.state(about), "completed")
        self.webapp.ask("job_cancel", {"tree": True}, job_id=about["job_id"])

        endings: dict[str, tuple[Message, str]] = {
            "job_failed": ({"error_type": "E", "message": "m", "recoverable": True, "retry_after": 900}, "queued"),
            "job_released": ({"reason": "leaving", "resume_state": {"page": 3}}, "queued"),
            "job_cancelled": ({}, "cancelled"),
        }
        for type, (data, state) in endings.items():
            about = self.job()
            self.twice(say, type, data, **about)
            self.assertEqual(self.state(about), state, type)
            self.webapp.ask("job_cancel", {}, job_id=about["job_id"])

    async def test_a_web_application(self) -> None:
        """A web application may steer a job twice, and store a credential twice."""
        await self.begin()
        steer = self.webapp
        job_id = str(uuid.uuid4())
        steer.ask("job_submit", {"jobs": [{"job_id": job_id, "type": "crawl_user"}]})
        for type, state in (
            ("job_pause", "paused"),
            ("job_resume", "queued"),
            ("job_cancel", "cancelled"),
            ("job_retry", "queued"),
        ):
            self.stutter(lambda type=type: steer.ask(type, {"reason": "r"}, job_id=job_id), type)  # type: ignore[misc]
            self.assertEqual(self.state({"job_id": job_id}), state, type)
        every = {"verb": "cancel", "filter": {"root_id": job_id}}
        self.stutter(lambda: steer.ask("job_control", every), "job_control")
        self.assertEqual(self.state({"job_id": job_id}), "cancelled")
        credential = {"account": "a", "host": "https://example.com", "kind": "personal", "access_token": "secret"}
        self.stutter(lambda: steer.ask("credential_put", credential), "credential_put")
        self.assertEqual(
            self.rows("SELECT account, state FROM crawlsock.account WHERE account = 'a'"), [("a", "valid")]
        )

    def stutter(self, ask: Callable[[], Message], type: str) -> None:
        """Ask twice; no job or queue is other than after the first time. The feed and the audit may tell of both."""
        self.seen.add(type)
        tables = {name: condition for name, condition in STATE.items() if name != "event"}
        self.assertNotEqual(ask()["type"], "error", type)
        after = self.dump(tables)
        self.assertNotEqual(ask()["type"], "error", type)
        self.assertEqual(self.dump(tables), after, f"{type}, sent again, changed a row")

    async def test_an_administrator(self) -> None:
        """An administrator may pause and resume queues, set a setting and revoke a token twice."""
        await self.begin()
        rule = self.admin
        self.stutter(lambda: rule.ask("queue_pause", {"job_type": "crawl_user"}), "queue_pause")
        self.assertEqual(self.rows("SELECT job_type, paused FROM crawlsock.queue"), [("crawl_user", True)])
        self.stutter(lambda: rule.ask("queue_resume", {"job_type": "crawl_user"}), "queue_resume")
        self.stutter(lambda: rule.ask("config_set", {"name": "queue_limit", "value": "5000"}), "config_set")
        made = rule.ask("token_create", {"role": "monitor", "name": "m"})["data"]
        revoked = "SELECT revoked_at FROM crawlsock.auth_token WHERE name = 'm'"
        rule.ask("token_revoke", {"token_id": made["token_id"]})
        before = self.rows(revoked)
        self.assertEqual(rule.ask("token_revoke", {"token_id": made["token_id"]})["type"], "ack")
        self.assertEqual(self.rows(revoked), before)

    def test_nothing_is_forgotten(self) -> None:
        """These tests know every request there is."""
        here = {
            "job_started",
            "job_progress",
            "jobs_discovered",
            "discovery",
            "job_completed",
            "job_failed",
            "job_released",
            "job_cancelled",
            "job_submit",
            "job_pause",
            "job_resume",
            "job_cancel",
            "job_control",
            "job_retry",
            "credential_put",
            "queue_pause",
            "queue_resume",
            "config_set",
            "token_revoke",
        }
        # A token, or a link that signs in, is shown once, so each creation makes another; a refresh happens once a
        # generation: tests/duties.
        elsewhere = {"token_create", "login_create", "token_refresh_request"}
        requests = {name for name, type_ in Catalog.load().types.items() if type_.requests_from}
        self.assertEqual(requests - READS - CONNECTION - elsewhere, here)
