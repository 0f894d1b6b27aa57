"""Many viewers, one in trouble: slow ones, broken ones, positions that are none; what it costs the others."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from crawlsock.feed import channel as channel_module
from crawlsock.feed.filter import Filter
from crawlsock.wire.errors import Refusal
from tests.feed.channels_case import ChannelsCase, Watcher


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
