"""What is claimed about the process that twistd makes of us: its exit code, its output, its pid file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent.parent

FAILING = """
import sys
from functools import partial
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.logger import ILogObserver
from crawlsock.config import ConfigError, load
from crawlsock.lifecycle import Lifecycle, LifecycleService, end_process
from crawlsock.tap import _Root, make_logs

class Part:
    async def start(self):
        raise {error}
    def stop(self):
        print("stopped", file=sys.__stdout__, flush=True)

lifecycle = Lifecycle(reactor)
lifecycle.add("a part", Part())
application = Application("crawlsock")
root = _Root(make_logs(load({{}}, {{}}), {{"nodaemon": True}}))
LifecycleService(lifecycle, partial(end_process, reactor)).setServiceParent(root)
root.setServiceParent(application)
"""


class TwistdTests(SynchronousTestCase):
    """Real processes, ended by themselves."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)

    def twistd(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CRAWLSOCK_", "DATABASE_"))}
        return subprocess.run(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *arguments],
            cwd=self.directory,
            env={**kept, "PYTHONPATH": str(ROOT), **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def assert_refused(self, ended: subprocess.CompletedProcess[str], *words: str) -> None:
        self.assertEqual((ended.returncode, ended.stdout), (7, ""), ended.stderr)
        self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)
        for word in words:
            self.assertIn(word, ended.stderr)
        self.assertEqual([each.name for each in self.directory.iterdir()], [])

    def test_bad_options_end_with_one_line(self) -> None:
        """A bad option ends with exit code 7 and one line, in the foreground and as a daemon."""
        self.assert_refused(self.twistd("-n", "crawlsock", "--lease-lenght=3"), "did you mean --lease-length?")
        self.assert_refused(self.twistd("crawlsock", "--queue-limit=x"), "--queue-limit")

    def test_a_bad_environment_ends_with_one_line(self) -> None:
        """The .tac file, too, refuses a bad environment with exit code 7 and one line."""
        tac = str(ROOT / "crawlsock.tac")
        self.assert_refused(self.twistd("-ny", tac, CRAWLSOCK_LEASE_LENGHT="3"), "CRAWLSOCK_LEASE_LENGTH?")

    def failing_start(self, error: str) -> tuple[int, list[str]]:
        (self.directory / "failing.tac").write_text(FAILING.format(error=error))
        ended = self.twistd("-ny", "failing.tac")
        self.assertFalse((self.directory / "twistd.pid").exists())
        return ended.returncode, ended.stdout.splitlines()

    def test_a_failed_start_ends_the_process(self) -> None:
        """A part that cannot start ends the process with 1, after a traceback in the log and a clean stop."""
        code, lines = self.failing_start("OSError('port in use')")
        self.assertEqual(code, 1)
        self.assertIn("stopped", lines)
        logged = [json.loads(line) for line in lines if line.startswith("{")]
        critical = [each for each in logged if each["level"] == "critical"]
        self.assertIn("port in use", critical[0]["traceback"])
        self.assertEqual(logged[-1]["message"], "Server Shut Down.")

    def test_a_start_refused_for_its_configuration_says_so(self) -> None:
        """A configuration that turns out to be unusable while starting ends with 7 and a line without
        traceback.
        """
        code, lines = self.failing_start("ConfigError('the key file is not ours')")
        self.assertEqual(code, 7)
        critical = [json.loads(line) for line in lines if '"critical"' in line]
        self.assertEqual(critical[0]["message"], "The server could not start: the key file is not ours")
        self.assertNotIn("traceback", critical[0])
