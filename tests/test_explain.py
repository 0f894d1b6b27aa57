"""Claims about why a job does not run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import attrs
from twisted.trial import unittest

from crawlsock.jobs import State
from crawlsock.jobs.explain import Crawler, Explanation, JobSituation, Pause, explain

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc)
READY = Crawler("c1", "connected", slots=4, jobs=1)
QUEUED = JobSituation(NOW, State.QUEUED, "crawl_project", "team", run_at=NOW - timedelta(minutes=1), crawlers=(READY,))


def situated(**changes: Any) -> Explanation:
    """Explain a queued job that is due and could run, with some things otherwise."""
    return explain(attrs.evolve(QUEUED, **changes))


class ExplainTests(unittest.TestCase):
    def assert_codes(self, answer: Explanation, *codes: str) -> None:
        """Assert the reasons; each one must say something, and none be empty."""
        self.assertEqual([reason.code for reason in answer.reasons], list(codes))
        self.assertTrue(all(reason.message and reason.remedy != "" for reason in answer.reasons))

    def test_nothing_in_the_way(self) -> None:
        """A due job that a crawler has room for is the next, and that is all."""
        answer = situated()
        self.assert_codes(answer, "next")
        self.assertFalse(answer.runs)

    def test_a_paused_queue(self) -> None:
        """A pause of its type or of all types is named, with who did it and why; that of another type is not."""
        mine = Pause("crawl_project", "maintenance", "alice", NOW)
        answer = situated(pauses=(mine, Pause("crawl_user", None, "bob"), Pause(None, None, "carol")))
        self.assert_codes(answer, "queue_paused", "queue_paused")
        self.assertEqual([reason.actor for reason in answer.reasons], ["alice", "carol"])
        self.assertIn("maintenance", answer.reasons[0].message)
        self.assertEqual(answer.reasons[0].since, NOW)

    def test_a_job_that_is_not_due(self) -> None:
        """A job with a time is not due; one that failed waits for its next attempt; both say until when."""
        later = NOW + timedelta(hours=1)
        self.assert_codes(situated(run_at=later), "not_due")
        answer = situated(run_at=later, failures=2, max_attempts=5, error_type="HTTPError")
        self.assert_codes(answer, "backoff")
        self.assertEqual(answer.reasons[0].until, later)
        self.assertIn("HTTPError", answer.reasons[0].message)

    def test_no_crawler_that_could(self) -> None:
        """It is told apart whether there is no crawler, none for the type, or none with the labels."""
        self.assert_codes(situated(crawlers=()), "no_crawler")
        others = (Crawler("c", "connected", job_types=frozenset({"crawl_user"})),)
        self.assert_codes(situated(crawlers=others), "no_crawler_for_type")
        self.assert_codes(situated(labels=frozenset({"gpu", "eu"})), "no_crawler_with_labels")
        self.assertIn("eu, gpu", situated(labels=frozenset({"gpu", "eu"})).reasons[0].message)
        labelled = Crawler("c", "connected", frozenset({"gpu", "eu", "more"}), slots=1)
        self.assert_codes(situated(labels=frozenset({"gpu"}), crawlers=(labelled,)), "next")

    def test_crawlers_that_are_not_ready(self) -> None:
        """Crawlers that are paused, draining or away do not count, and are named; so are those without room."""
        for state in ("paused", "draining", "away"):
            answer = situated(crawlers=(attrs.evolve(READY, state=state),))
            self.assert_codes(answer, "crawlers_not_ready")
            self.assertIn(state, answer.reasons[0].message)
        full = attrs.evolve(READY, jobs=4)
        self.assert_codes(situated(crawlers=(full, attrs.evolve(READY, state="away"))), "crawlers_busy")
        self.assert_codes(situated(crawlers=(full, READY)), "next")
        self.assert_codes(situated(crawlers=(attrs.evolve(full, slots=0),)), "next")

    def test_jobs_that_go_first(self) -> None:
        """Jobs ahead are counted, up to where counting stops."""
        answer = situated(ahead=3, crawlers=(attrs.evolve(READY, jobs=4),))
        self.assert_codes(answer, "crawlers_busy", "jobs_ahead")
        self.assertIn("3 due jobs go first", answer.reasons[1].message)
        self.assertIn("1 due job goes first", situated(ahead=1).reasons[0].message)
        self.assertIn("10000 or more", situated(ahead=10_000).reasons[0].message)

    def test_a_running_job_runs(self) -> None:
        """A running job has no reason, unless it is held, to be cancelled, or its crawler is away."""
        running = {"state": State.RUNNING, "crawler_id": "c1"}
        self.assertEqual((situated(**running).runs, situated(**running).reasons), (True, []))
        held = situated(**running, pause_requested=True, held_by="alice")
        self.assert_codes(held, "paused")
        self.assertEqual((held.runs, held.reasons[0].actor), (False, "alice"))
        leaving = situated(**running, cancel_requested=True, pause_requested=True)
        self.assert_codes(leaving, "cancel_requested")
        self.assertTrue(leaving.runs)
        away = situated(**running, crawlers=(attrs.evolve(READY, state="away"),))
        self.assert_codes(away, "crawler_away")
        self.assertFalse(away.runs)

    def test_an_assigned_job_has_not_begun(self) -> None:
        """A job that was given out says to whom and since when; it does not run yet."""
        answer = situated(state=State.ASSIGNED, crawler_id="c1", assigned_at=NOW)
        self.assert_codes(answer, "assigned")
        self.assertEqual((answer.runs, answer.reasons[0].since), (False, NOW))

    def test_paused_and_without_credential(self) -> None:
        """A paused job says by whom; one without credential says what is wrong with it."""
        answer = situated(state=State.PAUSED, held_by="alice", held_at=NOW, reason="later")
        self.assert_codes(answer, "paused")
        self.assertEqual((answer.reasons[0].actor, answer.reasons[0].since), ("alice", NOW))
        self.assertIn("later", answer.reasons[0].message)
        answer = situated(state=State.WAITING_CREDENTIAL, credential_reason="revoked")
        self.assert_codes(answer, "credential_refused")
        self.assertIn("revoked", answer.reasons[0].message)

    def test_how_it_ended(self) -> None:
        """A job that ended says how: done, cancelled, out of attempts, beyond recovery, or a danger to crawlers."""
        for code, changes in (
            ("completed", {"state": State.COMPLETED}),
            ("cancelled", {"state": State.CANCELLED, "reason": "no longer needed"}),
            ("attempts_used", {"state": State.FAILED, "failures": 5, "max_attempts": 5, "error_type": "X"}),
            ("not_recoverable", {"state": State.FAILED, "failures": 1, "max_attempts": 5, "recoverable": False}),
            ("poison", {"state": State.FAILED, "reason": "poison", "losses": 3}),
        ):
            answer = situated(finished_at=NOW, **changes)
            self.assert_codes(answer, code)
            self.assertEqual((answer.runs, answer.reasons[0].since), (False, NOW))

    def test_every_state_is_explained(self) -> None:
        """Whatever state a job is in, there is an answer, and only a running job may be without a reason."""
        for state in State:
            answer = situated(state=state)
            self.assertEqual(answer.state, state)
            self.assertEqual(answer.runs, not answer.reasons)
