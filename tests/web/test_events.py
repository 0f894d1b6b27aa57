"""The event stream: who may have one, what comes over it, and how it ends."""

from __future__ import annotations

from typing import Any

from crawlsock.testing.harness import WirePeer
from crawlsock.testing.http import HttpAnswer, HttpPeer
from crawlsock.web import stream as stream_module
from tests.feed.viewers import parse
from tests.server.base import HarnessCase

EVENTS = "/api/v1/events"


class StreamCase(HarnessCase):
    """A server in memory, and clients that follow its feed."""

    def setUp(self) -> None:
        super().setUp()
        self.events = self.harness.web.events
        self.webapp = self.harness.connect("webapp")

    def end(self) -> None:
        self.events.stop()
        super().end()

    async def follow(
        self, query: str = "", *, token: str | None = None, peer: HttpPeer | None = None, **headers: str
    ) -> HttpAnswer:
        """Open a stream."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.harness.http(
            "GET", EVENTS + query, token=token or self.harness.token("monitor"), headers=named, stream=True, peer=peer
        )

    async def submit_one(self, **job: Any) -> str:
        """Submit a job, and let the feed bring it."""
        (job_id,) = await self.submit(self.webapp, job)
        self.harness.advance(0.5)
        return job_id

    async def life(self, crawler: WirePeer) -> str:
        """Let a job be submitted and done."""
        (job_id,) = await self.submit(self.webapp)
        await crawler.request("job_completed", {}, **await self.take(crawler))
        self.harness.advance(0.5)
        return job_id


def messages(answer: HttpAnswer, kind: str) -> list[Any]:
    """Return the data of all messages of a kind."""
    return [data for event, _, data in parse(answer.body) if event == kind]


def last_id(answer: HttpAnswer) -> str:
    """Return what a browser would come back with."""
    return [position for _, position, _ in parse(answer.body) if position is not None][-1]


def kinds(answer: HttpAnswer) -> list[str]:
    """Return the kinds of all events."""
    return [event["kind"] for delivery in messages(answer, "events") for event in delivery["events"]]


class FollowingTests(StreamCase):
    """What comes over a stream."""

    async def test_from_now(self) -> None:
        """A stream says hello, and then what happens from then on."""
        await self.submit_one()
        answer = await self.follow()
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(answer.headers["cache-control"], "no-store, no-transform")
        (hello,) = messages(answer, "hello")
        self.assertEqual(set(hello), {"position", "at"})
        self.assertEqual((last_id(answer), kinds(answer)), (hello["position"], []))
        self.assertTrue(answer.body.startswith(b"retry: 10"))
        await self.submit_one()
        (delivery,) = messages(answer, "events")
        self.assertEqual(kinds(answer), ["job_created"])
        self.assertEqual((last_id(answer), set(delivery)), (delivery["position"], {"events", "position"}))

    async def test_coming_back(self) -> None:
        """With the last id a stream goes on where it was; a header says more than an old address."""
        crawler = self.harness.connect("crawler")
        first = await self.follow()
        await self.life(crawler)
        position = last_id(first)
        await self.life(crawler)
        for again in (
            await self.follow(Last_Event_ID=position),
            await self.follow(f"?position={position}"),
            await self.follow("?position=0", Last_Event_ID=position),
        ):
            self.harness.advance(0.5)
            self.assertEqual(kinds(again), ["job_created", "job_assigned", "job_started", "job_completed"])
            self.assertEqual(messages(again, "hello")[0]["position"], position)

    async def test_the_position_of_a_socket(self) -> None:
        """A position from the socket's subscription is one of a stream, too."""
        reply = await self.webapp.request("subscribe", {"subscription": "s"})
        job_id = await self.submit_one()
        answer = await self.follow(f"?position={reply.data['position']}")
        self.harness.advance(0.5)
        self.assertEqual([each["job_id"] for each in messages(answer, "events")[0]["events"]], [job_id])

    async def test_filters(self) -> None:
        """A filter by job, tree, account or kinds lets through just that."""
        one = await self.submit_one()
        by_job = await self.follow(f"?job_id={one}")
        by_root = await self.follow(f"?root_id={one}&kinds=job_cancelled,job_paused")
        by_kind = await self.follow("?kinds=job_cancelled&kinds=job_failed")
        by_account = await self.follow("?account=nobody")
        other = await self.submit_one()
        for job_id in (one, other):
            await self.webapp.request("job_pause", job_id=job_id)
            await self.webapp.request("job_cancel", job_id=job_id)
        self.harness.advance(0.5)
        self.assertEqual(kinds(by_job), ["job_paused", "job_cancelled"])
        self.assertEqual(kinds(by_root), ["job_paused", "job_cancelled"])
        self.assertEqual(kinds(by_kind), ["job_cancelled", "job_cancelled"])
        self.assertEqual(kinds(by_account), [])

    async def test_too_late(self) -> None:
        """Who comes back too late gets one snapshot, marked, without what is large or secret in jobs."""
        first = await self.follow()
        position = last_id(first)
        job_id = await self.submit_one(payload={"password": "hunter2"}, name="a job")
        self.harness.store._world.forgotten += len(self.harness.store._world.events)
        self.harness.store._world.events.clear()
        again = await self.follow(Last_Event_ID=position)
        self.harness.advance(0.5)
        (snapshot,) = messages(again, "events")
        self.assertEqual((snapshot["gap"], snapshot["snapshot"]), (True, True))
        (job,) = snapshot["events"]
        self.assertEqual((job["kind"], job["job_id"], job["name"]), ("job_snapshot", job_id, "a job"))
        self.assertNotIn("payload", job)
        await self.submit_one()
        self.assertEqual(kinds(again), ["job_snapshot", "job_created"])

    async def test_ping(self) -> None:
        """A stream on which nothing happens shows every ten seconds that it lives, and how far the feed is."""
        answer = await self.follow("?account=nobody")
        before = last_id(answer)
        await self.submit_one()
        self.harness.advance(10)
        self.assertEqual(answer.body.count(b": ping"), 1)
        self.assertNotEqual(last_id(answer), before)
        self.harness.advance(20)
        self.assertEqual(answer.body.count(b": ping"), 3)
        again = await self.follow("?account=nobody", Last_Event_ID=last_id(answer))
        self.harness.advance(0.5)
        self.assertEqual(messages(again, "events"), [])

    async def test_for_long(self) -> None:
        """A stream on which nothing happens is not taken for an idle connection, and not for an idle session."""
        answer = await self.follow()
        self.harness.advance(600, step=5)
        await self.submit_one()
        self.assertEqual((kinds(answer), answer.complete), (["job_created"], False))

    async def test_the_same_bytes_for_all(self) -> None:
        """Viewers of the same are sent what was encoded once."""
        answers = [await self.follow() for _ in range(20)]
        await self.submit_one()
        self.assertTrue(all(kinds(answer) == ["job_created"] for answer in answers))
        told = self.harness.hub.statistics()
        self.assertEqual((told["viewers"], told["channels"], told["deliveries"], told["shows"]), (20, 1, 1, 20))

    async def test_head(self) -> None:
        """HEAD says what GET would begin, and begins nothing."""
        answer = await self.harness.http("HEAD", EVENTS, token=self.harness.token("monitor"))
        self.assertEqual((answer.status, answer.headers["content-type"], answer.body), (200, "text/event-stream", b""))
        self.assertEqual(len(self.events), 0)


class RefusalTests(StreamCase):
    """What is refused before the first byte of a stream."""

    settings = {"http_max_streams": "3", "http_max_streams_per_caller": "2"}

    async def ask(self, query: str = "", **headers: str) -> tuple[int, Any]:
        """Ask for a stream that will be refused; return status and problem."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        token = named.pop("token", self.harness.token("monitor"))
        answer = await self.harness.http("GET", EVENTS + query, token=token, headers=named)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        return answer.status, answer.json()

    async def test_who(self) -> None:
        """Without a token nobody is there, with a crawler's nobody may look."""
        answer = await self.harness.http("GET", EVENTS)
        self.assertEqual(answer.status, 401)
        self.assertEqual((await self.ask(token=self.harness.token("crawler")))[0], 403)

    async def test_parameters(self) -> None:
        """Each parameter is held to its schema, and named when it is wrong."""
        for query, name in (
            ("?job_id=1", "job_id"),
            ("?root_id=xyz", "root_id"),
            ("?kinds=job_created,nonsense", "kinds"),
            ("?account=", "account"),
            ("?account=a%00b", "account"),
            ("?account=%ff", "account"),
            ("?account=a&account=b", "account"),
            ("?position=%20", "position"),
            ("?position=nonsense", "position"),
            ("?jobid=1", "jobid"),
        ):
            status, problem = await self.ask(query)
            self.assertEqual((status, problem["code"], problem["parameter"]), (400, "invalid_parameter", name), query)
        status, problem = await self.ask(Last_Event_ID="no such place")
        self.assertEqual((status, problem["parameter"]), (400, "position"))
        status, problem = await self.ask(Accept="application/json")
        self.assertEqual(status, 406)
        self.assertEqual(self.events._held, {})

    async def test_bound_to_accounts(self) -> None:
        """A token bound to accounts sees them alone, and is told of others that there are none."""
        token = self.harness.token("webapp", frozenset({"team"}))
        answer = await self.follow(token=token)
        job_id = await self.submit_one()
        self.assertEqual(kinds(answer), [])
        for query in ("?account=default", f"?job_id={job_id}", f"?root_id={job_id}"):
            self.assertEqual((await self.ask(query, token=token))[0], 404, query)

    async def test_limits(self) -> None:
        """One token may have so many streams, all may have so many; a stream that ends makes room."""
        peer = self.harness.dial_http()
        await self.follow(peer=peer)
        await self.follow()
        status, problem = await self.ask()
        self.assertEqual((status, problem["code"]), (429, "too_many_requests"))
        await self.follow(token=self.harness.token("admin"))
        self.assertEqual((await self.ask(token=self.harness.token("webapp")))[0], 429)
        peer.wire.abortConnection()
        self.harness.settle()
        await self.follow()
        self.assertEqual(len(self.events), 3)

    async def test_the_store_is_away(self) -> None:
        """While the database is away no stream begins, and the answer says when to come again."""
        token = self.harness.token("monitor")
        await self.follow()
        self.harness.store.take_down()
        answer = await self.harness.http("GET", EVENTS + "?position=7", token=token)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertEqual(sum(self.events._held.values()), 1)


class EndTests(StreamCase):
    """How a stream ends."""

    async def test_the_client_leaves(self) -> None:
        """When the client goes, nothing of its stream is left."""
        peer = self.harness.dial_http()
        await self.follow(peer=peer)
        self.assertEqual((len(self.events), self.harness.web.gate.watched, len(self.harness.hub.tail)), (1, 1, 1))
        peer.wire.abortConnection()
        self.harness.settle()
        self.assertEqual((len(self.events), self.harness.web.gate.watched, len(self.harness.hub.tail)), (0, 0, 0))
        await self.submit_one()

    async def test_revoked(self) -> None:
        """A stream ends within five seconds of the end of its token, and says so."""
        token = self.harness.token("monitor", frozenset({"default"}))
        answer, other = await self.follow(token=token), await self.follow()
        (row,) = [row for row in await self.harness.store.tokens() if row.accounts is not None]
        await self.harness.store.revoke_token(row.token_id, "test")
        self.harness.advance(5)
        self.assertEqual(len(messages(answer, "end")), 1)
        self.assertTrue(answer.complete)
        self.assertFalse(other.complete)
        await self.submit_one()
        self.assertEqual((kinds(answer), kinds(other)), ([], ["job_created"]))

    async def test_the_server_stops(self) -> None:
        """A server that leaves ends all streams, takes no new ones, and spreads those who come back over time."""
        self.events._random = lambda: 1.0
        answers = [await self.follow(token=self.harness.token("admin")) for _ in range(50)]
        self.events.stop()
        self.harness.settle()
        for answer in answers:
            self.assertEqual(messages(answer, "end"), [{"reason": "stopping"}])
            self.assertTrue(answer.complete)
        waits = [int(line[7:]) for answer in answers for line in answer.text.split("\n") if line.startswith("retry: ")]
        self.assertEqual(max(waits), 1500)
        refused = await self.harness.http("GET", EVENTS, token=self.harness.token("monitor"))
        self.assertEqual((refused.status, refused.json()["code"]), (503, "draining"))
        self.events.start()
        await self.follow()

    async def test_a_slow_client(self) -> None:
        """A client that takes nothing is kept for five seconds and a little memory, and is then sent away."""
        peer = self.harness.dial_http()
        await self.follow(peer=peer)
        quick = await self.follow()
        peer.wire.pauseProducing()
        for _ in range(40):
            await self.submit(self.webapp, *({"entity_id": "1"} for _ in range(100)))
            self.harness.advance(0.05)
        self.assertLess(peer.server_transport.waiting, 150_000)
        self.assertEqual(self.harness.hub.statistics()["waiting"], 1)
        self.harness.advance(stream_module.PATIENCE + 1)
        self.assertEqual((len(self.events), self.events.dropped), (1, 1))
        self.harness.advance(10)
        self.assertIsNotNone(peer.closed)
        self.assertEqual(len(kinds(quick)), 4000)

    async def test_slow_for_a_moment(self) -> None:
        """A client that takes nothing for a moment loses nothing, and is told why if it is sent away after all."""
        peer = self.harness.dial_http()
        slow = await self.follow(peer=peer)
        for _ in range(3):
            peer.wire.pauseProducing()
            for _ in range(8):
                await self.submit(self.webapp, *({"entity_id": "1"} for _ in range(100)))
                self.harness.advance(0.05)
            peer.wire.resumeProducing()
            self.harness.advance(1)
        self.assertEqual(len(kinds(slow)), 2400)
        self.assertEqual(len({event["job_id"] for each in messages(slow, "events") for event in each["events"]}), 2400)
        peer.wire.pauseProducing()
        for _ in range(8):
            await self.submit(self.webapp, *({"entity_id": "1"} for _ in range(100)))
        self.harness.advance(stream_module.PATIENCE + 1)
        peer.wire.resumeProducing()
        self.harness.advance(1)
        self.assertEqual(messages(slow, "end"), [{"reason": "too_slow"}])
        self.harness.advance(10)

    async def test_the_store_away_for_a_while(self) -> None:
        """A stream outlives an absence of the database, and misses nothing."""
        answer = await self.follow()
        self.harness.store.take_down()
        self.harness.advance(20)
        self.harness.store.bring_up()
        await self.submit_one()
        self.assertEqual((kinds(answer), answer.complete), (["job_created"], False))

    async def test_the_server_is_killed(self) -> None:
        """After the server was killed and started again, who comes back misses nothing and doubles nothing."""
        crawler = self.harness.connect("crawler")
        answer = await self.follow()
        await self.life(crawler)
        position = last_id(answer)
        self.harness.kill()
        self.harness.restart()
        self.webapp = self.harness.connect("webapp")
        await self.submit_one()
        self.events = self.harness.web.events
        again = await self.follow(Last_Event_ID=position)
        await self.submit_one()
        self.assertEqual(kinds(again), ["job_created", "job_created"])
