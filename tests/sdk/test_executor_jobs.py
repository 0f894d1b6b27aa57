"""Claims about how an executor takes jobs on and tells of their end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.sdk import Job, JobExecutor, JobFailed, JobResult, OutputFile, RequestDetails
from tests.sdk.fake import CODEC, JOB, FakeServer, assignment


class ExecutorCase(TestCase):
    """An executor and a scripted server on one clock."""

    slots = 4

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeServer(self.clock)
        self.executor = JobExecutor(self.server, "csk_secret", "crawler-1", self.slots, reactor=self.clock, codec=CODEC)

    def begin(self) -> None:
        self.executor.start()
        self.server.turn()
        self.server.heard.clear()


class TakingJobs(ExecutorCase):
    def test_introduces_itself(self) -> None:
        """An executor says in hello what it can do, and asks for as many jobs as it has slots."""

        @self.executor.job("crawl", "walk")
        async def crawl(job: Job) -> None: ...

        self.executor.start()
        self.server.turn()
        hello = self.server.hellos[0].data
        self.assertEqual(hello["role"], "crawler")
        self.assertEqual(hello["crawler_id"], "crawler-1")
        self.assertEqual(hello["token"], "csk_secret")
        self.assertEqual(hello["job_types"], ["crawl", "walk"])
        self.assertEqual([m.data for m in self.server.of("job_request")], [{"slots": 4}])

    def test_trivial_job(self) -> None:
        """A job that never waits is started and completed in one write, and its slot asked for again with it."""

        @self.executor.job("crawl")
        async def crawl(job: Job) -> JobResult:
            return JobResult([OutputFile("a/b.jsonl", 3, 120)], {"pages": 1})

        self.begin()
        before = self.server.link.writes
        job_id, lease = self.server.assign(1)
        self.server.turn()
        self.assertEqual(self.server.types(), ["job_started", "job_completed", "job_request"])
        self.assertEqual(self.server.link.writes - before, 1)
        started, completed, request = self.server.heard
        self.assertEqual((started.job_id, started.lease), (job_id, lease))
        self.assertEqual(
            completed.data,
            {"files": [{"path": "a/b.jsonl", "items": 3, "bytes": 120}], "summary": {"pages": 1}},
        )
        self.assertEqual(request.data, {"slots": 1})
        self.assertEqual(self.executor.in_hand.leases, [])

    def test_many_jobs_one_request(self) -> None:
        """However many jobs end in one turn, one job_request asks for all their slots."""

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None: ...

        jobs = [{"job_id": JOB.format(n), "lease": f"l{n}", **assignment()} for n in range(4)]
        first = True

        def answer(message: Any) -> None:
            nonlocal first
            self.server.say("job_response", {"jobs": jobs if first else []}, re=message.id)
            first = False

        self.server.rules["job_request"] = answer
        self.executor.start()
        self.server.turn()
        self.assertEqual([m.data["slots"] for m in self.server.of("job_request")], [4, 4])
        self.assertEqual(len(self.server.of("job_completed")), 4)

    def test_same_assignment_twice(self) -> None:
        """An assignment that arrives twice is worked on once."""
        begun: list[str] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            begun.append(job.id)
            await Deferred()

        self.begin()
        self.server.assign(1)
        self.server.assign(1)
        self.server.turn()
        self.assertEqual(begun, [JOB.format(1)])

    def test_new_lease_waits_for_the_old_run(self) -> None:
        """A job that comes back under a new lease begins after its old run has ended, which says nothing more."""
        log: list[str] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            log.append(f"begin {job.lease}")
            try:
                await Deferred()
            finally:
                log.append(f"end {job.lease}")

        self.begin()
        self.server.assign(1, "old")
        self.server.turn()
        self.server.assign(1, "new", attempt=2)
        self.server.turn()
        self.assertEqual(log, ["begin old", "end old", "begin new"])
        self.assertEqual([m.lease for m in self.server.of("job_started")], ["old", "new"])
        self.assertEqual(self.server.of("job_failed"), [])
        self.assertEqual(self.executor.in_hand.active, 1)

    def test_facts(self) -> None:
        """A job knows what its assignment says."""
        seen: list[Job] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            seen.append(job)
            await Deferred()

        self.begin()
        self.server.assign(
            2,
            host="https://gitlab.example.org",
            entity_id="42",
            namespace_path="a/b",
            name="B",
            priority=7,
            payload={"depth": 2},
            resume_state={"page": 3, "_progress": {"issue": {"processed": 10}}},
            parent_id=JOB.format(1),
            attempt=2,
            credential={"access_token": "t0ken", "kind": "oauth", "generation": 1},
        )
        self.server.turn()
        job = seen[0]
        self.assertEqual(job.host, "https://gitlab.example.org")
        self.assertEqual((job.entity_id, job.namespace_path, job.name), ("42", "a/b", "B"))
        self.assertEqual((job.priority, job.payload, job.attempt), (7, {"depth": 2}, 2))
        self.assertEqual(job.resume_state, {"page": 3})
        self.assertEqual((job.root_id, job.parent_id), (JOB.format(1), JOB.format(1)))
        assert job.credential is not None
        self.assertEqual(job.credential.access_token, "t0ken")
        self.assertNotIn("t0ken", repr(job.credential))


class Endings(ExecutorCase):
    def end_with(self, problem: Any, **fields: Any) -> Any:
        """Run one job that does `problem()`, and return what the server heard about its end."""

        @self.executor.job("crawl")
        async def crawl(job: Job) -> Any:
            return problem()

        self.begin()
        self.server.assign(1, **fields)
        self.server.turn()
        return self.server.heard[1]

    def test_job_failed(self) -> None:
        """JobFailed is reported in the job's own words, with secrets masked."""

        def problem() -> None:
            raise JobFailed(
                "gitlab_error",
                "sent Authorization: Bearer abcdef123456 in vain",
                recoverable=False,
                retry_after=12.5,
                request=RequestDetails("GET", "https://x.example/api?private_token=hunter22&page=2", 500),
                context={"page": 2},
            )

        message = self.end_with(problem)
        self.assertEqual(message.type, "job_failed")
        self.assertEqual(message.data["error_type"], "gitlab_error")
        self.assertNotIn("abcdef123456", message.data["message"])
        self.assertIn("in vain", message.data["message"])
        self.assertFalse(message.data["recoverable"])
        self.assertEqual(message.data["retry_after"], 12.5)
        self.assertEqual(message.data["context"], {"page": 2})
        self.assertEqual(message.data["request"]["url"], "https://x.example/api?private_token=[hidden]&page=2")

    def test_exception(self) -> None:
        """Any other exception is a recoverable failure with a traceback that holds no secret of the account."""

        def problem() -> None:
            raise KeyError("s3cr3t-token-of-the-account")

        credential = {"access_token": "s3cr3t-token-of-the-account", "kind": "personal", "generation": 1}
        message = self.end_with(problem, credential=credential)
        self.assertEqual(message.data["error_type"], "KeyError")
        self.assertTrue(message.data["recoverable"])
        self.assertIn("Traceback", message.data["stack"])
        self.assertNotIn("s3cr3t", str(message.data))

    def test_system_exit(self) -> None:
        """A job that calls sys.exit() fails alone."""

        def problem() -> None:
            raise SystemExit(3)

        self.assertEqual(self.end_with(problem).data["error_type"], "SystemExit")
        self.assertTrue(self.executor.connection.connected)

    def test_bad_result(self) -> None:
        """A job that returns something else than a JobResult has failed."""
        message = self.end_with(lambda: 17)
        self.assertEqual((message.type, message.data["error_type"]), ("job_failed", "bad_result"))

    def test_unknown_type(self) -> None:
        """A job of a type that the crawler does not know fails for good, and the next one runs."""
        done: list[str] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            done.append(job.id)

        self.begin()
        self.server.assign(1, type="fly")
        self.server.assign(2)
        self.server.turn()
        self.assertEqual(self.server.heard[0].data["error_type"], "unknown_job_type")
        self.assertFalse(self.server.heard[0].data["recoverable"])
        self.assertEqual(done, [JOB.format(2)])

    def test_no_coroutine(self) -> None:
        """A function that is no coroutine function fails its job and nothing else."""

        @self.executor.job("crawl")
        def crawl(job: Job) -> Any:
            return None

        self.begin()
        self.server.assign(1)
        self.server.turn()
        self.assertEqual(self.server.heard[1].type, "job_failed")

    def test_waits_for_what_is_no_deferred(self) -> None:
        """A job that awaits something foreign meets a TypeError where it awaited."""

        class Foreign:
            def __await__(self) -> Any:
                yield "something of another framework"

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            await Foreign()

        self.begin()
        self.server.assign(1)
        self.server.turn()
        self.assertEqual(self.server.heard[1].data["error_type"], "TypeError")

    def test_refused_completion(self) -> None:
        """A completion that the server refuses becomes a failure that says so; a refused failure, a release."""
        for type in ("job_completed", "job_failed"):
            self.server.rules[type] = lambda message: self.server.refuse(message, "invalid_message")
        self.end_with(lambda: None)
        self.assertEqual(
            self.server.types(),
            ["job_started", "job_completed", "job_request", "job_failed", "job_released"],
        )
        self.assertEqual(self.server.heard[3].data["error_type"], "report_refused")
        self.assertEqual(self.executor.in_hand.leases, [])

    def test_unencodable_summary(self) -> None:
        """A summary that is no JSON fails the job, and the link stays."""
        self.end_with(lambda: JobResult(summary={"x": object()}))
        self.assertIn("job_failed", self.server.types())
        self.assertEqual(len(self.server.hellos), 1)

    def test_neighbours(self) -> None:
        """A job that fails does not touch the one beside it."""
        wait: Deferred[None] = Deferred()

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            if job.payload.get("bad"):
                raise RuntimeError("oh")
            await wait

        self.begin()
        self.server.assign(1)
        self.server.assign(2, payload={"bad": True})
        self.server.turn()
        wait.callback(None)
        self.server.turn()
        self.assertEqual([m.job_id for m in self.server.of("job_completed")], [JOB.format(1)])
