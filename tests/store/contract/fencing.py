"""Claims about leases: who has lost a job changes nothing of it, whatever they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.store.values import Area, Completion, Failure, JobRef, NewJob, Progress, Release
from tests.store.contract.base import StoreContract, fresh_id


class Fencing(StoreContract):
    """Nobody writes with a lost lease."""

    def words(self) -> dict[str, Callable[[JobRef], Deferred[Any]]]:
        """Return every verb that needs a lease."""
        counts = {"issue": {"processed": 99, "total": 99}}
        state = {"stolen": True}
        return {
            "start": self.store.start,
            "progress": lambda ref: self.store.progress(ref, Progress(9, "fetching", counts, "stale", state)),
            "discover": lambda ref: self.store.discover(ref, [NewJob("crawl_user", entity_id="666")]),
            "areas": lambda ref: self.store.areas(ref, [Area("group", "666", "evil")]),
            "complete": lambda ref: self.store.complete(ref, Completion(counts, [{"path": "x"}], state)),
            "fail": lambda ref: self.store.fail(ref, Failure("x", "y", True, resume_state=state)),
            "fail for good": lambda ref: self.store.fail(ref, Failure("x", "y", False, entities=counts)),
            "release": lambda ref: self.store.release(ref, Release("z", counts, state)),
            "cancelled": lambda ref: self.store.cancelled(ref, Release("z", counts, state)),
        }

    async def unchanged(self, ref: JobRef, why: str) -> None:
        """Say everything under a lease, and see it refused without a trace."""
        before = await self.view(ref.job_id)
        head = await self.store.event_head()
        counts = await self.store.job_counts()
        for name, word in self.words().items():
            await self.refused("lease_lost", word(ref))
            self.assertEqual(await self.view(ref.job_id), before, f"{name} {why}")
        self.assertEqual((await self.store.events_after(head, 10)).events, [], why)
        self.assertEqual(await self.store.job_counts(), counts, why)

    async def test_after_the_session_was_reaped(self) -> None:
        """A crawler that was given up for dead changes nothing when it speaks again."""
        ref = await self.running()
        await self.store.reap([ref.session_id])
        await self.unchanged(ref, "after the reap")

    async def test_after_the_deadline(self) -> None:
        """A crawler that froze beyond its deadline changes nothing."""
        ref = await self.running()
        await self.advance(31)
        await self.store.reap()
        await self.unchanged(ref, "after the deadline")

    async def test_while_the_job_is_with_somebody_else(self) -> None:
        """The first crawler's words do not touch the attempt of the second."""
        ref = await self.running()
        await self.store.reap([ref.session_id])
        second = await self.take(await self.session(), ref.job_id)
        await self.unchanged(ref, "while another has it")
        await self.store.start(second)
        await self.unchanged(ref, "while another runs it")
        await self.store.complete(second, Completion())
        await self.unchanged(ref, "when another has completed it")

    async def test_with_the_same_session_again(self) -> None:
        """A session that gets a job for the second time cannot write with its first lease."""
        session = await self.session()
        ref = await self.running(session, no_progress_limit=5.0)
        await self.advance(6)
        await self.store.stuck()
        (again,) = await self.assign(session)
        self.assertEqual(again.job_id, ref.job_id)
        await self.unchanged(ref, "with a newer lease of the same session")

    async def test_with_a_lease_of_another_session(self) -> None:
        """A lease counts only in the session that it was given to."""
        ref = await self.running()
        other = await self.session()
        await self.unchanged(ref._replace(session_id=other.session_id), "from another session")

    async def test_with_a_lease_of_another_job(self) -> None:
        """A lease counts only for its job."""
        session = await self.session()
        first = await self.running(session)
        second = await self.running(session)
        await self.unchanged(first._replace(lease=second.lease), "with the lease of another job")

    async def test_with_a_lease_that_never_was(self) -> None:
        """An invented lease changes nothing, even if it is no lease in form."""
        ref = await self.running()
        for lease in (fresh_id(), "invented", ""):
            await self.unchanged(ref._replace(lease=lease), f"with lease {lease!r}")

    async def test_for_a_job_that_never_was(self) -> None:
        """Words about a job that does not exist are `lease_lost`, whatever the id looks like."""
        ref = await self.running()
        for job_id in (fresh_id(), "no job"):
            for word in self.words().values():
                await self.refused("lease_lost", word(ref._replace(job_id=job_id)))

    async def test_after_the_credential_was_refused(self) -> None:
        """When the account's credential was refused the leases of its jobs are gone."""
        generation = await self.account("acme")
        ref = await self.running(account="acme")
        await self.store.refuse_credential("acme", generation, "revoked")
        await self.unchanged(ref, "after the credential was refused")

    async def test_after_no_progress(self) -> None:
        """A job that was taken for being stuck is lost to its crawler, though that lives."""
        ref = await self.running(no_progress_limit=5.0)
        await self.advance(6)
        await self.store.stuck()
        await self.unchanged(ref, "after it was stuck")

    async def test_after_the_session_ended(self) -> None:
        """After its goodbye a crawler has no jobs."""
        ref = await self.running()
        await self.store.end_session(ref.session_id, "bye")
        job = await self.view(ref.job_id)
        await self.refused("lease_lost", self.store.complete(ref, Completion()))
        self.assertEqual(await self.view(ref.job_id), job)

    async def test_after_it_was_not_held(self) -> None:
        """A lease that the crawler did not name when it resumed is gone."""
        session = await self.session("bob", ticket_hash=b"t")
        ref = await self.running(session)
        await self.store.resume_session(b"t", [], session.server_id)
        job = await self.view(ref.job_id)
        await self.refused("lease_lost", self.store.complete(ref, Completion()))
        self.assertEqual(await self.view(ref.job_id), job)
