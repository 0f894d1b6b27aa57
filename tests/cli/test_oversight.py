"""What is claimed about looking after everything: top, explain, errors, incidents, queues, crawlers, many jobs."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.cli.top_picture import Glance, line, picture
from crawlsock.testing.harness import WirePeer
from tests.cli.world import World

BUDGET = {"host": "gitlab.example.com", "limit": 600, "remaining": 150}


class OversightTests(SynchronousTestCase):
    """Each on a server in memory."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.harness.stop)

    def working(self) -> tuple[WirePeer, dict[str, Any]]:
        """Let a crawler work on a job, while another one waits."""
        self.world.submit("--name", "first")
        self.world.submit("--name", "second")
        peer, (job,) = self.world.crawler(slots=1, crawler_id="c-1")
        self.world.say(peer, "job_started", job)
        counts = {"issues": {"processed": 1500, "total": 6000}}
        self.world.say(peer, "job_progress", job, seq=1, stage="fetching", entities=counts)
        beat = {"status": "crawling", "active_jobs": [job["job_id"]], "hosts": [BUDGET]}
        self.world.request(peer, "heartbeat", beat)
        return peer, job

    def failed(self, message: str) -> str:
        """Let a job fail for good; return its id."""
        job_id = self.world.submit()
        peer, (job,) = self.world.crawler(slots=1)
        self.world.say(peer, "job_started", job)
        self.world.say(peer, "job_failed", job, error_type="not_found", message=message, recoverable=False)
        peer.close()
        return job_id

    # Top.

    def test_top_shows_it_once(self) -> None:
        """`top --once` shows jobs by state, who works on what and how far, and what hosts allow."""
        self.working()
        shown = self.world.invoke("top", "--once")
        self.assertEqual((shown.code, shown.err), (0, ""))
        for part in ("1 queued  1 running", "1,500", "c-1", "first", "crawl_project", "150 of 600 requests"):
            self.assertIn(part, shown.out)
        self.assertIn("second  the longest", shown.out)

    def test_top_for_programs(self) -> None:
        """With --json it is one object, whose overview is the dashboard's."""
        self.working()
        found = self.world.invoke("top", "--once", "--json").object
        self.assertEqual(found["overview"]["jobs"]["running"], 1)
        self.assertEqual(found["running"][0]["name"], "first")
        self.assertEqual(found["crawlers"][0]["hosts"], [BUDGET])

    def test_top_elsewhere_is_a_line_a_look(self) -> None:
        """Off a terminal it prints a line a second, through an absence of the server, which it tells."""
        self.working()
        harness = self.world.harness

        def kill() -> None:
            connected = list(harness.server.pool)
            harness.kill()
            for each in connected:
                each.link.close("killed")

        nothing = [lambda: None]
        self.world.runtime.steps = [
            *nothing * 25,
            kill,
            *nothing * 30,
            harness.restart,
            *nothing * 120,
            self.world.runtime.interrupt,
        ]
        ended = self.world.invoke("top")
        self.assertEqual(ended.code, 130)
        lines = ended.out.splitlines()
        self.assertGreater(len(lines), 5)
        self.assertIn("1 queued  1 running  1,500 items", lines[0])
        self.assertIn("the server is away; waiting for it\nthe server is back\n", ended.err)

    def test_top_without_a_server(self) -> None:
        """With --once nothing is waited for: 3."""
        self.world.harness.kill()
        self.assertEqual(self.world.invoke("top", "--once").code, 3)

    # Many jobs.

    def test_all_that_match_are_cancelled(self) -> None:
        """Filters choose many, and the rest is left alone."""
        kept = self.world.submit("--account", "default", type="crawl_group")
        for _ in range(3):
            self.world.submit()
        ended = self.world.invoke("cancel", "--type", "crawl_project", "--state", "queued", "--reason", "enough")
        self.assertEqual((ended.code, ended.out), (0, "cancelled 3 jobs\n"), ended)
        left = self.world.invoke("jobs", "--state", "queued", "--json").object
        self.assertEqual(left["job_id"], kept)
        again = self.world.invoke("cancel", "--type", "crawl_project", "--json")
        self.assertEqual(again.object, {"affected": 0})
        self.assertEqual(self.world.invoke("pause", "--all").out, "paused 1 job\n")
        self.assertEqual(self.world.invoke("resume", "--all").out, "resumed 1 job\n")

    def test_more_than_one_message_takes(self) -> None:
        """More jobs than one message touches are all touched."""
        webapp = self.world.harness.connect("webapp")
        for _ in range(2):
            self.world.request(webapp, "job_submit", {"jobs": [{"type": "crawl_user"}] * 600})
        ended = self.world.invoke("cancel", "--all", "--json")
        self.assertEqual((ended.object, ended.err), ({"affected": 1200}, "1,200 jobs so far\n"))

    def test_one_or_many(self) -> None:
        """Neither a job nor a filter, and both, is a mistake in usage: 2."""
        job_id = self.world.submit()
        for arguments in ((), (job_id, "--state", "queued"), ("--created-after", "tomorrow-ish")):
            ended = self.world.invoke("cancel", *arguments)
            self.assertEqual((ended.code, ended.err.count("\n")), (2, 1), ended)
        self.assertEqual(self.world.invoke("cancel", "--created-after", "2h").out.count("nothing to do"), 1)

    # Why and what went wrong.

    def test_why_a_job_waits(self) -> None:
        """A job that no crawler takes is explained, with what to do about it."""
        job_id = self.world.submit()
        told = self.world.invoke("explain", job_id)
        self.assertEqual(told.code, 0)
        self.assertIn("queued: it does not run", told.out)
        self.assertIn("what to do", told.out)
        found = self.world.invoke("explain", job_id, "--json").object
        self.assertEqual((found["job_id"], found["runs"]), (job_id, False))
        self.assertTrue(found["reasons"])
        self.assertEqual(self.world.invoke("explain", "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11").code, 2)

    def test_errors_stand_in_groups(self) -> None:
        """Failures of one kind are a group, shown with its jobs; the command that tries them again works."""
        first, second = self.failed("user 12: 404 Not Found"), self.failed("user 13: 404 Not Found")
        group = self.world.invoke("errors", "--json").object
        self.assertEqual((group["error_type"], group["count"], group["failed_now"]), ("not_found", 2, 2))
        self.assertIn(group["fingerprint"], self.world.invoke("errors", "--sort", "frequent").out)
        shown = self.world.invoke("errors", group["fingerprint"], "--account", group["account"])
        for part in (first, second, "next step"):
            self.assertIn(part, shown.out)
        job = self.world.invoke("show", first).out
        self.assertIn(group["fingerprint"], job)
        self.assertIn(group["next_step"], job)
        command = shown.err.strip().partition("crawlsock ")[2].split()
        self.assertEqual(self.world.invoke(*command).out, "queued again 2 jobs\n")
        self.assertEqual(self.world.invoke("errors", "0123456789abcdef").code, 2)

    def test_incidents_are_listed(self) -> None:
        """Without incidents the list is empty, and that is no failure."""
        ended = self.world.invoke("incidents", "--open")
        self.assertEqual((ended.code, ended.out, ended.err), (0, "", "no incidents\n"))

    # Orders.

    def test_queues_are_paused_and_shown(self) -> None:
        """A paused type is shown with who did it and why; resumed, it is given out again."""
        self.world.submit()
        self.assertEqual(self.world.invoke("queue", "pause", "crawl_project", "--reason", "quiet please").code, 0)
        listed = self.world.invoke("queue", "list", "--json").object
        (paused,) = [each for each in listed["queues"] if each["paused"]]
        self.assertEqual((paused["job_type"], paused["reason"]), ("crawl_project", "quiet please"))
        self.assertIn("quiet please", self.world.invoke("queue", "list").out)
        _, jobs = self.world.crawler(slots=1)
        self.assertEqual(jobs, [])
        self.assertEqual(self.world.invoke("queue", "resume", "crawl_project", "--json").object["paused"], False)

    def test_crawlers_are_steered(self) -> None:
        """A crawler is paused, resumed, and sent away; one that is not there is a mistake: 2."""
        self.working()
        self.assertEqual(self.world.invoke("crawlers", "pause", "c-1").out, "paused c-1\n")
        self.assertEqual(self.world.invoke("crawlers", "--json").object["state"], "paused")
        self.assertEqual(self.world.invoke("crawlers", "resume", "c-1").code, 0)
        self.assertEqual(self.world.invoke("crawlers", "drain", "c-1", "--json").object["command"], "drain")
        self.assertEqual(self.world.invoke("crawlers", "disconnect", "nobody").code, 2)


class PictureTests(SynchronousTestCase):
    """What is drawn of values."""

    def glance(self, **overview: Any) -> Glance:
        sums = {"connected": 1, "away": 0, "paused": 0, "draining": 0, "slots": 4, "jobs": 1}
        whole = {
            "at": "2026-11-23T10:15:30Z",
            "jobs": {"running": 50},
            "items": {"processed": 7, "failed": 0},
            "rate": 1.0,
            "crawlers": sums,
            **overview,
        }
        jobs = [{"job_id": f"j{number}", "type": "crawl_project", "name": f"p{number}"} for number in range(50)]
        crawler = {"crawler_id": "c", "state": "connected", "jobs": 1, "slots": 4, "heartbeat_age": 1.0}
        return Glance({"name": "vm", "version": "1"}, whole, jobs, [crawler] * 30)

    def drawn(self, glance: Glance, **how: Any) -> str:
        from rich.console import Console

        out = Console(width=100, height=how.get("height") or 25, record=True, color_system=None)
        with out.capture() as captured:
            out.print(picture(glance, **how))
        return captured.get()

    def test_it_fits(self) -> None:
        """On a terminal nothing is taller than it, and what is left out is counted."""
        for height in (16, 25, 60):
            drawn = self.drawn(self.glance(), height=height)
            self.assertLessEqual(drawn.count("\n"), height, drawn)
            self.assertIn("more", drawn)

    def test_the_age_is_told(self) -> None:
        """A server that is away, and one that does not answer, are told with the age of what is seen."""
        self.assertIn(
            "the server is away; waiting for it. This is 12 s old", self.drawn(self.glance(), age=12.0, here=False)
        )
        self.assertIn("no answer for 12 s", self.drawn(self.glance(), age=12.0))
        self.assertIn("● live", self.drawn(self.glance(), age=1.0))

    def test_trouble_comes_with_its_remedy(self) -> None:
        """A check that is not well is told in words, with what to do; so are incidents and hosts that block."""
        drawn = self.drawn(
            self.glance(
                health=[
                    {"check": "listener", "state": "ok", "summary": "hears"},
                    {"check": "database", "state": "bad", "summary": "away for 3 s", "remedy": "start it"},
                ],
                hosts=[{"host": "g.example.com", "blocked_until": "2026-11-23T10:15:50Z"}],
                incidents=[{"severity": "critical", "title": "it is bad", "opened_at": "2026-11-23T10:15:30Z"}],
            )
        )
        for part in ("✖ database: away for 3 s  → start it", "blocked for 20 s", "critical: it is bad"):
            self.assertIn(part, drawn)
        self.assertNotIn("listener", drawn)

    def test_names_steer_no_terminal(self) -> None:
        """Control characters of others become marks."""
        glance = self.glance(oldest_queued={"type": "t", "job_id": "j", "name": "\x1b[2J\u202e", "waited": -4})
        self.assertNotIn("\x1b", self.drawn(glance))
        self.assertNotIn("\u202e", self.drawn(glance))
        self.assertIn("for 0.0 s", self.drawn(glance))

    def test_a_line(self) -> None:
        """In a log it is a line."""
        self.assertRegex(line(self.glance()), r"^2026-11-23 \d\d:15:30  50 running  7 items  1/s  1 crawlers$")
