"""Many viewers: what they share, and when they are shown what."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from twisted.internet.defer import Deferred

from crawlsock.feed.channels import QUICKEST, Seat
from crawlsock.feed.filter import Filter
from crawlsock.feed.sheet import Item
from crawlsock.store.values import JobFilter, JobPage
from tests.feed.channels_case import ChannelsCase, Watcher


class SharingTests(ChannelsCase):
    """What is made for one is made for all who want the same."""

    def test_one_reading_and_one_encoding(self) -> None:
        """However many look at the same, it is read and encoded once, and all hold the same bytes."""
        watchers = [Watcher(self).sit() for _ in range(50)]
        self.submit()
        reads = self.hub.tail.reads
        self.clock.advance(1)
        reads = self.hub.tail.reads
        self.submit()
        self.assertEqual((self.hub.tail.reads - reads, self.encoded, len(self.channels)), (1, 2, 1))
        self.assertEqual(len({id(watcher.pieces[-1]) for watcher in watchers}), 1)

    def test_events_are_encoded_once_for_all_filters(self) -> None:
        """Viewers that want different things are shown the very same event objects."""
        seen: list[Sequence[Item]] = []

        def encode(items: Sequence[Item], position: str, gap: bool, snapshot: bool) -> bytes:
            seen.append(items)
            return self.encode(items, position, gap, snapshot)

        self.channels = self.hub.channels(encode)
        Watcher(self).sit()
        Watcher(self, Filter(account="default")).sit()
        self.submit()
        self.assertEqual(len(seen), 2)
        self.assertIs(seen[0][0], seen[1][0])

    def test_nobody_looks_on(self) -> None:
        """Without a viewer nothing is read, nothing is encoded, and nothing waits."""
        watcher = Watcher(self).sit()
        self.submit()
        assert watcher.seat is not None
        watcher.seat.leave()
        reads = self.hub.tail.reads
        for _ in range(10):
            self.submit()
            self.clock.advance(1)
        self.assertEqual((self.hub.tail.reads, self.encoded, len(self.channels)), (reads, 1, 0))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1, "only the hub's own poll")

    def test_coming_back_soon(self) -> None:
        """Who was away for a moment is shown what others were shown, from memory."""
        always, comer = Watcher(self).sit(), Watcher(self).sit()
        self.submit()
        assert comer.seat is not None
        comer.seat.leave()
        for _ in range(3):
            self.clock.advance(1)
            self.submit()
        reads = self.hub.tail.reads
        comer.sit(comer.shown[-1]["position"])
        self.assertEqual(comer.events, always.events)
        self.assertEqual((self.hub.tail.reads, len(self.channels)), (reads, 1))

    def test_coming_late(self) -> None:
        """Who comes from long ago reads for itself until it is where the others are, and is one of them then."""
        begin = self.successResultOf(self.store.event_head())
        for _ in range(450):
            self.submit()
        always = Watcher(self).sit()
        late = Watcher(self).sit(begin)
        self.assertEqual(len(late.events), 450)
        self.assertEqual(len(self.channels), 1)
        self.submit()
        self.assertEqual((len(late.events), len(always.events)), (451, 1))
        self.assertEqual(self.encoded, 4, "three pages for one, one delivery for both")

    def test_one_snapshot_for_all(self) -> None:
        """Many who come too late are shown one snapshot, read once."""
        position = self.successResultOf(self.store.event_head())
        job = self.submit()
        self.prune()
        asked: list[JobFilter] = []
        jobs = self.store.jobs

        def counted(wanted: JobFilter) -> Deferred[JobPage]:
            asked.append(wanted)
            return jobs(wanted)

        self.patch(self.store, "jobs", counted)
        self.store.slow = True
        watchers = [Watcher(self).sit(position) for _ in range(20)]
        self.store.slow = False
        while self.store.reads:
            self.store.reads.pop(0).callback(None)
        for watcher in watchers:
            self.assertEqual([(each["gap"], each["snapshot"]) for each in watcher.shown], [(True, True)])
            self.assertEqual([event["job_id"] for event in watcher.events], [job])
        self.assertEqual((len(asked), self.encoded), (1, 1))

    def test_statistics(self) -> None:
        """The hub tells who looks on, and what was done for them."""
        watchers = [Watcher(self).sit(), Watcher(self).sit(), Watcher(self, Filter(account="nobody")).sit()]
        self.submit()
        told = self.hub.statistics()
        self.assertEqual((told["viewers"], told["channels"], told["deliveries"], told["shows"]), (3, 2, 1, 2))
        self.assertEqual(told["delivered_bytes"], len(watchers[0].pieces[0]))
        self.assertEqual((told["waiting"], told["snapshots"], told["readers"]), (0, 0, 2))


class PaceTests(ChannelsCase):
    """Progress is shown four times a second a job, everything else as soon as order allows."""

    def test_four_a_second(self) -> None:
        """However often a job reports, its progress is shown four times a second, and the last one is shown."""
        ref = self.job()
        watcher = Watcher(self).sit()
        for _ in range(200):
            self.report(ref)
            self.clock.advance(0.01)
        self.clock.advance(1)
        times = [time for time, delivery in zip(watcher.times, watcher.shown, strict=True) if delivery["events"]]
        self.assertLessEqual(len(times), 9)
        self.assertGreaterEqual(min(after - before for before, after in pairwise(times)), 0.2499)
        self.assertEqual(watcher.events[-1]["seq"], self.seq)

    def test_who_reports_seldom_is_shown_at_once(self) -> None:
        """Jobs that report less often than that are not held back by each other."""
        refs = [self.job() for _ in range(10)]
        watcher = Watcher(self).sit()
        self.clock.advance(1)
        for _ in range(3):
            for ref in refs:
                now, seq = self.clock.seconds(), self.report(ref)
                self.clock.advance(0.05)
                self.assertEqual(watcher.events[-1]["seq"], seq)
                self.assertLessEqual(watcher.times[-1] - now, QUICKEST)

    def test_other_events_come_at_once(self) -> None:
        """Without progress before it that must wait, an event waits for nothing."""
        watcher = Watcher(self).sit()
        self.clock.advance(1)
        self.submit()
        self.assertEqual(watcher.times, [self.clock.seconds()])

    def test_order_goes_before_speed(self) -> None:
        """An event behind progress that must wait comes with it, after it."""
        ref = self.job()
        watcher = Watcher(self).sit()
        self.report(ref)
        self.clock.advance(0.1)
        self.report(ref)
        self.submit()
        self.assertEqual(watcher.kinds(), ["job_progress"])
        self.clock.advance(0.15)
        self.assertEqual(watcher.kinds(), ["job_progress", "job_progress", "job_created"])
        self.assertEqual(len(watcher.shown), 2)

    def test_many_viewers_are_written_to_less_often(self) -> None:
        """With many viewers deliveries are further apart, but never more than a quarter of a second."""
        watchers = [Watcher(self).sit() for _ in range(150)]
        self.submit()
        for _ in range(50):
            self.submit()
            self.clock.advance(0.01)
        gaps = [after - before for before, after in pairwise(watchers[0].times)]
        self.assertGreaterEqual(min(gaps), 0.1499)
        for _ in range(5000):
            self.channels.seats[Seat(self.channels, watchers[0], Filter(), "0")] = None
        self.assertEqual(self.channels.pace, 0.25)
