"""Whole crawls of a sample GitLab that runs in memory."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Faults, Kind, Options, Refusal
from crawlsock.demo.gitlab.application import Application
from crawlsock.gitlab import GitLabCrawler
from crawlsock.gitlab.plan import AREAS
from crawlsock.gitlab.transport import Answer
from crawlsock.sdk import Credential, JobCancelled, JobFailed, JobReleased, JobResult
from tests.gitlab.fakes import ORIGIN, START, FakeServer, SampleTransport, crawl_everything, crawler, drive


class CrawlTests(TestCase):
    """Crawls that end, and what they leave behind."""

    def sample(self, *, projects: int = 4, items: int = 800, hostile: bool = False, **options: Any) -> None:
        """Prepare a sample GitLab, a server and a crawler."""
        self.clock = Clock()
        self.clock.advance(START)
        self.dataset = Dataset.generate(3, projects, items, hostile_names=hostile)
        self.options = Options(**options)
        self.application = Application.new(self.dataset, self.options, START)
        self.transport = SampleTransport(self.application, self.clock, 0.01)
        token = self.application.tokens.personal_tokens[0]
        self.server = FakeServer(self.clock, credential=Credential(token, "personal", 1))
        self.output = self.mktemp()
        self.made: GitLabCrawler = crawler(self.transport, self.output, self.clock, per_page=20, save_interval=0.2)
        self.addCleanup(self.made.root.close)

    def everything(self) -> list[JobResult]:
        """Crawl everything and check counts and files against the sample's own count."""
        results = crawl_everything(self.server, self.made, self.clock)
        expected = {name: n for name, n in self.dataset.counts(refused=self.options.faults.refused).items() if n}
        reported: Counter[str] = Counter()
        for job_id in self.server.assigned:
            reported.update(self.server.counts(job_id))
        self.assertEqual(dict(reported), expected)
        paths = [file.path for result in results for file in result.files]
        self.assertEqual(len(set(paths)), len(paths))
        written = 0
        for result in results:
            for file in result.files:
                with open(os.path.join(self.output, file.path), "rb") as stream:
                    lines = stream.read().splitlines()
                self.assertEqual(len(lines), file.items)
                self.assertEqual(len({bytes(line) for line in lines}), len(lines))
                written += len([orjson.loads(line) for line in lines])
        self.assertEqual(written, sum(expected.values()))
        return results

    def test_counts(self) -> None:
        """A crawl of everything writes exactly what the sample counts, within the window of requests."""
        self.sample()
        results = self.everything()
        self.assertEqual([result.summary for result in results if result.summary], [])
        self.assertLessEqual(self.transport.most, 16)
        self.assertGreater(self.transport.most, 8)

    def test_faults(self) -> None:
        """Injected 429, 500 and 502 cost time and nothing else: no job fails, no item is lost or doubled."""
        self.sample(faults=Faults(too_many_requests=0.05, server_error=0.1, bad_gateway=0.05))
        self.everything()

    def test_rate_limit(self) -> None:
        """A crawl slows down before the limit instead of running into it."""
        self.sample(rate_limit=50, rate_period=10)
        refused: list[int] = []

        def note(_: str, answer: Answer) -> Answer:
            if answer.status == 429:
                refused.append(answer.status)
            return answer

        self.transport.change = note
        self.everything()
        self.assertLess(len(refused), len(self.transport.requests) / 20)

    def test_expiring_tokens(self) -> None:
        """Tokens that expire on the way are renewed once each, and the same pages asked for again."""
        self.sample(token_requests=60)
        book = self.application.tokens
        refresh_tokens = [book.pairs[0].refresh_token]
        self.server.credential = Credential(book.pairs[0].access_token, "oauth", 1)

        def renew(stale: Credential) -> Credential:
            form = {"grant_type": "refresh_token", "refresh_token": refresh_tokens[-1]}
            pair = book.refresh(form, self.clock.seconds())
            refresh_tokens.append(str(pair["refresh_token"]))
            return Credential(str(pair["access_token"]), "oauth", stale.generation + 1)

        self.server.renew = renew
        self.everything()
        self.assertGreater(len(refresh_tokens), 3)
        self.assertEqual(self.server.refreshes, list(range(1, len(refresh_tokens))))

    def test_refused_resources(self) -> None:
        """A list that answers 403 or 404 is recorded in the summary, has no file, and the rest goes on."""
        refused = (
            Refusal(Kind.ISSUES, 1),
            Refusal(Kind.PIPELINES, 2, 404),
            Refusal(Kind.MERGE_REQUEST_NOTES, 3),
        )
        self.sample(faults=Faults(refused=refused))
        results = self.everything()
        by_project = {
            file.path.split("~")[1].split("/")[0]: result
            for result in results
            for file in result.files
            if file.path.endswith("project.jsonl")
        }
        self.assertEqual(
            {name: entry["status"] for name, entry in by_project["1"].summary["skipped"].items()},
            {"issues": 403, "issue_notes": 403},
        )
        self.assertEqual(by_project["2"].summary["skipped"]["pipelines"]["status"], 404)
        self.assertIn("merge_request_notes", by_project["3"].summary["missing"])
        self.assertFalse([file for file in by_project["1"].files if "issue" in file.path])

    def test_hostile_names(self) -> None:
        """Names with markup, control and other strange characters become plain paths below the root."""
        self.sample(hostile=True)
        for result in self.everything():
            for file in result.files:
                self.assertTrue(file.path.isascii() and file.path.isprintable() and ".." not in file.path)

    def test_hostile_path(self) -> None:
        """A path that GitLab would never make cannot lead out of the root."""
        self.sample()

        def evil(_: str, answer: Answer) -> Answer:
            body = answer.body.replace(b'"path_with_namespace":"', b'"path_with_namespace":"../../../etc/\\u0000/')
            return Answer(answer.status, answer.headers, body)

        self.transport.change = evil
        job = self.server.job("crawl_project", "1")
        result = drive(self.clock, self.made.handle(job))
        for file in result.files:
            self.assertTrue(file.path.startswith("default/127.0.0.1%3a8080/projects/%2e./%2e./%2e./etc/%ef%bf%bd/"))
            self.assertTrue(os.path.isfile(os.path.join(self.output, file.path)))

    def test_by_path(self) -> None:
        """A job that names only a path is crawled under the id that GitLab gives it."""
        self.sample()
        drive(self.clock, self.made.handle(self.server.job("discover_namespaces")))
        path = self.server.areas["project", "1"]["path"]
        job = self.server.job("crawl_project", namespace_path=path)
        result = drive(self.clock, self.made.handle(job))
        self.assertTrue(all("~1/" in file.path for file in result.files))

    def test_discovery(self) -> None:
        """Discovery makes one job and one area of every group, project and user, with path and name."""
        self.sample()
        job = self.server.job("discover_namespaces")
        drive(self.clock, self.made.handle(job))
        counts = Counter(type for type, _ in self.server.found)
        self.assertEqual(
            counts,
            Counter(
                crawl_group=len(self.dataset.groups),
                crawl_project=len(self.dataset.projects),
                crawl_user=len(self.dataset.users),
            ),
        )
        self.assertEqual({kind for kind, _ in self.server.areas}, {"group", "project", "user"})
        child = self.server.found["crawl_project", "1"]
        self.assertEqual((child["host"], child["namespace_path"].count("/") >= 1), (ORIGIN, True))
        entities = self.server.assigned[job.id].entities
        self.assertEqual(entities["projects"]["discovered"], len(self.dataset.projects))
        self.assertEqual(entities["projects"]["total"], 0)

    def test_group_discovers(self) -> None:
        """A group finds its subgroups and its own projects, a user his own; what is known already is no news."""
        self.sample(projects=12)
        for group in self.dataset.groups:
            drive(self.clock, self.made.handle(self.server.job("crawl_group", str(group))))
        for user in self.dataset.users:
            drive(self.clock, self.made.handle(self.server.job("crawl_user", str(user))))
        projects = {entity for type, entity in self.server.found if type == "crawl_project"}
        self.assertEqual(projects, {str(project) for project in self.dataset.projects})
        subgroups = {int(entity) for type, entity in self.server.found if type == "crawl_group"}
        self.assertEqual(subgroups, set(self.dataset.groups) - set(self.dataset.top_level_groups))

    def test_missing_area(self) -> None:
        """An area that GitLab does not show fails its job for good, with the request."""
        self.sample()
        for type in AREAS:
            job = self.server.job(type, "99999")
            failed = self.assertRaises(JobFailed, drive, self.clock, self.made.handle(job))
            self.assertEqual((failed.error_type, failed.recoverable), ("not_found", False))
            assert failed.request is not None
            self.assertEqual(failed.request.status, 404)

    def test_host_not_allowed(self) -> None:
        """A job for a host that is not on the list fails for good, and nothing is asked."""
        self.sample()
        job = self.server.job("crawl_project", "1")
        job._fields["host"] = "https://evil.test"
        failed = self.assertRaises(JobFailed, drive, self.clock, self.made.handle(job))
        self.assertEqual((failed.error_type, failed.recoverable), ("host_not_allowed", False))
        self.assertEqual(self.transport.requests, [])

    def test_everything_refused(self) -> None:
        """Discovery that may list nothing at all fails for good."""
        self.sample()
        self.transport.change = lambda _, answer: Answer(403, {}, b"{}")
        job = self.server.job("discover_namespaces")
        failed = self.assertRaises(JobFailed, drive, self.clock, self.made.handle(job))
        self.assertEqual((failed.error_type, failed.recoverable), ("forbidden", False))

    def test_stopped(self) -> None:
        """A job that is cancelled or handed back stops at once, even in a long wait, and publishes nothing."""
        for reason in (JobCancelled("enough"), JobReleased("drain")):
            self.sample()
            busy = Answer(429, {"retry-after": "600"}, b"")
            self.transport.change = lambda url, answer: busy if "issues" in url else answer  # noqa: B023
            job = self.server.job("crawl_project", "1")
            running = Deferred.fromCoroutine(self.made.handle(job))
            self.clock.pump([0.01] * 100)
            self.assertNoResult(running)
            job.order_stop(reason)
            self.failureResultOf(running, type(reason))
            # What is left belongs to the reporter's own pace.
            job.finish()
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual(os.listdir(self.output), [".parts"])

    def test_handed_back(self) -> None:
        """A job that is handed back says exactly how far it was, so that nothing is fetched twice."""
        self.sample()
        job = self.server.job("crawl_project", "1")
        running = Deferred.fromCoroutine(self.made.handle(job))
        self.clock.pump([0.01] * 3)
        job.order_stop(JobReleased("drain"))
        self.failureResultOf(running, JobReleased)
        asked = [url for url in self.transport.requests if "/members" in url]
        self.server.assigned[job.id].resume_state = job.report.state()["resume_state"]
        drive(self.clock, self.made.handle(self.server.again(job.id)))
        self.assertEqual([url for url in self.transport.requests if "/members" in url], asked)
        expected = {name: n for name, n in self.dataset.counts(project=1).items() if n}
        self.assertEqual(self.server.counts(job.id), expected)

    def test_item_without_number(self) -> None:
        """An issue without the number that its notes are found by is written, and just has no notes."""
        self.sample()

        def strip(url: str, answer: Answer) -> Answer:
            if not url.partition("?")[0].endswith("/projects/1/issues"):
                return answer
            items = orjson.loads(answer.body)
            for item in items[:1]:
                del item["iid"]
            return Answer(answer.status, answer.headers, orjson.dumps(items))

        self.transport.change = strip
        job = self.server.job("crawl_project", "1")
        drive(self.clock, self.made.handle(job))
        found, expected = self.server.counts(job.id), self.dataset.counts(project=1)
        self.assertEqual(found["issues"], expected["issues"])
        self.assertLess(found["issue_notes"], expected["issue_notes"])

    def test_crawled_again(self) -> None:
        """A later crawl replaces the files of an earlier one."""
        self.sample()
        first = drive(self.clock, self.made.handle(self.server.job("crawl_project", "1")))
        second = drive(self.clock, self.made.handle(self.server.job("crawl_project", "1")))
        self.assertEqual(list(first.files), list(second.files))

    def test_moved(self) -> None:
        """A project that moves between two attempts keeps the folder that its job began with."""
        self.sample()
        self.made = crawler(self.transport, self.output, self.clock, per_page=5, save_interval=0.03)
        self.addCleanup(self.made.root.close)
        job = self.server.job("crawl_project", "1")
        running = Deferred.fromCoroutine(self.made.handle(job))
        while (state := self.server.assigned[job.id].resume_state) is None:
            self.clock.advance(0.01)
        before = state["path"]
        job.order_stop(JobReleased("drain"))
        self.failureResultOf(running, JobReleased)
        self.transport.change = lambda _, answer: Answer(
            answer.status, answer.headers, answer.body.replace(before.encode(), b"elsewhere/now")
        )
        result = drive(self.clock, self.made.handle(self.server.again(job.id)))
        self.assertTrue(all(f"/{before}~1/" in file.path for file in result.files), result.files)

    def test_shifting_pages(self) -> None:
        """An item that a page shows again, because something was added before it, is written once."""
        self.sample()
        repeated: list[str] = []
        first: list[Any] = []

        def shift(url: str, answer: Answer) -> Answer:
            if "/commits?" in url and "&page=2" in url:
                items = orjson.loads(answer.body)
                if items:
                    repeated.append(url)
                    items.insert(0, first[-1])
                return Answer(answer.status, answer.headers, orjson.dumps(items))
            if "/commits?" in url:
                first.extend(orjson.loads(answer.body))
            return answer

        self.transport.change = shift
        job = self.server.job("crawl_project", "1")
        drive(self.clock, self.made.handle(job))
        self.assertTrue(repeated)
        self.assertEqual(self.server.counts(job.id)["commits"], self.dataset.counts(project=1)["commits"])
