"""Claims about progress: it never goes back, and it adds up."""

from __future__ import annotations

from typing import Any

from crawlsock.store.values import Completion, Failure, JobRef, NewJob, Progress, ProgressView, Release
from tests.store.contract.base import StoreContract


def issues(processed: int, **fields: Any) -> dict[str, dict[str, Any]]:
    """Return a report about issues."""
    return {"issue": {"processed": processed, **fields}}


class Progressing(StoreContract):
    """What is shown of a job only moves forward within an attempt."""

    async def of(self, job_id: str) -> ProgressView:
        """Return the progress of a job."""
        return await self.store.progress_of("job", job_id, None)

    async def test_a_report_is_what_is_shown(self) -> None:
        """Counts, stage, message and percentage of the last report are shown."""
        ref = await self.running()
        counts = {"issue": {"discovered": 9, "processed": 4, "failed": 1, "total": 10, "page": 2}}
        await self.store.progress(ref, Progress(1, "fetching", counts, "page 2"))
        shown = await self.of(ref.job_id)
        self.assertEqual((shown.scope, shown.job_id, shown.seq), ("job", ref.job_id, 1))
        self.assertEqual((shown.stage, shown.message), ("fetching", "page 2"))
        self.assertEqual((shown.processed, shown.failed, shown.total), (4, 1, 10))
        self.assertEqual(shown.percent, 50.0)
        self.assertEqual(shown.entities["issue"]["discovered"], 9)
        self.assertIsNotNone(shown.updated_at)
        job = await self.view(ref.job_id)
        assert job.progress is not None
        self.assertEqual((job.progress.processed, job.progress.percent), (4, 50.0))

    async def test_a_job_without_a_report_shows_nothing(self) -> None:
        """A job that has not reported has no percentage and no counts."""
        shown = await self.of(await self.submit())
        self.assertEqual((shown.percent, shown.processed, dict(shown.entities)), (None, 0, {}))
        self.assertIsNone(shown.time_left)

    async def test_an_old_report_changes_nothing(self) -> None:
        """A report whose number is not above the last changes nothing and succeeds."""
        ref = await self.running()
        await self.store.progress(ref, Progress(5, "fetching", issues(50, total=100), "five", {"page": 5}))
        before = await self.view(ref.job_id)
        head = await self.store.event_head()
        for seq in (5, 4, 1):
            await self.store.progress(ref, Progress(seq, "discovering", issues(99), "old", {"page": 1}))
        self.assertEqual(await self.view(ref.job_id), before)
        self.assertEqual((await self.store.events_after(head, 10)).events, [])

    async def test_counts_never_go_back(self) -> None:
        """A later report with smaller counts does not lower what is shown; types it leaves out stay."""
        ref = await self.running()
        first = {
            "issue": {"discovered": 9, "processed": 8, "failed": 2, "total": 20},
            "user": {"processed": 3},
        }
        await self.store.progress(ref, Progress(1, "fetching", first))
        await self.store.progress(ref, Progress(2, "fetching", issues(5, discovered=1, failed=0, total=20)))
        shown = await self.of(ref.job_id)
        self.assertEqual(shown.seq, 2)
        issue = shown.entities["issue"]
        self.assertEqual((issue["discovered"], issue["processed"], issue["failed"]), (9, 8, 2))
        self.assertEqual(issue["total"], 20)
        self.assertEqual(shown.entities["user"]["processed"], 3)
        self.assertEqual(shown.percent, 50.0)

    async def test_a_total_may_be_corrected(self) -> None:
        """A total is a belief about the future: it may grow and shrink."""
        ref = await self.running()
        await self.store.progress(ref, Progress(1, "fetching", issues(1, total=100)))
        await self.store.progress(ref, Progress(2, "fetching", issues(1, total=60)))
        self.assertEqual((await self.of(ref.job_id)).total, 60)

    async def test_ends_do_not_lower_counts_either(self) -> None:
        """Counts that come with an end are merged like any others."""
        for end in (
            lambda ref: self.store.complete(ref, Completion(issues(2))),
            lambda ref: self.store.fail(ref, Failure("x", "y", False, entities=issues(2))),
            lambda ref: self.store.release(ref, Release("z", issues(2))),
            lambda ref: self.store.cancelled(ref, Release("z", issues(2))),
        ):
            ref = await self.running()
            await self.store.progress(ref, Progress(1, "fetching", issues(8)))
            await end(ref)
            self.assertEqual((await self.of(ref.job_id)).processed, 8)
            await self.store.cancel(ref.job_id, tree=True, reason=None, actor="test")

    async def test_ends_carry_last_counts(self) -> None:
        """Counts that come with an end, and were never reported before, are kept."""
        ref = await self.running()
        await self.store.fail(ref, Failure("x", "y", False, entities=issues(7)))
        self.assertEqual((await self.of(ref.job_id)).processed, 7)

    async def test_a_new_attempt_reports_anew(self) -> None:
        """The first report of a new attempt replaces the snapshot; until then the old one is shown."""
        session = await self.session()
        ref = await self.running(session)
        await self.store.progress(ref, Progress(9, "fetching", issues(90, total=100), "old"))
        await self.store.release(ref, Release("drain"))
        again = await self.take(session, ref.job_id)
        self.assertEqual((await self.of(ref.job_id)).processed, 90)
        await self.store.progress(again, Progress(1, "discovering", issues(10, total=100)))
        shown = await self.of(ref.job_id)
        self.assertEqual((shown.seq, shown.processed, shown.percent), (1, 10, 10.0))
        self.assertEqual((shown.stage, shown.message), ("discovering", None))

    async def test_the_resume_state_stays_until_replaced(self) -> None:
        """A report without a resume state keeps the one before, also across attempts."""
        session = await self.session()
        ref = await self.running(session)
        await self.store.progress(ref, Progress(1, "fetching", resume_state={"page": 1}))
        await self.store.progress(ref, Progress(2, "fetching", issues(1)))
        await self.store.reap([ref.session_id])
        session = await self.session()
        (given,) = await self.assign(session)
        self.assertEqual(given.resume_state, {"page": 1})
        ref = JobRef(given.job_id, given.lease, given.session_id)
        await self.store.progress(ref, Progress(1, "fetching", issues(1)))
        await self.store.fail(ref, Failure("x", "y", True, retry_after=0.0, resume_state={"page": 2}))
        await self.advance(1)
        (given,) = await self.assign(session)
        self.assertEqual(given.resume_state, {"page": 2})

    async def test_a_job_that_nobody_works_on_has_no_pace(self) -> None:
        """Rate and time left are shown only while a crawler has the job."""
        ref = await self.running()
        await self.store.progress(ref, Progress(1, "fetching", issues(5, total=10)))
        await self.store.release(ref, Release("drain"))
        shown = await self.of(ref.job_id)
        self.assertEqual((shown.rate, shown.time_left, shown.percent), (None, None, 50.0))

    async def test_milestones_are_reached_once(self) -> None:
        """Each milestone is recorded when it is first reached, and never again, attempts included."""
        session = await self.session()
        ref = await self.running(session)
        for seq, done in enumerate((10, 25, 60, 61), 1):
            await self.store.progress(ref, Progress(seq, "fetching", issues(done, total=100)))
        job = await self.view(ref.job_id)
        self.assertEqual([mark["percent"] for mark in job.milestones or []], [25, 50])
        await self.store.release(ref, Release("drain"))
        again = await self.take(session, ref.job_id)
        await self.store.progress(again, Progress(1, "fetching", issues(30, total=100)))
        await self.store.progress(again, Progress(2, "fetching", issues(80, total=100)))
        found = [event["percent"] for event in await self.events() if event["kind"] == "milestone"]
        self.assertEqual(found, [25, 50, 75])
        marks = (await self.of(ref.job_id)).milestones or []
        self.assertEqual([mark["percent"] for mark in marks], [25, 50, 75])

    async def test_a_tree_adds_up(self) -> None:
        """The progress of a tree is the sum of its jobs, and counts them by state."""
        session = await self.session()
        root = await self.running(session)
        stranger = await self.running()
        await self.store.progress(stranger, Progress(1, "fetching", issues(1000)))
        await self.store.progress(root, Progress(1, "fetching", issues(4, total=4)))
        statuses = await self.store.discover(root, [NewJob("crawl_project", entity_id=str(n)) for n in range(2)])
        (given,) = await self.assign(session)
        ref = JobRef(given.job_id, given.lease, given.session_id)
        await self.store.start(ref)
        counts = {"issue": {"processed": 6, "failed": 1, "total": 10}, "user": {"processed": 2}}
        await self.store.progress(ref, Progress(1, "fetching", counts))
        shown = await self.store.progress_of("tree", root.job_id, None)
        self.assertEqual((shown.scope, shown.job_id), ("tree", root.job_id))
        self.assertEqual((shown.processed, shown.failed), (12, 1))
        self.assertEqual(shown.entities["issue"]["total"], 14)
        self.assertNotIn("total", shown.entities["user"])
        jobs = {state: number for state, number in (shown.jobs or {}).items() if number}
        self.assertEqual(jobs, {"running": 2, "queued": 1})
        self.assertAlmostEqual(shown.percent or 0.0, 56.66, delta=0.02)
        branch = await self.store.progress_of("tree", statuses[0].job_id, None)
        self.assertEqual(sum((branch.jobs or {}).values()), 1)

    async def test_a_tree_that_lives_never_says_hundred(self) -> None:
        """As long as a job of a tree lives it may discover more, and the tree is below 100; then it is at
        100."""
        session = await self.session()
        root = await self.running(session)
        await self.store.progress(root, Progress(1, "discovering", issues(4, total=4)))
        shown = await self.store.progress_of("tree", root.job_id, None)
        self.assertEqual((shown.stage, shown.percent), ("discovering", 99.0))
        self.assertIsNone(shown.time_left)
        (child,) = await self.store.discover(root, [NewJob("crawl_project", entity_id="1")])
        await self.store.complete(root, Completion())
        shown = await self.store.progress_of("tree", root.job_id, None)
        self.assertLess(shown.percent or 0.0, 100.0)
        await self.store.complete(await self.take(session, child.job_id or ""), Completion())
        shown = await self.store.progress_of("tree", root.job_id, None)
        self.assertEqual((shown.percent, shown.stage), (100.0, "completed"))

    async def test_an_account_and_everything_add_up(self) -> None:
        """The progress of an account is that of its jobs; that of everything is all of them."""
        await self.account("acme")
        mine = await self.running()
        theirs = await self.running(account="acme")
        await self.store.progress(mine, Progress(1, "fetching", issues(1)))
        await self.store.progress(theirs, Progress(1, "fetching", issues(10)))
        account = await self.store.progress_of("account", None, "acme")
        self.assertEqual((account.scope, account.account, account.processed), ("account", "acme", 10))
        everything = await self.store.progress_of("all", None, None)
        self.assertEqual((everything.scope, everything.processed), ("all", 11))
        self.assertEqual((everything.jobs or {})["running"], 2)
        await self.refused("unknown_account", self.store.progress_of("account", None, "nobody"))

    async def test_nothing_is_no_progress(self) -> None:
        """Where there are no jobs there is no percentage."""
        shown = await self.store.progress_of("all", None, None)
        self.assertEqual((shown.percent, shown.processed, shown.rate), (None, 0, None))
