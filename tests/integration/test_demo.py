"""What is claimed about ``crawlsock demo``: real processes, a real PostgreSQL, files on disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent.parent
SMALL = ("--projects", "10", "--items", "500", "--latency", "1")
PATIENCE = 90.0


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leave a redirect to whoever asked."""

    def redirect_request(self, *given: Any) -> None:
        return None


class DemoTests(SynchronousTestCase):
    """Small demos, each in a directory for temporary files of its own."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="cs-")
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.temporary = self.scratch / "tmp"
        self.temporary.mkdir()
        if os.geteuid() == 0:
            # The account that PostgreSQL gets must be able to pass.
            self.scratch.chmod(0o711)
            self.temporary.chmod(0o711)

    def start(self, *arguments: str, directory: Path | None = None) -> subprocess.Popen[str]:
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temporary),
            "DATABASE_URL": "postgresql://nobody@nowhere.invalid/none",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "crawlsock.cli", "demo", *SMALL, *arguments],
            cwd=directory or self.scratch,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate()

    def family(self) -> list[psutil.Process]:
        """Return every process that has our directory in its command line or in its environment."""
        mark = str(self.temporary)
        return [
            each
            for each in psutil.process_iter(["cmdline", "environ", "status"])
            if each.info["status"] != psutil.STATUS_ZOMBIE
            and (
                any(mark in word for word in each.info["cmdline"] or ())
                or (each.info["environ"] or {}).get("TMPDIR") == mark
            )
        ]

    def until(self, holds: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            self.assertLess(time.monotonic(), until, f"waited in vain: {what}")
            time.sleep(0.02)

    def assert_nothing_is_left(self) -> None:
        self.until(lambda: not self.family(), "the processes end")
        self.assertEqual(list(self.temporary.iterdir()), [])

    def test_everything_is_crawled_counted_and_removed(self) -> None:
        """From a directory with a long path: exit 0, the last line has the counts, nothing remains of it."""
        deep = self.scratch.joinpath(*["a-rather-long-name-for-a-directory"] * 6)
        deep.mkdir(parents=True)
        process = self.start(directory=deep)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        line = json.loads(out.splitlines()[-1])
        self.assertEqual((line["items_written"], line["items_expected"], line["duplicates"]), (500, 500, 0))
        self.assertEqual(line["jobs_failed"], 0)
        self.assertGreater(line["jobs_completed"], 10)
        self.assertIn("500 written, every one of them once", err)
        self.assertNotIn("Traceback", err)
        self.assertEqual(list(deep.iterdir()), [])
        self.assert_nothing_is_left()

    def test_a_named_directory_keeps_the_files(self) -> None:
        """With --data-dir the files, the logs and the database stay there, and only those."""
        kept = self.temporary / "kept"
        process = self.start("--data-dir", str(kept), "--crawlers", "1")
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        files = list(Path(json.loads(out.splitlines()[-1])["output"]).rglob("issues.jsonl"))
        self.assertGreater(len(files), 0)
        self.assertTrue((kept / "logs" / "server.log").is_file())
        self.until(lambda: not self.family(), "the processes end")

    def test_it_stays_up_until_ctrl_c(self) -> None:
        """With --stay the server answers after the JSON line; Ctrl-C then is no failure, and removes everything."""
        process = self.start("--stay")
        assert process.stdout is not None
        self.assertEqual(json.loads(process.stdout.readline())["items_written"], 500)
        (data,) = self.temporary.glob("crawlsock-demo-*")
        asked = subprocess.run(
            [sys.executable, "-m", "crawlsock.cli", "status", "--json", "--data-dir", str(data)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.scratch,
            capture_output=True,
            text=True,
        )
        self.assertEqual(json.loads(asked.stdout)["crawlers"], 2, asked.stderr)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("until Ctrl-C", err)
        self.assert_nothing_is_left()

    def test_the_page_has_the_numbers_of_the_summary(self) -> None:
        """The printed link signs in, and at the end what the page is made of equals the JSON line, number by number."""
        process = self.start("--stay")
        assert process.stdout is not None and process.stderr is not None
        link = next(line.strip() for line in process.stderr if "/login?code=" in line)
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        address, _, code = link.partition("/login?code=")
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), NoRedirect())
        self.assertEqual(browser.open(link).status, 200)
        form = urllib.parse.urlencode({"code": code}).encode()
        signing_in = urllib.request.Request(f"{address}/login", form, {"Origin": address})
        self.assertEqual(self.assertRaises(urllib.error.HTTPError, browser.open, signing_in).code, 303)
        line = json.loads(process.stdout.readline())

        def read(path: str) -> dict[str, Any]:
            found: dict[str, Any] = json.load(browser.open(f"{address}/api/v1{path}"))
            return found

        self.assertEqual(read("/session")["role"], "admin")
        wanted = (line["jobs_completed"], line["jobs_failed"], line["items_written"])

        def overview() -> tuple[int, ...]:
            found = read("/overview")
            return (found["jobs"]["completed"], found["jobs"]["failed"], found["items"]["processed"])

        # The sums of everything are taken now and then.
        self.until(lambda: overview() == wanted, f"the overview says {wanted}, not {overview()}")
        found = read("/overview")
        self.assertEqual(sum(each["jobs"].get("completed", 0) for each in found["types"]), line["jobs_completed"])
        self.assertEqual(found["crawlers"]["connected"], 2)

        def charted() -> tuple[int, ...]:
            minutes = read("/overview")["activity"]
            return tuple(sum(each[name] for each in minutes) for name in ("completed", "failed", "items"))

        self.until(lambda: charted() == wanted, f"the chart says {wanted}, not {charted()}")
        self.until(lambda: read("/overview")["hosts"], "the crawlers tell what the sample allows")
        (host,) = read("/overview")["hosts"]
        self.assertEqual((host["host"].partition(":")[0], host["limit"]), ("127.0.0.1", 2650))
        (top,) = (job for job in read("/jobs?limit=500")["jobs"] if "parent_id" not in job)
        for progress in (
            read("/progress?scope=all")["progress"],
            read("/progress?scope=account&account=demo")["progress"],
            read(f"/progress?scope=tree&job_id={top['job_id']}")["progress"],
        ):
            self.assertEqual((progress["jobs"]["completed"], progress["processed"]), (wanted[0], wanted[2]))
        self.assertEqual(read("/jobs/counts")["jobs"]["completed"], line["jobs_completed"])
        below = read(f"/jobs/{top['job_id']}/tree?limit=500")["children"]
        own = top["progress"]["processed"]
        self.assertEqual(sum(child["below"]["processed"] for child in below) + own, line["items_written"])
        # What is drawn without any script, from the same numbers.
        drawn = " ".join(re.sub(r"<[^>]+>", " ", browser.open(f"{address}/").read().decode()).split())
        self.assertIn(f"{line['jobs_completed']} Completed {line['jobs_failed']} Failed", drawn)
        self.assertIn(f"Items processed {line['items_written']}", drawn)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE)
        drain.join()
        self.assertEqual(process.returncode, 0)
        self.assert_nothing_is_left()

    def test_ctrl_c_stops_and_removes_everything(self) -> None:
        """Interrupted while it starts, and while it crawls, it ends with 130 and leaves nothing."""
        for mark in ("demo.gitlab", "demo-crawler-2"):
            process = self.start("--items", "20000", "--latency", "20")
            self.until(partial(self.named, mark), f"{mark} runs")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 130, err)
            self.assertNotIn("Traceback", err)
            self.assert_nothing_is_left()

    def test_killed_processes_lose_nothing(self) -> None:
        """A crawler and the server are killed on the way: they are started again, and every item stands there once."""
        # Its token lasts: a host that has just changed it for another, for a server that is killed before it could be
        # kept, needs somebody to sign in again (docs/guarantees.md, 3).
        process = self.start("--items", "8000", "--latency", "40", "--token-seconds", "600")
        # A crawler that is killed before it was ever ready has the demo fail: that is another claim.
        self.until(lambda: list(self.temporary.glob("crawlsock-demo-*/output/*/*")), "something is written")
        for mark in ("demo-crawler-1", "twisted.scripts.twistd"):
            self.until(lambda: len(self.named("demo-crawler")) == 2, "the crawlers run")
            (victim,) = self.named(mark)
            victim.kill()
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        line = json.loads(out.splitlines()[-1])
        self.assertEqual((line["items_written"], line["duplicates"], line["restarts"]), (8000, 0, 2), err)
        self.assert_nothing_is_left()

    def named(self, mark: str) -> list[psutil.Process]:
        return [each for each in self.family() if any(mark in word for word in each.info["cmdline"])]

    def test_a_child_that_cannot_go_on_is_told(self) -> None:
        """The sample GitLab is killed: exit 1, one line that names it, its log is kept, and no process."""
        process = self.start("--items", "20000", "--latency", "20")
        self.until(lambda: self.named("demo-crawler"), "it crawls")
        for each in psutil.Process(process.pid).children():
            # Children that only start others come and go.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "crawlsock.demo.gitlab" in each.cmdline():
                    each.kill()
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn("the sample GitLab was killed by signal 9 (SIGKILL)", err.splitlines()[-1])
        self.assertNotIn("Traceback", err)
        self.until(lambda: not self.family(), "the processes end")
        (kept,) = self.temporary.iterdir()
        self.assertEqual([each.name for each in kept.iterdir()], ["logs"])

    def test_children_do_not_outlive_a_killed_demo(self) -> None:
        """After kill -9 of the demo itself its processes end, too."""
        process = self.start("--items", "20000", "--latency", "20")
        self.until(lambda: self.named("demo-crawler"), "it crawls")
        process.kill()
        self.until(lambda: not self.family(), "the processes end")
