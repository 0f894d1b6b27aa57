"""How lists continue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from crawlsock.gitlab.hosts import Origin
from crawlsock.gitlab.paging import PagingBroken, count, following, next_link, page_url

ORIGIN = Origin("https", "git.test", 443)
URL = "https://git.test/api/v4/projects?pagination=keyset"


class NextLinkTests(TestCase):
    """Finding `rel="next"`."""

    def test_among_others(self) -> None:
        """The next page is found among other relations, whatever the order, case and quoting."""
        for header in (
            '<https://git.test/a?x=1,2>; rel="prev", <https://git.test/b>; rel="next"',
            "<https://git.test/b>; REL=next, <https://git.test/a>; rel=last",
            '<https://git.test/b>;title="x";rel="first next"',
        ):
            self.assertEqual(next_link(header), "https://git.test/b", header)

    def test_none(self) -> None:
        """A header without a next page, or without sense, has none."""
        for header in ("", "<x>", '<x>; rel="nextish"', 'x; rel="next"', '<a>; title="rel=next"'):
            self.assertIsNone(next_link(header), header)

    @given(st.text(max_size=200))
    def test_anything(self, header: str) -> None:
        """No header breaks the parser."""
        next_link(header)


class FollowingTests(TestCase):
    """The cursor behind a page."""

    def test_offset(self) -> None:
        """By page numbers the next one is `X-Next-Page`, and an empty one is the end, whatever `Link` says."""
        self.assertEqual(following(ORIGIN, {"x-page": "1", "x-next-page": "2"}, URL, 1), 2)
        link = '<https://git.test/y>; rel="next"'
        self.assertIsNone(following(ORIGIN, {"x-page": "3", "x-next-page": "", "link": link}, URL, 3))

    def test_offset_without_header(self) -> None:
        """A proxy that swallows `X-Next-Page` leaves the `Link` to follow."""
        headers = {"link": '<https://git.test/api/v4/x?page=2>; rel="next"'}
        self.assertEqual(following(ORIGIN, headers, URL, 1), "/api/v4/x?page=2")

    def test_keyset_ignored(self) -> None:
        """A GitLab that answers a question by keyset with page numbers is followed by page numbers."""
        self.assertEqual(following(ORIGIN, {"x-page": "1", "x-next-page": "2"}, URL, None), 2)

    def test_keyset(self) -> None:
        """By keyset the next page is the link's path and query, and no link is the end."""
        headers = {"link": '<https://git.test/api/v4/projects?id_after=7>; rel="next"'}
        self.assertEqual(following(ORIGIN, headers, URL, None), "/api/v4/projects?id_after=7")
        self.assertIsNone(following(ORIGIN, {}, URL, "/api/v4/projects?id_after=7"))

    def test_broken(self) -> None:
        """A page that leads to another host, backwards, nowhere or to itself is refused."""
        for headers, cursor in (
            ({"link": '<https://evil.test/api/v4/projects>; rel="next"'}, None),
            ({"link": '<http://git.test/api/v4/projects>; rel="next"'}, None),
            ({"link": f'<{URL}>; rel="next"'}, None),
            ({"link": f'</{"x" * 5000}>; rel="next"'}, None),
            ({"x-page": "2", "x-next-page": "2"}, 2),
            ({"x-page": "2", "x-next-page": "-1"}, 2),
            ({"x-page": "2", "x-next-page": "٣"}, 2),
        ):
            self.assertRaises(PagingBroken, following, ORIGIN, headers, URL, cursor)


class PageUrlTests(TestCase):
    """The URL of a page."""

    def test_kinds(self) -> None:
        """First pages and numbered pages are built, linked pages are taken as they were."""
        self.assertEqual(page_url(ORIGIN, "/users", {"a": "b c"}, None), "https://git.test/api/v4/users?a=b+c")
        self.assertEqual(page_url(ORIGIN, "/users", {}, 3), "https://git.test/api/v4/users?page=3")
        self.assertEqual(page_url(ORIGIN, "/users", {}, "/x?y=1"), "https://git.test/x?y=1")

    def test_forged_cursor(self) -> None:
        """A cursor from a resume state cannot lead to another host."""
        for cursor in ("//evil.test/x", "https://evil.test/", "x"):
            self.assertRaises(PagingBroken, page_url, ORIGIN, "/users", {}, cursor)

    def test_counts(self) -> None:
        """Totals are read when they are numbers."""
        self.assertEqual(count({"x-total": "12"}, "x-total"), 12)
        for text in ("", "x", "-1", "9" * 40, "²"):
            self.assertIsNone(count({"x-total": text}, "x-total"))
