"""Hold the feed to its claims: whoever reads, whenever, from wherever, reads the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.feed import Hub, Subscription
from crawlsock.store.values import Completion, Demand, EventPage, JobRef, NewJob, NewSession, Progress
from crawlsock.testing import MemoryStore
from crawlsock.wire.errors import Refusal


@define(eq=False)
class Viewer:
    """A subscriber that remembers everything it was given."""

    hub: Hub
    filter: dict[str, Any] = field(factory=dict)
    position: str | None = None
    events: list[dict[str, Any]] = field(factory=list)
    marks: list[tuple[bool, bool]] = field(factory=list)
    refusals: list[str] = field(factory=list)
    subscription: Subscription | None = None

    def connect(self) -> Viewer:
        """Subscribe from where it stands."""
        self.subscription = self.hub.subscribe(self.filter, self.position, self.take, self.failed)
        return self

    def disconnect(self) -> None:
        """Go away; the position is remembered."""
        if self.subscription is not None:
            self.subscription.cancel()
            self.subscription = None

    def take(self, events: list[dict[str, Any]], position: str, gap: bool, snapshot: bool) -> None:
        """Take a delivery."""
        self.events += events
        self.position = position
        self.marks.append((gap, snapshot))

    def failed(self, refusal: Refusal) -> None:
        """Learn that the position is none."""
        self.refusals.append(refusal.code.value)


class SlowStore(MemoryStore):
    """A store whose reads take as long as the test wants."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.reads: list[Deferred[None]] = []
        self.slow = False

    def events_after(self, position: str | None, limit: int) -> Deferred[EventPage]:
        page = super().events_after(position, limit)
        if not self.slow:
            return page
        self.reads.append(Deferred())
        return self.reads[-1].addCallback(lambda _: page)


class HubCase(unittest.TestCase):
    """A hub over a store in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = SlowStore(self.clock)
        self.hub = Hub(self.clock, self.store)
        self.hub.start()
        self.addCleanup(self.hub.stop)

    def submit(self, **fields: Any) -> str:
        """Submit a job; return its id."""
        (status,) = self.successResultOf(self.store.submit([NewJob("crawl_user", **fields)], accounts=None))
        assert status.job_id is not None
        return status.job_id

    def everything(self) -> list[dict[str, Any]]:
        """Return all events of the store."""
        return self.successResultOf(self.store.events_after(None, 1_000_000)).events

    def viewer(self, **filter: Any) -> Viewer:
        """Return a viewer that begins with the oldest event."""
        return Viewer(self.hub, filter)


class HubTests(HubCase):
    """Subscribers get every event once, in order."""

    def test_what_happens_is_delivered(self) -> None:
        """A subscriber hears of a commit without asking."""
        viewer = self.viewer().connect()
        job_id = self.submit()
        self.assertEqual([(e["kind"], e["job_id"]) for e in viewer.events], [("job_created", job_id)])
        self.assertEqual(viewer.marks, [(False, False)])

    def test_from_a_position_on(self) -> None:
        """A subscriber with a position gets what follows it, and nothing twice."""
        first = self.viewer().connect()
        self.submit()
        first.disconnect()
        self.submit()
        self.submit()
        first.connect()
        self.assertEqual(first.events, self.everything())
        self.assertEqual(len(first.events), 3)

    def test_filters(self) -> None:
        """A filter by job, tree, account or kind lets through just that."""
        one, other = self.submit(), self.submit()
        by_job = self.viewer(job_id=one).connect()
        by_root = self.viewer(root_id=other).connect()
        by_account = self.viewer(account="nobody").connect()
        by_kind = self.viewer(kinds=["job_cancelled"]).connect()
        self.successResultOf(self.store.cancel(other, tree=False, reason=None, actor="test"))
        self.assertEqual([e["kind"] for e in by_job.events], ["job_created"])
        self.assertEqual([e["kind"] for e in by_root.events], ["job_created", "job_cancelled"])
        self.assertEqual(by_account.events, [])
        self.assertEqual([e["job_id"] for e in by_kind.events], [other])

    def test_readers_at_one_place_share_one_read(self) -> None:
        """However many subscribers stand at the head, a commit is read for all of them at once."""
        viewers = [self.viewer().connect() for _ in range(50)]
        self.submit()
        before = self.hub.tail.reads
        self.submit()
        # One read brings the page, a second finds that there is no more.
        self.assertLessEqual(self.hub.tail.reads - before, 2)
        self.assertTrue(all(viewer.events == self.everything() for viewer in viewers))

    def test_a_cancelled_one_gets_nothing_that_was_on_its_way(self) -> None:
        """A subscriber that cancels during a read is given nothing any more."""
        viewer = self.viewer().connect()
        self.store.slow = True
        self.submit()
        viewer.disconnect()
        for read in self.store.reads:
            read.callback(None)
        self.assertEqual(viewer.events, [])

    def test_an_older_position_than_is_kept(self) -> None:
        """Who comes too late gets one snapshot, marked with the gap, and then what follows it."""
        viewer = self.viewer().connect()
        self.submit()
        viewer.disconnect()
        job_id = self.submit()
        self.clock.advance(10)
        now = datetime.fromtimestamp(self.clock.seconds(), timezone.utc)
        self.successResultOf(self.store.prune(now + timedelta(days=1), now - timedelta(days=1)))
        viewer.events.clear()
        viewer.marks.clear()
        viewer.connect()
        self.assertEqual(viewer.marks, [(True, True)])
        self.assertEqual({e["kind"] for e in viewer.events}, {"job_snapshot"})
        self.assertIn((job_id, "queued"), [(e["job_id"], e["state"]) for e in viewer.events])
        self.successResultOf(self.store.cancel(job_id, tree=False, reason=None, actor="test"))
        self.assertEqual((viewer.events[-1]["kind"], viewer.marks[-1]), ("job_cancelled", (False, False)))

    def test_a_position_that_is_none(self) -> None:
        """A position that no store gave ends the subscription with the reason, and hurts nobody else."""
        good = self.viewer().connect()
        bad = Viewer(self.hub, position="no such place").connect()
        self.submit()
        self.assertEqual((bad.refusals, bad.events), (["invalid_message"], []))
        self.assertEqual(len(good.events), 1)

    def test_a_failing_subscriber_hurts_nobody_else(self) -> None:
        """A subscriber that raises is dropped and logged; the others go on."""

        def bad(events: Sequence[Any], position: str, gap: bool, snapshot: bool) -> None:
            raise RuntimeError("cannot draw this")

        self.hub.subscribe({}, None, bad)
        good = self.viewer().connect()
        self.submit()
        self.submit()
        self.assertEqual(len(good.events), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_lost_wake_up_is_found_by_the_poll(self) -> None:
        """What nobody told us about is delivered a poll later."""
        viewer = self.viewer().connect()
        self.store._event_observers.clear()
        self.submit()
        self.assertEqual(viewer.events, [])
        self.clock.advance(1)
        self.assertEqual(len(viewer.events), 1)

    def test_stopping_waits_and_ends_everything(self) -> None:
        """After stop nothing is read, nothing is delivered, and no timer is left."""
        viewer = self.viewer().connect()
        self.store.slow = True
        self.submit()
        stopping = Deferred.fromCoroutine(self.hub.stop())
        self.assertNoResult(stopping)
        for read in self.store.reads:
            read.callback(None)
        self.successResultOf(stopping)
        seen = len(viewer.events)
        self.submit()
        self.assertEqual(len(viewer.events), seen)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class InterleavingTests(HubCase):
    """A late viewer and one that was always there end in the same state."""

    def test_any_interleaving(self) -> None:
        """Over thousands of random steps of commits, reconnects and slow reads, all viewers read the same."""
        for seed in range(150):
            with self.subTest(seed=seed):
                self.setUp()
                self._play(random.Random(seed))

    def _play(self, dice: random.Random) -> None:
        session = self.successResultOf(
            self.store.open_session(NewSession("c", "00000000-0000-4000-8000-00000000000a", b"ticket", 1e6, slots=100))
        )
        always = self.viewer().connect()
        comers = [self.viewer() for _ in range(4)]
        held: list[JobRef] = []
        self.store.slow = True

        def assign() -> None:
            jobs = self.successResultOf(self.store.assign([Demand(session.session_id, 1)]))
            held.extend(JobRef(job.job_id, job.lease, job.session_id) for job in jobs)

        def report() -> None:
            if held:
                counts = {"issue": {"processed": dice.randrange(100), "total": 100}}
                self.successResultOf(
                    self.store.progress(held[0], Progress(dice.randrange(1, 50), "fetching", counts, percent=10.0))
                )

        def complete() -> None:
            if held:
                self.successResultOf(self.store.complete(held.pop(), Completion()))

        def come_or_go() -> None:
            comer = dice.choice(comers)
            (comer.connect if comer.subscription is None else comer.disconnect)()

        def read() -> None:
            if self.store.reads:
                self.store.reads.pop(0).callback(None)

        readings = [come_or_go, come_or_go, read, read, read]
        steps: list[Callable[[], object]] = [self.submit, assign, report, complete, *readings]
        for _ in range(dice.randrange(20, 120)):
            dice.choice(steps)()
        for comer in comers:
            if comer.subscription is None:
                comer.connect()
        self.store.slow = False
        while self.store.reads:
            read()
        self.clock.advance(1)
        whole = self.everything()
        self.assertEqual(always.events, whole)
        for comer in comers:
            self.assertEqual(comer.events, whole)
