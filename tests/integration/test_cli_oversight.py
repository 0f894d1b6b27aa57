"""What is claimed about looking after a real server by typing: doctor, events, top, signing in."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from typing import Any

from tests.integration.command_case import PATIENCE, CommandCase
from tests.integration.postgres import empty_database, execute, fresh_database


def free_endpoint() -> str:
    """Return an endpoint of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp:{probe.getsockname()[1]}:interface=127.0.0.1"


class OversightTests(CommandCase):
    """A server of the test's own, or none."""

    def examine(self, *arguments: str, **environ: str) -> tuple[int, dict[str, dict[str, Any]]]:
        code, out, err = self.crawlsock("doctor", "--json", *arguments, **environ)
        found = json.loads(out)
        self.assertEqual((found["exit_code"], err), (code, ""))
        return code, {each["check"]: each for each in found["checks"]}

    def test_before_the_first_start(self) -> None:
        """With a database and nothing else all is well offline; a server that does not run is missed otherwise: 3."""
        dsn = empty_database()
        elsewhere = {"CRAWLSOCK_HTTP_ENDPOINT": free_endpoint()}
        code, found = self.examine("--offline", DATABASE_URL=dsn, **elsewhere)
        self.assertEqual(code, 0, found)
        self.assertEqual((found["database"]["state"], found["notify"]["state"]), ("ok", "ok"))
        self.assertIn("to be applied", found["schema"]["summary"])
        self.assertEqual({each["state"] for each in found.values()}, {"ok", "skipped", "warn"})
        code, found = self.examine(DATABASE_URL=dsn, **elsewhere)
        self.assertEqual((code, found["server"]["state"]), (3, "bad"))
        self.assertEqual(list((self.scratch / "data").parent.iterdir()), [], "looking leaves no trace")

    def test_a_database_that_is_away(self) -> None:
        """It is told with its address and without its password: 3."""
        where = "postgresql://me:sesame@127.0.0.1:1/none"
        code, found = self.examine("--offline", DATABASE_URL=where, CRAWLSOCK_HTTP_ENDPOINT=free_endpoint())
        self.assertEqual((code, found["database"]["state"]), (3, "bad"))
        self.assertNotIn("sesame", json.dumps(found))

    def test_a_login_that_may_not_migrate(self) -> None:
        """A login that may make no schema is told the statement that its owner is to run: 5."""
        dsn = empty_database()
        ((user, name),) = execute(dsn, "SELECT current_user, current_database()")
        execute(dsn, f'REVOKE CREATE ON DATABASE "{name}" FROM "{user}", PUBLIC')
        code, found = self.examine("--offline", DATABASE_URL=dsn, CRAWLSOCK_HTTP_ENDPOINT=free_endpoint())
        self.assertEqual((code, found["rights"]["state"]), (5, "bad"), found)
        self.assertIn(f'CREATE SCHEMA crawlsock AUTHORIZATION "{user}"', found["rights"]["remedy"])

    def test_bad_configuration(self) -> None:
        """A setting that is wrong is the finding, with what to write instead: 7."""
        code, found = self.examine(CRAWLSOCK_LOG_LEVLE="error")
        self.assertEqual((code, found["configuration"]["state"]), (7, "bad"))

    def test_a_server_that_runs(self) -> None:
        """Its socket, port, pages, version and own checks are looked at; a key that is open to others is told: 7."""
        dsn, http = fresh_database(), free_endpoint()
        server = self.serve(dsn, http)
        environ = {"DATABASE_URL": dsn, "CRAWLSOCK_HTTP_ENDPOINT": http}
        code, found = self.examine(**environ)
        self.assertEqual(code, 0, found)
        for check in (
            "socket",
            "http port",
            "database",
            "schema",
            "rights",
            "server",
            "version",
            "pages",
            "key",
            "tokens",
        ):
            self.assertEqual(found[check]["state"], "ok", found[check])
        self.assertIn(f"pid {server.pid} ", found["socket"]["summary"])
        self.assertEqual(found["server: database"]["state"], "ok")
        (self.scratch / "data" / "key").chmod(0o644)
        code, found = self.examine(**environ)
        self.assertEqual((code, found["key"]["state"]), (7, "bad"))
        self.assertIn("chmod 600", found["key"]["remedy"])
        server.kill()
        server.wait()
        self.assertEqual(self.examine(**environ)[1]["socket"]["state"], "skipped")
        lines = self.crawlsock("doctor", **environ)[1].splitlines()
        self.assertIn("✖ server", "\n".join(lines))
        self.assertRegex(lines[-1], r"^\d to mend")

    def test_events_through_a_killed_server(self) -> None:
        """Followed over kill -9 and a new server, every event comes once, in order, also those of large batches."""
        dsn = fresh_database()
        server = self.serve(dsn)
        following = self.start("-m", "crawlsock.cli", "events", "--follow", "--jsonl", "--kind", "job_created")
        assert following.stdout is not None and following.stderr is not None
        self.assertIn("following", following.stderr.readline())
        file = self.scratch / "jobs.jsonl"
        file.write_text('{"type": "my_own_job"}\n' * 1500)
        wanted = []
        self.crawlsock("submit", "my_own_job")
        wanted.append(json.loads(following.stdout.readline())["job_id"])
        server.kill()
        server.wait()
        self.assertIn("the server is away", following.stderr.readline())
        self.serve(dsn)
        # Before there is much to print: nobody reads what is printed meanwhile, and a full pipe stops the command.
        self.assertIn("the server is back", following.stderr.readline())
        self.assertEqual(self.crawlsock("submit", "--from", str(file))[0], 0)
        for _ in range(1500):
            wanted.append(json.loads(following.stdout.readline())["job_id"])
        self.crawlsock("submit", "my_own_job")
        last = json.loads(following.stdout.readline())
        wanted.append(last["job_id"])
        self.assertEqual(len(set(wanted)), 1502)
        following.send_signal(signal.SIGINT)
        out, _ = following.communicate(timeout=PATIENCE)
        self.assertEqual((following.returncode, out), (130, ""))
        rows = execute(dsn, "SELECT job_id::text FROM crawlsock.job")
        self.assertEqual({row[0] for row in rows}, set(wanted))
        code, out, _ = self.crawlsock("events", "--since", last["position"], "--json")
        self.assertEqual((code, out), (0, ""))

    def test_signing_in(self) -> None:
        """`token login` prints a link that opens; without pages there is none: 4."""
        http = free_endpoint()
        server = self.serve(fresh_database(), http)
        code, out, err = self.crawlsock("token", "login")
        self.assertEqual((code, err.startswith("works once")), (0, True), err)
        with urllib.request.urlopen(out.strip()) as page:
            self.assertEqual(page.status, 200)
        shown = self.crawlsock("top", "--once")
        self.assertEqual((shown[0], "health" in shown[1] or "jobs" in shown[1]), (0, True))
        server.terminate()
        server.wait()
        self.serve(fresh_database())
        self.assertEqual(self.crawlsock("token", "login", "--role", "monitor")[0], 4)
