"""Nobody writes with a lost lease: a crawler that slept too long changes nothing, whatever it says."""

from __future__ import annotations

from typing import Any, Final

from crawlsock.wire.catalog import Catalog
from tests.integration.fault_case import HEARTBEAT, LEASE, FaultCase
from tests.integration.processes import until
from tests.integration.sample import shared_sample
from tests.integration.second_client import Client

ALL: Final = dict.fromkeys(
    (
        "job",
        "job_queue",
        "job_key",
        "job_assignment",
        "job_progress",
        "job_milestone",
        "job_result",
        "job_error",
        "error_group",
        "area",
        "event",
        "account",
    ),
    "true",
)
"""Every table that a crawler's message about a job may write to."""


class FrozenTests(FaultCase):
    """A crawler that is stopped beyond its lease and then goes on."""

    async def test_a_frozen_crawler(self) -> None:
        """A frozen crawler's jobs go to another within its lease; when it goes on, it does no harm and works again."""
        self.use_shared_database()
        self.sample = await shared_sample()
        await self.server()
        frozen = self.crawler("frozen")
        webapp = await self.manager()
        root = await self.crawl(webapp)
        await self.half_way(0.2)
        frozen.freeze()
        [(stopped_at,)] = self.rows("SELECT clock_timestamp()")
        held = {job for (job,) in self.rows("SELECT job_id FROM crawlsock.job_queue WHERE session_id IS NOT NULL "
                                            "AND finished_at IS NULL")}  # fmt: skip
        self.assertTrue(held)
        self.crawler("other", slots=4)
        lost = "SELECT job_id, ended_at FROM crawlsock.job_assignment WHERE outcome = 'lost'"
        await until("the frozen crawler's jobs go back", lambda: len(self.rows(lost)) == len(held))
        ended: list[Any] = self.rows(lost)
        self.assertEqual({job for job, _ in ended}, held)
        for _, ended_at in ended:
            self.assertLess((ended_at - stopped_at).total_seconds(), LEASE + 2 * HEARTBEAT)
        again = "SELECT job_id FROM crawlsock.job_queue WHERE attempt = 2 AND state IN ('running', 'completed')"
        await until("another crawler has them", lambda: len(self.rows(again)) == len(held))
        frozen.thaw()
        await self.assert_whole(webapp, root)
        self.assertEqual(
            {job for (job,) in self.rows("SELECT job_id FROM crawlsock.job_queue WHERE attempt > 1")}, held
        )
        self.assertEqual(self.rows("SELECT * FROM crawlsock.job_error"), [])
        await until("it has a new session", lambda: len(self.rows("SELECT FROM crawlsock.crawler_session WHERE "
                                                                  "crawler_id = 'frozen'")) == 2)  # fmt: skip
        self.assertTrue(frozen.alive)


class EveryMessageTests(FaultCase):
    """A peer that says everything a crawler can say, with a lease that is no longer its own."""

    def messages(self) -> dict[str, Any]:
        """Return the body of the first example of every request that carries a lease."""
        catalog = Catalog.load()
        return {
            name: dict(type_.examples[0]).get("data", {})
            for name, type_ in catalog.types.items()
            if type_.about_job == "lease" and "crawler" in type_.requests_from
        }

    def assert_all_refused(self, client: Client, lost: dict[str, str]) -> None:
        """Say everything; each is answered `lease_lost`, and no row is another one than before."""
        before = self.dump(ALL)
        for name, data in self.messages().items():
            answer = client.ask(name, data, **lost)
            self.assertEqual((name, answer["data"].get("code")), (name, "lease_lost"))
        self.assertEqual(self.dump(ALL), before)
        self.assertEqual(client.ask("ping", {})["type"], "ack")

    async def test_every_message(self) -> None:
        """After the job has gone to another, each message type with the old lease is refused and changes no row."""
        self.use_shared_database()
        # Nobody looks for incidents meanwhile: that somebody was lost is one, and would be told in the feed.
        await self.server(heartbeat_interval=10, lease_length=30, incident_interval=3600)
        self.assertEqual(len(self.messages()), 9)
        webapp, old = Client(self.socket), Client(self.socket)
        webapp.hello("webapp", self.token("webapp"))
        webapp.ask("job_submit", {"jobs": [{"type": "crawl_project", "host": "example.com", "entity_id": "1"}]})
        old.hello("crawler", self.token("crawler"), crawler_id="old")
        job = old.job()
        lost = {"job_id": job["job_id"], "lease": job["lease"]}
        for number in (
            old.send("job_started", **lost),
            old.send("job_progress", {"seq": 1, "stage": "fetching", "resume_state": {"page": 3}}, **lost),
        ):
            self.assertEqual(old.reply(number)["type"], "ack")
        # Its deadline passes, by the only clock that counts.
        self.rows("UPDATE crawlsock.crawler_session SET deadline = now() - interval '1 s'")
        gone = "SELECT FROM crawlsock.crawler_session WHERE crawler_id = 'old' AND ended_at IS NOT NULL"
        await until("its session ends", lambda: self.rows(gone))

        new = Client(self.socket)
        new.hello("crawler", self.token("crawler"), crawler_id="new")
        taken = new.job()
        self.assertEqual((taken["job_id"], taken["attempt"], taken["resume_state"]), (job["job_id"], 2, {"page": 3}))
        held = {"job_id": taken["job_id"], "lease": taken["lease"]}
        self.assertEqual(new.ask("job_started", **held)["type"], "ack")

        self.assert_all_refused(old, lost)
        refused = old.ask("heartbeat", {"status": "crawling", "active_jobs": [job["job_id"]]})
        self.assertEqual(refused["data"]["code"], "session_expired")
        old.hello("crawler", self.token("crawler"), crawler_id="old")
        with self.subTest("with a new session and the old lease"):
            self.assert_all_refused(old, lost)
        with self.subTest("with a lease that is another's"):
            self.assert_all_refused(old, held)
        self.assertEqual(new.ask("job_completed", {}, **held)["type"], "ack")
        with self.subTest("when the job is over"):
            self.assert_all_refused(old, lost)
        for client in (webapp, old, new):
            client.close()
