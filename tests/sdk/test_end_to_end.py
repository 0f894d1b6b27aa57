"""Claims about crawlers and web applications against the real server, in memory."""

from __future__ import annotations

from collections.abc import Coroutine
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from crawlsock.sdk import (
    Area,
    ChildJob,
    Event,
    Job,
    JobExecutor,
    JobFailed,
    JobManager,
    JobResult,
    NewJob,
    OutputFile,
    Refused,
)
from crawlsock.testing.harness import WireHarness
from tests.sdk.fake import CODEC


class EndToEnd(TestCase):
    """A server in memory, one crawler and one web application."""

    def setUp(self) -> None:
        self.harness = WireHarness()
        self.clock = self.harness.clock
        self.executor = self.crawler("crawler-1")
        self.manager = JobManager(
            self.harness.endpoint(), self.harness.token("webapp"), reactor=self.clock, codec=CODEC
        )
        self.manager.start()
        self.steps: list[Deferred[None]] = []
        self.log: list[tuple[str, int, Any]] = []

    def tearDown(self) -> None:
        for executor in (self.executor,):
            executor.stop(drain=False)
        self.manager.stop()
        self.harness.advance(6)
        self.harness.stop()

    def crawler(self, name: str, slots: int = 4) -> JobExecutor:
        return JobExecutor(
            self.harness.endpoint(),
            self.harness.token("crawler"),
            name,
            slots,
            reactor=self.clock,
            codec=CODEC,
        )

    def do(self, verb: Coroutine[Any, Any, Any], seconds: float = 1) -> Any:
        """Run a verb, let time pass, and return its result."""
        done: Deferred[Any] = Deferred.fromCoroutine(verb)
        self.harness.advance(seconds, 0.05)
        return self.successResultOf(done)

    def submit(self, **fields: Any) -> str:
        job = NewJob(**{"type": "crawl", **fields})
        (status,) = self.do(self.manager.submit(job))
        self.assertEqual(status.status, "created")
        return job.job_id

    def stepping(self) -> None:
        """Register a job that saves its page, reaches a checkpoint, and waits for the test, again and again."""

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            self.log.append((job.id, job.attempt, job.resume_state))
            page = (job.resume_state or {"page": 0})["page"]
            while page < 5:
                job.report.save({"page": page})
                await job.checkpoint()
                step: Deferred[None] = Deferred()
                self.steps.append(step)
                await step
                page += 1
                job.report.count("page", processed=1)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.steps.pop(0).callback(None)
            self.harness.advance(0.2, 0.05)

    def state(self, job_id: str) -> str:
        return str(self.do(self.manager.get(job_id))["state"])

    def kill(self) -> None:
        """End the server without a word, and with it every link."""
        self.harness.kill()
        for peer in (self.executor, self.manager):
            link = peer.connection._link
            assert link is not None
            link.abort()
        self.harness.settle()
        self.assertFalse(self.executor.connection.connected or self.manager.connection.connected)

    def test_whole_life(self) -> None:
        """A submitted job is done, and the web application reads its counts, files and summary."""

        @self.executor.job("crawl")
        async def crawl(job: Job) -> JobResult:
            job.report.total("issue", 3)
            job.report.count("issue", discovered=3, processed=3)
            await job.report.flush()
            return JobResult([OutputFile("g/issues.jsonl", 3, 99)], {"host": job.host})

        self.executor.start()
        job_id = self.submit(host="https://gitlab.example.org", entity_id="1", payload={"deep": True})
        job = self.do(self.manager.wait(job_id))
        self.assertEqual(job["state"], "completed")
        self.assertEqual(job["summary"], {"host": "https://gitlab.example.org"})
        self.assertEqual(job["files"], [{"path": "g/issues.jsonl", "items": 3, "bytes": 99}])
        self.assertEqual(job["progress"]["entities"]["issue"]["processed"], 3)

    def test_many(self) -> None:
        """A thousand trivial jobs are done by four slots."""

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None: ...

        self.executor.start()
        self.do(self.manager.submit([NewJob("crawl") for _ in range(1000)]), 5)
        self.harness.advance(10, 0.1)
        self.assertEqual(self.executor.in_hand.completed, 1000)
        counts = self.do(self.manager.progress())["jobs"]
        self.assertEqual({state: count for state, count in counts.items() if count}, {"completed": 1000})

    def test_tree(self) -> None:
        """A job's discoveries become jobs below it, told twice they are one, and the tree is waited for."""

        @self.executor.job("walk")
        async def walk(job: Job) -> None:
            await job.areas([Area("group", "7", "g")])
            children = [ChildJob("crawl", str(n)) for n in range(3)]
            first = await job.discovered(children)
            again = await job.discovered([ChildJob("crawl", str(n)) for n in range(3)])
            assert [s.status for s in first] == ["created"] * 3, first
            assert [s.job_id for s in again] == [s.job_id for s in first], again
            assert [s.status for s in again] == ["duplicate"] * 3, again

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            job.report.count("issue", processed=2)

        self.executor.start()
        job_id = self.submit(type="walk", entity_id="root")
        self.assertEqual(self.do(self.manager.wait(job_id, tree=True), 3)["state"], "completed")
        progress = self.do(self.manager.progress(job_id, scope="tree"))
        self.assertEqual(progress["entities"]["issue"]["processed"], 6)
        self.assertEqual(progress["jobs"]["completed"], 4)

    def test_failure_and_retry(self) -> None:
        """A recoverable failure is tried again after the time it asks for; a final one is not."""
        attempts: list[int] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            attempts.append(job.attempt)
            if job.attempt == 1:
                raise JobFailed("busy", "come back later", retry_after=5)
            raise JobFailed("broken", "never", recoverable=False)

        self.executor.start()
        job_id = self.submit()
        self.harness.advance(4)
        self.assertEqual(attempts, [1])
        self.harness.advance(4)
        self.assertEqual(attempts, [1, 2])
        self.assertEqual(self.state(job_id), "failed")
        self.do(self.manager.retry(job_id), 2)
        self.assertEqual(attempts, [1, 2, 3])

    def test_cancel(self) -> None:
        """A cancel reaches a running job within a turn."""
        self.stepping()
        self.executor.start()
        job_id = self.submit()
        self.assertEqual(self.do(self.manager.cancel(job_id, reason="enough")), 1)
        self.step()
        self.assertEqual(self.state(job_id), "cancelled")
        self.assertEqual(self.executor.in_hand.leases, [])

    def test_pause(self) -> None:
        """A paused job keeps its lease and goes on where it was."""
        self.stepping()
        self.executor.start()
        job_id = self.submit()
        self.do(self.manager.pause(job_id))
        self.step()
        self.harness.advance(60)
        self.assertEqual(self.steps, [])
        self.do(self.manager.resume(job_id))
        self.step(4)
        self.assertEqual(self.state(job_id), "completed")
        self.assertEqual(len(self.log), 1)

    def test_server_restart(self) -> None:
        """A crawler whose server was killed and started again goes on with its jobs, and none is run twice."""
        self.stepping()
        self.executor.start()
        job_id = self.submit()
        self.kill()
        self.harness.advance(3)
        self.step()
        self.harness.restart()
        self.harness.advance(5)
        self.step(4)
        self.assertEqual(self.state(job_id), "completed")
        self.assertEqual([entry[1] for entry in self.log], [1])

    def test_server_away_at_the_end(self) -> None:
        """A job that ends while the server is away is completed when it is back."""
        self.stepping()
        self.executor.start()
        job_id = self.submit()
        self.kill()
        self.step(5)
        self.harness.advance(5)
        self.harness.restart()
        self.harness.advance(10)
        self.assertEqual(self.state(job_id), "completed")
        self.assertEqual([entry[1] for entry in self.log], [1])

    def test_draining(self) -> None:
        """A crawler that leaves hands its job to another, which goes on from the saved state, at no cost."""
        self.stepping()
        self.executor.start()
        job_id = self.submit()
        self.step(2)
        self.executor.stop()
        self.step()
        self.harness.advance(1)
        self.executor = self.crawler("crawler-2")
        self.stepping()
        self.executor.start()
        self.harness.advance(2)
        self.assertEqual([entry[2] for entry in self.log], [None, {"page": 3}])
        self.step(2)
        job = self.do(self.manager.get(job_id))
        self.assertEqual((job["state"], job["failures"], job["releases"]), ("completed", 0, 1))
        self.assertEqual(job["progress"]["entities"]["page"]["processed"], 5)

    def test_lost_lease(self) -> None:
        """A crawler that was away for too long stops its job, which another has finished by then."""
        self.stepping()
        self.executor.start()
        job_id = self.submit()
        gone = self.executor
        gone.connection._connector.stop()
        assert gone.connection._link is not None
        gone.connection._link.abort()
        self.harness.advance(120)
        self.executor = self.crawler("crawler-2")
        self.stepping()
        self.executor.start()
        self.harness.advance(2)
        self.assertEqual([entry[1] for entry in self.log], [1, 2])
        self.steps.pop(0)
        self.step(5)
        gone.connection._connector.start()
        self.harness.advance(3)
        self.assertEqual(gone.in_hand.leases, [])
        self.assertEqual(self.state(job_id), "completed")
        gone.stop(drain=False)

    def test_events(self) -> None:
        """A subscriber sees a job's life in order, over a restart of the server."""
        self.stepping()
        self.executor.start()
        self.harness.advance(1)
        events: list[Event] = []

        async def follow() -> None:
            async for event in self.manager.subscribe():
                events.append(event)

        Deferred.fromCoroutine(follow()).addErrback(lambda _: None)
        self.harness.advance(1)
        job_id = self.submit()
        self.kill()
        self.harness.advance(1)
        self.harness.restart()
        self.harness.advance(5)
        self.step(5)
        self.harness.advance(2)
        kinds = [event.kind for event in events if event.job_id == job_id and not event.snapshot]
        life = [kind for kind in kinds if kind in ("job_created", "job_assigned", "job_started", "job_completed")]
        self.assertEqual(life, ["job_created", "job_assigned", "job_started", "job_completed"])

    def rough(self, seed: int) -> None:
        """Do 100 jobs of several steps while links break and the server dies; look at every attempt."""
        dice = Random(seed)
        begun: list[tuple[str, int]] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            begun.append((job.id, job.attempt))
            for page in range(3):
                job.report.count("page", processed=1)
                job.report.save({"page": page})
                if dice.random() < 0.5:
                    await job.report.flush()
                await deferLater(self.clock, dice.random() * 0.3)
                await job.checkpoint()

        self.executor.start()
        jobs = [NewJob("crawl") for _ in range(100)]
        self.do(self.manager.submit(jobs))
        for _ in range(2000):
            if self.executor.in_hand.completed >= 100 and not self.executor.in_hand.leases:
                break
            fate = dice.random()
            link = self.executor.connection._link
            if fate < 0.1 and link is not None:
                link.abort()
            elif fate < 0.12 and self.executor.connection.connected and self.manager.connection.connected:
                self.kill()
                self.harness.advance(dice.random())
                self.harness.restart()
            self.harness.advance(0.1, 0.05)
        self.assertEqual(sorted({job_id for job_id, _ in begun}), sorted(job.job_id for job in jobs))
        # An assignment that a lost link swallowed raises the attempt; the job was not begun under it.
        self.assertEqual(len(begun), 100, [entry for entry in begun if entry[1] > 1])
        self.harness.advance(10)
        progress = self.do(self.manager.progress())
        self.assertEqual(progress["jobs"]["completed"], 100)
        self.assertEqual(progress["entities"]["page"]["processed"], 300)

    def test_rough_sea(self) -> None:
        """However often links break and the server dies, every job is begun once, completed, and counted."""
        for seed in range(3):
            if seed:
                self.tearDown()
                self.setUp()
            self.rough(seed)

    def test_two_of_one_name(self) -> None:
        """A second crawler of the same name is refused for good while the first lives."""
        self.stepping()
        self.executor.start()
        self.harness.advance(1)
        second = self.crawler("crawler-1")
        refused = second.start()
        self.harness.advance(20)
        self.assertEqual(self.failureResultOf(refused, Refused).value.code, "duplicate_crawler")

    def test_wrong_token(self) -> None:
        """A wrong token is a final refusal."""
        manager = JobManager(self.harness.endpoint(), "csk_wrong", reactor=self.clock, codec=CODEC)
        refused = manager.start()
        self.harness.advance(2)
        self.assertEqual(self.failureResultOf(refused, Refused).value.code, "authentication_failed")

    def test_reads(self) -> None:
        """Crawlers, accounts and the server's status are read."""
        self.stepping()
        self.executor.start()
        self.harness.advance(1)
        (crawler,) = self.do(self.manager.crawlers())
        self.assertEqual(crawler["crawler_id"], "crawler-1")
        self.assertEqual(self.do(self.manager.accounts())[0]["account"], "default")
        self.assertIn("jobs", self.do(self.manager.status()))
        self.submit()
        jobs, _ = self.do(self.manager.list(states=["running"]))
        self.assertEqual(len(jobs), 1)
