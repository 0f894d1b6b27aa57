"""Hello, and what becomes of sessions."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.server.tokens import token_hash
from crawlsock.testing.harness import WirePeer
from tests.server.base import HarnessCase


class HelloTests(HarnessCase):
    def hello_refused(self, code: str, role: str = "crawler", closed: bool = True, **hello: Any) -> WirePeer:
        peer = self.harness.dial()
        self.refused(self.harness.hello(peer, role, **hello), code)
        self.assertEqual(peer.closed is not None, closed)
        return peer

    def test_welcome(self) -> None:
        """A crawler learns its session, its ticket and the numbers to live by."""
        welcome = self.harness.connect("crawler").welcome
        self.assertEqual((welcome["version"], welcome["resumed"], welcome["lease_length"]), (1, False, 30.0))
        self.assertGreaterEqual(len(welcome["ticket"]), 43)

    def test_no_ticket_for_others(self) -> None:
        """Who is no crawler gets no ticket: there is nothing to resume."""
        for role in ("webapp", "monitor", "admin"):
            self.assertNotIn("ticket", self.harness.connect(role).welcome)

    def test_no_token(self) -> None:
        """Without a token nobody comes in."""
        self.hello_refused("authentication_failed", token=None)

    def test_unknown_token(self) -> None:
        """A token that the store does not know is refused, and the connection closed."""
        self.hello_refused("authentication_failed", token="cs_crawler_" + "x" * 43)

    def test_wrong_role(self) -> None:
        """A token opens its own role's door only."""
        self.hello_refused("authentication_failed", "admin", token=self.harness.token("webapp"))

    def test_admin_is_everybody(self) -> None:
        """An admin's token is good for every role."""
        self.harness.connect("crawler", token=self.harness.token("admin"))

    async def test_revoked_token(self) -> None:
        """A revoked token is refused, and the connections made with it end."""
        admin, webapp = self.harness.connect("admin"), self.harness.connect("webapp")
        rows = (await admin.request("token_list")).data["tokens"]
        (token_id,) = [row["token_id"] for row in rows if row["role"] == "webapp"]
        await admin.request("token_revoke", {"token_id": token_id})
        self.harness.settle()
        self.assertIsNotNone(webapp.closed)
        self.hello_refused("authentication_failed", "webapp")

    def test_versions(self) -> None:
        """Without a common version the connection ends, and the error names what is spoken here."""
        self.hello_refused("unsupported_version", versions=[7, 8])

    def test_hello_first(self) -> None:
        """Whatever comes before hello is refused, and the connection closed."""
        peer = self.harness.dial()
        self.refused(peer.request("ping"), "not_authenticated")
        self.assertIsNotNone(peer.closed)

    def test_hello_twice(self) -> None:
        """A second hello on a living session is refused, and the session goes on."""
        peer = self.harness.connect("crawler")
        self.refused(self.harness.hello(peer), "invalid_state")
        self.successResultOf(peer.request("ping"))

    def test_nameless_crawler(self) -> None:
        """A crawler without an id is given one."""
        self.harness.connect("crawler", crawler_id=None)
        (session,) = self.successResultOf(self.harness.store.sessions())
        self.assertTrue(session.crawler_id.startswith("crawler-"))

    def test_hello_rate(self) -> None:
        """Too many hellos at once are put off, with the time after which one may try again."""
        self.harness.settings.set("rate_limit_hello", "1")
        self.harness.connect("webapp")
        peer = self.harness.dial()
        refusal = self.refused(self.harness.hello(peer, "webapp"), "rate_limited")
        assert refusal.retry_after is not None
        self.harness.advance(refusal.retry_after)
        self.successResultOf(self.harness.hello(peer, "webapp"))

    def test_too_many_connections(self) -> None:
        """Above the limit a connection is told so and closed."""
        self.harness.settings.set("max_connections", "1")
        self.harness.connect("webapp")
        peer = self.harness.dial()
        self.assertEqual(peer.replies[0].data["code"], "unavailable")
        self.assertIsNotNone(peer.closed)

    def test_database_away(self) -> None:
        """While the database is away nobody is logged in, and nobody is thrown out for it."""
        peer = self.harness.dial()
        self.harness.token("crawler")
        self.harness.store.take_down()
        refusal = self.refused(self.harness.hello(peer), "unavailable")
        self.assertIsNotNone(refusal.retry_after)
        self.harness.store.bring_up()
        self.successResultOf(self.harness.hello(peer))

    def test_gone_before_welcome(self) -> None:
        """A crawler that leaves while it is logged in leaves no session behind."""
        store, gate = self.harness.store, Deferred[None]()
        lookup = store.token_by_hash

        def slow(hash: bytes) -> Deferred[Any]:
            return gate.addCallback(lambda _: lookup(hash))

        store.token_by_hash = slow  # type: ignore[method-assign]
        peer = self.harness.dial()
        answer = self.harness.hello(peer)
        answer.addErrback(lambda _: None)
        peer.close()
        gate.callback(None)
        self.harness.settle()
        self.assertEqual(self.successResultOf(store.sessions()), [])

    def test_tokens_stored_as_hashes(self) -> None:
        """The store knows tokens by their hash."""
        token = self.harness.token("webapp")
        row = self.successResultOf(self.harness.store.token_by_hash(token_hash(token)))
        self.assertIsNotNone(row)
        self.assertNotIn(token, repr(row))


class DuplicateTests(HarnessCase):
    def test_first_lives(self) -> None:
        """A second login with a crawler id is refused while the first answers a ping."""
        first = self.harness.connect("crawler", crawler_id="twin")
        second = self.harness.dial()
        self.refused(self.harness.hello(second, crawler_id="twin"), "duplicate_crawler")
        self.assertEqual((len(first.pushed("ping")), first.closed), (1, None))

    def test_first_is_silent(self) -> None:
        """When the first does not answer it is closed, and the second takes its place."""
        first = self.harness.connect("crawler", crawler_id="twin", answers_pushes=False)
        second = self.harness.dial()
        answer = self.harness.hello(second, crawler_id="twin")
        self.assertNoResult(answer)
        self.harness.advance(5)
        self.successResultOf(answer)
        self.assertIsNotNone(first.closed)

    def test_first_is_away(self) -> None:
        """A crawler that starts anew while its last session waits for it takes over at once."""
        first = self.harness.connect("crawler", crawler_id="twin")
        first.close()
        self.harness.connect("crawler", crawler_id="twin")


class ResumeTests(HarnessCase):
    async def test_resume(self) -> None:
        """A crawler that lost its link comes back with its ticket and goes on with its job."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        job = await self.take(crawler)
        ticket = crawler.welcome["ticket"]
        crawler.close()
        self.assertEqual((await self.state(webapp, job_id))["state"], "running")
        again = self.harness.connect("crawler", resume={"ticket": ticket, "leases": [job["lease"]]})
        self.assertEqual(
            (again.welcome["resumed"], again.welcome["leases_kept"], again.welcome["ticket"]),
            (True, [job["lease"]], ticket),
        )
        await again.request("job_completed", {}, **job)
        view = await self.state(webapp, job_id)
        self.assertEqual((view["state"], view["attempt"], view["losses"]), ("completed", 1, 0))

    async def test_leases_not_named(self) -> None:
        """A crawler whose leases do not fit into hello names none and keeps all."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        job = await self.take(crawler)
        crawler.close()
        again = self.harness.connect("crawler", resume={"ticket": crawler.welcome["ticket"]})
        self.assertEqual(again.welcome["leases_kept"], [job["lease"]])

    async def test_an_assignment_lost_with_the_link(self) -> None:
        """A crawler that resumed without naming leases gets again what it has not begun, and only that."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp, {}, {})
        await self.take(crawler)
        lost = await self.take(crawler, started=False)
        crawler.close()
        again = self.harness.connect("crawler", resume={"ticket": crawler.welcome["ticket"]})
        self.harness.settle()
        pushes = again.pushed("job_assignment")
        self.assertEqual([{"job_id": push.job_id, "lease": push.lease} for push in pushes], [lost])

    async def test_lease_not_held(self) -> None:
        """A job of the session that the crawler does not hold goes back unharmed."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        await self.take(crawler)
        crawler.close()
        again = self.harness.connect("crawler", resume={"ticket": crawler.welcome["ticket"], "leases": ["other"]})
        self.assertEqual((again.welcome["leases_kept"], again.welcome["leases_lost"]), ([], ["other"]))
        view = await self.state(webapp, job_id)
        self.assertEqual((view["state"], view["losses"], view["failures"]), ("queued", 0, 0))

    def test_old_link_open(self) -> None:
        """A crawler that comes back while its old link seems open replaces it."""
        crawler = self.harness.connect("crawler")
        again = self.harness.connect("crawler", resume={"ticket": crawler.welcome["ticket"], "leases": []})
        self.assertIsNotNone(crawler.closed)
        self.successResultOf(again.request("heartbeat", {"status": "idle", "active_jobs": []}))
        (session,) = self.successResultOf(self.harness.store.sessions())
        self.assertEqual(session.state, "connected")

    def test_too_late(self) -> None:
        """After the deadline the ticket is worth nothing, and the same connection may open a new session."""
        crawler = self.harness.connect("crawler")
        crawler.close()
        self.harness.advance(40)
        peer = self.harness.dial()
        reply = self.harness.hello(peer, resume={"ticket": crawler.welcome["ticket"], "leases": []})
        self.refused(reply, "session_expired")
        self.successResultOf(self.harness.hello(peer))

    async def test_wishes(self) -> None:
        """What was wished for while the crawler was away reaches it after its welcome."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        job = await self.take(crawler)
        crawler.close()
        await webapp.request("job_cancel", {"reason": "enough"}, job_id=job["job_id"])
        again = self.harness.connect("crawler", resume={"ticket": crawler.welcome["ticket"], "leases": [job["lease"]]})
        (order,) = again.pushed("job_cancel")
        self.assertEqual((order.job_id, order.lease), (job["job_id"], job["lease"]))

    async def test_server_restart(self) -> None:
        """A crawler of a server that was killed and started again goes on, and nothing runs twice."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        job = await self.take(crawler)
        self.harness.kill()
        self.harness.clock.advance(20)
        self.harness.restart()
        self.harness.advance(20)
        again = self.harness.connect("crawler", resume={"ticket": crawler.welcome["ticket"], "leases": [job["lease"]]})
        await again.request("job_completed", {}, **job)
        view = await self.state(self.harness.connect("webapp"), job_id)
        self.assertEqual((view["state"], view["attempt"], view["losses"]), ("completed", 1, 0))


class ExpiryTests(HarnessCase):
    async def test_silent_crawler(self) -> None:
        """A crawler that sends no heartbeat loses its jobs at its deadline, and can say hello again."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        job = await self.take(crawler)
        self.harness.advance(35)
        view = await self.state(webapp, job_id)
        self.assertEqual((view["state"], view["losses"]), ("queued", 1))
        self.refused(crawler.request("heartbeat", {"status": "idle", "active_jobs": []}), "session_expired")
        self.refused(crawler.request("job_request", {"slots": 1}), "session_expired")
        self.refused(crawler.request("job_completed", {}, **job), "lease_lost")
        self.successResultOf(self.harness.hello(crawler, crawler_id="reborn"))
        await self.take(crawler)

    async def test_heartbeats_keep(self) -> None:
        """Heartbeats keep a session, and all its leases, for ever."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        job = await self.take(crawler)
        for _ in range(10):
            self.harness.advance(10)
            await crawler.request(
                "heartbeat",
                {"status": "crawling", "active_jobs": [job_id], "memory_bytes": 5, "totals": {"completed": 1}},
            )
        await crawler.request("job_completed", {}, **job)

    async def test_outage(self) -> None:
        """After an outage longer than the lease nobody is reaped before crawlers had time to come back."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        job = await self.take(crawler)
        self.harness.store.take_down()
        for _ in range(8):
            self.harness.advance(10)
            self.refused(crawler.request("heartbeat", {"status": "idle", "active_jobs": []}), "unavailable")
            self.successResultOf(webapp.request("ping"))
        self.harness.store.bring_up()
        self.harness.advance(5)
        self.assertIsNone(crawler.closed)
        await crawler.request("heartbeat", {"status": "idle", "active_jobs": []})
        await crawler.request("job_completed", {}, **job)
        view = await self.state(webapp, job_id)
        self.assertEqual((view["state"], view["losses"]), ("completed", 0))

    async def test_this_process_slept(self) -> None:
        """A server that did not run for a while does not reap crawlers whose heartbeats it could not hear."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        (job_id,) = await self.submit(webapp)
        await self.take(crawler)
        self.harness.clock.advance(120)
        await crawler.request("heartbeat", {"status": "idle", "active_jobs": []})
        self.harness.advance(1)
        self.assertEqual((await self.state(webapp, job_id))["losses"], 0)
