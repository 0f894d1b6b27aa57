"""Whole crawls through the real server and SDK, all in memory and under one clock."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Options
from crawlsock.demo.gitlab.application import Application
from crawlsock.gitlab import JOB_TYPES
from crawlsock.sdk import JobExecutor, JobManager, NewJob
from crawlsock.testing.harness import WireHarness
from tests.gitlab.fakes import ORIGIN, SampleTransport, crawler


class ThroughServerTests(TestCase):
    """One server, one web application, crawlers that come and go."""

    def setUp(self) -> None:
        self.harness = WireHarness()
        self.addCleanup(self.harness.stop)
        self.clock = self.harness.clock
        self.dataset = Dataset.generate(2, 3, 400)
        self.application = Application.new(self.dataset, Options(anonymous_access=True), self.clock.seconds())
        self.output = self.mktemp()
        self.manager = JobManager(self.harness.endpoint(), self.harness.token("webapp"), reactor=self.clock)
        self.wait(self.manager.start())
        self.addCleanup(lambda: self.wait(self.manager.stop()))

    def wait(self, waiting: Deferred[Any], seconds: float = 600.0) -> Any:
        """Let time pass until this has a result."""
        results: list[Any] = []
        waiting.addBoth(results.append)
        end = self.clock.seconds() + seconds
        while not results and self.clock.seconds() < end:
            self.clock.advance(0.01)
        self.assertTrue(results, "no result in time")
        return results[0]

    def crawler(self, name: str) -> JobExecutor:
        """Start a crawler with two slots."""
        made = crawler(
            SampleTransport(self.application, self.clock, 0.02),
            self.output,
            self.clock,
            per_page=10,
            save_interval=0.2,
        )
        self.addCleanup(made.root.close)
        executor = JobExecutor(
            self.harness.endpoint(),
            self.harness.token("crawler"),
            crawler_id=name,
            slots=2,
            reactor=self.clock,
        )
        executor.job(*JOB_TYPES)(made.handle)
        self.wait(executor.start())
        return executor

    def submit(self) -> str:
        """Submit a crawl of everything."""
        submitted = Deferred.fromCoroutine(self.manager.submit([NewJob("discover_namespaces", host=ORIGIN)]))
        [status] = self.wait(submitted)
        self.assertEqual(status.status, "created")
        return str(status.job_id)

    def assert_whole(self, root: str) -> None:
        """Wait for the whole tree, and check what it says and wrote against the sample's own count."""
        self.wait(Deferred.fromCoroutine(self.manager.wait(root, tree=True)))
        progress = self.wait(Deferred.fromCoroutine(self.manager.progress(root, scope="tree")))
        expected = {name: n for name, n in self.dataset.counts().items() if n}
        found = {name: counts["processed"] for name, counts in progress["entities"].items()}
        self.assertEqual({name: n for name, n in found.items() if n}, expected)
        self.assertEqual(set(progress["jobs"]), {"completed"}, progress["jobs"])
        lines: Counter[bytes] = Counter()
        for folder, _, files in os.walk(self.output):
            for name in files:
                self.assertNotIn(".parts", folder)
                with open(os.path.join(folder, name), "rb") as stream:
                    lines.update(f"{folder}/{name}".encode() + line for line in stream)
        self.assertEqual((sum(lines.values()), len(lines)), (sum(expected.values()),) * 2)

    def test_everything(self) -> None:
        """A submitted discovery makes its tree of jobs, and the tree's progress and files are the sample's items."""
        executor = self.crawler("one")
        root = self.submit()
        self.assert_whole(root)
        self.wait(executor.stop())

    def test_drained(self) -> None:
        """A crawler that leaves in the middle hands its jobs back, and another one completes them."""
        first = self.crawler("one")
        root = self.submit()
        self.clock.pump([0.01] * 60)
        self.wait(first.stop())
        second = self.crawler("two")
        self.assert_whole(root)
        self.wait(second.stop())

    def test_server_restarts(self) -> None:
        """A server that dies and comes back costs the crawl nothing: no job is run again, no item is lost."""
        executor = self.crawler("one")
        root = self.submit()
        for _ in range(3):
            self.clock.pump([0.01] * 50)
            self.harness.kill()
            self.clock.pump([0.05] * 10)
            self.harness.restart()
        self.assert_whole(root)
        jobs, _ = self.wait(Deferred.fromCoroutine(self.manager.list()))
        self.assertEqual({job["attempt"] for job in jobs}, {1})
        self.wait(executor.stop())
