"""What `crawlsock.submit` refuses, in the transaction of the web application that calls it."""

from __future__ import annotations

import json
from typing import Any

import psycopg2
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import InvalidMessage
from tests.integration.postgres import fresh_database


def nested(levels: int) -> Any:
    """Return an object with so many levels."""
    return {"a": nested(levels - 1)} if levels > 1 else {}


GOOD: list[dict[str, Any]] = [
    {"host": "https://gitlab.example.com/x", "entity_id": "é" * 255, "namespace_path": "g/p", "name": ""},
    {"name": "x" * 512, "priority": -1000, "max_attempts": 1000, "labels": ["a=b", "c"], "estimated_size": 0},
    {"payload": {"a": 2**63 - 1, "b": [1.5, None, True, "x"]}},
    {"payload": nested(9)},
    {"labels": []},
]
BAD: list[dict[str, Any]] = [
    {"type": "Bad Type"},
    {"type": "x\n"},
    {"host": "bad host"},
    {"host": "x" * 129},
    {"entity_id": ""},
    {"namespace_path": "a\tb"},
    {"namespace_path": "x" * 1025},
    {"name": "x" * 513},
    {"name": "a\x01"},
    {"job_key": "\x7f"},
    {"priority": 1001},
    {"max_attempts": 0},
    {"labels": ["a b"]},
    {"labels": ["a"] * 33},
    {"estimated_size": -1},
    {"payload": {"a": "x" * 65536}},
    {"payload": nested(10)},
    {"payload": {"a": {"b": [[[[[[[1]]]]]]]}}},
    {"payload": {str(number): 1 for number in range(1025)}},
]


class SubmitLimitTests(SynchronousTestCase):
    """A connection of a web application's own."""

    def setUp(self) -> None:
        self.connection = psycopg2.connect(fresh_database())
        self.addCleanup(self.connection.close)
        self.connection.autocommit = True
        self.codec = Codec(Catalog.load())

    def submit(self, job: dict[str, Any]) -> str | None:
        """Submit in SQL; return the refusal, None when there was none."""
        given = {"type": "x", **job}
        if "payload" in given:
            given["payload"] = json.dumps(given["payload"])
        named = ", ".join(f"{name} => %({name})s{'::text[]' if name == 'labels' else ''}" for name in given)
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(f"SELECT * FROM crawlsock.submit({named})", given)
            except psycopg2.errors.CheckViolation as refused:
                return refused.diag.message_primary
        return None

    def fits_the_schema(self, job: dict[str, Any]) -> bool:
        frame = {"type": "job_submit", "id": 1, "data": {"jobs": [{"type": "x", **job}]}}
        try:
            self.codec.decode(json.dumps(frame).encode())
        except InvalidMessage:
            return False
        return True

    def test_sql_and_schema_agree(self) -> None:
        """What job_submit takes is taken in SQL, and what it refuses is refused there, with the field's name."""
        for job in GOOD:
            self.assertTrue(self.fits_the_schema(job), job)
            self.assertIsNone(self.submit(job), job)
        for job in BAD:
            self.assertFalse(self.fits_the_schema(job), job)
            self.assertIn(f"crawlsock.submit: {next(iter(job))} must", str(self.submit(job)))

    def test_what_no_schema_says(self) -> None:
        """A payload that is no object or holds too large a number, a time without end, and no type are refused."""
        for call in (
            "NULL",
            "'x', payload => '[1]'",
            "'x', payload => '1'",
            """'x', payload => '{"a": 9223372036854775808}'""",
            "'x', run_at => 'infinity'",
            "'x', backoff_base => 'NaN'",
        ):
            with self.connection.cursor() as cursor, self.assertRaises(psycopg2.errors.CheckViolation):
                cursor.execute(f"SELECT * FROM crawlsock.submit({call})")
