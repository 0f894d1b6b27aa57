"""What is claimed about the command as a whole: its list, its options, how it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
from twisted.trial.unittest import SynchronousTestCase

from crawlsock import __version__
from crawlsock.cli.command import Invocation
from crawlsock.cli.root import COMMANDS, root
from tests.cli.world import Ended, invoke

ROOT = Path(__file__).parent.parent.parent


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run some code in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


class RootTests(SynchronousTestCase):
    """The command line without a server."""

    def run_command(self, *arguments: str, **environ: str) -> Ended:
        return invoke(arguments, Invocation(environ=environ))

    def test_every_command_has_help_that_begins_with_its_sentence(self) -> None:
        """The list of commands says of each what its own page says, and each page shows the shared options."""
        listed = self.run_command("--help")
        self.assertEqual(listed.code, 0)
        context = click.Context(root)
        for name, (_, sentence) in COMMANDS.items():
            self.assertIn(f"  {name} ", listed.out)
            command = root.get_command(context, name)
            assert command is not None
            self.assertEqual((command.name, command.short_help), (name, sentence))
            page = self.run_command(name, "--help")
            self.assertEqual(page.code, 0)
            if not isinstance(command, click.Group):
                self.assertIn("--token-file", page.out)
                self.assertIn("--json", page.out)

    def test_the_page_of_commands_has_them_all(self) -> None:
        """docs/cli.md names every command, and every command of a group."""
        page = (ROOT / "docs" / "cli.md").read_text()
        context = click.Context(root)
        for name in COMMANDS:
            self.assertRegex(page, rf"`{name}\b")
            command = root.get_command(context, name)
            for each in command.commands if isinstance(command, click.Group) else ():
                self.assertRegex(page, rf"`({name} )?{each}\b|\[{each}\]", f"{name} {each}")

    def test_help_imports_next_to_nothing(self) -> None:
        """`crawlsock --help` loads neither Twisted nor rich nor the SDK: it is there at once."""
        code = (
            "import sys; from crawlsock.cli.root import run; run(['--help']);"
            "sys.exit(' '.join({'twisted', 'rich', 'crawlsock.sdk', 'crawlsock.config'} & set(sys.modules)))"
        )
        self.assertEqual(python(code).stderr, "\n")

    def test_without_click_one_line_says_what_to_install(self) -> None:
        """Where the extra is missing the command ends with one line that names it."""
        ended = python("import sys; sys.modules['click'] = None; import crawlsock.cli; crawlsock.cli.main()")
        self.assertEqual((ended.returncode, ended.stderr.count("\n")), (1, 1))
        self.assertIn("pip install 'crawlsock[cli]'", ended.stderr)

    def test_the_version_is_shown(self) -> None:
        """`--version` prints the package's version."""
        self.assertEqual(self.run_command("--version").out, f"crawlsock {__version__}\n")

    def test_a_misspelt_command_or_option_ends_with_two(self) -> None:
        """Usage errors are one line with the nearest command, or where to look."""
        ended = self.run_command("sumbit")
        self.assertEqual((ended.code, ended.err.count("\n")), (2, 1))
        self.assertIn("did you mean submit?", ended.err)
        ended = self.run_command("jobs", "--no-such-thing")
        self.assertEqual((ended.code, ended.err.count("\n")), (2, 1))
        self.assertIn("see crawlsock jobs --help", ended.err)

    def test_shared_options_stand_before_or_after(self) -> None:
        """An option before the command holds for it, and one after the command wins."""
        for arguments in (("--data-dir", "/a", "status"), ("--data-dir", "/b", "status", "--data-dir", "/a")):
            ended = self.run_command(*arguments)
            self.assertEqual(ended.code, 3)
            self.assertIn("/a/run/crawlsock.sock", ended.err)

    def test_no_socket_ends_with_three_at_once(self) -> None:
        """Where there is no socket the line says how to start a server, and how to name another place."""
        ended = self.run_command("jobs", "--data-dir", "/nonexistent/crawlsock")
        self.assertEqual((ended.code, ended.out, ended.err.count("\n")), (3, "", 1))
        self.assertIn("twistd -n crawlsock", ended.err)

    def test_a_token_that_cannot_be_read_is_told(self) -> None:
        """A named token file that is missing is bad configuration; a default one is a matter of who asks."""
        named = self.run_command("jobs", "--endpoint", "/nonexistent/s", "--token-file", "/nonexistent/t")
        self.assertEqual((named.code, "/nonexistent/t" in named.err), (7, True))
        default = self.run_command("jobs", "--endpoint", "/nonexistent/s", "--data-dir", "/nonexistent")
        self.assertEqual((default.code, "/nonexistent/tokens/admin" in default.err), (5, True))

    def test_an_endpoint_that_is_none_is_bad_configuration(self) -> None:
        """An endpoint string that Twisted cannot read ends with 7 and shows one that it can."""
        ended = self.run_command("jobs", "--endpoint", "carrier-pigeon:7", CRAWLSOCK_TOKEN="cs_admin_x")
        self.assertEqual((ended.code, "tcp:host:port" in ended.err), (7, True), ended)

    def test_a_server_without_unix_socket_must_be_named(self) -> None:
        """When the configured endpoint is no Unix socket, the line asks for --endpoint."""
        ended = self.run_command("jobs", CRAWLSOCK_ENDPOINT="tcp:9:interface=127.0.0.1")
        self.assertEqual((ended.code, "--endpoint" in ended.err), (7, True), ended)

    def test_crawl_refuses_what_is_no_host(self) -> None:
        """An allowed host that is none ends the crawler with 2 before it connects."""
        ended = self.run_command("crawl", "--allowed-host", "http://example.com", CRAWLSOCK_TOKEN="cs_crawler_x")
        self.assertEqual((ended.code, "use https" in ended.err), (2, True), ended)

    def test_migrate_wants_a_database(self) -> None:
        """Without a configured database there is nothing to migrate: exit code 7 and how to name one."""
        ended = self.run_command("migrate")
        self.assertEqual((ended.code, "DATABASE_URL" in ended.err), (7, True))
        secret = self.run_command("migrate", "--database", "postgresql://me:sesame@db/x")
        self.assertEqual((secret.code, "sesame" in secret.err), (7, False))
