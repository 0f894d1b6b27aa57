"""What kind of failure it was, and how bad."""

from __future__ import annotations

from pathlib import Path
from re import findall

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

import crawlsock
from crawlsock.incidents import Category, Severity, advice, categorise, judge, severity

# What the reference crawler and the SDK report, with what happened.
REPORTED = (
    ("not_found", "project 17: 404 Not Found", 404, Category.NOT_FOUND),
    ("forbidden", "group a/b: 403 Forbidden", 403, Category.PERMISSION),
    ("gitlab_refused", "user 3: 400 Bad Request", 400, Category.DATA),
    ("gitlab_refused", "user 3: 429", 429, Category.RATE_LIMIT),
    ("gitlab_unavailable", "no usable answer in 300 s; last: 503", 503, Category.SERVER_ERROR),
    ("gitlab_unavailable", "no usable answer in 300 s; last: 429", 429, Category.RATE_LIMIT),
    ("gitlab_unavailable", "no usable answer in 300 s; last: ConnectionRefusedError", 0, Category.NETWORK),
    ("gitlab_unavailable", "no usable answer in 300 s; last: the connection was lost", None, Category.NETWORK),
    ("unauthorized", "GitLab wants a token and the account has none", 401, Category.AUTHENTICATION),
    ("credential_missing", "no credential", None, Category.AUTHENTICATION),
    ("paging_broken", "/projects: the next page is on another host", None, Category.DATA),
    ("output_failed", "could not write the output: No space left on device", None, Category.STORAGE),
    ("invalid_job", "the job names neither an entity id nor a namespace path", None, Category.CONFIGURATION),
    ("host_not_allowed", "gitlab.example.com is not allowed", None, Category.CONFIGURATION),
    ("unknown_job_type", "this crawler has no function for x", None, Category.CONFIGURATION),
    ("bad_result", "the job returned int", None, Category.CRAWLER),
    ("report_refused", "data/summary is too large", None, Category.CRAWLER),
    ("KeyError", "'id'", None, Category.CRAWLER),
    ("ZeroDivisionError", "division by zero", None, Category.CRAWLER),
    ("TimeoutError", "", None, Category.NETWORK),
    ("twisted.internet.error.ConnectionRefusedError", "Connection was refused", None, Category.NETWORK),
    ("DNSLookupError", "no results for hostname lookup", None, Category.NETWORK),
    ("HTTPError", "500 Server Error", 500, Category.SERVER_ERROR),
    ("Whatever", "we were told: too many requests", None, Category.RATE_LIMIT),
    ("Whatever", "the host said 404 Not Found", 404, Category.NOT_FOUND),
    ("internal", "bug", None, Category.INTERNAL),
)


class CategoryTests(unittest.TestCase):
    def test_what_crawlers_report(self) -> None:
        """Each failure that our crawler, the SDK, Python or Twisted reports has the category that it should."""
        for error_type, message, status, category in REPORTED:
            self.assertIs(categorise(error_type, message, status), category, (error_type, message))

    def test_the_reference_crawlers_words_are_known(self) -> None:
        """No word that the reference crawler or the SDK uses is unknown, so none is taken for a bug by mistake."""
        root = Path(crawlsock.__file__).parent
        source = "".join(path.read_text() for name in ("gitlab", "sdk") for path in (root / name).glob("*.py"))
        words = set(findall(r'JobFailed\(\s*"([a-z_]+)"', source)) - {"bad_result", "report_refused"}
        self.assertGreater(len(words), 5)
        for word in words:
            self.assertIsNot(categorise(word), Category.CRAWLER, word)

    @given(st.text(), st.text(), st.none() | st.integers(-1000, 1000), st.booleans())
    def test_every_failure_has_one(self, error_type: str, message: str, status: int | None, again: bool) -> None:
        """Whatever is reported has a category, a severity, and advice in words."""
        category = categorise(error_type, message, status)
        self.assertIsInstance(severity(category, again), Severity)
        told = advice(category.value, error_type)
        self.assertTrue(told.explanation.endswith(".") and told.next_step.endswith("."))

    def test_trying_again_makes_it_less_bad(self) -> None:
        """A failure that may mend itself is never worse than the same one for good."""
        ranks = {each: rank for rank, each in enumerate(Severity)}
        for category in Category:
            self.assertLessEqual(ranks[severity(category, True)], ranks[severity(category, False)])

    def test_every_category_is_explained_in_its_own_words(self) -> None:
        """No two categories are explained alike, and an unknown one is taken for the crawler's."""
        told = {advice(category.value).explanation for category in Category}
        self.assertEqual(len(told), len(Category))
        self.assertEqual(advice("never heard of it"), advice("crawler"))

    def test_a_judgement_has_all_of_it(self) -> None:
        """A failure is judged whole: group, category, severity, and a title without its variable parts."""
        judged = judge("not_found", "project 17: 404 Not Found", False, {"status": 404})
        self.assertEqual((judged.category, judged.severity), (Category.NOT_FOUND, Severity.INFO))
        self.assertEqual(judged.title, "not_found: project <n>: <n> Not Found")
        self.assertEqual(judge("X", "", True).title, "X")
