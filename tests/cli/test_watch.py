"""What is claimed about watching a crawl."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.testing.harness import WirePeer
from tests.cli.world import World


class WatchTests(SynchronousTestCase):
    """A tree of a parent and two children, done while somebody watches."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.harness.stop)
        self.root = self.world.submit("--name", "all", type="discover_namespaces")

    def begin(self) -> tuple[WirePeer, list[dict[str, Any]]]:
        """Do the parent, which discovers two; return the crawler, and the children in its hands."""
        peer, (parent,) = self.world.crawler(slots=1)
        self.world.say(peer, "job_started", parent)
        found = [{"type": "crawl_project", "entity_id": str(number)} for number in (1, 2)]
        self.world.say(peer, "jobs_discovered", parent, jobs=found)
        self.world.say(peer, "job_completed", parent)
        jobs = self.world.request(peer, "job_request", {"slots": 2})["jobs"]
        for job in jobs:
            self.world.say(peer, "job_started", job)
        return peer, jobs

    def test_it_ends_when_the_whole_tree_has(self) -> None:
        """A parent that has completed is not the end: the watch ends with 0 after the last child."""
        peer, (first, second) = self.begin()
        pause = [lambda: None] * 20
        counts = {"issues": {"processed": 5, "total": 5}}
        self.world.runtime.steps = [
            *pause,
            lambda: self.world.say(peer, "job_completed", first, entities=counts),
            *pause,
            lambda: self.world.say(peer, "job_completed", second, entities=counts),
        ]
        ended = self.world.invoke("watch", self.root)
        self.assertEqual((ended.code, ended.out), (0, ""))
        self.assertEqual(self.world.runtime.steps, [])
        self.assertIn("100.0 %  10 items  jobs: 3 completed", ended.err.splitlines()[-1])

    def test_a_failed_child_is_the_result(self) -> None:
        """One failed job of the tree makes the result 1; with --json the last line holds the job."""
        peer, (first, second) = self.begin()
        self.world.say(peer, "job_completed", first)
        self.world.say(peer, "job_failed", second, error_type="x", message="no", recoverable=False)
        ended = self.world.invoke("watch", "--json", self.root)
        self.assertEqual(ended.code, 1)
        self.assertEqual((ended.objects[-1]["over"], ended.objects[-1]["job"]["job_id"]), (True, self.root))
        self.assertIn(f"1 of the jobs below {self.root} failed; crawlsock jobs --root {self.root}", ended.err)
        alone = self.world.invoke("watch", second["job_id"])
        self.assertIn(f"job {second['job_id']} is failed; crawlsock show", alone.err.splitlines()[-1])

    def test_without_a_job_the_newest_crawl_is_watched(self) -> None:
        """`watch` alone follows the tree of the newest job under way; with none it ends with 2."""
        peer, jobs = self.begin()
        self.world.runtime.steps = [partial(self.world.say, peer, "job_completed", job) for job in jobs]
        self.assertEqual(self.world.invoke("watch", "--json").objects[-1]["job_id"], self.root)
        nothing = self.world.invoke("watch")
        self.assertEqual(nothing.code, 2)
        self.assertIn("nothing is under way", nothing.err)

    def test_a_branch_is_watched_alone(self) -> None:
        """Watching a child ends with that child."""
        peer, (first, _) = self.begin()
        self.world.runtime.steps = [lambda: self.world.say(peer, "job_completed", first)]
        self.assertEqual(self.world.invoke("watch", first["job_id"]).code, 0)

    def test_it_gives_up_in_time(self) -> None:
        """After --timeout the exit code is 6 and the line says that the job goes on."""
        ended = self.world.invoke("watch", self.root, "--timeout", "3")
        self.assertEqual(ended.code, 6)
        self.assertIn("has not ended after 3 seconds; it goes on", ended.err)

    def test_a_restart_of_the_server_is_survived(self) -> None:
        """The server goes away and comes back while somebody watches; the result is the crawl's."""
        peer, jobs = self.begin()
        for job in jobs:
            self.world.say(peer, "job_completed", job)
        late = self.world.submit()
        harness = self.world.harness

        def finish() -> None:
            again, (job,) = self.world.crawler(slots=1)
            self.world.say(again, "job_started", job)
            self.world.say(again, "job_completed", job)

        def kill() -> None:
            connected = list(harness.server.pool)
            harness.kill()
            for each in connected:
                each.link.close("killed")

        self.world.runtime.steps = [
            *[lambda: None] * 10,
            kill,
            *[lambda: None] * 50,
            harness.restart,
            *[lambda: None] * 100,
            finish,
        ]
        ended = self.world.invoke("watch", late)
        self.assertEqual(ended.code, 0, ended)
        self.assertIn("the server is away; waiting for it\n", ended.err)
        self.assertIn("the server is back\n", ended.err)

    def test_a_long_absence_of_the_database_is_survived(self) -> None:
        """The database is away for longer than a request waits; the watch goes on, and ends with the result."""
        peer, jobs = self.begin()
        store = self.world.harness.store
        self.world.runtime.steps = [
            *[lambda: None] * 10,
            store.take_down,
            *[lambda: None] * 900,
            store.bring_up,
            *[lambda: None] * 100,
            *[partial(self.world.say, peer, "job_completed", job) for job in jobs],
        ]
        ended = self.world.invoke("watch", self.root)
        self.assertEqual(ended.code, 0, ended)

    def test_submit_waits_for_the_result(self) -> None:
        """`submit --wait` prints the id, watches, and ends with the job's result."""
        self.world.invoke("cancel", self.root)

        def fail() -> None:
            peer, (job,) = self.world.crawler(slots=1)
            self.world.say(peer, "job_started", job)
            self.world.say(peer, "job_failed", job, error_type="x", message="no", recoverable=False)

        self.world.runtime.steps = [lambda: None, lambda: None, fail]
        ended = self.world.invoke("submit", "crawl_project", "--wait")
        self.assertEqual((ended.code, len(ended.out.strip())), (1, 36), ended)
