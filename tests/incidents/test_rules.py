"""What is an incident, and when it is over."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from crawlsock.incidents.rules import Limits, database_lost, examine, told
from crawlsock.masking import HIDDEN
from crawlsock.store.records_values import (
    Finding,
    Loss,
    OpenIncident,
    Parked,
    RefusedAccount,
    SeenGroup,
    Stalled,
    Watched,
)

LIMITS = Limits(window=600, threshold=20, feed_behind=30)
F = "0123456789abcdef"


def group(total: int, recent: int, **fields: Any) -> SeenGroup:
    """Return a group of failures."""
    made = SeenGroup("acme", F, "KeyError", "crawler", "critical", "KeyError: <value>", total, recent, "'id'")
    return made._replace(**fields)


def open_(kind: str, subject: str = "", account: str | None = None, counted: int = 1, base: int = 0) -> OpenIncident:
    """Return an incident that goes on."""
    return OpenIncident("i", kind, subject, account, counted, base)


class ThresholdTests(unittest.TestCase):
    def look(self, seen: SeenGroup | None, incident: OpenIncident | None = None) -> tuple[list[Finding], bool]:
        """Return what is found, and whether the incident is over."""
        watched = Watched(groups=[seen] if seen else [], open=[incident] if incident else [])
        verdict = examine(watched, LIMITS)
        return verdict.findings, bool(verdict.over)

    def test_below_the_threshold_is_nothing(self) -> None:
        """Failures below the threshold are no incident."""
        self.assertEqual(self.look(group(1000, 19)), ([], False))

    def test_at_the_threshold_it_opens(self) -> None:
        """At the threshold there is an incident, which counts from its begin and says what to do."""
        ((found,), _) = self.look(group(1000, 20))
        self.assertEqual((found.count, found.base, found.subject, found.account), (20, 980, F, "acme"))
        self.assertEqual(
            (found.fingerprint, found.severity, found.title), (F, "critical", "KeyError: <value>: 20 times")
        )
        self.assertIn("stack", found.next_step or "")

    def test_it_counts_up(self) -> None:
        """While it goes on the count is of all since it opened, and nothing is found when none was added."""
        incident = open_("error_threshold", F, "acme", counted=20, base=980)
        self.assertEqual([each.count for each in self.look(group(1100, 20), incident)[0]], [120])
        self.assertEqual(self.look(group(1000, 20), incident), ([], False))

    def test_it_is_over_below_half(self) -> None:
        """It is over when there are less than half as many; in between it goes on, without a new one."""
        incident = open_("error_threshold", F, "acme", counted=20, base=980)
        self.assertEqual(self.look(group(1000, 10), incident), ([], False))
        self.assertEqual(self.look(group(1000, 9), incident), ([], True))
        self.assertEqual(self.look(None, incident), ([], True))

    def test_a_threshold_of_one_is_over_without_any(self) -> None:
        """With a threshold of one, the first opens, and none ends it."""
        limits = Limits(600, 1, 30)
        incident = open_("error_threshold", F, "acme")
        self.assertEqual(len(examine(Watched(groups=[group(1, 1)]), limits).findings), 1)
        self.assertEqual(examine(Watched(groups=[group(1, 0)], open=[incident]), limits).over, [("i", 1)])

    @given(st.lists(st.integers(0, 40), max_size=60))
    def test_a_rate_that_sways_is_one_incident(self, added: list[int]) -> None:
        """However many are added from look to look, what is open is found, or over, never opened beside itself."""
        incident: OpenIncident | None = None
        total = 0
        for recent in added:
            total += recent
            findings, over = self.look(group(total, min(20, recent)), incident)
            self.assertLessEqual(len(findings), 1)
            if over:
                assert incident is not None
                incident = None
            elif findings:
                found = findings[0]
                if incident is not None:
                    self.assertGreater(found.count, incident.counted)
                    self.assertEqual(found.base, incident.base)
                incident = open_("error_threshold", F, "acme", found.count, found.base)
            self.assertTrue(incident is None or incident.counted + incident.base <= total)


class KindTests(unittest.TestCase):
    def found(self, **seen: Any) -> Finding:
        """Return the one finding, and see that it ends when there is nothing to see."""
        (finding,) = examine(Watched(**seen), LIMITS).findings
        incident = open_(finding.kind, finding.subject, finding.account, finding.count)
        self.assertEqual(examine(Watched(open=[incident]), LIMITS).over, [("i", finding.count)])
        again = examine(Watched(open=[incident], **seen), LIMITS)
        self.assertEqual((again.findings, again.over), ([], []))
        self.assertTrue(finding.next_step)
        return finding

    def test_lost_crawlers(self) -> None:
        """Crawlers that were lost are one incident that names some of them."""
        found = self.found(losses=[Loss(f"c{n}", "dead", n == 0) for n in range(8)])
        self.assertEqual((found.kind, found.count, found.title), ("crawler_lost", 8, "8 crawlers were lost"))
        self.assertIn("c0, c1, c2, c3, c4 and 3 more", found.detail or "")
        self.assertEqual(self.found(losses=[Loss("c", "dead", True)]).title, "A crawler was lost")
        self.assertEqual(examine(Watched(losses=[Loss("c", "dead", False)]), LIMITS).findings, [])

    def test_parked_jobs(self) -> None:
        """Jobs that took crawlers down are an incident of their account and type."""
        found = self.found(poison=[Parked("acme", "crawl_group", 3, 1)])
        self.assertEqual(
            (found.kind, found.account, found.subject, found.count), ("job_poison", "acme", "crawl_group", 3)
        )
        self.assertEqual(examine(Watched(poison=[Parked("acme", "crawl_group", 3, 0)]), LIMITS).findings, [])

    def test_refused_credentials(self) -> None:
        """An account without a working credential is an incident as long as it has none."""
        found = self.found(refused=[RefusedAccount("acme", "gitlab.test", "token=glpat-0123456789abcdef", 4)])
        self.assertEqual((found.kind, found.account, found.count), ("credential_refused", "acme", 4))
        self.assertIn("gitlab.test", found.title)
        self.assertIn(HIDDEN, found.detail or "")
        self.assertEqual(self.found(refused=[RefusedAccount("acme", None, None, 0)]).count, 1)

    def test_stalled_queues(self) -> None:
        """Jobs that nobody may take are an incident of their type and labels."""
        found = self.found(stalled=[Stalled("crawl_user", ("gpu", "big"), 5, 7200)])
        self.assertEqual((found.kind, found.subject, found.count), ("queue_stalled", "crawl_user big gpu", 5))
        self.assertIn("2 h", found.detail or "")

    def test_a_feed_that_stands_still(self) -> None:
        """A feed that is behind by more than the limit is an incident; by less it is none."""
        self.assertEqual(self.found(feed_age=31.0).kind, "feed_standing_still")
        self.assertEqual(examine(Watched(feed_age=29.0), LIMITS).findings, [])

    def test_a_database_that_was_away(self) -> None:
        """A database that is back says for how long it was away."""
        found = database_lost(300.0)
        self.assertEqual(
            (found.kind, found.away, found.title), ("database_lost", 300.0, "The database was away for 5 min")
        )

    def test_others_kinds_are_left_alone(self) -> None:
        """An incident of a kind that no rule here knows is closed by who opened it: a newer server."""
        seen = Watched(open=[open_("crawler_lost", "somebody else's"), open_("brand_new")])
        self.assertEqual(examine(seen, LIMITS).over, [("i", 1)])

    @given(st.text(), st.text(), st.sampled_from(["info", "warning", "critical"]))
    def test_findings_are_bounded(self, title: str, detail: str, least: str) -> None:
        """Title and detail have a bound; less than people want to hear is quiet."""
        made = told(Finding("x", "warning", title * 50, detail=detail * 500), least)
        self.assertLessEqual(len(made.title), 300)
        self.assertLessEqual(len(made.detail or ""), 4000)
        self.assertIs(made.quiet, least == "critical")
