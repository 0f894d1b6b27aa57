"""What is claimed about the tree of a crawl, and about how it is drawn."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.cli.display import Bars
from crawlsock.cli.screen import clean, duration, number, size
from crawlsock.cli.tree import Pace, Snapshot, branch, by_type, rows


def job(job_id: str, parent: str | None = None, state: str = "running", type: str = "crawl_project") -> dict[str, Any]:
    """Make as much of a job as is needed here."""
    made = {"job_id": job_id, "type": type, "state": state, "created_at": f"2026-01-01T00:00:0{len(job_id)}Z"}
    return {**made, "namespace_path": f"path/{job_id}", **({"parent_id": parent} if parent else {})}


class TreeTests(SynchronousTestCase):
    """The rules."""

    def test_over_is_when_all_has_ended(self) -> None:
        """A snapshot is over when its top and every job below have ended, and good when all are completed."""
        for top, states, over, result in (
            ("completed", {"completed": 3}, True, 0),
            ("completed", {"completed": 2, "running": 1}, False, 0),
            ("running", {"running": 1}, False, 1),
            ("completed", {"completed": 2, "failed": 1}, True, 1),
            ("cancelled", {"cancelled": 1, "queued": 0}, True, 1),
        ):
            snapshot = Snapshot(job("a", state=top), {"jobs": states})
            self.assertEqual(snapshot.over, over)
            if over:
                self.assertEqual(snapshot.result, result)

    def test_jobs_are_counted_by_type(self) -> None:
        """Each type has how many there are, how many have ended, and how many of those badly."""
        counts = by_type([job("a", state="completed", type="x"), job("bb"), job("cc", state="failed")])
        self.assertEqual(
            [(each.type, each.jobs, each.ended, each.failed) for each in counts],
            [("x", 1, 1, 0), ("crawl_project", 2, 1, 1)],
        )

    def test_the_tree_shows_what_is_in_hand_below_what_it_came_from(self) -> None:
        """Jobs in hand stand under their parents, ended siblings stay away, and the rest is counted."""
        jobs = [
            job("a", state="completed"),
            job("b", "a", state="completed"),
            job("c", "a", state="completed"),
            job("b1", "b"),
            job("b2", "b"),
            job("c1", "c"),
            job("c2", "c", state="queued"),
        ]
        shown, left_out = rows(jobs, 9)
        self.assertEqual([row.job["job_id"] for row in shown], ["a", "b", "b1", "b2", "c", "c1"])
        self.assertEqual(
            [row.guides for row in shown], [(), (True,), (True, True), (True, False), (False,), (False, False)]
        )
        self.assertEqual(left_out, 0)
        shown, left_out = rows(jobs, 4)
        self.assertEqual(([row.job["job_id"] for row in shown], left_out), (["a", "b", "b1", "b2"], 1))

    def test_a_cycle_of_parents_ends(self) -> None:
        """Whatever a server says about parents, the tree is drawn and a branch is found."""
        jobs = [job("a", "b"), job("b", "a")]
        rows(jobs, 5)
        self.assertEqual(branch(jobs, "z"), [])

    def test_a_branch_is_a_job_and_all_below(self) -> None:
        """Jobs beside the branch are not in it."""
        jobs = [job("a"), job("b", "a"), job("c", "b"), job("d", "a")]
        self.assertEqual([each["job_id"] for each in branch(jobs, "b")], ["b", "c"])

    def test_the_pace_is_that_of_the_last_seconds(self) -> None:
        """A burst at the start is forgotten after the window, and a count that falls begins anew."""
        pace = Pace(window=5)
        self.assertIsNone(pace.rate(0, 0))
        self.assertEqual(pace.rate(1, 100), 100)
        for second in range(2, 20):
            rate = pace.rate(second, 100 + second)
        self.assertEqual(rate, 1)
        self.assertIsNone(pace.rate(20, 5))

    def test_numbers_are_as_people_say_them(self) -> None:
        """Durations, sizes and counts have units and separators."""
        spoken = [duration(each) for each in (0.44, 12, 200, 7500, 100_000, None)]
        self.assertEqual(spoken, ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min", "1 d 3 h", ""])
        self.assertEqual([size(each) for each in (10, 2048, 5 * 1024**2)], ["10 B", "2 KiB", "5.0 MiB"])
        self.assertEqual(number(1234567), "1,234,567")

    def test_names_from_outside_cannot_steer_a_terminal(self) -> None:
        """Escape, control and bidirectional characters become marks."""
        self.assertTrue(clean("a\x1b[2Jb\x07\u202ec").isprintable())


class BarsTests(SynchronousTestCase):
    """The picture."""

    def picture(self, snapshot: Snapshot, here: bool = True) -> str:
        bars = Bars(lambda: 12.0, lambda: "2 crawlers")
        bars.tick(here)
        out = io.StringIO()
        Console(file=out, width=100, height=30, color_system=None).print(bars.picture(snapshot))
        return out.getvalue()

    def test_all_is_in_the_picture(self) -> None:
        """Percent, items, rate, time left, types, the tree and the footer are drawn, and hostile names are tame."""
        child = {**job("c", "a"), "progress": {"percent": 40.0, "processed": 7}, "namespace_path": "x\x1b[2J/y"}
        progress = {"percent": 62.5, "processed": 12345, "time_left": 40.0, "jobs": {"running": 1, "completed": 1}}
        snapshot = Snapshot(job("a", state="completed"), progress, [job("a", state="completed"), child], True, 310.0)
        drawn = self.picture(snapshot)
        for word in (
            "62.5 %",
            "12,345 items",
            "310/s",
            "about 40 s left",
            "1/2",
            "40 %",
            "└ x\ufffd[2J/y",
            "2 crawlers",
        ):
            self.assertIn(word, drawn)
        self.assertNotIn("\x1b", drawn)
        self.assertIn("waiting for it", self.picture(snapshot, here=False))
