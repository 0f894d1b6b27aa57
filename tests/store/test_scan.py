"""Claims about which index a list of jobs is read from, and about cursors."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from twisted.trial import unittest

from crawlsock.store.listing_values import JobCount
from crawlsock.store.postgres.scan import STANDINGS, Place, Scan, plan
from crawlsock.store.values import JobFilter
from crawlsock.wire.errors import Refusal

JOB = "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11"
COUNTS = [
    JobCount("big", "crawl_project", "completed", 900_000),
    JobCount("big", "crawl_project", "failed", 5),
    JobCount("small", "crawl_project", "failed", 50_000),
    JobCount("small", "discover_namespaces", "completed", 100),
]


def planned(**filter: Any) -> Scan:
    """Plan a filter that some job may match."""
    scan = plan(JobFilter(**filter), COUNTS)
    assert scan is not None
    return scan


class PlanTests(unittest.TestCase):
    def test_the_rarest_condition_gives_the_candidates(self) -> None:
        """Candidates come from the index whose condition the fewest jobs meet, as the census says."""
        failed = frozenset({"failed"})
        for filter, table, branch in (
            ({}, "job", "true"),
            ({"states": failed}, "job_queue", "x.standing = 'f'"),
            ({"account": "big"}, "job", "x.account = (%(accounts)s)[1]"),
            ({"account": "big", "states": failed}, "job_queue", "x.standing = 'f'"),
            ({"account": "small", "states": frozenset({"completed"})}, "job", "x.account = (%(accounts)s)[1]"),
            ({"type": "discover_namespaces", "account": "small"}, "job", "x.type = %(type)s"),
            ({"type": "crawl_project", "states": failed}, "job_queue", "x.standing = 'f'"),
            ({"root_id": JOB, "states": failed}, "job", "x.root_id = %(root_id)s"),
            ({"parent_id": JOB, "account": "big"}, "job", "x.parent_id = %(parent_id)s"),
            ({"search": JOB, "account": "big"}, "job", "x.job_id = %(search)s"),
            ({"search": "words"}, "job", "true"),
        ):
            scan = planned(**filter)
            self.assertEqual((scan.table, scan.branches), (table, [branch]), filter)

    def test_a_state_index_settles_what_it_can(self) -> None:
        """What the index settles is not asked again; assigned and running, which it takes for one, are."""
        self.assertTrue(planned(states=frozenset({"failed"})).exact)
        self.assertTrue(planned(states=frozenset({"assigned", "running"})).exact)
        self.assertFalse(planned(states=frozenset({"running"})).exact)
        self.assertTrue(planned(account="big").exact)
        self.assertFalse(planned(account="big", search="x").exact)

    def test_nothing_can_match(self) -> None:
        """What no job can meet is found without asking the database."""
        impossible: list[dict[str, Any]] = [
            {"accounts": frozenset()},
            {"account": "big", "accounts": frozenset({"small"})},
            {"root_id": "no id"},
            {"sort": "queue", "states": frozenset({"failed"})},
            {"error": "0123456789abcdef", "states": frozenset({"queued"})},
            {"states": frozenset({"no such state"})},
        ]
        for filter in impossible:
            self.assertIsNone(plan(JobFilter(**filter), COUNTS), filter)

    def test_no_value_is_part_of_the_text(self) -> None:
        """Whatever people write goes to the database beside the statement, never in it."""
        evil = "'; DROP TABLE crawlsock.job; --"
        wanted = JobFilter(
            states=frozenset({"failed"}),
            account=evil,
            type=evil,
            host=evil,
            root_id=JOB,
            parent_id=JOB,
            crawler_id=evil,
            search=evil,
            error=evil,
        )
        for filter in (wanted, JobFilter(search=evil), JobFilter(crawler_id=evil), JobFilter(host=evil, account=evil)):
            scan = plan(filter, None)
            assert scan is not None
            self.assertNotIn("DROP", "".join(scan.parts(None).values()))
            self.assertIn(evil, scan.values.values())

    def test_every_state_has_a_standing(self) -> None:
        """Each state is one of seven standings; only the two of a job with a crawler share one."""
        self.assertEqual((len(STANDINGS), len(set(STANDINGS.values()))), (8, 7))


class PlaceTests(unittest.TestCase):
    def test_a_cursor_is_read_as_it_was_written(self) -> None:
        """Places survive being written, to the microsecond, also long ago."""
        for at in (
            datetime(2026, 11, 26, 20, 44, 3, 123457, tzinfo=timezone.utc),
            datetime(1900, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=1),
        ):
            for place in (Place("newest", at, JOB), Place("queue", at, JOB, -7)):
                self.assertEqual(Place.read(place.sort, place.cursor()), place)
                self.assertRegex(place.cursor(), r"^[A-Za-z0-9_.=:-]+$")

    def test_what_is_no_place_is_refused(self) -> None:
        """Text that was never given out is refused, whatever it holds."""
        for text in (
            "",
            ":",
            "newest:x:" + JOB,
            "newest:1:",
            f"oldest:1:{JOB}",
            f"newest:{'9' * 30}:{JOB}",
            f"5:1:{JOB}",
        ):
            with self.assertRaises(Refusal, msg=text):
                Place.read("newest", text)
        with self.assertRaises(Refusal):
            Place.read("queue", f"queue:5000:1:{JOB}")
