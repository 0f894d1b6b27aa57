"""GitLab's two paginations."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Kind, Options
from tests.demo.gitlab.asking import application, ask, links, pages

SMALL = Dataset.generate(1, 9, 1_500)
BIG_PROJECT = max(SMALL.projects, key=lambda one: SMALL.world.layout.count(Kind.ISSUES, one))


def _project_with(kind: Kind, dataset: Dataset = SMALL) -> int:
    return max(dataset.projects, key=lambda one: dataset.world.layout.count(kind, one))


def _names(pages_: list[list[Any]], name: str) -> list[Any]:
    return [item[name] for page in pages_ for item in page]


class OffsetTests(TestCase):
    """Pages by number."""

    def test_headers(self) -> None:
        """A page in the middle names its neighbours, the ends and the totals."""
        app = application(SMALL)
        total = SMALL.world.layout.count(Kind.ISSUES, BIG_PROJECT)
        reply = ask(app, f"/projects/{BIG_PROJECT}/issues?per_page=3&page=2")
        last = -(-total // 3)
        self.assertGreater(last, 3)
        expected = {
            "X-Page": "2",
            "X-Per-Page": "3",
            "X-Next-Page": "3",
            "X-Prev-Page": "1",
            "X-Total": str(total),
            "X-Total-Pages": str(last),
        }
        self.assertEqual({name: reply.headers[name] for name in expected}, expected)
        path = f"/projects/{BIG_PROJECT}/issues"
        self.assertEqual(
            links(reply),
            {
                "prev": f"{path}?page=1&per_page=3",
                "next": f"{path}?page=3&per_page=3",
                "first": f"{path}?page=1&per_page=3",
                "last": f"{path}?page={last}&per_page=3",
            },
        )

    def test_ends(self) -> None:
        """The first page has no page before it, the last none after it, and beyond there is an empty one."""
        app = application(SMALL)
        first = ask(app, "/users?per_page=100")
        self.assertEqual((first.headers["X-Prev-Page"], first.headers["X-Next-Page"]), ("", ""))
        self.assertEqual(set(links(first)), {"first", "last"})
        self.assertEqual(ask(app, "/users?page=99").body, b"[]")

    def test_limits(self) -> None:
        """Pages have twenty items by default and a hundred at most; nonsense is refused as GitLab does it."""
        app = application(Dataset.generate(1, 150, 0))
        self.assertEqual(len(next(pages(app, "/projects"))), 20)
        self.assertEqual(len(next(pages(app, "/projects?per_page=5000"))), 100)
        for query, body in (
            ("per_page=x", b'{"error":"per_page is invalid"}'),
            ("per_page=0", b'{"error":"per_page has a value not allowed"}'),
            ("page=-1", b'{"error":"page is invalid"}'),
            ("order_by=colour", b'{"error":"order_by does not have a valid value"}'),
            ("sort=up", b'{"error":"sort does not have a valid value"}'),
        ):
            reply = ask(app, f"/projects?{query}")
            self.assertEqual((reply.status, reply.body), (400, body))

    def test_many_are_not_counted(self) -> None:
        """Above ten thousand items there are no totals, and beyond the fifty-thousandth no offset pages."""
        few, many = (application(Dataset.generate(1, count, 0)) for count in (10_000, 10_001))
        self.assertEqual(ask(few, "/projects").headers["X-Total"], "10000")
        reply = ask(many, "/projects")
        self.assertNotIn("X-Total", reply.headers)
        self.assertNotIn("X-Total-Pages", reply.headers)
        self.assertEqual(set(links(reply)), {"first", "next"})
        self.assertEqual(ask(many, "/projects?per_page=100&page=501").status, 405)

    def test_commits_are_not_counted(self) -> None:
        """Lists of commits never say how many there are."""
        self.assertNotIn("X-Total", ask(application(SMALL), f"/projects/{BIG_PROJECT}/repository/commits").headers)

    def test_orders(self) -> None:
        """Lists come in GitLab's order by default, and in the order asked for."""
        app = application(SMALL)
        ids = list(SMALL.projects)
        self.assertEqual(_names(list(pages(app, "/projects?per_page=4")), "id"), ids[::-1])
        self.assertEqual(_names(list(pages(app, "/projects?per_page=4&order_by=id&sort=asc")), "id"), ids)
        names = _names(list(pages(app, "/projects?order_by=name&sort=asc")), "name")
        self.assertEqual(names, sorted(names))
        groups = _names(list(pages(app, "/groups?per_page=2")), "name")
        self.assertEqual(groups, sorted(groups))

    def test_links_elsewhere(self) -> None:
        """A sample that was told another origin names that one in its links, whatever host was asked."""
        reply = ask(application(SMALL, Options(link_origin="https://elsewhere.test")), "/projects?per_page=2")
        self.assertTrue(reply.headers["Link"].startswith("<https://elsewhere.test/api/v4/projects?"))

    def test_secrets_stay_out_of_links(self) -> None:
        """A token in the query does not come back in the links."""
        app = application(SMALL)
        reply = ask(app, f"/projects?per_page=2&private_token={app.tokens.personal_tokens[0]}", token=None)
        self.assertEqual(reply.status, 200)
        self.assertNotIn("token", reply.headers["Link"])


class KeysetTests(TestCase):
    """Pages by where the one before ended."""

    def _all(self, target: str, name: str, options: Options | None = None) -> list[Any]:
        return _names(list(pages(application(SMALL, options), target)), name)

    def test_projects(self) -> None:
        """Projects by id: only a link to the next page, no totals, and an empty page at the end."""
        app = application(SMALL)
        target = "/projects?pagination=keyset&order_by=id&sort=asc&per_page=4"
        reply = ask(app, target)
        self.assertEqual(set(reply.headers), {"Content-Type", "Link"})
        self.assertIn("id_after=4", links(reply)["next"])
        found = list(pages(app, target))
        self.assertEqual([len(page) for page in found], [4, 4, 1, 0])
        self.assertEqual(_names(found, "id"), list(SMALL.projects))
        backwards = self._all("/projects?pagination=keyset&order_by=id&sort=desc&per_page=4", "id")
        self.assertEqual(backwards, list(SMALL.projects)[::-1])

    def test_issues_and_users_by_cursor(self) -> None:
        """Issues and users go by an opaque cursor, in every order they support, each item once."""
        issues = f"/projects/{BIG_PROJECT}/issues"
        for target, orders in (
            (issues, ("id", "created_at", "title", "due_date")),
            ("/users", ("id", "name", "username")),
        ):
            whole = sorted(self._all(f"{target}?per_page=100", "id"))
            for order in orders:
                for sort in ("asc", "desc"):
                    found = self._all(f"{target}?pagination=keyset&order_by={order}&sort={sort}&per_page=3", "id")
                    self.assertEqual(sorted(found), whole, (order, sort))
                    if order == "id":
                        self.assertEqual(found, sorted(found, reverse=sort == "desc"))

    def test_jobs(self) -> None:
        """A project's jobs go by cursor from the newest down; those of one pipeline by offset."""
        project = _project_with(Kind.JOBS)
        found = self._all(f"/projects/{project}/jobs?pagination=keyset&per_page=5", "id")
        self.assertEqual(len(found), SMALL.world.layout.count(Kind.JOBS, project))
        self.assertEqual(found, sorted(found, reverse=True))
        app = application(SMALL)
        pipeline = next(pages(app, f"/projects/{project}/pipelines"))[0]["id"]
        self.assertIn("X-Total", ask(app, f"/projects/{project}/pipelines/{pipeline}/jobs?pagination=keyset").headers)

    def test_branches_and_tags(self) -> None:
        """Branches and tags go by the last one's name, hostile names included."""
        dataset = Dataset.generate(1, 3, 3_000, hostile_names=True)
        app = application(dataset)
        for kind in (Kind.BRANCHES, Kind.TAGS):
            project = _project_with(kind, dataset)
            path = f"/projects/{project}/repository/{kind.value}"
            offset = _names(list(pages(app, f"{path}?per_page=100")), "name")
            keyset = _names(list(pages(app, f"{path}?pagination=keyset&per_page=7")), "name")
            self.assertEqual(keyset, offset)
            self.assertEqual(len(set(keyset)), dataset.world.layout.count(kind, project))

    def test_groups(self) -> None:
        """Groups have keyset pagination for anonymous callers only; others get offset pages."""
        target = "/groups?pagination=keyset&per_page=1"
        app = application(SMALL, Options(anonymous_access=True))
        self.assertNotIn("X-Page", ask(app, target, token=None).headers)
        self.assertIn("X-Page", ask(app, target).headers)

    def test_unsupported(self) -> None:
        """Orders without keyset pagination are refused with 405; lists without it ignore the wish."""
        app = application(SMALL)
        reply = ask(app, "/projects?pagination=keyset")
        self.assertEqual(reply.status, 405)
        self.assertIn(b"not yet available", reply.body)
        self.assertIn("X-Page", ask(app, f"/projects/{BIG_PROJECT}/merge_requests?pagination=keyset").headers)

    def test_bad_positions(self) -> None:
        """Cursors and page tokens that GitLab never gave out are refused with 400."""
        app = application(SMALL)
        for query in ("cursor=@@@", "cursor=e30=", "cursor=eyJpZCI6IjAifQ=="):
            reply = ask(app, f"/users?pagination=keyset&{query}")
            self.assertEqual((reply.status, reply.body), (400, b'{"error":"cursor is invalid"}'))
        reply = ask(app, f"/projects/{BIG_PROJECT}/repository/tags?pagination=keyset&page_token=v0")
        self.assertEqual(reply.status, 400)

    @given(st.integers(1, 30), st.sampled_from(["asc", "desc"]), st.integers(0, 12), st.integers(0, 12))
    @settings(max_examples=40, deadline=None)
    def test_bounds(self, per_page: int, sort: str, after: int, before: int) -> None:
        """``id_after`` and ``id_before`` cut both paginations alike."""
        app = application(SMALL)
        bounds = f"order_by=id&sort={sort}&per_page={per_page}&id_after={after}&id_before={before}"
        wanted = [one for one in SMALL.projects if after < one < before]
        for pagination in ("offset", "keyset"):
            found = _names(list(pages(app, f"/projects?{bounds}&pagination={pagination}")), "id")
            self.assertEqual(sorted(found), wanted)
