"""A server that is brought into a state tells numbers on which the alert about that state fires; before, it did not."""

from __future__ import annotations

from typing import Any

from crawlsock.server.pulse import Disk
from crawlsock.store.errors import DatabaseAway
from crawlsock.web.resource import Answer, WebResource
from tests.metrics import prom
from tests.metrics.live_case import LiveCase


class Broken(WebResource):
    """A page with a bug."""

    isLeaf = True

    async def get(self, request: object) -> Answer:
        """Fail."""
        raise ZeroDivisionError


class ServerAlerts(LiveCase):
    """Alerts about the server and its database."""

    async def test_the_database_is_away(self) -> None:
        """Without a database the server is not ready, one of its checks is bad, and it says so."""

        def lose() -> None:
            self.store.take_down()
            self.pass_time(2)

        await self.fires(("CrawlsockDatabaseAway", "CrawlsockNotReady", "CrawlsockCheckBad"), lose)

    async def test_the_reactor_is_blocked(self) -> None:
        """Timers that come late, all the time, are lag."""

        def block() -> None:
            for _ in range(50):
                self.harness.clock.advance(0.25 + 0.6)

        await self.fires("CrawlsockReactorLag", block, prom.repeated)

    async def test_a_duty_fails(self) -> None:
        """A duty that raises, run after run."""

        def break_it() -> None:
            self.store.broken = True
            for _ in range(6):
                self.harness.server.duties["prune"].wake()
                self.pass_time(0.25)
            self.flushLoggedErrors(ZeroDivisionError)

        await self.fires("CrawlsockDutyFailing", break_it)

    async def test_a_duty_is_overdue(self) -> None:
        """A duty that no longer runs leaves the time of its last success behind."""
        self.harness.server.duties["prune"].stop()
        scrape = self.scrape()
        self.assertTrue(any(name.startswith("crawlsock_duty_last_success") for name in scrape))
        self.assertEqual(prom.check({"CrawlsockDutyOverdue": prom.held(scrape, scrape)}, loud=True), "")
        going = {name: "0+60x120" for name in scrape if name.startswith("crawlsock_duty_last_success")}
        self.assertEqual(prom.check({"CrawlsockDutyOverdue": going}, loud=False), "")

    async def test_a_request_meets_a_bug(self) -> None:
        """A handler that fails is told as internal."""
        webapp = self.harness.connect("webapp")

        def ask() -> None:
            self.store.broken = True
            self.refused(webapp.request("job_submit", {"jobs": [{"type": "crawl_user"}]}), "internal")
            self.flushLoggedErrors(ZeroDivisionError)

        await self.fires("CrawlsockBug", ask)

    async def test_a_page_meets_a_bug(self) -> None:
        """A page that fails is a response with status 500."""
        self.harness.web.root.putChild(b"broken", Broken())
        self.successResultOf(self.harness.http("GET", "/livez"))
        self.harness.web.site.responses.setdefault(500, 0)

        def ask() -> None:
            self.assertEqual(self.successResultOf(self.harness.http("GET", "/broken")).status, 500)
            self.flushLoggedErrors(ZeroDivisionError)

        await self.fires("CrawlsockHttpErrors", ask)

    async def test_the_disk_fills(self) -> None:
        """What the pulse sees of the disk makes both alerts."""

        def fill() -> None:
            self.harness.server.pulse.disk = Disk(2, 100)

        await self.fires(("CrawlsockDiskFilling", "CrawlsockDiskFull"), fill)

    async def test_a_transaction_holds_the_feed_back(self) -> None:
        """What the database says of it reaches the alert."""

        def hold() -> None:
            self.store.held_back = 100.0
            self.pass_time(11)

        await self.fires("CrawlsockFeedHeldBack", hold)

    async def test_the_database_runs_out_of_connections(self) -> None:
        """What the database says of it reaches the alert."""

        def take() -> None:
            self.store.connections = 95
            self.pass_time(11)

        await self.fires("CrawlsockDatabaseConnectionsLow", take)

    async def test_the_feed_cannot_be_read(self) -> None:
        """A follower that waits for a store that is away makes the feed lag."""
        self.harness.connect("monitor").request("subscribe", {})

        def lose() -> None:
            self.store.take_down()
            self.pass_time(40)

        await self.fires("CrawlsockFeedBehind", lose)


class EngineAlerts(LiveCase):
    """Alerts about what is between the server and its database."""

    async def test_notifications_do_not_come_back(self) -> None:
        """A proxy that pools transactions takes every probe and delivers none: the listener is deaf, and says so."""

        def swallow() -> None:
            for _ in range(8):
                self.pass_time(5)
                while self.engine.link.answers:
                    self.engine.link.answer()

        self.engine.notify()
        await self.fires("CrawlsockListenerDeaf", swallow)
        self.assertTrue(self.engine.listener.deaf)

    async def test_a_commit_hangs(self) -> None:
        """A group that is not committed has been under way for longer and longer."""

        def hang() -> None:
            self.engine.write()
            self.pass_time(30)

        await self.fires("CrawlsockCommitStuck", hang)

    async def test_commits_are_slow(self) -> None:
        """Groups that take seconds, one after the other."""

        def crawl() -> None:
            for _ in range(5):
                self.engine.write()
                self.pass_time(3)
                self.engine.commit()

        await self.fires("CrawlsockCommitSlow", crawl, prom.repeated)

    async def test_writes_are_given_up(self) -> None:
        """A group whose database stays away is answered, and counted."""

        def lose() -> None:
            self.engine.write()
            for _ in range(200):
                if not self.engine.under_way[-1].called:
                    self.engine.under_way[-1].errback(DatabaseAway("gone"))
                self.pass_time(0.25)

        await self.fires("CrawlsockWritesGivenUp", lose)

    async def test_reads_wait_for_a_connection(self) -> None:
        """A call that finds every connection in use waits, and is seen to."""

        def take() -> None:
            self.engine.pool.acquire()
            self.engine.pool.acquire().addErrback(lambda _: None)
            self.pass_time(3)

        await self.fires("CrawlsockPoolExhausted", take)


class JobAlerts(LiveCase):
    """Alerts about jobs, brought about by a web application and a crawler."""

    def setUp(self) -> None:
        super().setUp()
        self.webapp = self.harness.connect("webapp")

    async def ended(self, count: int, type: str, data: dict[str, Any]) -> None:
        """Take so many jobs and end them by this message."""
        crawler = self.harness.connect("crawler")
        for _ in range(count):
            await self.submit(self.webapp)
            await crawler.request(type, data, **await self.take(crawler))

    async def test_jobs_wait_for_a_crawler(self) -> None:
        """Jobs are queued and nobody is there."""
        crawler = self.harness.connect("crawler")

        async def leave() -> None:
            crawler.close()
            await self.submit(self.webapp)
            self.pass_time(2)

        await self.fires("CrawlsockNoCrawlers", leave())

    async def test_the_queue_stalls(self) -> None:
        """A job that needs what no crawler has is overdue while a crawler asks; after an hour the queue is slow."""

        async def stall() -> None:
            await self.submit(self.webapp, {"labels": ["gpu"]})
            self.pass_time(80)
            self.harness.connect("crawler").request("job_request", {"slots": 3})

        await self.fires("CrawlsockQueueStalled", stall())
        scrape = self.scrape()
        self.pass_time(3700)
        self.assertEqual(prom.check({"CrawlsockQueueSlow": prom.held(scrape, self.scrape())}, loud=True), "")

    async def test_everything_is_paused(self) -> None:
        """An administrator has paused all queues, and forgets it."""

        async def pause() -> None:
            await self.harness.connect("admin").request("queue_pause", {})
            self.pass_time(11)

        await self.fires("CrawlsockQueuePaused", pause())

    async def test_jobs_fail(self) -> None:
        """A fifth of all attempts fail."""
        failure = {"error_type": "x", "message": "y", "recoverable": False}

        async def work() -> None:
            await self.ended(8, "job_completed", {"entities": {}})
            await self.ended(2, "job_failed", failure)

        await self.fires("CrawlsockJobsFailing", work(), prom.repeated)

    async def test_a_job_is_poison(self) -> None:
        """A job takes three crawlers down and is parked; the leases that were lost on the way are counted."""

        async def poison() -> None:
            await self.submit(self.webapp)
            for _ in range(3):
                crawler = self.harness.connect("crawler")
                await self.take(crawler)
                crawler.close()
                self.pass_time(120)

        await self.fires("CrawlsockPoison", poison())

    async def test_crawlers_die(self) -> None:
        """A crawler that held a dozen jobs is gone."""

        async def die() -> None:
            await self.submit(self.webapp, *[{"type": "crawl_user"} for _ in range(12)])
            crawler = self.harness.connect("crawler")
            await crawler.request("job_request", {"slots": 12})
            crawler.close()
            self.pass_time(120)

        await self.fires("CrawlsockLeasesLost", die())

    async def test_a_job_is_stuck(self) -> None:
        """A job reports nothing for longer than it may."""

        async def hang() -> None:
            await self.submit(self.webapp, {"no_progress_limit": 5})
            crawler = self.harness.connect("crawler")
            await self.take(crawler)
            self.pass_time(15)

        await self.fires("CrawlsockJobsStuck", hang())

    async def test_a_crawler_does_not_let_go(self) -> None:
        """Message after message comes under a lease that was lost."""
        await self.submit(self.webapp)
        crawler = self.harness.connect("crawler")
        envelope = {**await self.take(crawler), "lease": "0" * 36}

        def go_on() -> None:
            for seq in range(60):
                self.refused(
                    crawler.request("job_progress", {"seq": seq + 1, "stage": "fetching"}, **envelope), "lease_lost"
                )

        await self.fires("CrawlsockStaleMessages", go_on, prom.repeated)

    async def test_a_credential_is_refused(self) -> None:
        """GitLab refuses an account."""
        credential = {"account": "team", "host": "gitlab.test", "kind": "personal", "access_token": "glpat-1234567890"}
        await self.webapp.request("credential_put", credential)

        def refuse() -> None:
            self.successResultOf(self.store.refuse_credential("team", 1, "revoked"))
            self.pass_time(11)

        await self.fires("CrawlsockCredentialsRefused", refuse)


class PeerAlerts(LiveCase):
    """Alerts about who is connected."""

    async def test_a_crawler_is_silent(self) -> None:
        """It is connected, answers pings, and sends no heartbeat."""
        self.harness.connect("crawler")
        await self.fires("CrawlsockHeartbeatsLate", lambda: self.pass_time(90))

    async def test_the_server_is_nearly_full(self) -> None:
        """Nine tenths of the connections are taken."""
        await self.fires("CrawlsockConnectionsLow", lambda: [self.harness.connect("webapp") for _ in range(11)])

    async def test_peers_send_nonsense(self) -> None:
        """Bytes that are no frames, again and again."""

        def babble() -> None:
            for _ in range(12):
                self.harness.dial().send_bytes(b"GET / HTTP/1.1\r\n")

        await self.fires("CrawlsockPeersBroken", babble)

    async def test_peers_may_not(self) -> None:
        """A monitor asks for what it may not, all the time."""
        monitor = self.harness.connect("monitor")

        def ask() -> None:
            for _ in range(100):
                self.refused(monitor.request("job_submit", {"jobs": [{"type": "crawl_user"}]}), "forbidden")

        await self.fires("CrawlsockPeersRefused", ask, prom.repeated)
