"""Subscriptions over the socket."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.server.feeds import MAX_SUBSCRIPTIONS, Deliver, FeedKeeper
from crawlsock.server.pool import ConnectionPool
from crawlsock.testing import MemoryStore
from crawlsock.testing.harness import WirePeer
from tests.server.base import HarnessCase


def kinds(peer: WirePeer, subscription: str | None = None) -> list[str]:
    """Return the kinds of all events that came, in order."""
    return [
        event["kind"]
        for push in peer.pushed("event")
        if subscription in (None, push.data["subscription"])
        for event in push.data["events"]
    ]


class FeedTests(HarnessCase):
    async def life(self, webapp: WirePeer, crawler: WirePeer, **job: Any) -> str:
        (job_id,) = await self.submit(webapp, job)
        await crawler.request("job_completed", {}, **await self.take(crawler))
        self.harness.advance(0.5)
        return job_id

    async def test_from_now(self) -> None:
        """A subscriber gets what happens from now on, in order."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.life(webapp, crawler)
        reply = await webapp.request("subscribe", {"subscription": "mine"})
        self.assertEqual(reply.data["subscription"], "mine")
        await self.life(webapp, crawler)
        self.assertEqual(kinds(webapp), ["job_created", "job_assigned", "job_started", "job_completed"])

    async def test_from_a_position(self) -> None:
        """Who comes back with a position misses nothing and gets nothing twice."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await webapp.request("subscribe", {"subscription": "a"})
        await self.life(webapp, crawler)
        position = webapp.pushed("event")[-1].data["position"]
        webapp.close()
        again = self.harness.connect("webapp")
        await self.life(again, crawler)
        await again.request("subscribe", {"subscription": "a", "position": position})
        self.harness.advance(0.5)
        self.assertEqual(kinds(again), ["job_created", "job_assigned", "job_started", "job_completed"])

    async def test_filter(self) -> None:
        """A filter lets through only what it names."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        first = await self.life(webapp, crawler)
        await webapp.request("subscribe", {"filter": {"job_id": first}, "subscription": "one"})
        await webapp.request("subscribe", {"filter": {"kinds": ["job_completed"]}, "subscription": "ends"})
        await self.life(webapp, crawler)
        self.assertEqual((kinds(webapp, "one"), kinds(webapp, "ends")), ([], ["job_completed"]))

    async def test_unsubscribe(self) -> None:
        """After unsubscribe nothing comes, and a second one is fine."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await webapp.request("subscribe", {"subscription": "a"})
        for _ in range(2):
            await webapp.request("unsubscribe", {"subscription": "a"})
        await self.life(webapp, crawler)
        self.assertEqual(webapp.pushed("event"), [])
        self.assertEqual(len(self.harness.server.feeds), 0)

    async def test_names_and_limits(self) -> None:
        """A name is used once a connection, and a connection has only so many subscriptions."""
        webapp = self.harness.connect("webapp")
        for number in range(MAX_SUBSCRIPTIONS):
            await webapp.request("subscribe", {"subscription": f"s{number}"})
        self.refused(webapp.request("subscribe", {"subscription": "s1"}), "duplicate")
        self.refused(webapp.request("subscribe", {"subscription": "more"}), "too_many_requests")
        webapp.close()
        self.assertEqual(len(self.harness.server.feeds), 0)

    async def test_bound_token(self) -> None:
        """A token bound to accounts hears of these accounts only."""
        admin, crawler = self.harness.connect("admin"), self.harness.connect("crawler")
        token = self.harness.token("webapp", frozenset({"team"}))
        webapp = self.harness.connect("webapp", token=token)
        await webapp.request("subscribe", {})
        await self.life(admin, crawler)
        self.assertEqual(kinds(webapp), [])
        self.refused(webapp.request("subscribe", {"filter": {"account": "default"}}), "unknown_account")

    async def test_bad_position(self) -> None:
        """A position that this store never gave is refused."""
        webapp = self.harness.connect("webapp")
        asked = webapp.request("subscribe", {"subscription": "a", "position": "nonsense"})
        self.refused(asked, "invalid_message")
        await webapp.request("subscribe", {"subscription": "a"})

    async def test_slow_subscriber(self) -> None:
        """A subscriber that does not read costs no memory, and loses nothing when it reads again in time."""
        webapp, slow = self.harness.connect("webapp"), self.harness.connect("monitor")
        await slow.request("subscribe", {"subscription": "a"})
        slow.wire.pauseProducing()
        for _ in range(30):
            await self.submit(webapp, *({"entity_id": "1"} for _ in range(50)))
            self.harness.advance(0.3)
        self.assertLess(slow.server_transport.waiting, 300_000)
        slow.wire.resumeProducing()
        self.harness.advance(3)
        self.assertEqual(len(kinds(slow)), 1500)


class _Hub:
    """Keep what a subscriber is delivered to by."""

    def subscribe(self, filter: Any, position: str | None, deliver: Deliver, failed: Any = None) -> Any:
        self.deliver = deliver
        return SimpleNamespace(cancel=lambda: None)


class PartsTests(SynchronousTestCase):
    def test_in_parts(self) -> None:
        """A large delivery comes in parts, and only the last of them moves the position."""
        pushed: list[dict[str, Any]] = []
        peer: Any = type("Peer", (), {"accounts": None, "alive": True, "link": SimpleNamespace(congested=False)})()
        peer.push = lambda type, data: pushed.append(data)
        hub = _Hub()
        keeper = FeedKeeper(cast(Any, hub), MemoryStore(Clock()), ConnectionPool(Clock()))
        start = self.successResultOf(keeper.subscribe(peer, "a", {}, None))["position"]
        hub.deliver([{"kind": "job_created"}] * 1100, "9.0", True, False)
        self.assertEqual([len(part["events"]) for part in pushed], [500, 500, 100])
        self.assertEqual([part["position"] for part in pushed], [start, start, "9.0"])
        self.assertEqual([part.get("more", False) for part in pushed], [True, True, False])
        self.assertEqual([part.get("gap", False) for part in pushed], [True, False, False])
