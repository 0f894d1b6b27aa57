"""What the tally counts, and that nobody can make it large."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.tally import MOST_TYPES, OTHER, OUTCOMES, OWN_TYPES, Histogram, JobTally


class HistogramTests(SynchronousTestCase):
    """Observations by upper bound."""

    def test_a_bound_belongs_to_what_is_below(self) -> None:
        """An observation at a bound counts as not above it; one above all bounds counts at infinity."""
        histogram = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 99.0):
            histogram.observe(value)
        self.assertEqual(list(histogram.cumulative()), [(1.0, 2), (2.0, 3), (inf, 4)])
        self.assertEqual((histogram.count, histogram.total), (4, 102.0))


class LabelTests(SynchronousTestCase):
    """Job types are free text of peers; labels are not."""

    def test_types_beyond_the_bound_are_other(self) -> None:
        """A thousand job types make no more labels than the bound and one, and nothing is remembered of the rest."""
        tally = JobTally()
        labels = {tally.label(f"type_{number}") for number in range(1000)}
        self.assertLessEqual(len(labels), MOST_TYPES + 1)
        self.assertIn(OTHER, labels)
        self.assertEqual(len(tally.ended), MOST_TYPES + 1)
        tally.assigned("type_999", 1.0)
        self.assertEqual(tally.waited[OTHER].count, 1)

    def test_own_types_have_labels_from_the_start(self) -> None:
        """The crawler that comes along is counted under its own types, whatever came before."""
        tally = JobTally()
        self.assertEqual(set(tally.ended), set(OWN_TYPES))
        for number in range(1000):
            tally.label(f"type_{number}")
        self.assertEqual([tally.label(type) for type in OWN_TYPES], list(OWN_TYPES))


class OutcomeTests(SynchronousTestCase):
    """What an end is called."""

    def test_the_verb_and_what_became_of_the_job_name_it(self) -> None:
        """Each pair of verb and new state has one name, and every name is used."""
        ends = {
            ("failed", "failed"): "failed",
            ("failed", "queued"): "retried",
            ("failed", "waiting_credential"): "retried",
            ("cancelled", "cancelled"): "cancelled",
            ("released", "cancelled"): "cancelled",
            ("released", "queued"): "released",
            ("lost", "queued"): "lost",
            ("lost", "failed"): "poisoned",
            ("stuck", "queued"): "stuck",
            ("stuck", "failed"): "poisoned",
            ("credential", "waiting_credential"): "credential",
        }
        for (verb, state), outcome in ends.items():
            tally = JobTally()
            tally.over("a", verb, state, 1.5)
            self.assertEqual({name for name, count in tally.ended["a"].items() if count}, {outcome})
            self.assertEqual(tally.ran["a"].total, 1.5)
        self.assertEqual({*ends.values(), "completed"}, set(OUTCOMES))

    def test_an_attempt_that_never_began_has_no_run_time(self) -> None:
        """It counts as an end, and is no observation of zero seconds."""
        tally = JobTally()
        tally.over("a", "released", "queued", None)
        tally.completed("a", [None, 2.0])
        self.assertEqual((tally.ran["a"].count, tally.ran["a"].total), (1, 2.0))
        self.assertEqual(tally.ended["a"]["completed"], 2)

    def test_a_wait_is_never_negative(self) -> None:
        """A clock that was set back makes a wait of nothing."""
        tally = JobTally()
        tally.assigned("a", -3.0)
        tally.assigned("a", None)
        self.assertEqual((tally.waited["a"].count, tally.waited["a"].total), (1, 0.0))
