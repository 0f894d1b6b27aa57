"""Whole crawls on real processes, with a process killed in the middle: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

import psutil

from crawlsock.sdk import JobManager
from tests.integration.fault_case import FaultCase
from tests.integration.processes import Child, until
from tests.integration.sample import shared_sample

QUEUED = "SELECT FROM crawlsock.job_queue WHERE state = 'queued'"
REASSIGNED = """
    SELECT lost.job_id, lost.ended_at, next.assigned_at FROM crawlsock.job_assignment lost
    LEFT JOIN crawlsock.job_assignment next ON next.job_id = lost.job_id AND next.attempt = lost.attempt + 1
    WHERE lost.outcome = 'lost'
"""


class KilledTests(FaultCase):
    """A crawl with two crawlers; somebody is killed when it is well under way."""

    served: Child
    crawlers: list[Child]
    webapp: JobManager
    root: str

    async def begin(self, **options: Any) -> None:
        """Start everything, and wait until the crawl is in the middle."""
        self.sample = await shared_sample()
        self.served = await self.server(**options)
        self.crawlers = [self.crawler("one"), self.crawler("two")]
        self.webapp = await self.manager()
        self.root = await self.crawl(self.webapp)
        await self.half_way()

    def kill_postgres(self) -> None:
        """Kill the postmaster and everything that it began, all at once."""
        postmaster = self.postmaster()
        for process in [postmaster, *postmaster.children(recursive=True)]:
            # A backend may end by itself between being listed and being killed: then it is as dead as was wanted.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def assert_nothing_run_again(self) -> None:
        """Check that no job was begun twice, and none failed or was lost.

        A job that was given out in the very moment of the kill may be given out again: its crawler never heard of it.
        """
        self.assertEqual(self.rows("SELECT DISTINCT failures, losses FROM crawlsock.job_queue"), [(0, 0)])
        self.assertEqual(self.rows("SELECT * FROM crawlsock.job_assignment WHERE outcome <> 'completed' "
                                   "AND (outcome <> 'released' OR started_at IS NOT NULL)"), [])  # fmt: skip
        self.assertEqual(
            self.rows("SELECT crawler_id, ended_at FROM crawlsock.crawler_session ORDER BY 1"),
            [("one", None), ("two", None)],
            "both crawlers kept their sessions",
        )

    async def test_a_crawler_is_killed(self) -> None:
        """A killed crawler's jobs are with another one within a second, and the crawl ends complete."""
        self.use_shared_database()
        # So long a lease, that it cannot be what gives the jobs back.
        await self.begin(heartbeat_interval=10, lease_length=30)
        self.crawler("spare", slots=100)
        await until("all jobs are in hand", lambda: not self.rows(QUEUED))
        self.crawlers[0].freeze()
        held = self.rows(
            "SELECT job_id FROM crawlsock.job_queue JOIN crawlsock.crawler_session USING (session_id) "
            "WHERE crawler_id = 'one' AND job_queue.state = 'running'"
        )
        self.assertTrue(held, "the crawler that is to be killed has no job")
        [(killed_at,)] = self.rows("SELECT clock_timestamp()")
        assert isinstance(killed_at, datetime)
        self.crawlers[0].kill()
        await self.assert_whole(self.webapp, self.root)
        moved: list[Any] = self.rows(REASSIGNED)
        self.assertLessEqual({job_id for job_id, _, _ in moved}, {job_id for (job_id,) in held})
        self.assertTrue(moved)
        for job_id, lost_at, assigned_at in moved:
            for moment in (lost_at, assigned_at):
                self.assertLess((moment - killed_at).total_seconds(), 1.0, job_id)
        self.assertEqual(
            self.rows("SELECT DISTINCT failures, releases FROM crawlsock.job_queue"), [(0, 0)], "losing is not failing"
        )

    async def test_the_server_is_killed(self) -> None:
        """A server that is killed and started again costs nothing: no job of a living crawler is run again."""
        await self.begin()
        self.served.kill()
        await self.server()
        await self.assert_whole(self.webapp, self.root)
        self.assert_nothing_run_again()

    async def test_postgres_is_killed(self) -> None:
        """PostgreSQL killed with all its children is started again by the server, and no job is run again."""
        await self.begin()
        self.kill_postgres()
        await self.assert_whole(self.webapp, self.root)
        self.assertTrue(self.served.said("is started again"))
        self.assert_nothing_run_again()

    async def test_all_are_killed(self) -> None:
        """A crawler, the server and PostgreSQL killed in one moment: the server comes back, and the crawl ends."""
        await self.begin()
        self.crawlers[0].kill()
        self.kill_postgres()
        self.served.kill()
        await self.server()
        await self.assert_whole(self.webapp, self.root)
        self.assertEqual(
            self.rows("SELECT DISTINCT crawler_id FROM crawlsock.job_assignment JOIN crawlsock.crawler_session "
                      "USING (session_id) WHERE outcome <> 'completed'"),
            [("one",)],
            "only the killed crawler lost jobs",
        )  # fmt: skip
