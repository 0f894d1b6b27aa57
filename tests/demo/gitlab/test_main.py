"""The sample GitLab as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Kind, Refusal
from crawlsock.demo.gitlab.__main__ import main


class ProcessTests(TestCase):
    """``python -m crawlsock.demo.gitlab``."""

    timeout = 60

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        root = Path(__file__).resolve().parents[3]
        process = subprocess.Popen(
            [sys.executable, "-m", "crawlsock.demo.gitlab", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        self.addCleanup(self._end, process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _ready(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        return json.loads(process.stdout.readline())  # type: ignore[no-any-return]

    async def test_ready_serve_and_end_with_the_parent(self) -> None:
        """It says where it is and what it holds, serves that, and ends when its standard input does."""
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        port_file = Path(scratch.name, "port")
        options = (
            "--seed",
            "9",
            "--projects",
            "5",
            "--items",
            "700",
            "--refuse",
            "issues:2",
            "--latency",
            "1",
        )
        process = self._start(*options, "--port-file", str(port_file), "--watch-stdin")

        def work() -> tuple[dict[str, Any], int, int]:
            ready = self._ready(process)
            headers = {"Authorization": f"Bearer {ready['oauth'][0]['access_token']}"}
            request = urllib.request.Request(f"{ready['url']}/api/v4/projects", headers=headers)
            with urllib.request.urlopen(request, timeout=20) as response:
                found = len(json.load(response))
            assert process.stdin is not None
            process.stdin.close()
            return ready, found, process.wait(20)

        ready, found, status = await deferToThread(work)
        self.assertEqual((found, status), (5, 0))
        self.assertEqual(ready["url"], f"http://127.0.0.1:{port_file.read_text().strip()}")
        expected = Dataset.generate(9, 5, 700).counts(refused=[Refusal(Kind.ISSUES, 2)])
        self.assertEqual((ready["counts"], ready["items_expected"]), (expected, sum(expected.values())))

    async def test_ends_on_a_signal(self) -> None:
        """From the moment it says that it is ready, it ends with status 0 when asked to terminate."""
        process = self._start("--items", "0")

        def work() -> int:
            self._ready(process)
            process.terminate()
            return process.wait(20)

        self.assertEqual(await deferToThread(work), 0)

    def test_bad_options(self) -> None:
        """Options that mean nothing are refused with a line that says what would."""
        for option, value, hint in (
            ("--refuse", "wishes:1", "is none of"),
            ("--refuse", "issues:1:500", "is not like"),
            ("--fault-500", "2", "0<=x<=1"),
        ):
            result = CliRunner().invoke(main, [option, value])
            self.assertEqual(result.exit_code, 2)
            self.assertIn(hint, result.output)
