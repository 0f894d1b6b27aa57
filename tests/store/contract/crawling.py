"""Claims about what crawlers say of their jobs: every verb, once and twice, and what it makes of the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from crawlsock.jobs import HELD, Action, JobFacts, State, apply
from crawlsock.store.values import Area, Backoff, Completion, Failure, JobRef, NewJob, Progress, Release
from tests.store.contract.base import StoreContract

TROUBLE = Failure("timeout", "GitLab did not answer", recoverable=True)
HOPELESS = Failure("gone", "the project is gone", recoverable=False)


class Crawling(StoreContract):
    """A crawler's word about its job acts once, and as the rules say."""

    def ends(self) -> dict[Action, Callable[[JobRef], Deferred[Any]]]:
        """Return every verb with which a crawler ends its assignment."""
        return {
            Action.COMPLETE: lambda ref: self.store.complete(ref, Completion(summary={"ok": True})),
            Action.FAIL: lambda ref: self.store.fail(ref, TROUBLE),
            Action.RELEASE: lambda ref: self.store.release(ref, Release("drain")),
            Action.CANCELLED: lambda ref: self.store.cancelled(ref, Release("asked")),
        }

    async def test_starting_makes_a_job_running(self) -> None:
        """A started job is running since now; said twice it has started once."""
        ref = await self.held()
        await self.store.start(ref)
        before = await self.view(ref.job_id)
        self.assertEqual(before.state, "running")
        self.assertIsNotNone(before.started_at)
        await self.advance(5)
        await self.store.start(ref)
        self.assertEqual((await self.kinds(ref.job_id)).count("job_started"), 1)

    async def test_completing_keeps_what_was_done(self) -> None:
        """A completed job has its final counts, files and summary, and stands at 100 percent."""
        ref = await self.running()
        await self.store.progress(ref, Progress(1, "fetching", {"issue": {"processed": 3, "total": 4}}))
        files = [{"path": "issues.jsonl", "items": 4, "bytes": 400}]
        entities = {"issue": {"processed": 4, "total": 4}}
        await self.store.complete(ref, Completion(entities, files, {"seconds": 2}))
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.files, job.summary), ("completed", files, {"seconds": 2}))
        self.assertIsNotNone(job.finished_at)
        assert job.progress is not None
        self.assertEqual((job.progress.percent, job.progress.processed), (100.0, 4))
        self.assertEqual(job.progress.stage, "completed")
        self.assertEqual([mark["percent"] for mark in job.milestones or []], [25, 50, 75, 90, 100])

    async def test_a_job_may_complete_without_a_report(self) -> None:
        """A job that never reported progress stands at 100 percent when it is completed."""
        ref = await self.held()
        await self.store.complete(ref, Completion())
        progress = (await self.view(ref.job_id)).progress
        assert progress is not None
        self.assertEqual((progress.percent, progress.stage), (100.0, "completed"))

    async def test_a_failure_is_tried_again_after_the_backoff(self) -> None:
        """A job that failed recoverably waits at most its backoff, then is given again, the failure kept."""
        session = await self.session()
        ref = await self.running(session, backoff=Backoff(100.0, 1000.0))
        state = await self.store.fail(ref, TROUBLE)
        self.assertEqual(state, "queued")
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.failures, job.losses), ("queued", 1, 0))
        self.assertLessEqual((job.run_at - self.now()).total_seconds(), 105.0)
        (error,) = job.errors or []
        self.assertEqual((error["error_type"], error["attempt"]), ("timeout", 1))
        self.assertEqual((error["message"], error["recoverable"]), ("GitLab did not answer", True))
        await self.advance(101)
        self.assertEqual(len(await self.assign(session)), 1)

    async def test_retry_after_goes_before_the_backoff(self) -> None:
        """When the failure says how long to wait, that is how long."""
        session = await self.session()
        ref = await self.running(session)
        await self.store.fail(ref, Failure("429", "slow down", True, retry_after=500.0))
        await self.advance(490)
        self.assertEqual(await self.assign(session), [])
        await self.advance(20)
        self.assertEqual(len(await self.assign(session)), 1)

    async def test_attempts_run_out(self) -> None:
        """After as many failures as are allowed the job has failed, with all its errors."""
        session = await self.session()
        job_id = await self.submit(max_attempts=3, backoff=Backoff(0.0, 0.0))
        states = []
        for _ in range(3):
            ref = await self.take(session, job_id)
            states.append(await self.store.fail(ref, TROUBLE))
            await self.advance(1)
        self.assertEqual(states, ["queued", "queued", "failed"])
        job = await self.view(job_id)
        self.assertEqual((job.state, job.failures, job.reason), ("failed", 3, "timeout"))
        self.assertEqual([error["attempt"] for error in job.errors or []], [1, 2, 3])
        self.assertEqual((await self.kinds(job_id))[-1], "job_failed")

    async def test_a_hopeless_failure_ends_the_job(self) -> None:
        """A failure that is not recoverable ends the job at its first attempt."""
        ref = await self.running()
        self.assertEqual(await self.store.fail(ref, HOPELESS), "failed")
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.failures, job.reason), ("failed", 1, "gone"))

    async def test_a_failure_keeps_its_circumstances(self) -> None:
        """Request, stack and context of a failure can be read with the job."""
        ref = await self.running()
        request = {"method": "GET", "url": "https://gitlab.test/api", "status": 500}
        failure = Failure("http", "broken", False, request=request, stack="line 1", context={"page": 3})
        await self.store.fail(ref, failure)
        ((error),) = (await self.view(ref.job_id)).errors or []
        self.assertEqual((error["request"], error["stack"]), (request, "line 1"))
        self.assertEqual(error["context"], {"page": 3})

    async def test_releasing_costs_no_attempt(self) -> None:
        """However often a job is handed back, it keeps all its attempts."""
        session = await self.session()
        job_id = await self.submit(max_attempts=1)
        for _ in range(7):
            ref = await self.take(session, job_id)
            await self.store.release(ref, Release("drain"))
        job = await self.view(job_id)
        self.assertEqual((job.state, job.releases, job.failures, job.losses), ("queued", 7, 0, 0))
        self.assertEqual(job.attempt, 7)

    async def test_every_end_follows_the_rules(self) -> None:
        """From assigned and running, with or without a cancel or pause asked for, each end leads where the
        rules say."""
        for action in self.ends():
            for state in sorted(HELD):
                for cancel in (False, True):
                    for pause in (False, True):
                        await self._check_end(action, state, cancel, pause)

    async def _check_end(self, action: Action, state: State, cancel: bool, pause: bool) -> None:
        ref = (await self.bring(state)).ref
        assert ref is not None
        if pause:
            await self.store.pause(ref.job_id, tree=False, reason=None, actor="test")
        if cancel:
            await self.store.cancel(ref.job_id, tree=False, reason=None, actor="test")
        expected = apply(action, JobFacts(state, cancel_requested=cancel, pause_requested=pause))
        await self.ends()[action](ref)
        job = await self.view(ref.job_id)
        case = f"{action} from {state}, cancel {cancel}, pause {pause}"
        self.assertEqual(job.state, expected.state.value, case)
        counts = (expected.failures, expected.releases, expected.losses)
        self.assertEqual((job.failures, job.releases, job.losses), counts, case)
        self.assertFalse(job.pause_requested, case)
        await self.store.end_session(ref.session_id, "done")
        # Out of the way of the next case, which expects an empty queue.
        if expected.state in (State.QUEUED, State.PAUSED):
            await self.store.cancel(ref.job_id, tree=False, reason=None, actor="test")

    async def test_an_end_said_twice_acts_once(self) -> None:
        """Each end sent again under the same lease succeeds, with the same answer, and changes nothing."""
        for action, end in self.ends().items():
            ref = await self.running(max_attempts=9)
            first = await end(ref)
            before = await self.view(ref.job_id)
            head = await self.store.event_head()
            self.assertEqual(await end(ref), first, action)
            self.assertEqual(await self.view(ref.job_id), before, action)
            self.assertEqual((await self.store.events_after(head, 10)).events, [], action)
            await self.store.end_session(ref.session_id, "done")
            if before.state == "queued":
                await self.store.cancel(ref.job_id, tree=False, reason=None, actor="test")

    async def test_an_end_said_twice_at_once_acts_once(self) -> None:
        """Two copies of an end that arrive together act once, and both succeed."""
        for action, end in self.ends().items():
            ref = await self.running()
            await gatherResults([end(ref), end(ref)])
            job = await self.view(ref.job_id)
            self.assertLessEqual(job.failures + job.releases, 1, action)
            self.assertEqual(len(job.errors or []), int(action is Action.FAIL), action)
            await self.store.end_session(ref.session_id, "done")
            await self.store.cancel(ref.job_id, tree=True, reason=None, actor="test")

    async def test_an_end_is_remembered_after_the_next_assignment(self) -> None:
        """A resent end is recognised even when the job is with somebody else by now, whom it does not
        touch."""
        for action in (Action.FAIL, Action.RELEASE):
            job_id = await self.submit(backoff=Backoff(0.0, 0.0))
            first = await self.take(await self.session(), job_id)
            await self.ends()[action](first)
            await self.advance(1)
            second = await self.take(await self.session(), job_id)
            before = await self.view(job_id)
            await self.ends()[action](first)
            self.assertEqual(await self.view(job_id), before, action)
            await self.store.complete(second, Completion())

    async def test_one_end_is_not_another(self) -> None:
        """After one end a different one under the same lease is `lease_lost`."""
        for action, end in self.ends().items():
            for other, another in self.ends().items():
                if action is other:
                    continue
                ref = await self.running()
                await end(ref)
                before = await self.view(ref.job_id)
                await self.refused("lease_lost", another(ref))
                self.assertEqual(await self.view(ref.job_id), before, (action, other))
                await self.store.end_session(ref.session_id, "done")
                await self.store.cancel(ref.job_id, tree=True, reason=None, actor="test")

    async def test_a_late_resend_of_earlier_words_is_fine(self) -> None:
        """When a job has completed, start and progress sent again succeed and change nothing."""
        ref = await self.running()
        report = Progress(1, "fetching", {"issue": {"processed": 1}})
        await self.store.progress(ref, report)
        await self.store.complete(ref, Completion())
        before = await self.view(ref.job_id)
        await self.store.start(ref)
        await self.store.progress(ref, report)
        self.assertEqual(await self.view(ref.job_id), before)

    async def test_one_stale_lease_fails_no_neighbour(self) -> None:
        """Of many words that arrive together only those under a lost lease are refused."""
        session = await self.session()
        stale = await self.running(session)
        await self.store.release(stale, Release("drain"))
        await self.store.cancel(stale.job_id, tree=False, reason=None, actor="test")
        good = [await self.held(session) for _ in range(4)]
        refused = [
            self.refused("lease_lost", self.store.complete(stale, Completion())),
            self.refused("lease_lost", self.store.areas(stale, [Area("group", "1", "g")])),
            self.refused("lease_lost", self.store.discover(stale, [NewJob("crawl_user", entity_id="1")])),
        ]
        steps: list[Deferred[Any]] = [Deferred.fromCoroutine(refusal) for refusal in refused]
        for ref in good:
            steps.append(self.store.start(ref))
            steps.append(self.store.progress(ref, Progress(1, "fetching")))
            steps.append(self.store.complete(ref, Completion()))
        await gatherResults(steps)
        self.assertEqual(await self.states(ref.job_id for ref in good), ["completed"] * 4)

    async def test_all_steps_of_a_job_may_arrive_together(self) -> None:
        """Start, progress, discovery, areas and completion sent without waiting act in the order of a job's
        life."""
        ref = await self.held()
        steps: list[Deferred[Any]] = [
            self.store.start(ref),
            self.store.progress(ref, Progress(1, "discovering", {"project": {"discovered": 2}})),
            self.store.discover(ref, [NewJob("crawl_project", entity_id=str(n)) for n in range(2)]),
            self.store.areas(ref, [Area("project", "0", "g/p")]),
            self.store.progress(ref, Progress(2, "fetching", {"project": {"processed": 2, "total": 2}})),
            self.store.complete(ref, Completion()),
        ]
        answers = await gatherResults(steps)
        self.assertEqual([status.status for status in answers[2]], ["created", "created"])
        job = await self.view(ref.job_id)
        self.assertEqual((job.state, job.children), ("completed", {"queued": 2}))
        assert job.progress is not None
        self.assertEqual(job.progress.processed, 2)
