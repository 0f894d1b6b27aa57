"""What is claimed about where a command connects, and as whom."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.cli.access import find_access
from crawlsock.cli.command import Invocation
from crawlsock.cli.exits import CommandError, Exit


class AccessTests(SynchronousTestCase):
    """The endpoint is named; there is a token file, and no server."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def invocation(self, token: str) -> Invocation:
        file = self.folder / "token"
        file.write_text(token + "\n")
        return Invocation(
            environ={"CRAWLSOCK_DATA_DIR": "/nonexistent", "CRAWLSOCK_CONNECT": "unix:/run/x.sock"},
            token_file=str(file),
        )

    def test_a_named_token_says_its_role(self) -> None:
        """A command shows a token of the web application or of a monitor in the role that it was made for."""
        for role in ("webapp", "monitor", "admin"):
            self.assertEqual(find_access(self.invocation(f"cs_{role}_x_admin_y"), "admin").role, role)

    def test_any_other_token_keeps_the_role_of_the_command(self) -> None:
        """A crawler's token, and one of a form of somebody else's, is shown in the role that the command has."""
        for token in ("cs_crawler_x", "cs_king_x", "cs_", "webapp_x", "x"):
            self.assertEqual(find_access(self.invocation(token), "monitor").role, "monitor")
        self.assertEqual(find_access(self.invocation("cs_webapp_x"), "crawler").role, "crawler")

    def test_an_empty_token_is_refused(self) -> None:
        """A token file without a token in it is bad configuration."""
        refused = self.assertRaises(CommandError, find_access, self.invocation(""), "admin")
        self.assertEqual(refused.exit, Exit.BAD_CONFIGURATION)
