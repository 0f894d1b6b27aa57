"""What each address of the sample GitLab answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Faults, Kind, Options, Refusal
from crawlsock.demo.gitlab.application import Ask
from crawlsock.demo.gitlab.kinds import CONTENT, ENDPOINTS
from tests.demo.gitlab.asking import NOW, ORIGIN, application, ask, get, pages

DATASET = Dataset.generate(2, 12, 3_000)
LAYOUT = DATASET.world.layout
PROJECT = max(DATASET.projects, key=lambda one: min(LAYOUT.count(kind, one) for kind in CONTENT))


def _listed(app: Any, target: str) -> list[Any]:
    joint = "&" if "?" in target else "?"
    return [item for page in pages(app, f"{target}{joint}per_page=100") for item in page]


class RouteTests(TestCase):
    """Lists and single objects."""

    def setUp(self) -> None:
        self.app = application(DATASET)

    def test_single_objects(self) -> None:
        """Every listed item of a project can be had by itself, under the name its endpoint has for it."""
        names = {
            "issues": "iid",
            "merge_requests": "iid",
            "repository/commits": "id",
            "repository/branches": "name",
            "repository/tags": "name",
            "pipelines": "id",
            "jobs": "id",
            "releases": "tag_name",
            "milestones": "id",
            "labels": "id",
        }
        for path, name in names.items():
            items = _listed(self.app, f"/projects/{PROJECT}/{path}")
            self.assertTrue(items, path)
            for item in items[:3] + items[-3:]:
                one = get(self.app, f"/projects/{PROJECT}/{path}/{quote(str(item[name]), safe='')}")
                self.assertEqual(one, {**one, **item}, path)

    def test_other_names(self) -> None:
        """Projects and groups go by their full path, labels by name, commits by abbreviation or reference."""
        project = get(self.app, f"/projects/{PROJECT}")
        self.assertEqual(get(self.app, f"/projects/{quote(project['path_with_namespace'], safe='')}"), project)
        for group in _listed(self.app, "/groups"):
            self.assertEqual(get(self.app, f"/groups/{quote(group['full_path'], safe='')}"), group)
        label = _listed(self.app, f"/projects/{PROJECT}/labels")[0]
        self.assertEqual(get(self.app, f"/projects/{PROJECT}/labels/{quote(label['name'], safe='')}"), label)
        newest = _listed(self.app, f"/projects/{PROJECT}/repository/commits")[0]
        for name in (newest["short_id"], "main"):
            self.assertEqual(get(self.app, f"/projects/{PROJECT}/repository/commits/{name}"), newest)

    def test_threads(self) -> None:
        """A thread's notes and a pipeline's jobs are reached below it, and nowhere else."""
        for above, below, kind in (
            ("issues", "notes", Kind.ISSUE_NOTES),
            ("merge_requests", "notes", Kind.MERGE_REQUEST_NOTES),
            ("pipelines", "jobs", Kind.JOBS),
        ):
            name = "id" if above == "pipelines" else "iid"
            parents = _listed(self.app, f"/projects/{PROJECT}/{above}")
            found = {
                one[name]: _listed(self.app, f"/projects/{PROJECT}/{above}/{one[name]}/{below}") for one in parents
            }
            everything = [item["id"] for items in found.values() for item in items]
            self.assertEqual(len(set(everything)), LAYOUT.count(kind, PROJECT))
        issue = next(one for one in _listed(self.app, f"/projects/{PROJECT}/issues") if one["user_notes_count"])
        note = _listed(self.app, f"/projects/{PROJECT}/issues/{issue['iid']}/notes")[0]
        self.assertEqual(get(self.app, f"/projects/{PROJECT}/issues/{issue['iid']}/notes/{note['id']}"), note)
        other = issue["iid"] % LAYOUT.count(Kind.ISSUES, PROJECT) + 1
        self.assertEqual(ask(self.app, f"/projects/{PROJECT}/issues/{other}/notes/{note['id']}").status, 404)

    def test_tree(self) -> None:
        """Top-level groups and their descendants are all groups; groups and users own all projects."""
        tops = _listed(self.app, "/groups?top_level_only=true")
        self.assertEqual([one["id"] for one in tops if one["parent_id"]], [])
        below = [one for top in tops for one in _listed(self.app, f"/groups/{top['id']}/descendant_groups")]
        self.assertEqual(sorted(one["id"] for one in tops + below), list(DATASET.groups))
        for group in tops + below:
            children = _listed(self.app, f"/groups/{group['id']}/subgroups")
            self.assertEqual({child["parent_id"] for child in children} - {group["id"]}, set())
        owned = [
            project["id"]
            for top in tops
            for project in _listed(self.app, f"/groups/{top['id']}/projects?include_subgroups=true")
        ]
        direct = [p["id"] for one in tops + below for p in _listed(self.app, f"/groups/{one['id']}/projects")]
        personal = [p["id"] for user in DATASET.users for p in _listed(self.app, f"/users/{user}/projects")]
        self.assertTrue(personal)
        self.assertEqual(sorted(owned + personal), list(DATASET.projects))
        self.assertEqual(sorted(direct), sorted(owned))

    def test_members(self) -> None:
        """Direct members are listed and counted; inherited ones come with ``all``."""
        for where, count in (
            (f"/groups/{DATASET.groups[-1]}", Kind.GROUP_MEMBERS),
            (f"/projects/{PROJECT}", Kind.PROJECT_MEMBERS),
        ):
            area = int(where.rpartition("/")[2])
            direct = _listed(self.app, f"{where}/members")
            self.assertEqual(len(direct), LAYOUT.count(count, area))
            self.assertEqual(get(self.app, f"{where}/members/{direct[0]['id']}"), direct[0])
            inherited = {one["id"] for one in _listed(self.app, f"{where}/members/all")}
            self.assertLessEqual({one["id"] for one in direct}, inherited)

    def test_searching(self) -> None:
        """Users are found by username, and projects by part of their path."""
        user = get(self.app, "/users/3")
        self.assertEqual(_listed(self.app, f"/users?username={user['username']}"), [user])
        self.assertEqual(_listed(self.app, "/users?username=nobody0"), [])
        self.assertIn(PROJECT, [one["id"] for one in _listed(self.app, f"/projects?search=-{PROJECT}")])

    def test_commits_of_a_reference(self) -> None:
        """A branch's commits end at its head, and those of the default branch are all."""
        for branch in _listed(self.app, f"/projects/{PROJECT}/repository/branches"):
            commits = _listed(self.app, f"/projects/{PROJECT}/repository/commits?ref_name={quote(branch['name'])}")
            self.assertEqual(commits[0]["id"], branch["commit"]["id"])
            self.assertEqual(commits[-1]["parent_ids"], [])

    def test_about(self) -> None:
        """The server tells its version, and who its tokens belong to."""
        self.assertEqual(get(self.app, "/version")["version"], get(self.app, "/metadata")["version"])
        self.assertEqual(get(self.app, "/user"), get(self.app, "/users/1"))

    def test_every_endpoint_counts(self) -> None:
        """The endpoint documented for each kind returns the number of items that the dataset counts."""
        for kind in (Kind.USERS, Kind.GROUPS, Kind.PROJECTS):
            self.assertEqual(len(_listed(self.app, ENDPOINTS[kind])), DATASET.counts()[kind.value])
        for kind in CONTENT:
            if "/:i" not in ENDPOINTS[kind].replace("/:id", "", 1) and kind is not Kind.JOBS:
                listed = _listed(self.app, ENDPOINTS[kind].replace(":id", str(PROJECT), 1))
                self.assertEqual(len(listed), LAYOUT.count(kind, PROJECT), kind)


class RefusalTests(TestCase):
    """Answers other than 200."""

    def test_not_found(self) -> None:
        """What does not exist is answered in the words GitLab has for it."""
        app = application(DATASET)
        for target, body in (
            ("/projects/999", {"message": "404 Project Not Found"}),
            ("/projects/a%2Fb-3", {"message": "404 Project Not Found"}),
            ("/projects/999/issues", {"message": "404 Project Not Found"}),
            ("/groups/0", {"message": "404 Group Not Found"}),
            ("/users/999", {"message": "404 User Not Found"}),
            (f"/projects/{PROJECT}/issues/99999", {"message": "404 Not Found"}),
            (f"/projects/{PROJECT}/repository/commits/deadbeef", {"message": "404 Commit Not Found"}),
            (f"/projects/{PROJECT}/repository/branches/none", {"message": "404 Branch Not Found"}),
            ("/nothing", {"error": "404 Not Found"}),
            ("/projects/1/nothing", {"error": "404 Not Found"}),
            ("/projects/", {"message": "404 Project Not Found"}),
        ):
            reply = ask(app, target)
            self.assertEqual((reply.status, orjson.loads(reply.body)), (404, body), target)

    def test_unauthorized(self) -> None:
        """Without a token there is nothing to see, and the refusal is counted."""
        app = application(DATASET)
        reply = ask(app, "/projects", token=None)
        self.assertEqual((reply.status, reply.body), (401, b'{"message":"401 Unauthorized"}'))
        self.assertEqual(app.statistics.unauthorized, 1)

    def test_writing(self) -> None:
        """The sample is read only."""
        self.assertEqual(ask(application(DATASET), "/projects", method="DELETE").status, 405)

    def test_refused_resources(self) -> None:
        """A refused resource is refused with everything below it, in its project alone."""
        refused = (
            Refusal(Kind.ISSUES, PROJECT),
            Refusal(Kind.TAGS, PROJECT, 404),
            Refusal(Kind.GROUP_MEMBERS, 1),
        )
        app = application(DATASET, Options(faults=Faults(refused=refused)))
        for target, status, body in (
            (f"/projects/{PROJECT}/issues", 403, {"message": "403 Forbidden"}),
            (f"/projects/{PROJECT}/issues/1", 403, {"message": "403 Forbidden"}),
            (f"/projects/{PROJECT}/issues/1/notes", 403, {"message": "403 Forbidden"}),
            (f"/projects/{PROJECT}/repository/tags", 404, {"message": "404 Not Found"}),
            ("/groups/1/members", 403, {"message": "403 Forbidden"}),
        ):
            reply = ask(app, target)
            self.assertEqual((reply.status, orjson.loads(reply.body)), (status, body), target)
        for target in (
            f"/projects/{PROJECT}",
            f"/projects/{PROJECT % 12 + 1}/issues",
            "/groups/2/members",
            "/projects/1/members",
        ):
            self.assertEqual(ask(app, target).status, 200, target)
        self.assertEqual(app.statistics.faults["refused"], 5)

    def test_rate_limit(self) -> None:
        """Beyond the limit the answer is a plain 429, and every answer within it tells what is left."""
        app = application(DATASET, Options(rate_limit=2))
        self.assertEqual(ask(app, "/version").headers["RateLimit-Remaining"], "1")
        self.assertEqual(ask(app, "/projects/999").headers["RateLimit-Remaining"], "0")
        reply = ask(app, "/version")
        self.assertEqual((reply.status, reply.body), (429, b"Retry later\n"))
        self.assertEqual(reply.headers["Content-Type"], "text/plain")
        self.assertEqual(ask(app, "/version", now=NOW + int(reply.headers["Retry-After"])).status, 200)
        self.assertEqual(app.statistics.rate_limited, 1)
        self.assertNotIn("RateLimit-Limit", ask(application(DATASET), "/version").headers)

    def test_rate_limit_by_person(self) -> None:
        """A renewed token does not begin a new count."""
        app = application(DATASET, Options(rate_limit=9))
        self.assertEqual(ask(app, "/version").headers["RateLimit-Remaining"], "8")
        pair = app.tokens.issue(NOW)
        bearer: dict[str, str | None] = {"authorization": f"Bearer {pair.access_token}"}
        reply = app.answer(Ask("GET", ORIGIN, "/api/v4/version", {}, bearer), NOW)
        self.assertEqual(reply.headers["RateLimit-Remaining"], "7")

    def test_refused_before_the_count(self) -> None:
        """An injected 429 tells when to come back, and nothing of a count that it knows nothing of."""
        app = application(DATASET, Options(rate_limit=9, faults=Faults(too_many_requests=1.0, most_in_a_row=1)))
        reply = ask(app, "/version")
        self.assertEqual((reply.status, reply.headers["Retry-After"]), (429, "1"))
        self.assertNotIn("RateLimit-Remaining", reply.headers)
        self.assertEqual(ask(app, "/version").headers["RateLimit-Remaining"], "8")

    def test_injected_faults(self) -> None:
        """Injected failures look like GitLab's, and the same address works in the end."""
        for name, status in (("too_many_requests", 429), ("server_error", 500), ("bad_gateway", 502)):
            faults = Faults(**{name: 1.0}, retry_after=7)  # type: ignore[arg-type]
            app = application(DATASET, Options(faults=faults))
            replies = [ask(app, "/version") for _ in range(4)]
            self.assertEqual([reply.status for reply in replies], [status] * 3 + [200])
            self.assertEqual("Retry-After" in replies[0].headers, status == 429)
            self.assertEqual(app.statistics.faults, {str(status): 3})
        self.assertEqual(replies[0].headers["Content-Type"], "text/html")

    def test_slowness(self) -> None:
        """Latency delays every answer, refusals too; slowness some more."""
        app = application(DATASET, Options(latency=0.05, faults=Faults(slow=1.0, slow_by=2.0)))
        self.assertEqual(ask(app, "/version").delay, 2.05)
        self.assertEqual(ask(app, "/nothing").delay, 0.05)

    def test_refresh(self) -> None:
        """``/oauth/token`` takes forms and JSON, and counts."""
        app = application(DATASET)
        form = f"grant_type=refresh_token&refresh_token={app.tokens.pairs[0].refresh_token}"

        def post(body: bytes, kind: str) -> Any:
            reply = app.answer(Ask("POST", ORIGIN, "/oauth/token", {}, {"content-type": kind}, body), NOW)
            return reply.status, orjson.loads(reply.body)

        status, first = post(form.encode(), "application/x-www-form-urlencoded")
        self.assertEqual(status, 200)
        again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        self.assertEqual(post(orjson.dumps(again), "application/json; charset=utf-8")[0], 200)
        self.assertEqual(post(orjson.dumps(again), "application/json")[1]["error"], "invalid_grant")
        self.assertEqual(post(b"[1", "application/json")[1]["error"], "unsupported_grant_type")
        self.assertEqual((app.statistics.refreshes, app.statistics.refreshes_refused), (2, 2))
        self.assertEqual(app.answer(Ask("GET", ORIGIN, "/oauth/token", {}, {}), NOW).status, 405)

    def test_statistics(self) -> None:
        """The statistics tell requests by endpoint, and asking for them is not counted."""
        app = application(DATASET)
        for target in (
            "/projects",
            "/projects/1",
            "/projects/1/issues?per_page=5",
            "/projects/2/issues?per_page=5",
        ):
            ask(app, target)
        reply = app.answer(Ask("GET", ORIGIN, "/-/sample/statistics", {}, {}), NOW)
        numbers = orjson.loads(reply.body)
        self.assertEqual(numbers["total_requests"], 4)
        self.assertEqual(numbers["requests"]["/projects/:id/issues"], 2)
