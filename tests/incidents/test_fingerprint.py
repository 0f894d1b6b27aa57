"""Which failures are the same."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from crawlsock.incidents import judge, normalise
from crawlsock.incidents.fingerprint import MOST_KEPT, MOST_READ, fingerprint, names_in

SAME = (
    ("no answer within 30 s", "no answer within 45.5 s"),
    ("project 17 is gone", "project 4711 is gone"),
    ("job 0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11 failed", "job 5f1a1c1e-08a5-4b6e-8f0d-6f3b8a1f7e22 failed"),
    ("commit deadbeef1 is missing", "commit 0123456789abcdef0123456789abcdef01234567 is missing"),
    ("cannot write /var/lib/a.jsonl", "cannot write /tmp/b/c.jsonl"),
    ("project team/tool: gone", "project other/sub/thing: gone"),
    ("GET https://a.example/api/v4/x?page=2 failed", "GET http://b.example/ failed"),
    ("no field 'title' here", "no field 'id' here"),
    ('expected "a b" and got `c`', 'expected "" and got `d e f`'),
    ("refused by 10.0.0.1:443", "refused by 192.168.7.12:8443"),
    ("refused by db.internal:5432", "refused by other.host.example:1"),
    ("expired at 2026-11-23T10:15:30Z", "expired at 2027-01-02 03:04:05"),
    ("mail to a@example.com bounced", "mail to someone.else@test.org bounced"),
    ("retry in 5s", "retry in 17s"),
    ("line\n\tone  two", "line one two"),
)
APART = (
    ("the project is gone", "the group is gone"),
    ("connection refused", "connection reset"),
    ("cannot read 'x'", "cannot write 'x'"),
    ("don't do that", "won't do that"),
)

words = st.sampled_from(["failed", "while", "reading", "page", "of", "project", "answer", "no", "the"])


class NormaliseTests(unittest.TestCase):
    def test_variable_parts_do_not_count(self) -> None:
        """Messages that differ in ids, numbers, names, paths, addresses, moments or quoted values are the same."""
        for one, other in SAME:
            self.assertEqual(normalise(one), normalise(other))

    def test_words_count(self) -> None:
        """Messages that differ in a word are not the same."""
        for one, other in APART:
            self.assertNotEqual(normalise(one), normalise(other))

    def test_names_from_the_request_do_not_count(self) -> None:
        """A name that looks like any word is known from the URL of the request that failed."""
        one = judge("not_found", "user alice: 404", False, {"url": "https://g.test/api/v4/users/alice/projects?page=2"})
        two = judge("not_found", "user bob: 404", False, {"url": "https://g.test/api/v4/users/bob"})
        self.assertEqual(one.fingerprint, two.fingerprint)
        self.assertEqual(names_in("https://g.test/api/v4/projects/a%2Fb/issues"), {"a/b"})
        self.assertEqual(names_in("http://[bad"), frozenset())

    @given(st.lists(words, min_size=1, max_size=8), st.lists(st.integers(0, 10**30), min_size=16, max_size=16))
    def test_any_numbers_are_the_same_numbers(self, text: list[str], numbers: list[int]) -> None:
        """Numbers between the words, whatever they are, lead to one fingerprint."""
        one = " ".join(f"{word} {numbers[n]}" for n, word in enumerate(text))
        two = " ".join(f"{word} {numbers[n + 8]}" for n, word in enumerate(text))
        self.assertEqual(normalise(one), normalise(two))

    @given(st.lists(words, min_size=1, max_size=8), st.uuids(), st.uuids())
    def test_any_ids_are_the_same_ids(self, text: list[str], one: UUID, other: UUID) -> None:
        """UUIDs, whatever they are, lead to one fingerprint."""
        message = " ".join([*text, "{}", *text])
        self.assertEqual(normalise(message.format(one)), normalise(message.format(other)))

    @given(st.text(max_size=200).filter(lambda text: not set(text) & set("'\n")), st.lists(words, max_size=5))
    def test_any_quoted_value_is_the_same_value(self, value: str, text: list[str]) -> None:
        """What stands in quotes, whatever it is, is one placeholder."""
        before = " ".join(text)
        self.assertEqual(normalise(f"{before} '{value}' !"), normalise(f"{before} 'x' !"))

    @given(st.text(max_size=5000))
    def test_any_text_has_a_short_form_on_one_line(self, text: str) -> None:
        """Whatever comes, the form is short, on one line, without digits, and the same every time."""
        normal = normalise(text)
        self.assertEqual(normal, normalise(text))
        self.assertLessEqual(len(normal), MOST_KEPT)
        self.assertFalse(any(each in "\n\r\t\x00\u202e\u200b" for each in normal))
        self.assertFalse(any(each.isascii() and each.isdigit() for each in normal))
        self.assertRegex(fingerprint("x", "data", normal), r"^[0-9a-f]{16}$")

    def test_long_texts_are_cut_before_they_are_looked_at(self) -> None:
        """A message of a megabyte, however hostile, is read up to a bound."""
        for hostile in ("'", "a'", '"', "a/", "1.", "=", "<", "@", "x" * 50 + " ", "a1" * 9, "\\", "://", "'a "):
            self.assertEqual(normalise(hostile * 100_000), normalise((hostile * 100_000)[:MOST_READ]))

    def test_fingerprints_stay(self) -> None:
        """A fingerprint is kept in databases, so it never changes."""
        self.assertEqual(fingerprint("not_found", "not_found", "project <n>: <n> Not Found"), "1d3da542c165512c")

    def test_type_and_category_count(self) -> None:
        """The same words under another type, or of another kind, are another failure."""
        names = {fingerprint(*each) for each in (("a", "data", "x"), ("b", "data", "x"), ("a", "network", "x"))}
        self.assertEqual(len(names), 3)
