"""What is claimed about accounts, tokens, crawlers, settings, schemas and the server's state."""

from __future__ import annotations

import json
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.config import DECLARATIONS
from crawlsock.wire.catalog import Catalog
from tests.cli.world import World

HOST = "gitlab.example.com"


class OperationTests(SynchronousTestCase):
    """Each on a server in memory."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.harness.stop)
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def test_a_credential_comes_from_stdin_a_file_or_a_variable(self) -> None:
        """Three ways to bring a token, none of them an option, and no output ever shows it."""
        file = self.folder / "token"
        file.write_text("glpat-from-a-file\n")
        self.world.environ["MY_TOKEN"] = "glpat-from-a-variable"
        ways: list[tuple[tuple[str, ...], str | None]] = [
            ((), "glpat-from-stdin\n"),
            (("--access-token-file", str(file)), None),
            (("--access-token-env", "MY_TOKEN"), None),
        ]
        for number, (options, given) in enumerate(ways):
            ended = self.world.invoke("account", "put", f"team-{number}", "--host", HOST, *options, input=given)
            self.assertEqual(ended.code, 0, ended)
            self.assertNotIn("glpat", ended.out + ended.err)
        listed = self.world.invoke("account", "list", "--json")
        states = {each["account"]: each["state"] for each in listed.objects}
        self.assertEqual({states[f"team-{number}"] for number in range(3)}, {"valid"})
        self.assertNotIn("glpat", listed.out)

    def test_a_missing_token_is_told_with_its_place(self) -> None:
        """An empty stdin, a file that is not there, and a variable that is not set end with 2."""
        for options, place in (
            ((), "stdin is empty"),
            (("--access-token-file", "/none"), "cannot read /none"),
            (("--access-token-env", "NONE"), "the variable NONE is empty"),
        ):
            ended = self.world.invoke("account", "put", "team", "--host", HOST, *options, input="")
            self.assertEqual((ended.code, place in ended.err), (2, True), ended)

    def test_a_token_is_made_listed_and_revoked(self) -> None:
        """A new token is shown once, or written into a private file; revoked, it opens nothing."""
        made = self.world.invoke("token", "create", "monitor", "--name", "a board", "--json").object
        self.assertTrue(made["token"].startswith("cs_monitor_"))
        file = self.folder / "made"
        written = self.world.invoke("token", "create", "crawler", "--name", "c", "--output", str(file))
        self.assertEqual((written.code, stat.S_IMODE(file.stat().st_mode)), (0, 0o600))
        self.assertNotIn("cs_crawler", written.out)
        self.assertTrue(file.read_text().startswith("cs_crawler_"))
        self.assertEqual(self.world.invoke("token", "create", "crawler", "--name", "c", "--output", str(file)).code, 2)
        listed = self.world.invoke("token", "list", "--json")
        self.assertIn(made["token_id"], {each["token_id"] for each in listed.objects})
        self.assertNotIn(made["token"], listed.out)
        self.assertEqual(self.world.invoke("token", "revoke", made["token_id"]).code, 0)
        self.world.runtime.token = made["token"]
        ended = self.world.invoke("status")
        self.assertEqual((ended.code, ended.err.count("\n")), (5, 1), ended)

    def test_a_role_that_may_not_is_told_so(self) -> None:
        """A monitor's token does not cancel: exit code 5 and the remedy."""
        job_id = self.world.submit()
        self.world.runtime.token = self.world.harness.token("monitor")
        ended = self.world.invoke("cancel", job_id)
        self.assertEqual(ended.code, 5, ended)

    def test_crawlers_and_status_show_who_is_there(self) -> None:
        """The connected crawler stands in the list, and the status counts it and the jobs by state."""
        self.world.submit()
        self.assertIn("start one with crawlsock crawl", self.world.invoke("crawlers").err)
        self.world.crawler(crawler_id="c-1", slots=1)
        self.assertIn("c-1", self.world.invoke("crawlers").out)
        self.assertEqual(self.world.invoke("crawlers", "--json").object["jobs"], 1)
        status = self.world.invoke("status", "--json").object
        self.assertEqual((status["crawlers"], status["jobs"]["assigned"]), (1, 1))
        self.assertIn("1 assigned", self.world.invoke("status").out)

    def test_settings_are_shown_with_their_source_and_secrets_hidden(self) -> None:
        """Without a server the configuration of here is shown; a password in it is not."""
        self.world.environ["DATABASE_URL"] = "postgresql://me:sesame@db/x"
        self.world.environ["CRAWLSOCK_LOG_LEVEL"] = "error"
        shown = self.world.invoke("config", "show", "--json", "--data-dir", "/nowhere")
        rows = {row["name"]: row for row in shown.objects}
        self.assertEqual(rows.keys(), DECLARATIONS.keys())
        level = rows["log_level"]
        self.assertEqual((level["value"], level["source"]), ("error", "environment CRAWLSOCK_LOG_LEVEL"))
        self.assertEqual(rows["data_dir"]["source"], "option --data-dir")
        self.assertNotIn("sesame", shown.out)
        self.assertIn("log_level", self.world.invoke("config").out)

    def test_a_live_setting_changes_in_the_server(self) -> None:
        """`config set` changes what is live; what is not, or is none, is refused with its own code."""
        self.assertEqual(self.world.invoke("config", "set", "poison-limit", "5").code, 0)
        rows = {row["name"]: row for row in self.world.invoke("config", "show", "--server", "--json").objects}
        limit = rows["poison_limit"]
        self.assertEqual((limit["value"], limit["source"]), ("5", "config_set poison_limit"))
        self.assertEqual(self.world.invoke("config", "set", "heartbeat_interval", "5").code, 4)
        self.assertEqual(self.world.invoke("config", "set", "no_such_thing", "5").code, 2)
        self.assertEqual(self.world.invoke("config", "set", "poison_limit", "many").code, 2)

    def test_bad_configuration_ends_with_seven(self) -> None:
        """A setting that is none, in the environment, ends every command with 7 and one line."""
        self.world.environ["CRAWLSOCK_LOG_LEVLE"] = "error"
        ended = self.world.invoke("config", "show")
        self.assertEqual((ended.code, ended.out, ended.err.count("\n")), (7, "", 1))
        self.assertIn("CRAWLSOCK_LOG_LEVEL?", ended.err)

    def test_the_demo_wants_a_postgresql(self) -> None:
        """A demo without any PostgreSQL of its own cannot be: 7, before anything starts."""
        self.world.environ["CRAWLSOCK_EMBEDDED_POSTGRES"] = "off"
        ended = self.world.invoke("demo")
        self.assertEqual((ended.code, ended.err.count("\n")), (7, 1), ended)

    def test_schemas_are_printed(self) -> None:
        """Every message type is listed, each schema is shown as it is, and the AsyncAPI document is JSON."""
        names = [each["type"] for each in self.world.invoke("schema", "list", "--json").objects]
        self.assertEqual(names, list(Catalog.load().types))
        self.assertIn("job_submit", self.world.invoke("schema", "list").out)
        shown = json.loads(self.world.invoke("schema", "show", "hello").out)
        self.assertEqual(shown["title"], "hello")
        self.assertIn("did you mean hello?", self.world.invoke("schema", "show", "helo").err)
        self.assertEqual(json.loads(self.world.invoke("schema", "asyncapi").out)["asyncapi"], "3.0.0")

    def test_the_documentation_of_settings_is_printed(self) -> None:
        """`config docs` prints the page that the repository holds."""
        self.assertTrue(self.world.invoke("config", "docs").out.startswith("# Configuration"))

    def test_no_server_ends_with_three(self) -> None:
        """A server that does not answer ends a command with 3 and what to do, after five seconds."""
        self.world.harness.kill()
        before = self.world.harness.clock.seconds()
        ended = self.world.invoke("status")
        self.assertEqual((ended.code, ended.err.count("\n")), (3, 1), ended)
        self.assertIn("start the server", ended.err)
        self.assertLess(self.world.harness.clock.seconds() - before, 6)
