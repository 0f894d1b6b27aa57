"""Claims about what a dashboard and an operator ask through the SDK, on a server in memory."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.sdk import ChildJob, Job, JobExecutor, JobFailed, JobFilter, JobManager, NewJob, Refused
from crawlsock.testing.harness import WireHarness

T = TypeVar("T")


class Oversight(SynchronousTestCase):
    def setUp(self) -> None:
        self.harness = WireHarness()
        self.addCleanup(self.harness.stop)
        self.manager = self.connect("admin")

    def connect(self, role: str) -> JobManager:
        manager = JobManager(self.harness.endpoint(), self.harness.token(role), role=role, reactor=self.harness.clock)
        manager.start()
        self.harness.advance(0.1)
        self.addCleanup(manager.stop)
        return manager

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        done = Deferred.fromCoroutine(work)
        self.harness.advance(2, 0.1)
        return self.successResultOf(done)

    def submit(self, *jobs: NewJob) -> list[str]:
        return [str(status.job_id) for status in self.do(self.manager.submit(jobs))]

    def work(self) -> JobExecutor:
        """Run a crawler whose jobs discover two children, or fail for good."""
        executor = JobExecutor(
            self.harness.endpoint(), self.harness.token("crawler"), crawler_id="c", reactor=self.harness.clock
        )

        @executor.job("parent")
        async def parent(job: Job) -> None:
            job.report.count("page", processed=1)
            await job.discovered([ChildJob("child", str(number)) for number in (1, 2)])

        @executor.job("child")
        async def child(job: Job) -> None:
            job.report.count("page", processed=10)

        @executor.job("bad")
        async def bad(job: Job) -> None:
            raise JobFailed("no_such_page", f"page {job.entity_id}: 404", recoverable=False)

        executor.start()
        self.harness.advance(3, 0.1)
        self.addCleanup(executor.stop, False)
        return executor

    def test_many_at_once(self) -> None:
        """What is done to all that match is done in as many messages as it takes, and told on the way."""
        self.submit(*(NewJob("a") for _ in range(700)), *(NewJob("a") for _ in range(700)), NewJob("b"))
        told: list[int] = []
        affected = self.do(self.manager.control("cancel", JobFilter(type="a"), reason="r", on_way=told.append))
        self.assertEqual((affected, told[-1], len(told) > 1), (1400, 1400, True))
        self.assertEqual(self.do(self.manager.counts(type="a"))["cancelled"], 1400)
        self.assertEqual(self.do(self.manager.counts())["queued"], 1)
        self.assertEqual(self.do(self.manager.control("cancel", JobFilter(type="a"))), 0)

    def test_filters(self) -> None:
        """A filter holds what was given, and lists understand the same."""
        self.assertEqual(JobFilter().fields(), {})
        self.assertEqual(JobFilter(states=["queued"], host="h").fields(), {"states": ["queued"], "host": "h"})
        self.submit(NewJob("a", host="one.example.com"), NewJob("a", host="two.example.com"))
        page, cursor = self.do(self.manager.list(host="two.example.com", sort="oldest"))
        self.assertEqual(([job["host"] for job in page], cursor), (["two.example.com"], None))

    def test_trees(self) -> None:
        """Each child of a job comes with the sums of all below it."""
        (job_id,) = self.submit(NewJob("parent"))
        self.work()
        children, cursor = self.do(self.manager.tree(job_id))
        self.assertEqual([(child["state"], child["below"]["processed"]) for child in children], [("completed", 10)] * 2)
        self.assertIsNone(cursor)
        glance = self.do(self.manager.overview())
        self.assertEqual((glance["jobs"]["completed"], glance["items"]["processed"]), (3, 21))

    def test_why(self) -> None:
        """A job that nobody can do is explained with reasons, each with a code."""
        (job_id,) = self.submit(NewJob("nobody_does_this"))
        told = self.do(self.manager.explain(job_id))
        self.assertEqual((told["state"], told["runs"]), ("queued", False))
        self.assertTrue(all(reason["code"] and reason["message"] for reason in told["reasons"]))

    def test_failures(self) -> None:
        """Failures stand in groups; those of one are found, and tried again by their fingerprint."""
        self.submit(*(NewJob("bad", entity_id=str(number)) for number in range(3)))
        self.work()
        groups, _ = self.do(self.manager.errors(error_type="no_such_page", sort="frequent"))
        self.assertEqual([(group["count"], group["failed_now"]) for group in groups], [(3, 3)])
        fingerprint, account = groups[0]["fingerprint"], groups[0]["account"]
        found = self.do(self.manager.error(fingerprint, account=account))
        self.assertEqual(len(found["occurrences"]), 3)
        again = JobFilter(states=["failed"], error=fingerprint, account=account)
        self.assertEqual(self.do(self.manager.control("retry", again)), 3)
        self.assertEqual(self.do(self.manager.incidents(open=True)), ([], None))

    def test_orders(self) -> None:
        """Queues are paused and resumed, crawlers steered, by those who may."""
        self.work()
        self.do(self.manager.pause_queue("a", reason="r"))
        paused = [each for each in self.do(self.manager.queues())["queues"] if each["paused"]]
        self.assertEqual([(each["job_type"], each["reason"]) for each in paused], [("a", "r")])
        self.do(self.manager.resume_queue("a"))
        self.assertFalse(any(each["paused"] for each in self.do(self.manager.queues())["queues"]))
        self.do(self.manager.command("c", "pause"))
        self.assertEqual(self.do(self.manager.crawlers())[0]["state"], "paused")
        webapp = self.connect("webapp")
        refused = Deferred.fromCoroutine(webapp.pause_queue())
        self.harness.advance(1, 0.1)
        self.assertEqual(self.failureResultOf(refused, Refused).value.code, "forbidden")

    def test_signing_in(self) -> None:
        """A server without pages gives no link."""
        asked = Deferred.fromCoroutine(self.manager.login())
        self.harness.advance(1, 0.1)
        self.assertEqual(self.failureResultOf(asked, Refused).value.code, "invalid_state")
