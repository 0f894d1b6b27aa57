"""Sums over many jobs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from crawlsock.jobs import LIVE, State
from crawlsock.progress import Aggregate, Snapshot, job_view
from crawlsock.store.values import ProgressView

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def tree(*jobs: Snapshot, elapsed: float | None = None) -> ProgressView:
    """Return the view of a tree of these jobs."""
    aggregate = Aggregate()
    for job in jobs:
        aggregate.add(job)
    return aggregate.view("tree", job_id="root", elapsed=elapsed)


class Adding(unittest.TestCase):
    """A tree is the sum of its jobs."""

    def test_nothing_is_nothing(self) -> None:
        """Without jobs there is no stage and no percentage."""
        shown = tree()
        self.assertEqual((shown.stage, shown.percent, shown.total, shown.jobs), (None, None, None, {}))

    def test_counts_add_up_by_type(self) -> None:
        """Counts are added type by type, and a total only where every job that has the type knows it."""
        shown = tree(
            Snapshot("running", "fetching", {"issue": {"processed": 1, "total": 4}, "user": {"processed": 5}}),
            Snapshot("running", "fetching", {"issue": {"processed": 2, "failed": 1, "total": 6}}),
            Snapshot("queued"),
        )
        self.assertEqual(
            shown.entities,
            {
                "issue": {"discovered": 0, "processed": 3, "failed": 1, "total": 10},
                "user": {"discovered": 0, "processed": 5, "failed": 0},
            },
        )
        self.assertEqual((shown.processed, shown.failed, shown.total), (8, 1, None))
        self.assertEqual(shown.jobs, {"running": 2, "queued": 1})

    def test_every_job_weighs_the_same(self) -> None:
        """Half of one job and all of another, out of four, are three eighths."""
        shown = tree(
            Snapshot("running", "fetching", {}, 50.0),
            Snapshot("completed", "completed", {}, 100.0),
            Snapshot("queued"),
            Snapshot("queued"),
        )
        self.assertEqual(shown.percent, 37.5)

    def test_what_has_ended_is_done(self) -> None:
        """Failed and cancelled jobs are not waited for: a tree that has ended is at 100."""
        shown = tree(Snapshot("failed", "fetching", {}, 10.0), Snapshot("completed"), Snapshot("cancelled"))
        self.assertEqual((shown.percent, shown.stage), (100.0, "completed"))
        self.assertEqual(tree(Snapshot("failed")).stage, "failed")

    @given(st.lists(st.sampled_from(list(State)), max_size=20), st.sampled_from(sorted(LIVE)))
    def test_who_lives_is_never_done(self, states: list[State], live: State) -> None:
        """A tree with a live job is at 99 at most, even if that job says 100."""
        jobs = [Snapshot(state.value, "fetching", {}, 100.0) for state in [*states, live]]
        shown = tree(*jobs)
        assert shown.percent is not None
        self.assertLessEqual(shown.percent, 99.0)

    def test_a_tree_that_discovers_says_so(self) -> None:
        """One live job that discovers makes the whole tree discover; one that has ended does not."""
        self.assertEqual(tree(Snapshot("running", "discovering"), Snapshot("queued")).stage, "discovering")
        self.assertEqual(tree(Snapshot("completed", "discovering"), Snapshot("queued")).stage, "fetching")

    def test_rates_of_running_jobs_add_up(self) -> None:
        """The rate is the sum over jobs that are with crawlers; what is left of others does not count."""
        shown = tree(
            Snapshot("running", "fetching", {}, None, 2.0),
            Snapshot("running", "fetching", {}, None, 3.0),
            Snapshot("queued", "fetching", {}, None, 50.0),
            Snapshot("completed", "fetching", {}, None, 50.0),
        )
        self.assertEqual(shown.rate, 5.0)
        self.assertIsNone(tree(Snapshot("completed", rate=5.0)).rate)

    def test_time_left_from_counts(self) -> None:
        """When all totals are known the time left is what remains at the rate of now."""
        counts = {"issue": {"processed": 40, "total": 100}}
        shown = tree(Snapshot("running", "fetching", counts, 40.0, 6.0), elapsed=1000.0)
        self.assertEqual(shown.time_left, 10.0)

    def test_time_left_from_experience(self) -> None:
        """When totals are unknown it is estimated from how long the part that is done took, once that is a
        tenth."""
        done, waiting = Snapshot("completed"), Snapshot("queued")
        self.assertEqual(tree(done, waiting, waiting, waiting, elapsed=60.0).time_left, 180.0)
        self.assertIsNone(tree(done, waiting, waiting, waiting).time_left)
        self.assertIsNone(tree(done, *[waiting] * 20, elapsed=60.0).time_left)

    def test_no_time_left_where_it_means_nothing(self) -> None:
        """A tree that discovers, or has ended, or would take more than thirty days, shows no time left."""
        done = Snapshot("completed")
        self.assertIsNone(tree(done, Snapshot("running", "discovering"), elapsed=60.0).time_left)
        self.assertIsNone(tree(done, elapsed=60.0).time_left)
        self.assertIsNone(tree(done, Snapshot("queued"), elapsed=31 * 86400.0).time_left)

    def test_the_last_report_dates_the_sum(self) -> None:
        """The sum is as new as the newest report in it."""
        later = NOON + timedelta(seconds=5)
        shown = tree(Snapshot("running", updated_at=later), Snapshot("running", updated_at=NOON), Snapshot("queued"))
        self.assertEqual(shown.updated_at, later)

    def test_sums_may_come_from_a_database(self) -> None:
        """A sum that was collected elsewhere is shown as one that was added up here."""
        by_hand = Aggregate()
        by_hand.add(Snapshot("running", "fetching", {"issue": {"processed": 1, "total": 4}}, 25.0, 2.0, NOON))
        by_hand.add(Snapshot("completed"))
        given_ = Aggregate(
            jobs={"running": 1, "completed": 1},
            entities=dict(by_hand.entities),
            live_share=0.25,
            rate=2.0,
            updated_at=NOON,
        )
        self.assertEqual(given_.view("all"), by_hand.view("all"))


class Single(unittest.TestCase):
    """A job alone is shown as it reported."""

    def test_only_a_held_job_has_a_pace(self) -> None:
        """Rate and time left are shown while a crawler has the job."""
        for state in State:
            shown = job_view("j", Snapshot(state.value, "fetching", {}, 10.0, 2.0), time_left=4.0)
            held = state in (State.ASSIGNED, State.RUNNING)
            self.assertEqual((shown.rate, shown.time_left), (2.0, 4.0) if held else (None, None), state)

    def test_a_completed_job_is_at_hundred(self) -> None:
        """Completed is 100, whatever was reported last."""
        shown = job_view("j", Snapshot("completed", "fetching", {}, 10.0))
        self.assertEqual((shown.percent, shown.stage), (100.0, "completed"))

    def test_as_json_leaves_out_what_is_not_there(self) -> None:
        """What is None is absent from the object of the protocol, and moments are text."""
        shown = job_view("j", Snapshot("running", "fetching", {"issue": {"processed": 2}}, updated_at=NOON))
        self.assertEqual(
            shown.as_json(),
            {
                "scope": "job",
                "job_id": "j",
                "stage": "fetching",
                "entities": {"issue": {"discovered": 0, "processed": 2, "failed": 0}},
                "processed": 2,
                "failed": 0,
                "updated_at": "2026-11-23T12:00:00.000000Z",
            },
        )
