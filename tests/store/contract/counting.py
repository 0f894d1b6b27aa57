"""Claims about the tally: what is counted of the jobs that went through a store."""

from __future__ import annotations

from crawlsock.store.values import Completion, Demand, Failure, JobRef, NewJob, Release
from tests.store.contract.base import LEASE_LENGTH, StoreContract

TYPE = "crawl_project"


class Counting(StoreContract):
    """Whoever asks the tally is told what happened, once, by type."""

    def outcomes(self) -> dict[str, int]:
        """Return how attempts of the usual type ended, without what never happened."""
        return {name: count for name, count in self.store.tally.ended[TYPE].items() if count}

    def near(self, seconds: float, wanted: float) -> None:
        """Check a span of time that a real clock measured, on a machine that may be busy."""
        self.assertTrue(wanted - 0.1 <= seconds < wanted + 3, seconds)

    async def test_waits_and_runs_are_measured(self) -> None:
        """An assignment counts the seconds that its job was due, an end those that it ran."""
        job_id = await self.submit()
        await self.advance(20)
        session = await self.session()
        ref = await self.take(session, job_id)
        await self.store.start(ref)
        await self.advance(7)
        await self.store.complete(ref, Completion())
        waited, ran = self.store.tally.waited[TYPE], self.store.tally.ran[TYPE]
        self.assertEqual((waited.count, ran.count), (1, 1))
        self.near(waited.total, 20)
        self.near(ran.total, 7)
        self.assertEqual(self.outcomes(), {"completed": 1})

    async def test_an_assignment_says_how_long_its_job_was_due(self) -> None:
        """A job that went back waits anew, from the end of the attempt before."""
        job_id = await self.submit()
        session = await self.session()
        ref = await self.take(session, job_id)
        await self.advance(100)
        await self.store.release(ref, Release("drain"))
        await self.advance(5)
        (again,) = await self.assign(session)
        assert again.waited is not None
        self.near(again.waited, 5)
        (repeated,) = await self.store.unstarted(session.session_id)
        self.assertIsNone(repeated.waited, "what is only repeated has not waited again")

    async def test_a_repeated_end_is_counted_once(self) -> None:
        """What is sent twice is counted once; what is refused is not counted."""
        ref = await self.running()
        await self.store.complete(ref, Completion())
        await self.store.complete(ref, Completion())
        await self.refused(
            "lease_lost", self.store.complete(JobRef(ref.job_id, ref.job_id, ref.session_id), Completion())
        )
        self.assertEqual(self.outcomes(), {"completed": 1})
        self.assertEqual(self.store.tally.ran[TYPE].count, 1)

    async def test_every_end_has_its_name(self) -> None:
        """Failures that end the job, failures that are tried again, cancels and releases are told apart."""
        for_good, again, back, gone = [await self.running() for _ in range(4)]
        await self.store.fail(for_good, Failure("x", "y", recoverable=False))
        await self.store.fail(again, Failure("x", "y", recoverable=True))
        await self.store.release(back, Release())
        await self.store.cancel(gone.job_id, tree=False, reason=None, actor="test")
        await self.store.cancelled(gone, Release())
        self.assertEqual(self.outcomes(), {"failed": 1, "retried": 1, "released": 1, "cancelled": 1})

    async def test_lost_leases_are_counted_by_cause(self) -> None:
        """A dead crawler, one that expired, a stuck job and a poisoned one each count where they belong."""
        for reap in ("dead", "expired"):
            ref = await self.running()
            if reap == "expired":
                await self.advance(LEASE_LENGTH + 5)
            await self.store.reap([ref.session_id] if reap == "dead" else None)
            await self.store.cancel(ref.job_id, tree=False, reason=None, actor="test")
        await self.running(no_progress_limit=10.0)
        await self.advance(20)
        self.assertEqual(len(await self.store.stuck()), 1)
        self.assertEqual(self.store.tally.leases_lost, {"expired": 1, "dead": 1, "stuck": 1})
        self.assertEqual(self.outcomes(), {"lost": 2, "stuck": 1})

    async def test_poison_is_counted_apart(self) -> None:
        """The loss that parks a job is an end of its own."""
        await self.submit()
        for _ in range(3):
            session = await self.session()
            (given,) = await self.assign(session)
            await self.store.reap([given.session_id])
        self.assertEqual(self.outcomes(), {"lost": 2, "poisoned": 1})

    async def test_a_crawler_that_comes_back_anew_loses_what_it_had(self) -> None:
        """A new session in place of one that is away counts the jobs of the old one as lost."""
        session = await self.session("phoenix", ticket_hash=b"one")
        await self.running(session)
        await self.store.detach_session(session.session_id)
        await self.session("phoenix", ticket_hash=b"two")
        self.assertEqual(self.outcomes(), {"lost": 1})
        self.assertEqual(self.store.tally.leases_lost["dead"], 1)

    async def test_a_refused_credential_is_counted(self) -> None:
        """Jobs that stop because their credential was refused are counted as that."""
        generation = await self.account("team")
        await self.running(account="team")
        await self.store.refuse_credential("team", generation, "revoked")
        self.assertEqual(self.outcomes(), {"credential": 1})

    async def test_what_a_session_leaves_behind_is_released(self) -> None:
        """Jobs that are given back when a session ends, or is resumed without them, count as released."""
        one, other = await self.session(ticket_hash=b"one"), await self.session(ticket_hash=b"other")
        await self.running(one)
        await self.running(other)
        await self.store.end_session(one.session_id, "left")
        await self.store.resume_session(b"other", [], other.server_id)
        self.assertEqual(self.outcomes(), {"released": 2})

    async def test_submissions_are_counted_by_status(self) -> None:
        """Created, duplicate and invalid jobs are counted, submitted or discovered."""
        jobs = [NewJob(TYPE, job_key="a"), NewJob(TYPE, job_key="a"), NewJob(TYPE, account="nobody")]
        await self.store.submit(jobs, accounts=None)
        session = await self.session()
        (given,) = await self.store.assign([Demand(session.session_id, 1)])
        ref = JobRef(given.job_id, given.lease, given.session_id)
        await self.store.discover(ref, [NewJob(TYPE, entity_id="1"), NewJob(TYPE)])
        self.assertEqual(self.store.tally.submitted, {"created": 2, "duplicate": 1, "invalid": 2})
