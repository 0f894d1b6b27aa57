"""Claims about who gets which job."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from crawlsock.store.values import Assignment, Completion, Demand, JobRef, NewJob, Release
from tests.store.contract.base import StoreContract, fresh_id


def ids(assignments: list[Assignment]) -> list[str]:
    """Return the jobs that were given."""
    return [assignment.job_id for assignment in assignments]


class Assigning(StoreContract):
    """A job goes to one session at a time, the most urgent first, where it fits."""

    async def test_an_assignment_tells_all_about_the_job(self) -> None:
        """A crawler gets what was submitted, a lease, and an attempt that counts from one."""
        job_id = await self.submit(
            "crawl_group", entity_id="9", host="gitlab.test", payload={"a": 1}, priority=3, no_progress_limit=60.0
        )
        session = await self.session()
        (given,) = await self.assign(session)
        self.assertEqual((given.job_id, given.session_id, given.attempt), (job_id, session.session_id, 1))
        self.assertEqual((given.type, given.entity_id, given.host), ("crawl_group", "9", "gitlab.test"))
        self.assertEqual((given.payload, given.priority, given.root_id), ({"a": 1}, 3, job_id))
        self.assertEqual((given.no_progress_limit, given.account), (60.0, "default"))
        self.assertEqual((given.resume_state, given.credential_generation), (None, None))
        job = await self.view(job_id)
        self.assertEqual((job.state, job.attempt, job.crawler_id), ("assigned", 1, session.crawler_id))
        self.assertEqual(len(job.assignments or []), 1)

    async def test_priority_then_due_time_then_age(self) -> None:
        """Higher priority goes first, then what has been due for longest, then what was made first."""
        late = await self.submit(run_at=self.in_(5))
        early = await self.submit(run_at=self.in_(1))
        urgent = await self.submit(priority=10, run_at=self.in_(9))
        idle = await self.submit(priority=-10)
        await self.advance(10)
        self.assertEqual(ids(await self.assign(await self.session(), 10)), [urgent, early, late, idle])

    async def test_slots_bound_what_is_given(self) -> None:
        """A session gets as many jobs as it has slots, and none for no slots."""
        for _ in range(3):
            await self.submit()
        session = await self.session()
        self.assertEqual(await self.assign(session, 0), [])
        self.assertEqual(len(await self.assign(session, 2)), 2)
        self.assertEqual(len(await self.assign(session, 2)), 1)
        self.assertEqual(await self.assign(session, 2), [])

    async def test_a_job_is_due_only_at_its_time(self) -> None:
        """A job that may run later is given when its time has come, not before."""
        job_id = await self.submit(run_at=self.in_(60))
        session = await self.session()
        self.assertEqual(await self.assign(session), [])
        await self.advance(61)
        self.assertEqual(ids(await self.assign(session)), [job_id])

    async def test_labels_must_all_be_there(self) -> None:
        """A job with labels goes only to a crawler that has all of them; one without goes anywhere."""
        both = await self.submit(labels=("big", "eu"), priority=2)
        plain = await self.submit()
        session = await self.session()
        self.assertEqual(ids(await self.assign(session, 5, labels=frozenset({"big"}))), [plain])
        wide = frozenset({"big", "eu", "extra"})
        self.assertEqual(ids(await self.assign(session, 5, labels=wide)), [both])

    async def test_job_types_are_respected(self) -> None:
        """A crawler that names types gets only those; one that names none gets any."""
        project = await self.submit("crawl_project")
        user = await self.submit("crawl_user")
        session = await self.session()
        self.assertEqual(ids(await self.assign(session, 5, job_types=frozenset({"crawl_user"}))), [user])
        self.assertEqual(await self.assign(session, 5, job_types=frozenset({"crawl_user"})), [])
        self.assertEqual(ids(await self.assign(session, 5)), [project])

    async def test_several_demands_at_once_share_the_queue(self) -> None:
        """Demands of several sessions in one call get different jobs, each as many as it asked for at
        most."""
        made = {await self.submit() for _ in range(5)}
        first, second = await self.session(), await self.session()
        given = await self.store.assign([Demand(first.session_id, 2), Demand(second.session_id, 9)])
        by_session = [assignment.session_id for assignment in given]
        self.assertEqual(by_session.count(first.session_id), 2)
        self.assertEqual(by_session.count(second.session_id), 3)
        self.assertEqual(set(ids(given)), made)

    async def test_concurrent_calls_never_give_a_job_twice(self) -> None:
        """Calls under way at the same time share the queue without giving a job twice."""
        await self.store.submit([NewJob("crawl_project") for _ in range(30)], accounts=None)
        sessions = [await self.session() for _ in range(5)]
        answers = await gatherResults([self.store.assign([Demand(session.session_id, 10)]) for session in sessions])
        given = [assignment.job_id for answer in answers for assignment in answer]
        self.assertEqual((len(given), len(set(given))), (30, 30))

    async def test_a_session_that_does_not_live_gets_nothing(self) -> None:
        """Sessions that ended, or never were, get no jobs."""
        job_id = await self.submit()
        session = await self.session()
        await self.store.end_session(session.session_id, "done")
        self.assertEqual(await self.assign(session), [])
        self.assertEqual(await self.store.assign([Demand(fresh_id(), 1)]), [])
        self.assertEqual(await self.state(job_id), "queued")

    async def test_every_assignment_has_its_own_lease_and_attempt(self) -> None:
        """Given again, a job has a new lease, an attempt one higher, and the history of both."""
        session = await self.session()
        first = await self.held(session)
        await self.store.release(first, Release("drain"))
        (second,) = await self.assign(session)
        self.assertEqual((second.job_id, second.attempt), (first.job_id, 2))
        self.assertNotEqual(second.lease, first.lease)
        history = (await self.view(first.job_id)).assignments or []
        self.assertEqual([row["attempt"] for row in history], [1, 2])
        self.assertEqual([row.get("outcome") for row in history], ["released", None])

    async def test_a_released_job_keeps_its_place(self) -> None:
        """A job that was handed back goes before those that came later."""
        session = await self.session()
        first = await self.held(session)
        await self.advance(5)
        later = await self.submit()
        await self.store.release(first, Release("drain"))
        self.assertEqual(ids(await self.assign(session, 2)), [first.job_id, later])

    async def test_a_paused_queue_gives_nothing(self) -> None:
        """A job type that is paused is not given, the rest is; twice paused is paused once."""
        await self.submit("crawl_user")
        project = await self.submit("crawl_project")
        session = await self.session()
        for _ in range(2):
            await self.store.pause_queue("crawl_user", True, "holiday", "admin")
        self.assertEqual(ids(await self.assign(session, 5)), [project])
        (pause,) = await self.store.queues()
        self.assertEqual((pause.job_type, pause.paused, pause.reason), ("crawl_user", True, "holiday"))
        await self.store.pause_queue("crawl_user", False, None, "admin")
        self.assertEqual(await self.store.queues(), [])
        self.assertEqual(len(await self.assign(session, 5)), 1)

    async def test_pausing_all_queues(self) -> None:
        """With all queues paused nothing is given; jobs that are out go on."""
        ref = await self.running()
        await self.submit()
        session = await self.session()
        await self.store.pause_queue(None, True, None, "admin")
        self.assertEqual(await self.assign(session, 5), [])
        self.assertEqual([pause.job_type for pause in await self.store.queues()], [None])
        await self.store.complete(ref, Completion())
        await self.store.pause_queue(None, False, None, "admin")
        self.assertEqual(len(await self.assign(session, 5)), 1)

    async def test_what_was_saved_comes_with_the_next_assignment(self) -> None:
        """The next attempt is given the resume state that the last one left."""
        session = await self.session()
        ref = await self.running(session)
        await self.store.release(ref, Release("drain", resume_state={"page": 7}))
        (again,) = await self.assign(session)
        self.assertEqual(again.resume_state, {"page": 7})

    async def test_an_account_with_a_credential_shows_its_generation(self) -> None:
        """The assignment names the generation of the account's credential, never the credential."""
        generation = await self.account("acme")
        ref = await self.submit(account="acme")
        (given,) = await self.assign(await self.session())
        self.assertEqual((given.job_id, given.credential_generation), (ref, generation))

    async def test_observers_are_called_when_there_is_work(self) -> None:
        """Who wants to know of work is called when jobs are submitted."""
        called: list[int] = []
        self.store.on_work(lambda: called.append(1))
        await self.submit()
        # Observers may be called just after the caller has been answered.
        await self.store.event_head()
        self.assertTrue(called)

    async def test_the_whole_life_of_many_jobs(self) -> None:
        """Many jobs go through their whole lives, all steps of a job sent without waiting for one another."""
        await self.store.submit([NewJob("crawl_project") for _ in range(20)], accounts=None)
        given = await self.assign(await self.session(), 50)
        steps = []
        for assignment in given:
            ref = JobRef(assignment.job_id, assignment.lease, assignment.session_id)
            steps.append(self.store.start(ref))
            steps.append(self.store.complete(ref, Completion()))
        await gatherResults(steps)
        self.assertEqual((await self.store.job_counts())["completed"], 20)
        for assignment in given:
            self.assertEqual(
                await self.kinds(assignment.job_id),
                ["job_created", "job_assigned", "job_started", "job_completed"],
            )
