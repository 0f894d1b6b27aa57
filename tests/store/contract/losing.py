"""Claims about lost crawlers and stuck jobs."""

from __future__ import annotations

from crawlsock.store.values import Completion, Progress
from tests.store.contract.base import LEASE_LENGTH, StoreContract


class Losing(StoreContract):
    """Losing a process is not failing a job, unless the job kills processes."""

    async def test_a_dead_crawler_gives_its_jobs_back_at_once(self) -> None:
        """A session that is named is reaped before its deadline, and its jobs wait again, due now."""
        session = await self.session()
        refs = [await self.running(session), await self.held(session)]
        (reaped,) = await self.store.reap([session.session_id])
        self.assertEqual((reaped.session_id, reaped.crawler_id), (session.session_id, session.crawler_id))
        self.assertEqual((reaped.jobs, reaped.poisoned), (2, 0))
        for ref in refs:
            job = await self.view(ref.job_id)
            self.assertEqual((job.state, job.losses, job.failures, job.releases), ("queued", 1, 0, 0))
            self.assertEqual([row.get("outcome") for row in job.assignments or []], ["lost"])
        self.assertEqual(await self.store.sessions(), [])
        self.assertEqual(len(await self.assign(await self.session(), 9)), 2)

    async def test_only_sessions_past_their_deadline_are_reaped(self) -> None:
        """The reaper takes those whose time is over and leaves the others alone."""
        await self.session("old")
        await self.advance(LEASE_LENGTH - 5)
        young = await self.session("young")
        await self.advance(6)
        self.assertEqual([reaped.crawler_id for reaped in await self.store.reap()], ["old"])
        self.assertEqual([session.session_id for session in await self.store.sessions()], [young.session_id])

    async def test_reaping_twice_is_reaping_once(self) -> None:
        """A session is reaped once; its jobs count one loss."""
        ref = await self.running()
        self.assertEqual(len(await self.store.reap([ref.session_id])), 1)
        self.assertEqual(await self.store.reap([ref.session_id]), [])
        self.assertEqual((await self.view(ref.job_id)).losses, 1)

    async def test_the_third_loss_is_poison(self) -> None:
        """A job that has taken three crawlers down is parked as failed, with reason poison."""
        job_id = await self.submit(max_attempts=100)
        for losses in (1, 2, 3):
            ref = await self.take(await self.session(), job_id)
            (reaped,) = await self.store.reap([ref.session_id])
            self.assertEqual(reaped.poisoned, int(losses == 3))
        job = await self.view(job_id)
        self.assertEqual((job.state, job.reason, job.losses, job.failures), ("failed", "poison", 3, 0))
        self.assertEqual(await self.assign(await self.session()), [])
        self.assertEqual((await self.kinds(job_id))[-1], "job_failed")

    async def test_wishes_are_carried_out_when_the_crawler_is_lost(self) -> None:
        """What was to be cancelled is cancelled, what was to be paused is paused, when its crawler dies."""
        cancelled, paused = await self.running(), await self.running()
        await self.store.cancel(cancelled.job_id, tree=False, reason=None, actor="test")
        await self.store.pause(paused.job_id, tree=False, reason=None, actor="test")
        await self.store.reap([cancelled.session_id, paused.session_id])
        self.assertEqual(await self.state(cancelled.job_id), "cancelled")
        self.assertEqual(await self.state(paused.job_id), "paused")
        self.assertFalse((await self.view(paused.job_id)).pause_requested)

    async def test_a_stuck_job_is_taken_from_a_living_crawler(self) -> None:
        """A job without progress for longer than its limit is lost, and its crawler is told to stop."""
        ref = await self.running(no_progress_limit=10.0)
        await self.advance(9)
        self.assertEqual(await self.store.stuck(), [])
        await self.advance(2)
        (order,) = await self.store.stuck()
        self.assertEqual((order.kind, order.job_id, order.lease, order.session_id), ("cancel", *ref))
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.losses), ("queued", 1))
        self.assertEqual([row.get("outcome") for row in job.assignments or []], ["stuck"])
        self.assertEqual(await self.store.stuck(), [])
        self.assertEqual(len(await self.store.sessions()), 1)

    async def test_progress_keeps_a_job_from_being_stuck(self) -> None:
        """Every report starts the limit anew; a job without a limit is never stuck."""
        session = await self.session(lease_length=1000.0)
        ref = await self.running(session, no_progress_limit=10.0)
        await self.running(session)
        for seq in range(1, 4):
            await self.advance(9)
            await self.store.progress(ref, Progress(seq, "fetching"))
            self.assertEqual(await self.store.stuck(), [])
        await self.advance(11)
        self.assertEqual([order.job_id for order in await self.store.stuck()], [ref.job_id])

    async def test_a_job_that_never_started_is_stuck_too(self) -> None:
        """The limit counts from the assignment."""
        ref = await self.held(no_progress_limit=10.0)
        await self.advance(11)
        self.assertEqual([order.job_id for order in await self.store.stuck()], [ref.job_id])

    async def test_a_paused_job_is_not_stuck(self) -> None:
        """A job that is held makes no progress on purpose."""
        ref = await self.running(no_progress_limit=10.0)
        await self.store.pause(ref.job_id, tree=False, reason=None, actor="test")
        await self.advance(20)
        self.assertEqual(await self.store.stuck(), [])

    async def test_being_stuck_three_times_is_poison(self) -> None:
        """Stuck counts like lost: the third time the job is parked."""
        session = await self.session(lease_length=1000.0)
        job_id = await self.submit(no_progress_limit=5.0)
        for _ in range(3):
            await self.take(session, job_id)
            await self.advance(6)
            await self.store.stuck()
        job = await self.view(job_id)
        self.assertEqual((job.state, job.reason, job.losses), ("failed", "poison", 3))

    async def test_an_earlier_attempt_does_not_excuse_this_one(self) -> None:
        """The limit of a new attempt counts from its own assignment, not from what an earlier one
        reported."""
        session = await self.session(lease_length=1000.0)
        ref = await self.running(session, no_progress_limit=10.0)
        await self.store.progress(ref, Progress(1, "fetching"))
        await self.advance(11)
        await self.store.stuck()
        again = await self.take(session, ref.job_id)
        self.assertEqual(await self.store.stuck(), [])
        await self.store.complete(again, Completion())
