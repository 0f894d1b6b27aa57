"""Pace, time left, and the tracker that holds them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from crawlsock.progress import Pace, ProgressTracker
from crawlsock.store.values import Progress


class Pacing(unittest.TestCase):
    """A pace is an average that forgets."""

    def test_a_steady_pace_is_found(self) -> None:
        """Ten items a second for a minute are ten items a second."""
        pace = Pace(1, 0.0, 0)
        for second in range(1, 61):
            pace.note(float(second), second * 10)
        self.assertAlmostEqual(pace.rate or 0.0, 10.0)
        self.assertAlmostEqual(pace.time_left(50) or 0.0, 5.0)

    def test_a_change_is_followed(self) -> None:
        """A minute after the pace changed the old one weighs less than a tenth."""
        pace = Pace(1, 0.0, 0)
        items = 0
        for second in range(1, 121):
            items += 100 if second <= 60 else 10
            pace.note(float(second), items)
        self.assertLess(pace.rate or 0.0, 10.0 + 0.1 * 90.0)
        self.assertGreater(pace.rate or 0.0, 10.0)

    def test_one_sample_is_no_pace(self) -> None:
        """With the first sample alone there is no rate and no time left."""
        pace = Pace(1, 0.0, 5)
        self.assertEqual((pace.rate, pace.time_left(10)), (None, None))

    def test_time_left_needs_evidence(self) -> None:
        """Time left is shown after three samples over two seconds, for a known remainder, and never for
        thirty days."""
        pace = Pace(1, 0.0, 0)
        pace.note(0.5, 5)
        pace.note(1.0, 10)
        self.assertIsNone(pace.time_left(10))
        pace.note(1.5, 15)
        self.assertIsNone(pace.time_left(10))
        pace.note(2.0, 20)
        self.assertAlmostEqual(pace.time_left(10) or 0.0, 1.0)
        self.assertIsNone(pace.time_left(None))
        self.assertIsNone(pace.time_left(10**9))
        self.assertEqual(pace.time_left(0), 0.0)

    def test_standing_still_has_no_end(self) -> None:
        """A job that does nothing has a rate of nothing and no time left."""
        pace = Pace(1, 0.0, 5)
        for second in range(1, 10):
            pace.note(float(second), 5)
        self.assertEqual((pace.rate, pace.time_left(10)), (0.0, None))

    def test_a_burst_is_one_sample(self) -> None:
        """Reports in quick succession are taken together, so that noise is not taken for speed."""
        pace = Pace(1, 0.0, 0)
        for n in range(100):
            pace.note(0.001 * n, n)
        self.assertIsNone(pace.rate)
        pace.note(1.0, 100)
        self.assertAlmostEqual(pace.rate or 0.0, 100.0)

    @given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10**9)), max_size=30))
    def test_it_is_never_negative(self, steps: list[tuple[float, int]]) -> None:
        """Whatever the samples, counts that fall included, rate and time left are not negative."""
        pace = Pace(1, 0.0, 0)
        now = 0.0
        for seconds, items in steps:
            now += seconds
            pace.note(now, items)
            self.assertGreaterEqual(pace.rate or 0.0, 0.0)
            self.assertGreaterEqual(pace.time_left(10) or 0.0, 0.0)


class Tracking(unittest.TestCase):
    """The tracker adds what only a history can tell."""

    def setUp(self) -> None:
        self.tracker = ProgressTracker(limit=3)

    def note(self, job_id: str, now: float, processed: int, attempt: int = 1, **fields: Any) -> Progress:
        """Report issues out of a hundred."""
        stage = fields.pop("stage", "fetching")
        report = Progress(int(now) + 1, stage, {"issue": {"processed": processed, "total": 100}}, **fields)
        return self.tracker.note(job_id, attempt, report, now)

    def test_what_was_reported_stays(self) -> None:
        """The report comes back with its own fields untouched."""
        noted = self.note("a", 0.0, 5, message="m", resume_state={"p": 1})
        self.assertEqual((noted.seq, noted.stage, noted.message), (1, "fetching", "m"))
        self.assertEqual((noted.resume_state, noted.entities["issue"]["processed"]), ({"p": 1}, 5))

    def test_percent_rate_and_time_left_are_added(self) -> None:
        """A job at ten items a second with half to go has five seconds left."""
        for second in range(6):
            noted = self.note("a", float(second), second * 10)
        self.assertEqual(noted.percent, 50.0)
        self.assertAlmostEqual(noted.rate or 0.0, 10.0)
        self.assertAlmostEqual(noted.time_left or 0.0, 5.0)

    def test_who_discovers_has_no_time_left(self) -> None:
        """While a job discovers nobody knows how long it takes."""
        for second in range(6):
            noted = self.note("a", float(second), second * 10, stage="discovering")
        self.assertIsNone(noted.time_left)
        self.assertIsNotNone(noted.rate)

    def test_a_type_without_a_total_has_no_time_left(self) -> None:
        """When one type's end is unknown so is the end of all."""
        for second in range(6):
            counts = {"issue": {"processed": second, "total": 100}, "user": {"processed": 1}}
            noted = self.tracker.note("a", 1, Progress(second + 1, "fetching", counts), float(second))
        self.assertIsNone(noted.time_left)

    def test_a_new_attempt_begins_anew(self) -> None:
        """The pace of one attempt says nothing of the next."""
        for second in range(6):
            self.note("a", float(second), second * 10)
        self.assertIsNone(self.note("a", 7.0, 0, attempt=2).rate)

    def test_memory_is_bounded(self) -> None:
        """At most so many jobs are followed; who was silent for longest is forgotten."""
        for job_id in ("a", "b", "c"):
            self.note(job_id, 0.0, 0)
        self.note("a", 1.0, 10)
        self.note("d", 1.0, 0)
        self.assertEqual(len(self.tracker), 3)
        self.assertIsNotNone(self.note("a", 2.0, 20).rate)
        self.assertIsNone(self.note("b", 2.0, 20).rate)

    def test_forgetting(self) -> None:
        """A job that is with no crawler any more is forgotten; forgetting twice is fine."""
        self.note("a", 0.0, 0)
        self.tracker.forget("a")
        self.tracker.forget("a")
        self.assertEqual(len(self.tracker), 0)
