"""What is claimed about the command as a process, against a real server process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

from tests.integration.command_case import PATIENCE, CommandCase
from tests.integration.postgres import empty_database, fresh_database


class CommandTests(CommandCase):
    """Jobs, crawlers and migrations, by typing."""

    def test_a_life_with_a_server(self) -> None:
        """Submit, list, watch over a restart of the server, cancel: each exit code is the result."""
        dsn = fresh_database()
        server = self.serve(dsn)
        code, out, _ = self.crawlsock("submit", "my_own_job", "--json")
        self.assertEqual(code, 0)
        job_id = json.loads(out)["job_id"]
        watching = self.start("-m", "crawlsock.cli", "watch", job_id)
        assert watching.stderr is not None
        self.assertIn("1 queued", watching.stderr.readline())
        server.send_signal(signal.SIGKILL)
        server.wait()
        self.assertIn("the server is away", watching.stderr.readline())
        self.serve(dsn)
        self.assertEqual(self.crawlsock("cancel", job_id, "--reason", "a test")[0], 0)
        said = watching.stderr.read()
        self.assertEqual(watching.wait(PATIENCE), 1, said)
        self.assertIn("the server is back", said)
        self.assertEqual(json.loads(self.crawlsock("show", job_id, "--json")[1])["state"], "cancelled")
        self.assertEqual(self.crawlsock("watch", job_id, "--timeout", "5")[0], 1)
        self.assertEqual(self.crawlsock("status", "--token-file", "/dev/null")[0], 7)
        self.assertEqual(self.crawlsock("jobs", CRAWLSOCK_TOKEN="cs_admin_wrong")[0], 5)
        self.assertIn('"jobs"', self.crawlsock("status", "--json")[1])

    def test_a_crawler_drains_on_sigterm(self) -> None:
        """`crawlsock crawl` is listed while it runs, shows no token, and ends with 0 on SIGTERM."""
        self.serve(fresh_database())
        token = (self.scratch / "data" / "tokens" / "crawler").read_text().strip()
        crawler = self.start("-m", "crawlsock.cli", "crawl", "--crawler-id", "c-1", "--slots", "3", "--labels", "a,b")
        until = time.monotonic() + PATIENCE
        while not (rows := self.crawlsock("crawlers", "--json")[1]):
            self.assertLess(time.monotonic(), until, "the crawler does not come")
        row = json.loads(rows)
        self.assertEqual((row["crawler_id"], row["slots"], row["labels"]), ("c-1", 3, ["a", "b"]))
        crawler.send_signal(signal.SIGTERM)
        _, said = crawler.communicate(timeout=PATIENCE)
        self.assertEqual(crawler.returncode, 0, said)
        self.assertNotIn(token, said)
        self.assertEqual(self.crawlsock("crawlers", "--json")[1], "")

    def test_a_refused_crawler_says_why(self) -> None:
        """A crawler whose token is wrong ends with 5 and one last line that says what to do."""
        self.serve(fresh_database())
        code, _, err = self.crawlsock("crawl", CRAWLSOCK_TOKEN="cs_crawler_wrong")
        self.assertEqual(code, 5)
        self.assertIn("get a valid token", err.splitlines()[-1])

    def test_an_interrupted_command_ends_quietly(self) -> None:
        """Ctrl-C ends a watch with 130, and without a word more."""
        self.serve(fresh_database())
        self.crawlsock("submit", "my_own_job")
        watching = self.start("-m", "crawlsock.cli", "watch")
        assert watching.stderr is not None
        watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=PATIENCE)
        self.assertEqual((watching.returncode, said), (130, ""))

    def test_migrate_checks_and_applies(self) -> None:
        """`--check` names what is to be done and ends with 4; applied, there is nothing left; no database: 3."""
        dsn = empty_database()
        code, out, _ = self.crawlsock("migrate", "--check", DATABASE_URL=dsn)
        self.assertEqual((code, bool(re.search(r"to be applied: 0001_\w+\.sql", out))), (4, True))
        self.assertEqual(self.crawlsock("migrate", DATABASE_URL=dsn)[0], 0)
        self.assertEqual(self.crawlsock("migrate", "--check", "--json", DATABASE_URL=dsn)[:2], (0, '{"pending":[]}\n'))
        code, _, err = self.crawlsock("migrate", DATABASE_URL="postgresql://me:sesame@127.0.0.1:1/none")
        self.assertEqual((code, err.count("\n"), "sesame" in err), (3, 1, False), err)

    def test_a_reader_that_leaves_is_no_error(self) -> None:
        """Output cut short by the reader (`| head -1`) ends the command without a complaint."""
        command = f"{sys.executable} -m crawlsock.cli schema asyncapi | head -1"
        ended = subprocess.run(command, shell=True, env=self.environ, capture_output=True, text=True, cwd=self.scratch)
        self.assertEqual((ended.stdout, ended.stderr), ("{\n", ""))
