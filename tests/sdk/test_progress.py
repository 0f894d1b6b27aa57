"""Claims about what a job reports, and when it is sent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.sdk import Area, ChildJob, ItemStatus, Job, Refused
from crawlsock.wire.message import Message
from tests.sdk.fake import JOB
from tests.sdk.test_executor_jobs import ExecutorCase


class ProgressCase(ExecutorCase):
    """One job that waits until the test ends it; the test reports in its name."""

    def one(self, **fields: Any) -> Job:
        self.made: list[Job] = []
        self.wait: Deferred[None] = Deferred()

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            self.made.append(job)
            await self.wait

        self.begin()
        self.server.assign(1, **fields)
        self.server.turn()
        return self.made[0]

    def progress(self) -> list[dict[str, Any]]:
        return [message.data for message in self.server.of("job_progress")]


class Reporting(ProgressCase):
    def test_one_turn(self) -> None:
        """What is reported in one turn leaves in one message."""
        report = self.one().report
        report.stage("discovering")
        report.total("project", 7)
        for _ in range(3):
            report.count("project", discovered=2, processed=1)
        report.count("project", failed=1)
        report.page("project", 2, "members")
        report.message("half way")
        self.server.turn()
        self.assertEqual(
            self.progress(),
            [
                {
                    "seq": 1,
                    "stage": "discovering",
                    "message": "half way",
                    "entities": {
                        "project": {
                            "discovered": 6,
                            "processed": 3,
                            "failed": 1,
                            "total": 7,
                            "page": 2,
                            "collection": "members",
                        }
                    },
                }
            ],
        )

    def test_throttled(self) -> None:
        """However often a job reports, one message an interval is sent, with the newest numbers, in rising order."""
        report = self.one().report
        for _ in range(100):
            report.count("issue", processed=1)
            self.server.pass_time(0.1)
        numbers = [data["entities"]["issue"]["processed"] for data in self.progress()]
        self.assertEqual([data["seq"] for data in self.progress()], list(range(1, len(numbers) + 1)))
        self.assertTrue(9 <= len(numbers) <= 11, numbers)
        self.assertEqual(numbers, sorted(numbers))

    def test_trailing(self) -> None:
        """The last report of a burst is sent when its time has come, without another report."""
        report = self.one().report
        report.count("issue", processed=1)
        self.server.turn()
        report.count("issue", processed=1)
        self.server.turn()
        self.assertEqual(len(self.progress()), 1)
        self.server.pass_time(1.1)
        self.assertEqual(self.progress()[-1]["entities"]["issue"]["processed"], 2)

    def test_one_on_its_way(self) -> None:
        """While the server has not answered, reports are folded and not queued."""
        report = self.one().report
        self.server.silent.add("job_progress")
        for _ in range(50):
            report.count("issue", processed=1)
            self.server.pass_time(0.2)
        self.assertEqual(len(self.progress()), 1)
        self.server.silent.clear()
        self.server.say("ack", re=self.server.of("job_progress")[0].id)
        self.server.pass_time(1)
        self.assertEqual([d["entities"]["issue"]["processed"] for d in self.progress()], [1, 50])

    def test_last_value(self) -> None:
        """What is unsaid when the job ends is said before its end, and the end carries the counts."""
        report = self.one().report
        report.count("issue", processed=1)
        self.server.turn()
        report.count("issue", processed=4)
        self.wait.callback(None)
        self.server.turn()
        progress, completed = self.server.heard[-3:-1]
        self.assertEqual((progress.type, completed.type), ("job_progress", "job_completed"))
        self.assertEqual(progress.data["entities"], {"issue": {"processed": 5}})
        self.assertEqual(completed.data["entities"], {"issue": {"processed": 5}})
        self.assertEqual(self.executor.in_hand.items, 5)
        self.server.pass_time(3)
        self.assertEqual(len(self.progress()), 2)

    def test_nothing_to_say(self) -> None:
        """A job that reports nothing sends no progress."""
        self.one()
        self.wait.callback(None)
        self.server.turn()
        self.assertEqual(self.progress(), [])

    def test_falling_counters(self) -> None:
        """Counters that would fall are refused where they are counted."""
        with self.assertRaises(ValueError):
            self.one().report.count("issue", processed=-1)

    def test_after_the_end(self) -> None:
        """A report that comes after the end of its job is not sent."""
        report = self.one().report
        self.wait.callback(None)
        self.server.turn()
        report.count("issue", processed=1)
        self.server.pass_time(2)
        self.assertEqual(self.progress(), [])


class Saving(ProgressCase):
    def test_with_counts(self) -> None:
        """A saved state goes out once, with the counters of the moment when it was saved."""
        report = self.one().report
        report.count("issue", processed=20)
        report.save({"page": 1})
        report.count("issue", processed=5)
        self.server.turn()
        report.count("issue", processed=1)
        self.server.pass_time(2)
        first, second = self.progress()
        self.assertEqual(first["resume_state"], {"page": 1, "_progress": {"issue": {"processed": 20}}})
        self.assertEqual(first["entities"], {"issue": {"processed": 25}})
        self.assertNotIn("resume_state", second)

    def test_resumed(self) -> None:
        """A resumed job counts on from the counters of the state, which it does not see itself."""
        job = self.one(attempt=2, resume_state={"page": 1, "_progress": {"issue": {"processed": 20}}})
        self.assertEqual(job.resume_state, {"page": 1})
        job.report.count("issue", processed=1)
        self.server.turn()
        self.assertEqual(self.progress()[0]["entities"], {"issue": {"processed": 21}})
        self.assertEqual(job.report.fresh(), 1)

    def test_resumed_without_a_word(self) -> None:
        """A resumed job that reports nothing ends with the counters it began with."""
        self.one(attempt=2, resume_state={"_progress": {"issue": {"processed": 20}}})
        self.wait.callback(None)
        self.server.turn()
        self.assertEqual(self.server.of("job_completed")[0].data, {"entities": {"issue": {"processed": 20}}})

    def test_in_a_failure(self) -> None:
        """A failure carries the last saved state."""
        report = self.one().report
        report.save({"page": 9})
        self.wait.errback(RuntimeError("oh"))
        self.server.turn()
        self.assertEqual(self.server.of("job_failed")[0].data["resume_state"], {"page": 9})

    def test_refused_states(self) -> None:
        """A state that the server would refuse is refused where it is saved."""
        report = self.one().report
        deep: dict[str, Any] = {}
        for _ in range(12):
            deep = {"x": deep}
        bad: list[dict[str, Any]] = [
            {"_progress": {}},
            {"x": "y" * 70_000},
            {"x": object()},
            {"x": "a\0b"},
            {"x": 2**64},
            deep,
        ]
        for state in bad:
            with self.assertRaises(ValueError):
                report.save(state)
        kept: dict[str, Any] = {"n": 2**63 - 1, "list": [{"deep": {"enough": True}}]}
        report.save(kept)
        kept["n"] = 0
        self.server.turn()
        self.assertEqual(self.progress()[0]["resume_state"]["n"], 2**63 - 1)

    def test_flush(self) -> None:
        """flush() sends at once, whatever the interval, and returns when the server has answered."""
        report = self.one().report
        report.count("issue", processed=1)
        self.server.turn()
        report.save({"page": 2})
        self.server.silent.add("job_progress")
        flushed = Deferred.fromCoroutine(report.flush())
        self.server.turn()
        self.assertEqual(len(self.progress()), 2)
        self.assertNoResult(flushed)
        self.server.say("ack", re=self.server.of("job_progress")[-1].id)
        self.server.turn()
        self.successResultOf(flushed)

    def test_flush_behind_another(self) -> None:
        """flush() waits for what is on its way and for what was reported since."""
        report = self.one().report
        self.server.silent.add("job_progress")
        report.count("issue", processed=1)
        self.server.turn()
        report.count("issue", processed=1)
        flushed = Deferred.fromCoroutine(report.flush())
        self.server.silent.clear()
        self.server.say("ack", re=self.server.of("job_progress")[-1].id)
        self.server.turn()
        self.successResultOf(flushed)
        self.assertEqual(self.progress()[-1]["entities"], {"issue": {"processed": 2}})

    def test_flush_over_a_lost_link(self) -> None:
        """flush() holds across a lost link."""
        report = self.one().report
        report.save({"page": 2})
        self.server.silent.add("job_progress")
        flushed = Deferred.fromCoroutine(report.flush())
        self.server.turn()
        self.server.drop()
        self.server.silent.clear()
        self.server.turn()
        self.successResultOf(flushed)
        self.assertEqual([data["seq"] for data in self.progress()], [1, 1])

    def test_flush_with_nothing_to_say(self) -> None:
        """flush() returns at once when everything is durable."""
        report = self.one().report
        self.successResultOf(Deferred.fromCoroutine(report.flush()))

    def test_flush_of_a_refused_report(self) -> None:
        """flush() raises what the report was refused with, and the job goes on."""
        report = self.one().report
        self.server.rules["job_progress"] = lambda m: self.server.refuse(m, "invalid_message")
        report.count("issue", processed=1)
        flushed = Deferred.fromCoroutine(report.flush())
        self.server.turn()
        self.failureResultOf(flushed, Refused)
        self.assertEqual(self.executor.in_hand.active, 1)


class Discovering(ProgressCase):
    def test_children(self) -> None:
        """Children are told with ids made here, and each gets its status."""
        job = self.one()

        def answer(message: Message) -> None:
            items: list[dict[str, Any]] = [
                {"status": "created", "job_id": item["job_id"]} for item in message.data["jobs"]
            ]
            items[-1] = {"status": "invalid", "error": {"code": "invalid_message", "message": "no"}}
            self.server.say("jobs_discovered_response", {"items": items}, re=message.id)

        self.server.rules["jobs_discovered"] = answer
        children = [ChildJob("crawl_project", str(n), name=f"p{n}", labels=("eu",)) for n in range(3)]
        told = Deferred.fromCoroutine(job.discovered(children))
        self.server.turn()
        statuses = self.successResultOf(told)
        self.assertEqual(statuses[0], ItemStatus("created", children[0].job_id))
        self.assertEqual((statuses[2].status, statuses[2].code), ("invalid", "invalid_message"))
        sent = self.server.of("jobs_discovered")[0]
        self.assertEqual((sent.job_id, sent.lease), (JOB.format(1), "lease-1"))
        self.assertEqual(
            sent.data["jobs"][1],
            {
                "type": "crawl_project",
                "entity_id": "1",
                "name": "p1",
                "labels": ["eu"],
                "job_id": children[1].job_id,
            },
        )

    def test_many_children(self) -> None:
        """Children beyond a thousand go in several messages."""
        job = self.one()
        self.server.rules["jobs_discovered"] = lambda message: self.server.say(
            "jobs_discovered_response",
            {"items": [{"status": "created", "job_id": i["job_id"]} for i in message.data["jobs"]]},
            re=message.id,
        )
        told = Deferred.fromCoroutine(job.discovered(ChildJob("x", str(n)) for n in range(2500)))
        self.server.turn()
        self.assertEqual(len(self.successResultOf(told)), 2500)
        sizes = [len(message.data["jobs"]) for message in self.server.of("jobs_discovered")]
        self.assertEqual(sizes, [1000, 1000, 500])

    def test_no_children(self) -> None:
        """Telling of nothing sends nothing."""
        job = self.one()
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(job.discovered([]))), [])

    def test_areas(self) -> None:
        """Areas are told without asking for jobs."""
        job = self.one()
        told = Deferred.fromCoroutine(job.areas([Area("group", "7", "a/b", parent_path="a")]))
        self.server.turn()
        self.successResultOf(told)
        self.assertEqual(
            self.server.of("discovery")[0].data,
            {"areas": [{"kind": "group", "entity_id": "7", "path": "a/b", "parent_path": "a"}]},
        )
