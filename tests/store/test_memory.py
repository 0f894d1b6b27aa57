"""Hold the store in memory to the contract, and to what it promises to those who test with it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial import unittest
from zope.interface.verify import verifyClass, verifyObject

from crawlsock.store.interface import IStore
from crawlsock.store.values import Area, Backoff, Demand, Failure, JobRef, NewJob, NewSession
from crawlsock.testing import MemoryStore
from crawlsock.wire.errors import ErrorCode, Refusal
from tests.store.contract import (
    assigning,
    base,
    controlling,
    counting,
    crawling,
    discovering,
    fencing,
    lending,
    listing,
    looking,
    losing,
    noticing,
    progressing,
    reaching,
    recording,
    remembering,
    signing,
    staying,
    submitting,
    wandering,
)


class InMemory(base.StoreContract):
    """Make stores over a clock that the test advances."""

    def make_store(self) -> Deferred[IStore]:
        """Return an empty store."""
        self.clock = Clock()
        self.memory = MemoryStore(self.clock)
        return succeed(self.memory)

    async def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self.clock.advance(seconds)

    def now(self) -> datetime:
        """Return the moment of the clock."""
        return datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=self.clock.seconds())

    async def audited(self) -> list[tuple[str, str, str | None]]:
        """Return what the store shows of its audit."""
        return [(row["actor"], row["action"], row["target"]) for row in self.memory.audits]


class MemorySubmitting(InMemory, submitting.Submitting):
    """The store in memory keeps the claims about submitting."""


class MemoryCounting(InMemory, counting.Counting):
    """The store in memory keeps the claims about the tally."""


class MemoryLooking(InMemory, looking.Looking):
    """The store in memory keeps the claims about what it says of itself."""


class MemoryAssigning(InMemory, assigning.Assigning):
    """The store in memory keeps the claims about assigning."""


class MemoryCrawling(InMemory, crawling.Crawling):
    """The store in memory keeps the claims about what crawlers say."""


class MemoryFencing(InMemory, fencing.Fencing):
    """The store in memory keeps the claims about lost leases."""


class MemoryDiscovering(InMemory, discovering.Discovering):
    """The store in memory keeps the claims about discovered jobs."""


class MemoryControlling(InMemory, controlling.Controlling):
    """The store in memory keeps the claims about steering."""


class MemoryProgressing(InMemory, progressing.Progressing):
    """The store in memory keeps the claims about progress."""


class MemorySigning(InMemory, signing.Signing):
    """The store in memory keeps the claims about signing in."""


class MemoryStaying(InMemory, staying.Staying):
    """The store in memory keeps the claims about sessions."""


class MemoryLosing(InMemory, losing.Losing):
    """The store in memory keeps the claims about lost crawlers."""


class MemoryLending(InMemory, lending.Lending):
    """The store in memory keeps the claims about credentials."""


class MemoryTokens(InMemory, recording.Tokens):
    """The store in memory keeps the claims about tokens and the audit."""


class MemoryFeed(InMemory, recording.Feed):
    """The store in memory keeps the claims about the feed."""


class MemoryWandering(InMemory, wandering.Wandering):
    """The store in memory follows the rules through random lives."""


class MemoryLists(InMemory, listing.Lists):
    """The store in memory keeps the claims about lists."""


class MemoryCounts(InMemory, listing.Counts):
    """The store in memory keeps the claims about counts and charts."""


class MemoryTrees(InMemory, reaching.Trees):
    """The store in memory keeps the claims about trees."""


class MemoryMatching(InMemory, reaching.Matching):
    """The store in memory keeps the claims about verbs done to all that match."""


class MemoryStandings(InMemory, reaching.Standings):
    """The store in memory keeps the claims about what keeps a job from running."""


class MemorySeeing(InMemory, listing.Seeing):
    """The store in memory keeps the claims about what it sees happen."""


class MemoryOnly(unittest.TestCase):
    """What only the store in memory can do."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock, random=lambda: 0.5)

    async def held(self) -> JobRef:
        """Submit a job and assign it."""
        await self.store.submit([NewJob("crawl_project", host="h", backoff=Backoff(8.0, 60.0))], accounts=None)
        session = await self.store.open_session(NewSession("c", "s", b"t", 30.0))
        (given,) = await self.store.assign([Demand(session.session_id, 1)])
        return JobRef(given.job_id, given.lease, given.session_id)

    def test_it_provides_the_interface(self) -> None:
        """The store has every verb of the interface, with the same arguments."""
        verifyClass(IStore, MemoryStore)
        verifyObject(IStore, self.store)

    async def test_the_dice_are_the_callers(self) -> None:
        """With dice that always show one half a backoff is half its ceiling, to the second."""
        ref = await self.held()
        await self.store.fail(ref, Failure("x", "y", True))
        job = await self.store.job(ref.job_id)
        self.assertEqual((job.run_at - job.created_at).total_seconds(), 4.0)

    async def test_work_is_announced_when_it_becomes_due(self) -> None:
        """Who wants work is called at the moment a job becomes due, and no delayed call is left."""
        ref = await self.held()
        await self.store.fail(ref, Failure("x", "y", True))
        called: list[float] = []
        self.store.on_work(lambda: called.append(self.clock.seconds()))
        self.clock.pump([1.0] * 5)
        self.assertEqual(called, [4.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_stop_leaves_no_delayed_call(self) -> None:
        """A store that is stopped has nothing left to do later; stopping again is fine."""
        ref = await self.held()
        await self.store.fail(ref, Failure("x", "y", True))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.store.stop()
        self.store.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_it_can_be_away(self) -> None:
        """While it is taken down every verb is `unavailable` with a time to wait, and nothing is changed."""
        self.store.take_down()
        self.assertEqual(self.store.state, "down")
        up = self.store.when_up()
        self.assertNoResult(up)
        refusal = self.failureResultOf(self.store.submit([NewJob("a")], accounts=None), Refusal).value
        self.assertEqual((refusal.code, refusal.retry_after), (ErrorCode.UNAVAILABLE, 1.0))
        self.store.bring_up()
        self.successResultOf(up)
        self.successResultOf(self.store.when_up())
        self.assertEqual((await self.store.job_counts())["queued"], 0)

    async def test_areas_can_be_looked_at(self) -> None:
        """A test may read the areas that its crawler reported, by account, the last word of each."""
        ref = await self.held()
        await self.store.areas(ref, [Area("group", "1", "old"), Area("group", "1", "new")])
        self.assertEqual(self.store.known_areas, [("default", Area("group", "1", "new", host="h"))])

    def test_a_bug_is_no_refusal(self) -> None:
        """A misuse fails the Deferred with our own exception; it is never raised in the caller's face."""
        self.failureResultOf(self.store.submit([object()], accounts=None), AttributeError)  # type: ignore[list-item]


class MemoryRemembering(InMemory, remembering.Remembering):
    """The store in memory keeps the claims about what is looked back at."""


class MemoryNoticing(InMemory, noticing.Noticing):
    """The store in memory keeps the claims about incidents and the outbox."""
