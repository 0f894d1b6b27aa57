"""What is claimed about printing the feed."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.cli.world import Ended, World


class EventsTests(SynchronousTestCase):
    """The feed of a server in memory, printed while things happen."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.harness.stop)

    def wait(self, tenths: int) -> None:
        self.world.runtime.steps += [lambda: None] * tenths

    def submit(self, name: str) -> None:
        webapp = self.world.harness.connect("webapp")
        self.world.request(webapp, "job_submit", {"jobs": [{"type": "crawl_project", "name": name}]})
        webapp.close()

    def follow(self, *arguments: str) -> Ended:
        """Follow until the steps are over, and then some."""
        self.wait(20)
        self.world.runtime.steps.append(self.world.runtime.interrupt)
        return self.world.invoke("events", "--follow", *arguments)

    def test_what_happens_is_printed(self) -> None:
        """Each event is a JSON object on a line, with the position to go on from."""
        self.wait(5)
        self.world.runtime.steps += [partial(self.submit, "a"), partial(self.submit, "b")]
        ended = self.follow("--jsonl")
        self.assertEqual(ended.code, 130)
        self.assertEqual([each["kind"] for each in ended.objects], ["job_created"] * 2)
        since = self.world.invoke("events", "--json", "--since", ended.objects[0]["position"])
        self.assertEqual((since.code, since.objects), (0, ended.objects[1:]))

    def test_people_get_lines(self) -> None:
        """For people an event is a line: when, what, about which job."""
        self.wait(5)
        self.world.runtime.steps.append(partial(self.submit, "a"))
        (line,) = self.follow().out.splitlines()
        self.assertRegex(line, r"^\d\d:\d\d:\d\d\.\d{3}  job_created +[0-9a-f-]{36}  type crawl_project")

    def test_filters(self) -> None:
        """Only what the filter names is printed."""
        self.wait(5)
        self.world.runtime.steps.append(partial(self.submit, "a"))
        self.assertEqual(self.follow("--kind", "job_failed").out, "")

    def test_a_restart_is_survived(self) -> None:
        """While the server is away that is said; what happened meanwhile is printed once, and in order."""
        harness = self.world.harness

        def kill() -> None:
            connected = list(harness.server.pool)
            harness.kill()
            for each in connected:
                each.link.close("killed")

        self.wait(5)
        self.world.runtime.steps.append(partial(self.submit, "a"))
        self.wait(5)
        self.world.runtime.steps += [kill, *[lambda: None] * 30, harness.restart, partial(self.submit, "b")]
        self.wait(100)
        ended = self.follow("--jsonl", "--kind", "job_created")
        self.assertEqual(len({each["job_id"] for each in ended.objects}), 2)
        self.assertEqual(len(ended.objects), 2)
        said = ["following; Ctrl-C ends it", "the server is away; waiting for it", "the server is back"]
        self.assertEqual(ended.err.splitlines(), said)

    def test_a_gap_is_visible(self) -> None:
        """A position that is no longer kept gives a line that says so, and the present state."""
        self.wait(5)
        self.world.runtime.steps.append(partial(self.submit, "a"))
        position = self.follow("--jsonl").objects[0]["position"]
        self.submit("b")
        self.world.harness.advance(86_400 * 2, 3600)
        self.prune()
        ended = self.world.invoke("events", "--json", "--since", position)
        self.assertEqual([each["kind"] for each in ended.objects], ["gap", "job_snapshot", "job_snapshot"])
        self.assertTrue(all(each["snapshot"] for each in ended.objects))
        lines = self.world.invoke("events", "--since", position).out.splitlines()
        self.assertIn("-- events are missing here", lines[0])

    def prune(self) -> None:
        store = self.world.harness.store
        now = store._world.now()
        self.successResultOf(store.prune(now, now.replace(year=2000)))

    def test_from_where(self) -> None:
        """Without --follow and --since there is nothing to print, and a position that is none is refused."""
        self.assertEqual(self.world.invoke("events").code, 2)
        ended = self.world.invoke("events", "--since", "nonsense")
        self.assertEqual((ended.code, ended.err.count("\n")), (2, 1), ended)
