"""From text to fields: every parameter typed, bounded, and named when it is refused."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.web.parameters import MOST_PARAMETERS, read_query, read_value
from crawlsock.web.problems import Problem

SCHEMAS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 500},
    "share": {"type": "number"},
    "open": {"type": "boolean"},
    "search": {"type": "string", "maxLength": 255, "pattern": "^[^\\x00-\\x1f]*$"},
    "states": {"type": "array", "items": {"type": "string", "enum": ["queued", "failed"]}},
    "names": {"type": "array", "items": {"type": "string", "pattern": "^[^\\x00-\\x1f]+$"}},
    "types": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
}


class QueryTests(SynchronousTestCase):
    """A query, whole."""

    def refused(self, query: bytes, words: str, parameter: str | None = None) -> None:
        problem = self.assertRaises(Problem, read_query, query, SCHEMAS)
        self.assertEqual((problem.status, problem.code), (400, "invalid_parameter"))
        self.assertIn(words, problem.detail)
        self.assertEqual(problem.extra.get("parameter"), parameter)

    def test_text_becomes_what_the_schema_says(self) -> None:
        """Numbers, booleans and lists are read as such; text stays text, with its signs and its plus for a space."""
        found = read_query(b"limit=50&share=2.5e1&open=true&search=caf%C3%A9+%26%20co&states=queued", SCHEMAS)
        self.assertEqual(found, {"limit": 50, "share": 25.0, "open": True, "search": "café & co", "states": ["queued"]})
        self.assertEqual(read_query(b"", SCHEMAS), {})

    def test_lists_are_repeated_or_cut_at_commas(self) -> None:
        """Both forms mean the same, except where an item may hold a comma: there only repeating is meant."""
        for query in (b"states=queued&states=failed", b"states=queued,failed", b"states=queued%2Cfailed"):
            self.assertEqual(read_query(query, SCHEMAS), {"states": ["queued", "failed"]})
        self.assertEqual(read_query(b"types=a,b", SCHEMAS), {"types": ["a", "b"]})
        self.assertEqual(read_query(b"names=a,b&names=c", SCHEMAS), {"names": ["a,b", "c"]})

    def test_unknown_parameters_are_named(self) -> None:
        """Nothing is passed over: a name that means nothing is refused, with those that do."""
        self.refused(b"limit=1&lmit=2", "there is no parameter lmit; known here: limit, names", "lmit")

    def test_a_parameter_is_given_once(self) -> None:
        """Of two values neither is chosen."""
        self.refused(b"limit=1&limit=2", "limit is given more than once", "limit")

    def test_numbers_are_digits(self) -> None:
        """What is only nearly a number is refused: nothing is rounded, and no digit of another script is one."""
        for text in (b"", b"1.0", b"0x1", b"+1", b"01", b"1e3", b"NaN", b"%D9%A1", b"1" * 20, b"none"):
            self.refused(b"limit=" + text.replace(b"+", b"%2B"), "limit must be a whole number", "limit")
        for text in (b"inf", b"nan", b"1e999999", b".5", b"--1"):
            self.refused(b"share=" + text, "share must be a number", "share")
        self.refused(b"open=yes", "open must be true or false", "open")

    def test_a_query_is_bounded(self) -> None:
        """More pairs than any question has are refused, and so is what is no UTF-8."""
        self.refused(b"&".join(b"limit=1" for _ in range(MOST_PARAMETERS + 1)), "at most 100 pairs")
        self.refused(b"search=%ff", "UTF-8")
        self.refused(b"search", "name=value")
        self.refused("search=é".encode(), "UTF-8")

    def test_a_path_carries_one_value(self) -> None:
        """A word of a path is read by the same rules."""
        self.assertEqual(read_value("limit", ["7"], SCHEMAS["limit"]), 7)
        self.assertRaises(Problem, read_value, "limit", ["x"], SCHEMAS["limit"])
