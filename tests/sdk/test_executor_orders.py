"""Claims about orders: cancel, pause, lost leases, and leaving."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from crawlsock.sdk import Area, ChildJob, Credential, Job, JobCancelled, JobReleased, JobStopped, LeaseLost
from tests.sdk.fake import JOB, SHUTDOWN
from tests.sdk.test_executor_jobs import ExecutorCase


class OrdersCase(ExecutorCase):
    """An executor whose jobs go round in steps that the test lets through one by one."""

    def setUp(self) -> None:
        super().setUp()
        self.steps: list[Deferred[None]] = []
        self.met: list[BaseException] = []
        self.made: list[Job] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            self.made.append(job)
            page = 0
            try:
                while True:
                    job.report.save({"page": page})
                    await job.checkpoint()
                    step: Deferred[None] = Deferred()
                    self.steps.append(step)
                    await step
                    page += 1
            except BaseException as error:
                self.met.append(error)
                raise

    def one(self, **fields: Any) -> tuple[str, str]:
        self.begin()
        envelope = self.server.assign(1, **fields)
        self.server.turn()
        return envelope

    def step(self) -> None:
        self.steps.pop(0).callback(None)
        self.server.turn()

    def order(self, type: str, data: dict[str, Any] | None = None) -> int:
        id = self.server.push(type, data or {}, job_id=JOB.format(1), lease="lease-1")
        self.server.turn()
        return id


class Cancelling(OrdersCase):
    def test_at_the_checkpoint(self) -> None:
        """A cancelled job meets JobCancelled at its next checkpoint, and says so with its counts and state."""
        self.one()
        id = self.order("job_cancel", {"reason": "enough"})
        self.assertEqual(self.server.of("ack")[-1].re, id)
        self.assertTrue(self.made[0].cancelled)
        self.assertEqual(self.server.of("job_cancelled"), [])
        self.step()
        self.assertIsInstance(self.met[0], JobCancelled)
        self.assertEqual(self.server.of("job_cancelled")[0].data, {"resume_state": {"page": 1}})
        self.assertEqual(self.server.of("job_failed"), [])

    def test_interrupted(self) -> None:
        """A cancelled job that reaches no checkpoint is interrupted in what it waits for, after five seconds."""
        self.one()
        self.order("job_cancel")
        self.server.pass_time(4.9)
        self.assertEqual(self.met, [])
        self.server.pass_time(0.2)
        self.assertIsInstance(self.met[0], CancelledError)
        self.assertEqual(len(self.server.of("job_cancelled")), 1)

    def test_sooner(self) -> None:
        """A deadline in the order shortens that time."""
        self.one()
        self.order("job_cancel", {"deadline": 1})
        self.server.pass_time(1.1)
        self.assertEqual(len(self.server.of("job_cancelled")), 1)

    def test_watcher(self) -> None:
        """when_cancelled() fires with the reason, and at once when it has happened already."""
        self.one()
        watcher = self.made[0].when_cancelled()
        self.assertNoResult(watcher)
        self.order("job_cancel", {"reason": "enough"})
        self.assertEqual(str(self.successResultOf(watcher)), "enough")
        self.assertIsInstance(self.successResultOf(self.made[0].when_cancelled()), JobCancelled)

    def test_while_paused(self) -> None:
        """A paused job can be cancelled."""
        self.one()
        self.order("job_pause")
        self.step()
        self.order("job_cancel")
        self.assertEqual(len(self.server.of("job_cancelled")), 1)

    def test_of_an_old_lease(self) -> None:
        """An order for a lease that is not held is acknowledged and changes nothing."""
        self.one()
        id = self.server.push("job_cancel", {}, job_id=JOB.format(1), lease="other")
        self.server.turn()
        self.step()
        self.assertEqual(self.met, [])
        self.assertEqual(self.server.of("ack")[-1].re, id)


class Pausing(OrdersCase):
    def test_a_job(self) -> None:
        """A paused job holds at its checkpoint until it is resumed."""
        self.one()
        self.order("job_pause")
        self.step()
        self.assertEqual(self.steps, [])
        self.order("job_resume")
        self.assertEqual(len(self.steps), 1)

    def test_before_it_begins(self) -> None:
        """A job assigned while paused says it has started, and takes its first step when resumed."""
        self.one(paused=True)
        self.assertEqual(self.server.types()[0], "job_started")
        self.assertEqual(self.made, [])
        self.order("job_resume")
        self.assertEqual(len(self.made), 1)

    def test_the_crawler(self) -> None:
        """A paused crawler takes its wish for jobs back, holds all jobs, and goes on when resumed."""
        self.one()
        self.server.push("crawler_pause", {"reason": "night"})
        self.server.turn()
        self.assertEqual(self.server.of("job_request")[-1].data, {"slots": 0})
        self.step()
        self.assertEqual(self.steps, [])
        self.server.push("crawler_resume")
        self.server.turn()
        self.assertEqual(len(self.steps), 1)
        self.assertEqual(self.server.of("job_request")[-1].data, {"slots": 3})

    def test_both(self) -> None:
        """A job that is paused itself stays so when the crawler goes on."""
        self.one()
        self.order("job_pause")
        self.server.push("crawler_pause")
        self.step()
        self.server.push("crawler_resume")
        self.server.turn()
        self.assertEqual(self.steps, [])


class LosingTheLease(ExecutorCase):
    def lose_by(self, type: str, speak: Callable[[Job], Awaitable[Any]]) -> None:
        """Have one message refused with lease_lost, and see that the job stops and says nothing more."""
        met: list[BaseException] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            try:
                await speak(job)
                while True:
                    await job.checkpoint()
                    await Deferred()
            except BaseException as error:
                met.append(error)
                raise

        self.server.rules[type] = lambda m: self.server.refuse(m, "lease_lost")
        self.begin()
        self.server.assign(1)
        self.server.turn()
        self.server.pass_time(2)
        self.assertEqual(len(met), 1, type)
        self.assertIsInstance(met[0], (LeaseLost, CancelledError))
        ends = {"job_completed", "job_failed", "job_released", "job_cancelled"}
        self.assertEqual(ends & set(self.server.types()), set())
        self.assertEqual(self.executor.in_hand.leases, [])
        self.assertEqual(self.server.of("job_request")[-1].data, {"slots": 1})

    def test_by_started(self) -> None:
        """A job whose start is answered lease_lost is stopped."""

        async def speak(job: Job) -> None: ...

        self.lose_by("job_started", speak)

    def test_by_progress(self) -> None:
        """A job whose progress is answered lease_lost is stopped."""

        async def speak(job: Job) -> None:
            job.report.count("issue", processed=1)

        self.lose_by("job_progress", speak)

    def test_by_flush(self) -> None:
        """A job that waits for its progress to be durable meets LeaseLost there."""

        async def speak(job: Job) -> None:
            job.report.count("issue", processed=1)
            with self.assertRaises(LeaseLost):
                await job.report.flush()
            await job.report.flush()

        self.lose_by("job_progress", speak)

    def test_by_discovered(self) -> None:
        """A job whose children are answered lease_lost is stopped."""

        async def speak(job: Job) -> None:
            await job.discovered([ChildJob("crawl", "1")])

        self.lose_by("jobs_discovered", speak)

    def test_by_areas(self) -> None:
        """A job whose areas are answered lease_lost is stopped."""

        async def speak(job: Job) -> None:
            await job.areas([Area("group", "1", "g")])

        self.lose_by("discovery", speak)

    def test_by_refresh(self) -> None:
        """A job whose wish for a credential is answered lease_lost is stopped."""

        async def speak(job: Job) -> None:
            await job.refresh_credential(Credential("x", "oauth", 1))

        self.lose_by("token_refresh_request", speak)

    def test_by_its_last_word(self) -> None:
        """A last word that is answered lease_lost is not repeated in other words."""

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None: ...

        self.server.rules["job_completed"] = lambda m: self.server.refuse(m, "lease_lost")
        self.begin()
        self.server.assign(1)
        self.server.turn()
        self.assertEqual(self.server.types(), ["job_started", "job_completed", "job_request"])
        self.assertEqual(self.executor.in_hand.leases, [])


class AfterALostLink(OrdersCase):
    def test_kept(self) -> None:
        """A job whose lease is kept goes on as if nothing had happened."""
        self.one()
        self.server.drop()
        self.server.turn()
        self.assertEqual(self.server.hellos[1].data["resume"]["leases"], ["lease-1"])
        self.step()
        self.assertEqual((self.met, len(self.steps)), ([], 1))
        self.assertEqual(self.server.of("job_request")[-1].data, {"slots": 3})

    def test_lost(self) -> None:
        """A job whose lease is not kept is stopped and says nothing more."""
        self.one()
        self.server.welcome.update(leases_kept=[], leases_lost=["lease-1"])
        self.server.drop()
        self.server.turn()
        self.assertIsInstance(self.made[0].lost, LeaseLost)
        self.assertEqual(len(self.met), 1)
        self.assertEqual(self.executor.in_hand.leases, [])

    def test_unanswered_end(self) -> None:
        """A lease whose last word is unanswered is still named, and the word said again."""
        self.one()
        self.server.silent.add("job_cancelled")
        self.order("job_cancel")
        self.step()
        self.server.silent.clear()
        self.server.heard.clear()
        self.server.drop()
        self.server.turn()
        self.assertEqual(self.server.hellos[1].data["resume"]["leases"], ["lease-1"])
        self.assertEqual(self.server.types()[0], "job_cancelled")
        self.assertEqual(self.executor.in_hand.leases, [])

    def test_session_gone(self) -> None:
        """When the session is over all jobs stop, and the crawler works on in a new one."""
        self.one()
        self.server.refuse_hello.append({"code": "session_expired", "message": "late"})
        self.server.drop()
        self.server.turn()
        self.assertEqual(len(self.met), 1)
        self.assertEqual(self.server.of("job_request")[-1].data, {"slots": 4})


class Leaving(OrdersCase):
    def test_draining(self) -> None:
        """A leaving crawler wants no more jobs, hands its jobs back at their checkpoint, and goes."""
        self.one()
        stopped = self.executor.stop()
        over = self.executor.when_over()
        self.server.turn()
        self.assertEqual(self.server.of("job_request")[-1].data, {"slots": 0})
        self.assertNoResult(stopped)
        self.step()
        self.assertIsInstance(self.met[0], JobReleased)
        released = self.server.of("job_released")[0].data
        self.assertEqual(released, {"reason": "the crawler is leaving", "resume_state": {"page": 1}})
        self.server.turn()
        self.successResultOf(stopped)
        self.successResultOf(over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_asked_to_leave(self) -> None:
        """A crawler that the server asks to leave hands back its jobs, closes, and does not come back."""
        self.one()
        over = self.executor.when_over()
        self.server.say("shutdown", {**SHUTDOWN, "leave": True})
        self.server.pass_time(30, 0.1)
        self.assertEqual((len(self.server.of("job_released")), len(self.server.attempts)), (1, 1))
        self.successResultOf(over)

    def test_deadline(self) -> None:
        """A job that reaches no checkpoint before the deadline is interrupted and handed back all the same."""
        self.one()
        stopped = self.executor.stop(deadline=10)
        self.server.pass_time(10.2)
        self.assertIsInstance(self.met[0], CancelledError)
        self.assertEqual(self.server.of("job_released")[0].data["resume_state"], {"page": 0})
        self.successResultOf(stopped)

    def test_second_signal(self) -> None:
        """Stopping again without draining cuts the waiting short."""
        self.one()
        first = self.executor.stop()
        self.server.turn()
        second = self.executor.stop(drain=False)
        self.server.turn()
        self.assertEqual(len(self.server.of("job_released")), 1)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_stubborn_job(self) -> None:
        """A job that will not end does not keep the crawler: five seconds later it goes without it."""

        @self.executor.job("stubborn")
        async def stubborn(job: Job) -> None:
            while True:
                try:
                    await Deferred()
                except (CancelledError, JobStopped):
                    continue

        self.one(type="stubborn")
        stopped = self.executor.stop(drain=False)
        self.server.pass_time(5.2)
        self.successResultOf(stopped)

    def test_nobody_there(self) -> None:
        """Without a server, leaving ends all the same."""
        self.one()
        self.server.drop()
        self.server.unreachable.extend([ConnectionError()] * 99)
        stopped = self.executor.stop(drain=False)
        self.server.pass_time(5.2)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_without_jobs(self) -> None:
        """A crawler without jobs leaves at once; before it has started, too; and twice."""
        self.successResultOf(self.executor.stop())
        self.begin()
        stopped = self.executor.stop()
        self.server.turn()
        self.successResultOf(stopped)
        self.successResultOf(self.executor.stop())

    def test_late_assignment(self) -> None:
        """A job that crosses the leaving is handed back at its first checkpoint."""
        self.one()
        self.executor.stop()
        self.server.assign(2)
        self.server.turn()
        self.assertEqual([m.job_id for m in self.server.of("job_released")], [JOB.format(2)])

    def test_start_again(self) -> None:
        """A crawler that has left can be started again."""
        self.begin()
        self.executor.stop()
        self.server.turn()
        self.begin()
        self.server.assign(1)
        self.server.turn()
        self.assertEqual(len(self.made), 1)
        self.step()
        self.assertEqual(self.met, [])

    def test_refused_for_good(self) -> None:
        """A crawler that the server will never have is over, with the reason."""
        self.server.refuse_hello.append({"code": "authentication_failed", "message": "bad token"})
        over = self.executor.when_over()
        self.executor.start().addErrback(lambda _: None)
        self.server.turn()
        self.assertIn("bad token", str(self.failureResultOf(over).value))
