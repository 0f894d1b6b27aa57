"""What is claimed about exit codes, and the line that comes with each."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.cli.exits import REFUSALS, CommandError, Exit, verdict
from crawlsock.config import ConfigError
from crawlsock.gitlab import HostRefused
from crawlsock.postgres import EmbeddedPostgresError
from crawlsock.sdk import NotAnswered, NotConnected, Refused
from crawlsock.store.errors import DatabaseAway
from crawlsock.store.migrate import MigrationFailed, SchemaTooNew
from crawlsock.wire.errors import ErrorCode


class ExitTests(SynchronousTestCase):
    """The tables."""

    def test_every_refusal_has_a_code_and_a_remedy(self) -> None:
        """The table has the closed list of error codes, no more, and each line names the code and the remedy."""
        self.assertEqual(set(REFUSALS), {each.value for each in ErrorCode})
        for code in ErrorCode:
            told = verdict(Refused(code.value, "because"))
            self.assertEqual(told.code, REFUSALS[code.value])
            self.assertTrue(told.line.startswith(f"{code.value}: because"), told)
            self.assertTrue(told.line.endswith(code.remedy), told)

    def test_exceptions_end_as_the_design_says(self) -> None:
        """Each kind of trouble has its exit code."""
        cases = {
            NotConnected("no"): Exit.NOT_REACHABLE,
            NotAnswered("no answer to x in 3 seconds, and there is no connection"): Exit.NOT_REACHABLE,
            NotAnswered("no answer to x in 3 seconds"): Exit.TIMED_OUT,
            ConfigError("x is y; write z"): Exit.BAD_CONFIGURATION,
            EmbeddedPostgresError("x"): Exit.BAD_CONFIGURATION,
            SchemaTooNew("x"): Exit.VERSION_MISMATCH,
            MigrationFailed("x"): Exit.FAILED,
            DatabaseAway("x"): Exit.NOT_REACHABLE,
            HostRefused("x"): Exit.USAGE,
            BrokenPipeError(): Exit.DONE,
            PermissionError(13, "no"): Exit.FAILED,
            CommandError(Exit.CONFLICT, "x; do y"): Exit.CONFLICT,
            Refused("unsupported_version", "x"): Exit.VERSION_MISMATCH,
            Refused("authentication_failed", "x"): Exit.NOT_ALLOWED,
            Refused("unavailable", "x"): Exit.NOT_REACHABLE,
        }
        self.assertEqual({error: verdict(error).code for error in cases}, cases)

    def test_a_line_is_one_line_whatever_a_server_says(self) -> None:
        """Line breaks and control characters of a message do not reach the terminal."""
        line = verdict(Refused("forbidden", "no\n\x1b[2Jway")).line
        self.assertTrue(line.isprintable(), line)

    def test_a_missing_package_is_told_with_its_extra(self) -> None:
        """A command whose extra is not installed ends with 7 and says what to install."""
        told = verdict(ModuleNotFoundError("No module named 'treq'", name="treq"))
        self.assertEqual((told.code, told.line.endswith("pip install 'crawlsock[gitlab]'")), (7, True), told)

    def test_what_nobody_foresaw_is_called_a_bug(self) -> None:
        """An unknown exception ends with 1, and says how to see more."""
        told = verdict(KeyError("x"))
        self.assertEqual(told.code, 1)
        self.assertIn("a bug: KeyError", told.line)
        self.assertIn("--debug", told.line)
