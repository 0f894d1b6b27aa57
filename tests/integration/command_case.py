"""The command as a process, and a real server process for it, on a database of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent.parent
TWISTD = "from twisted.scripts.twistd import run; run()"
PATIENCE = 60.0


class CommandCase(SynchronousTestCase):
    """A server of the test's own, on a database of its own."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(prefix="cs-")
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CRAWLSOCK_", "DATABASE_"))}
        self.environ = {**kept, "PYTHONPATH": str(ROOT), "CRAWLSOCK_DATA_DIR": str(self.scratch / "data")}

    def start(self, *command: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=self.scratch,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate()

    def serve(self, dsn: str, http: str = "none") -> subprocess.Popen[str]:
        """Start a server, and wait until a command reaches it."""
        # Its log goes to a file: nobody here reads a pipe, which would fill up.
        twistd = ("-n", "--pidfile=", f"--logfile={self.scratch / 'server.log'}")
        options = (f"--http-endpoint={http}", "--drain-timeout=5s")
        server = self.start("-c", TWISTD, *twistd, "crawlsock", *options, DATABASE_URL=dsn)
        until = time.monotonic() + PATIENCE
        while self.crawlsock("status")[0] != 0:
            self.assertLess(time.monotonic(), until, "the server does not start")
            self.assertIsNone(server.poll(), "the server has ended")
            time.sleep(0.1)
        return server

    def crawlsock(self, *arguments: str, input: str | None = None, **environ: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "crawlsock.cli", *arguments],
            cwd=self.scratch,
            env={**self.environ, **environ},
            input=input,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertNotIn("Traceback", ended.stderr)
        return ended.returncode, ended.stdout, ended.stderr
