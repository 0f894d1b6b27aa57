"""What the schema lets the role of a web application do that shares its database."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.integration.postgres import execute, fresh_database


class RightsTests(TestCase):
    """Functions that run with the rights of their owner."""

    def test_submit_alone(self) -> None:
        """`crawlsock.submit` alone runs with its owner's rights, and looks for names where only the owner makes any."""
        found = execute(
            fresh_database(),
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'crawlsock'::regnamespace AND prosecdef",
        )
        self.assertEqual(found, [("submit", ["search_path=pg_catalog, crawlsock, pg_temp"])])
