"""Whatever ends a crawler, and wherever: in the end each item stands in its file exactly once."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Options
from crawlsock.demo.gitlab.application import Application
from crawlsock.gitlab.disk import Disk
from crawlsock.sdk import Credential, Job, JobFailed, JobReleased, JobResult, LeaseLost
from tests.gitlab.fakes import START, Crash, CrashDisk, FakeServer, QuickDisk, SampleTransport, crawler, drive

PROJECT = "1"


class World:
    """A sample GitLab, a server and an output root, which outlive any crawler."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.clock = Clock()
        self.clock.advance(START)
        self.dataset = Dataset.generate(1, 2, 120)
        self.application = Application.new(self.dataset, Options(), START)
        token = self.application.tokens.personal_tokens[0]
        self.server = FakeServer(self.clock, 0.05, Credential(token, "personal", 1))

    def attempt(self, job: Job, disk: Disk | None = None) -> JobResult:
        """Run one attempt with a crawler of its own, saving often."""
        self.transport = SampleTransport(self.application, self.clock, 0.02)
        made = crawler(self.transport, self.output, self.clock, disk=disk, per_page=5, save_interval=0.03, ahead=3)
        try:
            result: JobResult = drive(self.clock, made.handle(job))
            return result
        finally:
            made.root.close()


class ExactlyOnceTests(TestCase):
    """A project crawled by attempts that die."""

    def world(self) -> World:
        return World(self.mktemp())

    def assert_whole(self, world: World, result: JobResult, job_id: str) -> None:
        """Check files, reported counts and leftovers against the sample's own count."""
        expected = {name: n for name, n in world.dataset.counts(project=int(PROJECT)).items() if n}
        self.assertEqual(world.server.counts(job_id), expected)
        written = 0
        for file in result.files:
            with open(os.path.join(world.output, file.path), "rb") as stream:
                lines = stream.read().splitlines(keepends=True)
            self.assertEqual((len(lines), sum(map(len, lines))), (file.items, file.bytes), file.path)
            self.assertEqual(len(set(lines)), len(lines), file.path)
            written += len(lines)
        self.assertEqual(written, sum(expected.values()))
        self.assertEqual(len(result.files), 14)
        parts = os.path.join(world.output, ".parts")
        self.assertEqual([files for _, _, files in os.walk(parts) if files], [])

    def test_every_step(self) -> None:
        """A crawler that is killed at any step on disk is followed by one that completes its work."""
        step = resumed = 0
        while True:
            world = self.world()
            job = world.server.job("crawl_project", PROJECT)
            disk = CrashDisk(at=step)
            try:
                self.assert_whole(world, world.attempt(job, disk), job.id)
                break
            except Crash:
                disk.after_crash()
            world.server.lose(job)
            resumed += world.server.assigned[job.id].resume_state is not None
            self.assert_whole(world, world.attempt(world.server.again(job.id)), job.id)
            step += 1
        self.assertGreater(step, 100)
        self.assertGreater(resumed, 50)

    def test_power_cut_twice(self) -> None:
        """Crawlers that lose all they had not synced, one after the other, are followed by one that completes."""
        for seed in range(60):
            draw = random.Random(seed)
            world = self.world()
            job = world.server.job("crawl_project", PROJECT)
            for _ in range(3):
                disk = CrashDisk(at=draw.randrange(10, 130), power_cut=True)
                try:
                    world.attempt(job, disk)
                except Crash:
                    disk.after_crash()
                world.server.lose(job)
                job = world.server.again(job.id)
            self.assert_whole(world, world.attempt(job), job.id)

    def test_every_message(self) -> None:
        """A crawler that dies as it sends any message, before or after the server hears it, loses nothing."""
        for moment in ("before", "after"):
            count = 0
            while True:
                world = self.world()
                job = world.server.job("crawl_project", PROJECT)
                told: list[str] = []
                setattr(world.server, moment, _die_at(count, told))
                try:
                    world.attempt(job)
                    break
                except Crash:
                    setattr(world.server, moment, lambda _: None)
                world.server.lose(job)
                self.assert_whole(world, world.attempt(world.server.again(job.id)), job.id)
                count += 1
            self.assertGreater(count, 3)

    def test_handed_back_at_any_moment(self) -> None:
        """A crawler that hands its job back, whenever that is, is followed by one that completes its work."""
        moment = 0
        while True:
            world = self.world()
            job = world.server.job("crawl_project", PROJECT)
            running = Deferred.fromCoroutine(self.leave_after(world, job, moment))
            if (result := self.successResultOf(running)) is not None:
                self.assert_whole(world, result, job.id)
                break
            self.assert_whole(world, world.attempt(world.server.again(job.id)), job.id)
            moment += 1
        self.assertGreater(moment, 15)

    async def leave_after(self, world: World, job: Job, moment: int) -> JobResult | None:
        """Let time pass in small steps, then have the job handed back; return the result if it ended before."""
        transport = SampleTransport(world.application, world.clock, 0.02)
        made = crawler(transport, world.output, world.clock, per_page=5, save_interval=0.03, ahead=3)
        self.addCleanup(made.root.close)
        running = Deferred.fromCoroutine(made.handle(job))
        world.clock.pump([0.005] * moment)
        if running.called:
            return await running
        job.order_stop(JobReleased("drain"))
        self.failureResultOf(running, JobReleased)
        if job.reported:
            # What the last word of a job that is handed back says, its counts included.
            known = world.server.assigned[job.id]
            known.entities = job.report.closing().get("entities", known.entities)
            known.resume_state = job.report.state().get("resume_state", known.resume_state)
        return None

    def test_done_but_not_heard(self) -> None:
        """A crawler that dies after its files appeared and before it said so is followed by one that asks for
        nothing.
        """
        world = self.world()
        job = world.server.job("crawl_project", PROJECT)
        first = world.attempt(job)
        world.server.lose(job)
        second = world.attempt(world.server.again(job.id))
        self.assert_whole(world, second, job.id)
        self.assertEqual(list(first.files), list(second.files))
        self.assertEqual(world.transport.requests, [])

    def test_output_lost(self) -> None:
        """When the parts are gone, the next attempt starts over, and reports nothing twice."""
        world = self.world()
        job = world.server.job("crawl_project", PROJECT)
        with self.assertRaises(Crash):
            world.attempt(job, CrashDisk(at=90))
        self.assertIsNotNone(world.server.assigned[job.id].resume_state)
        os.rename(world.output, world.output + ".lost")
        world.server.lose(job)
        self.assert_whole(world, world.attempt(world.server.again(job.id)), job.id)

    def test_one_part_lost(self) -> None:
        """When the part of a list is gone, that list and the one below it start over; the others go on."""
        world = self.world()
        job = world.server.job("crawl_project", PROJECT)
        with self.assertRaises(Crash):
            world.attempt(job, CrashDisk(at=90))
        state = world.server.assigned[job.id].resume_state
        assert state is not None
        self.assertTrue(state["streams"]["issues"]["items"])
        for folder, _, files in os.walk(os.path.join(world.output, ".parts")):
            if "issues.jsonl" in files:
                os.unlink(os.path.join(folder, "issues.jsonl"))
        world.server.lose(job)
        self.assert_whole(world, world.attempt(world.server.again(job.id)), job.id)

    def test_nonsense_state(self) -> None:
        """A resume state that makes no sense is not used."""
        for state in (
            {"plan": 1},
            {"plan": 1, "per_page": 5, "attempt": "../../x", "entity": "1", "path": "x", "streams": {}},
            {
                "plan": 1,
                "per_page": 5,
                "attempt": "a",
                "entity": "1",
                "path": "x",
                "streams": {"issues": {"size": -1}},
            },
            {"plan": 1, "per_page": 5, "attempt": 3, "entity": "1", "path": "x", "streams": {}},
            {"plan": 1, "per_page": 5, "attempt": "a", "entity": "1", "path": "x", "streams": []},
        ):
            world = self.world()
            job = world.server.job("crawl_project", PROJECT)
            world.server.assigned[job.id].resume_state = state
            self.assert_whole(world, world.attempt(world.server.again(job.id)), job.id)

    def test_frozen_before_the_end(self) -> None:
        """A crawler that wakes up when its job is somebody else's stops at the server's word, and publishes nothing."""
        world = self.world()
        job = world.server.job("crawl_project", PROJECT)
        world.server.lose(job)
        self.assertRaises(LeaseLost, world.attempt, job)
        self.assertEqual([name for name in os.listdir(world.output) if name != ".parts"], [])

    def test_frozen_at_the_end(self) -> None:
        """A crawler that freezes between the server's last yes and its files finds nothing left to publish."""
        world = self.world()
        job = world.server.job("crawl_project", PROJECT)
        later: list[JobResult] = []

        class Freezing(QuickDisk):
            frozen = False

            def open_folder(self, root: int, components: Any, *, create: bool) -> int:
                # The final folder: everything is confirmed, nothing is renamed yet.
                if components[0] != ".parts" and create and not self.frozen:
                    self.frozen = True
                    world.server.lose(job)
                    later.append(world.attempt(world.server.again(job.id)))
                return super().open_folder(root, components, create=create)

        self.assertRaises(JobFailed, world.attempt, job, Freezing())
        self.assert_whole(world, later[0], job.id)

    def test_state_is_small(self) -> None:
        """A resume state stays far below what a message may carry."""
        world = self.world()
        job = world.server.job("crawl_project", PROJECT)
        world.attempt(job)
        self.assertLess(len(orjson.dumps(world.server.assigned[job.id].resume_state)), 6000)


def _die_at(count: int, told: list[str]) -> Callable[[str], None]:
    """Return what counts messages into `told` and raises `Crash` at number `count`."""

    def count_down(type: str) -> None:
        if len(told) == count:
            raise Crash(type)
        told.append(type)

    return count_down
