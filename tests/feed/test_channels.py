"""Many viewers: what they share, when they are shown what, and what a slow one costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from crawlsock.feed import channel as channel_module
from crawlsock.feed.channels import QUICKEST, Channels, Seat
from crawlsock.feed.filter import Filter
from crawlsock.feed.sheet import Item
from crawlsock.store.values import Demand, JobFilter, JobPage, JobRef, NewSession, Progress
from crawlsock.wire.errors import Refusal
from tests.feed.test_hub import HubCase

SERVER = "00000000-0000-4000-8000-00000000000a"


@define(eq=False)
class Watcher:
    """A viewer that remembers what it was shown, and when."""

    case: ChannelsCase
    filter: Filter = field(factory=Filter)
    seat: Seat | None = None
    shown: list[dict[str, Any]] = field(factory=list)
    times: list[float] = field(factory=list)
    pieces: list[bytes] = field(factory=list)
    refusals: list[str] = field(factory=list)
    pauses_after: int | None = None
    breaks: bool = False

    def sit(self, position: str | None = None) -> Watcher:
        """Look on from a position, or from now."""
        channels = self.case.channels
        if position is None:
            position = self.case.successResultOf(Deferred.fromCoroutine(channels.begin(self.filter)))
        self.seat = channels.join(self, self.filter, position)
        channels.place(self.seat)
        return self

    def show(self, data: bytes) -> None:
        """Take a delivery."""
        if self.breaks:
            raise RuntimeError("cannot show this")
        self.pieces.append(data)
        self.shown.append(json.loads(data))
        self.times.append(self.case.clock.seconds())
        if self.pauses_after is not None and len(self.shown) >= self.pauses_after:
            assert self.seat is not None
            self.seat.pause()

    def refused(self, refusal: Refusal) -> None:
        """Remember why."""
        self.refusals.append(refusal.code.value)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events, of all deliveries."""
        return [event for delivery in self.shown for event in delivery["events"]]

    def kinds(self) -> list[str]:
        """Return the kinds of all events."""
        return [event["kind"] for event in self.events]


class ChannelsCase(HubCase):
    """A hub, a store in memory, and a job that somebody works on."""

    def setUp(self) -> None:
        super().setUp()
        self.encoded = 0
        self.channels: Channels = self.hub.channels(self.encode)
        self.clock.advance(100)
        session = self.successResultOf(self.store.open_session(NewSession("c", SERVER, b"t", 1e6, slots=100)))
        self.session_id = session.session_id
        self.seq = 0

    def encode(self, items: Sequence[Item], position: str, gap: bool, snapshot: bool) -> bytes:
        """Encode, and count."""
        self.encoded += 1
        events = [item.event for item in items]
        return json.dumps({"events": events, "position": position, "gap": gap, "snapshot": snapshot}).encode()

    def job(self, **fields: Any) -> JobRef:
        """Have a job made and given out."""
        self.submit(**fields)
        (job,) = self.successResultOf(self.store.assign([Demand(self.session_id, 1)]))
        return JobRef(job.job_id, job.lease, job.session_id)

    def report(self, ref: JobRef) -> int:
        """Report progress; return its number."""
        self.seq += 1
        self.successResultOf(
            self.store.progress(ref, Progress(self.seq, "fetching", {"issue": {"processed": self.seq}}))
        )
        return self.seq

    def prune(self) -> None:
        """Let the feed forget everything."""
        now = datetime.fromtimestamp(self.clock.seconds(), timezone.utc)
        self.successResultOf(self.store.prune(now + timedelta(days=1), now - timedelta(days=1)))


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


class TroubleTests(ChannelsCase):
    """A viewer that is slow, or broken, harms nobody, and is cheap."""

    def test_a_slow_viewer(self) -> None:
        """Nothing is kept for a viewer that does not read; when it reads again it is shown all it missed."""
        quick, slow = Watcher(self).sit(), Watcher(self, pauses_after=1).sit()
        assert slow.seat is not None
        for _ in range(500):
            self.submit()
            self.clock.advance(0.05)
        self.assertEqual(len(slow.shown), 1)
        self.assertEqual(self.channels.statistics()["waiting"], 1)
        slow.pauses_after = None
        slow.seat.resume()
        self.clock.advance(1)
        self.assertEqual(slow.events, quick.events)
        self.assertEqual(len(self.channels), 1)

    def test_slow_in_the_middle_of_what_was_missed(self) -> None:
        """A viewer that cannot take all it missed at once is shown the rest later, and nothing twice."""
        quick, slow = Watcher(self).sit(), Watcher(self).sit()
        assert slow.seat is not None
        slow.seat.pause()
        for _ in range(9):
            self.submit()
            self.clock.advance(0.05)
        for count in (2, 5, 9):
            slow.pauses_after = count
            slow.seat.resume()
            self.assertEqual(len(slow.shown), count)
        slow.pauses_after = None
        slow.seat.resume()
        self.submit()
        self.assertEqual(slow.events, quick.events)

    def test_memory_is_bounded(self) -> None:
        """What is kept of earlier deliveries has a limit, for one channel and for all of them."""
        self.patch(self.channels.__class__, "recent_bytes", 2000)
        Watcher(self).sit()
        for _ in range(500):
            self.submit()
            self.clock.advance(0.05)
        ((channel,),) = self.channels._channels.values()
        self.assertLessEqual(channel.recent._bytes, 2000)
        self.assertLessEqual(len(channel.recent._next), 100)

    def test_a_broken_viewer(self) -> None:
        """A viewer that raises is shown no more; the others are."""
        broken, good = Watcher(self, breaks=True).sit(), Watcher(self).sit()
        self.submit()
        self.clock.advance(1)
        self.submit()
        self.assertEqual((len(good.events), len(broken.shown), len(self.channels.seats)), (2, 0, 1))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_position_that_is_none(self) -> None:
        """A position that no store gave is refused before, and refused when it is used after all."""
        checking = Deferred.fromCoroutine(self.channels.check(Filter(), "nonsense"))
        self.assertEqual(self.failureResultOf(checking, Refusal).value.code.value, "invalid_message")
        watcher = Watcher(self).sit("nonsense")
        self.assertEqual((watcher.refusals, len(self.channels.seats), len(self.channels)), (["invalid_message"], 0, 0))

    def test_a_position_of_another_database(self) -> None:
        """A position that lies ahead of everything is a gap: whoever has it has seen another past."""
        job = self.submit()
        watcher = Watcher(self).sit("999999")
        self.assertEqual([(each["gap"], each["snapshot"]) for each in watcher.shown], [(True, True)])
        self.submit()
        self.assertEqual([event["job_id"] for event in watcher.events][:1], [job])
        self.assertEqual(len(watcher.events), 2)

    def test_too_far_behind(self) -> None:
        """Who is so far behind that nobody would read it all is shown the present state instead."""
        self.patch(channel_module, "REPLAY_PAGES", 3)
        begin = self.successResultOf(self.store.event_head())
        for _ in range(1200):
            self.submit()
        watcher = Watcher(self).sit(begin)
        self.assertEqual([each["snapshot"] for each in watcher.shown], [False, False, False, True])
        self.assertEqual(len(watcher.shown[-1]["events"]), 500)
        self.submit()
        self.clock.advance(1)
        self.assertEqual(watcher.kinds()[-1], "job_created")

    def test_more_than_can_be_followed(self) -> None:
        """A viewer that was always there is shown the present state, too, when more happens than can be read."""
        self.patch(channel_module, "REPLAY_PAGES", 3)
        watcher = Watcher(self).sit()
        self.submit()
        self.store.slow = True
        self.submit()
        for _ in range(1200):
            self.submit()
        self.store.slow = False
        self.store.reads.pop(0).callback(None)
        self.clock.advance(1)
        self.assertEqual([each["snapshot"] for each in watcher.shown].count(True), 1)
        self.assertTrue(watcher.shown[-1]["snapshot"])
        self.submit()
        self.clock.advance(1)
        self.assertEqual(watcher.kinds()[-1], "job_created")

    def test_the_store_goes_away_during_a_snapshot(self) -> None:
        """A snapshot that could not be read is read when the store is back, and viewers are told once."""
        position = self.successResultOf(self.store.event_head())
        self.submit()
        self.prune()
        self.store.slow = True
        watcher = Watcher(self).sit(position)
        self.store.take_down()
        self.store.slow = False
        self.store.reads.pop(0).callback(None)
        self.clock.advance(1)
        self.assertEqual((watcher.shown, watcher.refusals), ([], []))
        self.store.bring_up()
        self.clock.advance(1)
        self.assertEqual([each["snapshot"] for each in watcher.shown], [True])

    def test_a_job_that_was_pruned(self) -> None:
        """Who follows a job that is no more is shown that nothing is left."""
        position = self.successResultOf(self.store.event_head())
        self.submit()
        self.prune()
        watcher = Watcher(self, Filter(job_id="00000000-0000-4000-8000-0000000000ff")).sit(position)
        self.assertEqual([(each["events"], each["snapshot"]) for each in watcher.shown], [([], True)])

    def test_a_viewer_of_some_accounts(self) -> None:
        """A snapshot shows a bound viewer its accounts' jobs, none of the newer ones of others."""
        position = self.successResultOf(self.store.event_head())
        self.submit()
        self.prune()
        none = Watcher(self, Filter(accounts=frozenset({"team", "other"}))).sit(position)
        self.assertEqual([(each["events"], each["snapshot"]) for each in none.shown], [([], True)])

    def test_news_without_deliveries(self) -> None:
        """A viewer that nothing concerns is told how far the feed is, so that it can come back from there."""
        watcher = Watcher(self, Filter(account="nobody")).sit()
        assert watcher.seat is not None
        self.assertIsNone(watcher.seat.news())
        self.submit()
        news = watcher.seat.news()
        self.assertEqual(news, self.successResultOf(self.store.event_head()))
        self.assertIsNone(watcher.seat.news())

    def test_stopping(self) -> None:
        """After the hub has stopped nobody is shown anything, and no timer is left."""
        ref = self.job()
        watcher = Watcher(self).sit()
        self.report(ref)
        self.report(ref)
        self.successResultOf(Deferred.fromCoroutine(self.hub.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        shown = len(watcher.shown)
        self.report(ref)
        self.assertEqual(len(watcher.shown), shown)
