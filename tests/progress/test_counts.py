"""Merging reports, percentages and milestones."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from crawlsock.progress import MILESTONES, count, merge, milestones_crossed, percent

_number = st.integers(0, 1000)
_counts = st.fixed_dictionaries(
    {}, optional={"discovered": _number, "processed": _number, "failed": _number, "total": _number}
)
_reports = st.dictionaries(st.sampled_from(["issue", "user", "branch"]), _counts)


class Merging(unittest.TestCase):
    """Within an attempt nothing goes back."""

    @given(_reports, _reports)
    def test_counts_only_grow(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Every count of either report is at most the merged one, which is one of the two."""
        merged = merge(before, after)
        for kind in {*before, *after}:
            for name in ("discovered", "processed", "failed"):
                values = [r[kind][name] for r in (before, after) if name in r.get(kind, {})]
                self.assertEqual(merged[kind].get(name), max(values) if values else None)

    @given(_reports, _reports)
    def test_merging_again_changes_nothing(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """A report merged twice is merged once, and the reports themselves are left alone."""
        kept = {kind: dict(counts) for kind, counts in before.items()}
        once = merge(before, after)
        self.assertEqual(merge(once, after), once)
        self.assertEqual(before, kept)

    def test_totals_and_pages_take_the_later_value(self) -> None:
        """A total may be corrected, a page and a collection begin anew, and what is left out stays."""
        before = {"issue": {"total": 9, "page": 7, "collection": "issues", "processed": 5}}
        after = {"issue": {"total": 8, "page": 1, "collection": "notes"}}
        expected = {"issue": {"total": 8, "page": 1, "collection": "notes", "processed": 5}}
        self.assertEqual(merge(before, after), expected)


class Percent(unittest.TestCase):
    """A percentage is shown when it means something."""

    def shown(self, stage: str = "fetching", **entities: dict[str, int]) -> float | None:
        """Return the percentage of a report."""
        return percent(count(entities), stage)

    def test_types_weigh_by_their_totals(self) -> None:
        """A type with ten times the items weighs ten times as much."""
        self.assertEqual(self.shown(issue={"processed": 90, "total": 90}, user={"processed": 0, "total": 10}), 90.0)

    def test_failed_items_are_done(self) -> None:
        """An item that failed is not waited for."""
        self.assertEqual(self.shown(issue={"processed": 6, "failed": 2, "total": 16}), 50.0)

    def test_without_a_total_there_is_none(self) -> None:
        """With no total known, or totals of nothing, there is no percentage."""
        self.assertIsNone(self.shown())
        self.assertIsNone(self.shown(issue={"processed": 5}))
        self.assertIsNone(self.shown(issue={"processed": 0, "total": 0}))

    def test_too_many_items_are_not_more_than_all(self) -> None:
        """More items than were expected are 100 percent, and do not make up for another type."""
        self.assertEqual(self.shown(issue={"processed": 30, "total": 10}), 100.0)
        self.assertEqual(self.shown(issue={"processed": 30, "total": 10}, user={"processed": 0, "total": 10}), 50.0)

    def test_who_may_find_more_is_never_done(self) -> None:
        """While a job discovers, or a type has no total, 99 is the most."""
        self.assertEqual(self.shown("discovering", issue={"processed": 5, "total": 5}), 99.0)
        self.assertEqual(self.shown(issue={"processed": 5, "total": 5}, user={"processed": 1}), 99.0)
        self.assertEqual(self.shown("discovering", issue={"processed": 1, "total": 4}), 25.0)

    def test_completed_is_all(self) -> None:
        """The stage completed is 100, whatever the counts."""
        self.assertEqual(self.shown("completed"), 100.0)

    def test_almost_done_is_not_done(self) -> None:
        """A percentage is rounded down: 100 means all of it."""
        self.assertEqual(self.shown(issue={"processed": 99_999_999, "total": 100_000_000}), 99.99)

    @given(_reports, st.sampled_from(["discovering", "fetching", "completed", "failed"]))
    def test_it_is_a_percentage(self, entities: dict[str, Any], stage: str) -> None:
        """Whatever is reported, the answer is None or from 0 to 100."""
        value = percent(count(entities), stage)
        self.assertTrue(value is None or 0.0 <= value <= 100.0)

    def test_the_total_of_all(self) -> None:
        """The total of a report is known when that of every type is."""
        self.assertEqual(count({"a": {"total": 1}, "b": {"total": 2}}).total, 3)
        self.assertIsNone(count({"a": {"total": 1}, "b": {}}).total)
        self.assertIsNone(count({}).total)


class Milestones(unittest.TestCase):
    """Milestones are crossed upwards."""

    def test_what_lies_between(self) -> None:
        """All milestones above the one and up to the other are crossed, the reached one included."""
        self.assertEqual(milestones_crossed(None, 50.0), (25, 50))
        self.assertEqual(milestones_crossed(50.0, 90.0), (75, 90))
        self.assertEqual(milestones_crossed(99.99, 100.0), (100,))
        self.assertEqual(milestones_crossed(None, 100.0), MILESTONES)

    def test_nothing_is_crossed_by_standing_or_falling(self) -> None:
        """Without a percentage, or with one not above the last, nothing is crossed."""
        for before, after in ((None, None), (50.0, None), (50.0, 50.0), (60.0, 30.0), (None, 24.99)):
            self.assertEqual(milestones_crossed(before, after), ())
