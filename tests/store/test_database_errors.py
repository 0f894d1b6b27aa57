"""What a SQLSTATE means."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.store.errors import (
    CommitUnknown,
    DatabaseAway,
    Refused,
    Retryable,
    from_sqlstate,
    verdict,
)


class Verdicts(SynchronousTestCase):
    def test_table(self) -> None:
        """Each SQLSTATE gets the verdict that its longest known prefix has."""
        expected = {
            None: "dead",
            "": "dead",
            "08006": "dead",
            "25006": "dead",
            "25001": "refused",
            "25P02": "refused",
            "25P03": "dead",
            "25P04": "dead",
            "40001": "retry",
            "40P01": "retry",
            "40003": "dead",
            "53100": "busy",
            "53300": "busy",
            "55P03": "refused",
            "57014": "refused",
            "57P01": "dead",
            "57P02": "dead",
            "57P03": "dead",
            "58030": "busy",
            "23505": "refused",
            "22P05": "refused",
        }
        self.assertEqual({state: verdict(state) for state in expected}, expected)

    def test_exceptions(self) -> None:
        """A death under a writing call is an unknown outcome, any other is away; the rest keep their SQLSTATE."""
        self.assertIs(type(from_sqlstate(None, "gone", None, in_flight_write=True)), CommitUnknown)
        self.assertIs(type(from_sqlstate("57P01", "gone", None, in_flight_write=False)), DatabaseAway)
        self.assertIs(type(from_sqlstate("53100", "full", None, in_flight_write=True)), DatabaseAway)
        self.assertIs(type(from_sqlstate("25006", "read only", None, in_flight_write=True)), DatabaseAway)
        retry = from_sqlstate("40P01", "deadlock", None, in_flight_write=True)
        assert isinstance(retry, Retryable)
        self.assertEqual(retry.sqlstate, "40P01")
        refused = from_sqlstate("23505", "twice", "Key (a)=(1)", in_flight_write=True)
        assert isinstance(refused, Refused)
        self.assertEqual((refused.sqlstate, refused.message, refused.detail), ("23505", "twice", "Key (a)=(1)"))

    def test_retry_after(self) -> None:
        """Whoever is told that the database is away is told when to come again."""
        away = from_sqlstate("57P03", "starting up", None, in_flight_write=False)
        assert isinstance(away, DatabaseAway)
        self.assertGreater(away.retry_after, 0)
