"""Which path of the API answers with what.

Law: a table from path patterns to pure functions of the world. A route knows neither tokens nor faults nor
pages; it returns a listing or one object, or raises ``ApiError``. Query parameters that are not named here or
in ``paging`` are ignored, as GitLab ignores parameters it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial

from attrs import frozen

from crawlsock.demo.gitlab import listing, lookup, people, pipelines
from crawlsock.demo.gitlab.errors import ApiError, invalid_parameter, not_found
from crawlsock.demo.gitlab.kinds import PARENTS, JsonObject, Kind
from crawlsock.demo.gitlab.listing import BUILDERS, Listing
from crawlsock.demo.gitlab.paging import Query
from crawlsock.demo.gitlab.world import World

VERSION = "18.6.1"
REVISION = "5a3c1e9f0b2"

Answer = Listing | JsonObject


class Area(Enum):
    """Name what the first variable part of a path identifies."""

    NOTHING = "nothing"
    GROUP = "group"
    PROJECT = "project"
    USER = "user"


@frozen
class Route:
    """One pattern of the API: its name for statistics, the kind of item it answers with, and how.

    ``answer(world, area, names, query)`` gets the id that the first variable part stands for (0 without one)
    and the texts of the other variable parts.
    """

    pattern: str
    kind: Kind | None
    area: Area
    answer: Callable[[World, int, Sequence[str], Query], Answer]


_MISSING = {
    Kind.ISSUES: "",
    Kind.MERGE_REQUESTS: "",
    Kind.ISSUE_NOTES: "Note",
    Kind.MERGE_REQUEST_NOTES: "Note",
    Kind.COMMITS: "Commit",
    Kind.BRANCHES: "Branch",
    Kind.TAGS: "Tag",
    Kind.LABELS: "Label",
    Kind.MILESTONES: "Milestone",
}

_FINDERS: Mapping[Area, tuple[Callable[[World, str], int | None], str]] = {
    Area.GROUP: (lookup.group, "Group"),
    Area.PROJECT: (lookup.project, "Project"),
    Area.USER: (lookup.user, "User"),
}


def find_area(world: World, area: Area, text: str) -> int:
    """Return the id that the first variable part of a path stands for, or raise GitLab's 404."""
    find, name = _FINDERS[area]
    found = find(world, text)
    if found is None:
        raise not_found(name)
    return found


def _index(world: World, kind: Kind, project: int, text: str) -> int:
    found = lookup.index(world, kind, project, text)
    if found is None:
        raise not_found(_MISSING.get(kind, ""))
    return found


def _truth(query: Query, name: str) -> bool:
    text = query.get(name, "").lower()
    if text not in ("", "true", "false", "1", "0", "t", "f", "yes", "no", "on", "off"):
        raise invalid_parameter(name, "is invalid")
    return text in ("true", "1", "t", "yes", "on")


def _containing(numbers: Iterable[int], query: Query, *names: Callable[[int], str]) -> Sequence[int]:
    """Keep what the ``search`` parameter asks for; a range stays one when nothing is asked."""
    wanted = query.get("search", "").lower()
    if not wanted:
        return numbers if isinstance(numbers, range) else list(numbers)
    return [number for number in numbers if any(wanted in name(number).lower() for name in names)]


def _users(world: World, _: int, __: Sequence[str], query: Query) -> Answer:
    if "username" in query:
        found = lookup.username(world, query["username"])
        return listing.users(world, [found] if found else [])
    return listing.users(world, _containing(range(1, world.layout.users + 1), query, world.user_name, world.username))


def _user_projects(world: World, user: int, _: Sequence[str], query: Query) -> Answer:
    return listing.projects(world, _containing(world.layout.projects_of.get(-user, ()), query, world.project_slug))


def _groups(world: World, _: int, __: Sequence[str], query: Query) -> Answer:
    layout = world.layout
    numbers: Sequence[int] = range(1, layout.groups + 1)
    if _truth(query, "top_level_only"):
        numbers = [group for group in numbers if not layout.parents[group - 1]]
    return listing.groups(world, _containing(numbers, query, world.namespace_path), keyset=True)


def _subgroups(world: World, group: int, _: Sequence[str], query: Query) -> Answer:
    return listing.groups(world, _containing(world.layout.children.get(group, ()), query, world.namespace_path))


def _descendants(world: World, group: int, _: Sequence[str], query: Query) -> Answer:
    return listing.groups(world, _containing(sorted(world.layout.subtree(group)[1:]), query, world.namespace_path))


def _group_projects(world: World, group: int, _: Sequence[str], query: Query) -> Answer:
    layout = world.layout
    homes = layout.subtree(group) if _truth(query, "include_subgroups") else [group]
    numbers = sorted(project for home in homes for project in layout.projects_of.get(home, ()))
    return listing.projects(world, _containing(numbers, query, world.project_slug), keyset=False)


def _projects(world: World, _: int, __: Sequence[str], query: Query) -> Answer:
    return listing.projects(world, _containing(range(1, world.layout.projects + 1), query, world.project_slug))


def _members(world: World, area: int, _: Sequence[str], __: Query, *, of_project: bool) -> Answer:
    return listing.members(world, world.layout.members(area, project=of_project), area, of_project=of_project)


def _all_members(world: World, area: int, _: Sequence[str], __: Query, *, of_project: bool) -> Answer:
    layout = world.layout
    found = set(layout.members(area, project=of_project))
    above = layout.homes[area - 1] if of_project else layout.parents[area - 1]
    while above > 0:
        found.update(layout.members(above, project=False))
        above = layout.parents[above - 1]
    return listing.members(world, sorted(found), area, of_project=of_project)


def _member(world: World, area: int, names: Sequence[str], _: Query, *, of_project: bool) -> Answer:
    found = lookup.number(names[0])
    if found not in world.layout.members(area, project=of_project):
        raise not_found()
    return people.member(world, found, area, of_project=of_project)


def _content(world: World, project: int, _: Sequence[str], __: Query, *, kind: Kind) -> Answer:
    return listing.content(world, kind, project)


def _one(world: World, project: int, names: Sequence[str], _: Query, *, kind: Kind) -> Answer:
    return BUILDERS[kind](world, project, _index(world, kind, project, names[0]))


def _commits(world: World, project: int, _: Sequence[str], query: Query) -> Answer:
    if not query.get("ref_name"):
        return listing.content(world, Kind.COMMITS, project)
    head = _index(world, Kind.COMMITS, project, query["ref_name"])
    return listing.slice_of_content(world, Kind.COMMITS, project, 0, head + 1)


def _pipeline(world: World, project: int, names: Sequence[str], _: Query) -> Answer:
    return pipelines.pipeline_detail(world, project, _index(world, Kind.PIPELINES, project, names[0]))


def _below(world: World, project: int, names: Sequence[str], _: Query, *, kind: Kind) -> Answer:
    spread = world.layout.spread(kind, project)
    parent = _index(world, PARENTS[kind], project, names[0])
    return listing.slice_of_content(world, kind, project, spread.before(parent), spread.of(parent))


def _one_below(world: World, project: int, names: Sequence[str], _: Query, *, kind: Kind) -> Answer:
    parent = _index(world, PARENTS[kind], project, names[0])
    found = _index(world, kind, project, names[1])
    if world.layout.spread(kind, project).parent(found) != parent:
        raise not_found(_MISSING.get(kind, ""))
    return BUILDERS[kind](world, project, found)


def _metadata(*_: object) -> Answer:
    return {
        "version": VERSION,
        "revision": REVISION,
        "kas": {"enabled": False, "externalUrl": None, "externalK8sProxyUrl": None, "version": None},
        "enterprise": False,
    }


def _content_routes(path: str, kind: Kind, variable: str) -> list[Route]:
    here = f"/projects/:id/{path}"
    return [
        Route(here, kind, Area.PROJECT, _commits if kind is Kind.COMMITS else partial(_content, kind=kind)),
        Route(
            f"{here}/:{variable}",
            kind,
            Area.PROJECT,
            _pipeline if kind is Kind.PIPELINES else partial(_one, kind=kind),
        ),
    ]


def _member_routes(where: str, kind: Kind, area: Area) -> list[Route]:
    of_project = area is Area.PROJECT
    return [
        Route(f"/{where}/:id/members", kind, area, partial(_members, of_project=of_project)),
        Route(f"/{where}/:id/members/all", kind, area, partial(_all_members, of_project=of_project)),
        Route(f"/{where}/:id/members/:user_id", kind, area, partial(_member, of_project=of_project)),
    ]


ROUTES: tuple[Route, ...] = (
    Route("/version", None, Area.NOTHING, lambda *_: {"version": VERSION, "revision": REVISION}),
    Route("/metadata", None, Area.NOTHING, _metadata),
    Route("/user", None, Area.NOTHING, lambda world, *_: people.user(world, 1)),
    Route("/users", Kind.USERS, Area.NOTHING, _users),
    Route("/users/:id", Kind.USERS, Area.USER, lambda world, user, *_: people.user(world, user)),
    Route("/users/:id/projects", Kind.PROJECTS, Area.USER, _user_projects),
    Route("/groups", Kind.GROUPS, Area.NOTHING, _groups),
    Route("/groups/:id", Kind.GROUPS, Area.GROUP, lambda world, group, *_: people.group(world, group)),
    Route("/groups/:id/subgroups", Kind.GROUPS, Area.GROUP, _subgroups),
    Route("/groups/:id/descendant_groups", Kind.GROUPS, Area.GROUP, _descendants),
    Route("/groups/:id/projects", Kind.PROJECTS, Area.GROUP, _group_projects),
    *_member_routes("groups", Kind.GROUP_MEMBERS, Area.GROUP),
    Route("/projects", Kind.PROJECTS, Area.NOTHING, _projects),
    Route(
        "/projects/:id",
        Kind.PROJECTS,
        Area.PROJECT,
        lambda world, project, *_: people.project(world, project),
    ),
    *_member_routes("projects", Kind.PROJECT_MEMBERS, Area.PROJECT),
    *_content_routes("issues", Kind.ISSUES, "iid"),
    *_content_routes("merge_requests", Kind.MERGE_REQUESTS, "iid"),
    *_content_routes("repository/commits", Kind.COMMITS, "sha"),
    *_content_routes("repository/branches", Kind.BRANCHES, "name"),
    *_content_routes("repository/tags", Kind.TAGS, "name"),
    *_content_routes("pipelines", Kind.PIPELINES, "pipeline_id"),
    *_content_routes("jobs", Kind.JOBS, "job_id"),
    *_content_routes("releases", Kind.RELEASES, "tag_name"),
    *_content_routes("milestones", Kind.MILESTONES, "milestone_id"),
    *_content_routes("labels", Kind.LABELS, "label_id"),
    *(
        Route(f"/projects/:id/{path}{one}", kind, Area.PROJECT, partial(answer, kind=kind))
        for path, kind in (
            ("issues/:iid/notes", Kind.ISSUE_NOTES),
            ("merge_requests/:iid/notes", Kind.MERGE_REQUEST_NOTES),
        )
        for one, answer in (("", _below), ("/:note_id", _one_below))
    ),
    Route("/projects/:id/pipelines/:pipeline_id/jobs", Kind.JOBS, Area.PROJECT, partial(_below, kind=Kind.JOBS)),
)
"""Every endpoint of the sample, below ``/api/v4``."""


@frozen
class RouteTree:
    """Find the route of a path: fixed parts win over variable ones."""

    route: list[Route]
    below: dict[str, RouteTree]

    @classmethod
    def of(cls, routes: Iterable[Route]) -> RouteTree:
        """Build the tree of these routes."""
        root = cls([], {})
        for route in routes:
            node = root
            for part in route.pattern.split("/")[1:]:
                node = node.below.setdefault("*" if part.startswith(":") else part, cls([], {}))
            node.route.append(route)
        return root

    def find(self, parts: Sequence[str]) -> tuple[Route, list[str]]:
        """Return the route of a path and its variable parts, or raise the 404 of an unknown address."""
        node = self
        names: list[str] = []
        for part in parts:
            following = node.below.get(part) if part != "*" else None
            if following is None:
                following = node.below.get("*")
                names.append(part)
            if following is None:
                break
            node = following
        else:
            if node.route:
                return node.route[0], names
        raise ApiError(404, {"error": "404 Not Found"})
