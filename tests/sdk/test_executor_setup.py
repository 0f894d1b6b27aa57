"""Claims about how an executor is made, and how it asks for jobs when it is told to wait."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.sdk import CredentialRefused, Job, JobExecutor, JobFailed, JobReleased
from tests.sdk.fake import CODEC, JOB
from tests.sdk.test_executor_jobs import ExecutorCase


class Making(ExecutorCase):
    def test_slots(self) -> None:
        """A number of slots that no crawler can have is refused."""
        for slots in (0, -1, 10_001):
            with self.assertRaises(ValueError):
                JobExecutor(self.server, slots=slots, reactor=self.clock, codec=CODEC)

    def test_functions(self) -> None:
        """A function without a type, and a second one for a type, are refused."""

        async def crawl(job: Job) -> None: ...

        with self.assertRaises(ValueError):
            self.executor.job()
        self.executor.job("crawl")(crawl)
        with self.assertRaises(ValueError):
            self.executor.job("walk", "crawl")(crawl)

    def test_own_names(self) -> None:
        """Crawlers that are given no name have different ones."""
        names = {JobExecutor(self.server, reactor=self.clock, codec=CODEC).crawler_id for _ in range(9)}
        self.assertEqual(len(names), 9)

    def test_labels(self) -> None:
        """Labels are told; a crawler without functions asks for no jobs, and without a token tells none."""
        executor = JobExecutor(self.server, labels=["gpu"], reactor=self.clock, codec=CODEC)
        executor.start()
        self.server.turn()
        self.assertEqual(self.server.hellos[0].data["labels"], ["gpu"])
        self.assertNotIn("token", self.server.hellos[0].data)
        self.assertNotIn("job_request", self.server.types())


class Asking(ExecutorCase):
    def setUp(self) -> None:
        super().setUp()

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            await Deferred()

    def test_refused(self) -> None:
        """A wish for jobs that is refused for now is made again after the time named, and not before."""
        self.server.rules["job_request"] = lambda m: self.server.refuse(m, "unavailable", retry_after=3)
        self.executor.start()
        self.server.pass_time(2.9)
        self.assertEqual(len(self.server.of("job_request")), 1)
        del self.server.rules["job_request"]
        self.server.pass_time(0.2)
        self.assertEqual([m.data for m in self.server.of("job_request")], [{"slots": 4}] * 2)

    def test_crossing_a_withdrawal(self) -> None:
        """Jobs that come in answer to a withdrawal are worked on."""
        self.begin()
        job = {"job_id": JOB.format(9), "lease": "l9", "type": "crawl", "attempt": 1, "account": "team"}
        job.update(priority=0, root_id=JOB.format(9))
        self.server.rules["job_request"] = lambda m: self.server.say("job_response", {"jobs": [job]}, re=m.id)
        self.server.push("crawler_pause")
        self.server.turn()
        self.assertEqual([m.lease for m in self.server.of("job_started")], ["l9"])

    def test_more_than_asked(self) -> None:
        """Jobs beyond the slots are worked on, and no more are asked for until there is a free slot."""
        self.begin()
        for number in range(6):
            self.server.assign(number)
        self.server.turn()
        self.assertEqual(len(self.server.of("job_started")), 6)
        self.assertEqual(self.server.of("job_request"), [])


class OwnWords(ExecutorCase):
    def end_with(self, error: Exception, **fields: Any) -> Any:
        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            raise error

        self.begin()
        self.server.assign(1, **fields)
        self.server.turn()
        return self.server.heard[1]

    def test_released(self) -> None:
        """A job may hand itself back, with its reason."""
        message = self.end_with(JobReleased("the disk is full"))
        self.assertEqual((message.type, message.data), ("job_released", {"reason": "the disk is full"}))

    def test_without_a_credential(self) -> None:
        """A job whose account has no credential at all fails for good."""
        message = self.end_with(CredentialRefused("team", "none stored", missing=True))
        self.assertEqual(message.data["error_type"], "credential_missing")
        self.assertFalse(message.data["recoverable"])

    def test_context(self) -> None:
        """The context of a failure is bounded, masked, and shown as text where it is no JSON."""
        credential = {"access_token": "s3cr3t-of-the-account", "kind": "personal", "generation": 1}
        context = {"where": ValueError("s3cr3t-of-the-account"), "long": "x" * 100_000}
        message = self.end_with(JobFailed("x", "y", context=context), credential=credential)
        self.assertNotIn("s3cr3t", str(message.data))
        self.assertLess(len(str(message.data)), 40_000)

    def test_odd_words(self) -> None:
        """An error type that the wire does not take is made into one that it does; endless texts are cut."""
        message = self.end_with(JobFailed("404: not found!", "m" * 10_000))
        self.assertEqual(message.data["error_type"], "not_found_")
        self.assertEqual(len(message.data["message"]), 4096)

    def test_endless_traceback(self) -> None:
        """Of an endless traceback the end is kept."""

        def fall(depth: int) -> None:
            if depth == 0:
                raise RuntimeError("the very end")
            fall(depth - 1)

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            try:
                fall(300)
            except RuntimeError as error:
                raise ValueError("z" * 40_000) from error

        self.begin()
        self.server.assign(1)
        self.server.turn()
        stack = self.server.heard[1].data["stack"]
        self.assertLessEqual(len(stack), 32_768)
