"""Claims about lists of jobs that only a real PostgreSQL can show: budgets, indexes, and what they cost elsewhere."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet import reactor
from twisted.trial import unittest

from crawlsock.store.database import Database
from crawlsock.store.lane import Transaction
from crawlsock.store.postgres import PostgresStore
from crawlsock.store.postgres.scan import plan
from crawlsock.store.values import JobFilter
from tests.integration.postgres import fresh_database
from tests.store.contract.base import SERVER

JOBS = 5000
NEEDLES = 7

_FILL = """
WITH made AS (
    INSERT INTO crawlsock.job (job_id, root_id, account, type, name, created_at)
    SELECT id, id, 'default', 'crawl_project', CASE WHEN n %% %(every)s = 0 THEN 'needle ' ELSE 'hay ' END || n,
           now() - interval '1 day' + n / 3 * interval '1 second'
    FROM (SELECT n, gen_random_uuid() AS id FROM generate_series(1, %(jobs)s) AS n) AS numbers
    RETURNING job_id, account, type, created_at)
INSERT INTO crawlsock.job_queue (job_id, state, root_id, account, type, created_at, run_at)
SELECT job_id, 'queued', job_id, account, type, created_at, created_at FROM made;
"""


class ListingTests(unittest.TestCase):
    """Some thousand jobs, three at each moment, few of which are looked for."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        self.database = Database(reactor, fresh_database(), size=1)
        self.addCleanup(self.database.stop)
        self.database.start()
        await self.database.when_up()
        numbers: Any = {"jobs": JOBS, "every": JOBS // NEEDLES}
        await self.database.call(_FILL, numbers)
        self.store = PostgresStore(reactor, self.database, server_id=SERVER)

    async def all_pages(self, wanted: JobFilter) -> tuple[list[str], int]:
        """Return the names on all pages, and how many pages stopped before they were full."""
        names: list[str] = []
        stopped = 0
        cursor: str | None = None
        while True:
            page = await self.store.jobs(attrs.evolve(wanted, cursor=cursor))
            names += [job.name or "" for job in page.jobs]
            stopped += page.searched_to is not None
            cursor = page.next_cursor
            if cursor is None:
                return names, stopped

    async def test_a_list_that_stops_goes_on(self) -> None:
        """A search without time stops after a portion, says how far it came, and finds each job once in the end."""
        expected = [f"needle {n * (JOBS // NEEDLES)}" for n in range(1, NEEDLES + 1)]
        self.store.list_seconds = 0.0
        for sort, order in (("newest", expected[::-1]), ("oldest", expected), ("queue", expected)):
            for limit in (1, 2, 50):
                names, stopped = await self.all_pages(JobFilter(search="needle", sort=sort, limit=limit))  # type: ignore[arg-type]
                self.assertEqual(names, order, (sort, limit))
                self.assertGreater(stopped, 2, (sort, limit))
        self.store.list_seconds = 60.0
        names, stopped = await self.all_pages(JobFilter(search="needle"))
        self.assertEqual((names, stopped), (expected[::-1], 0))

    async def test_the_moment_is_told_to_which_it_searched(self) -> None:
        """What a page that stopped did not look at lies beyond the moment that it names."""
        self.store.list_seconds = 0.0
        page = await self.store.jobs(JobFilter(search="no such words"))
        self.assertEqual(page.jobs, [])
        assert page.searched_to is not None
        rest = await self.store.jobs(JobFilter(cursor=page.next_cursor, limit=1))
        self.assertLessEqual(rest.jobs[0].created_at, page.searched_to)

    async def test_everything_is_found_in_portions_of_any_size(self) -> None:
        """Without time, too, lists that need no search are whole, although many jobs share a moment."""
        self.store.list_seconds = 0.0
        for filter in (JobFilter(limit=500), JobFilter(limit=499, states=frozenset({"queued"}), sort="oldest")):
            names, _ = await self.all_pages(filter)
            self.assertEqual((len(names), len(set(names))), (JOBS, JOBS))

    async def test_a_list_with_a_choice_has_the_jobs_counted(self) -> None:
        """The first list that could begin at several indexes lets the next ones know which is the shortest."""
        choice = JobFilter(account="default", type="crawl_project", states=frozenset({"paused"}))
        self.assertEqual((await self.store.jobs(choice)).jobs, [])
        counted = await self.store.census()
        self.assertEqual([row.jobs for row in counted], [JOBS])
        scan = plan(choice, counted)
        assert scan is not None
        self.assertEqual((scan.chosen, scan.branches), (True, ["x.standing = 'p'"]))

    async def plan_of(self, filter: JobFilter) -> str:
        """Return the plan of a list's statement, when nobody has told the database what the rows are like."""
        scan = plan(filter, None)
        assert scan is not None
        *settings, query = self.store.queries["jobs"].split(";")
        text = ";".join([*settings, "EXPLAIN " + query.strip()]).format(**scan.parts(None))
        values: Any = {**scan.values, "limit": 51, "budget": 500}
        rows = await self.database.call(text, values)
        return "\n".join(row[0] for row in rows)

    async def test_every_list_begins_at_an_index(self) -> None:
        """No filter reads a table from end to end, before the first statistics, too."""
        some = "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11"
        filters: list[dict[str, Any]] = [
            {},
            {"sort": "queue"},
            {"states": frozenset({"failed"})},
            {"account": "default"},
            {"type": "crawl_project"},
            {"root_id": some},
            {"parent_id": some},
            {"search": "x", "host": "y"},
            {"search": some},
        ]
        for filter in filters:
            text = await self.plan_of(JobFilter(**filter))
            for table in ("job", "job_queue", "job_progress"):
                self.assertNotIn(f"Seq Scan on {table} ", text, filter)

    async def test_starting_a_job_stays_heap_only(self) -> None:
        """The indexes that lists need do not touch the start of a job: it changes no index at all."""

        async def start(transaction: Transaction) -> int:
            await transaction.call(
                "UPDATE crawlsock.job_queue"
                " SET state = 'assigned', lease = gen_random_uuid(), session_id = gen_random_uuid()"
                " WHERE job_id = (SELECT job_id FROM crawlsock.job_queue LIMIT 1)"
            )
            await transaction.call("UPDATE crawlsock.job_queue SET state = 'running' WHERE state = 'assigned'")
            rows = await transaction.call("SELECT pg_stat_get_xact_tuples_hot_updated('crawlsock.job_queue'::regclass)")
            return int(rows[0][0])

        await self.database.call("VACUUM crawlsock.job_queue")
        self.assertEqual(await self.database.transaction(start), 1)
