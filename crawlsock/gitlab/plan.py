"""What is crawled: every collection of every kind of area, declared.

Law: data only. A new collection is one more row here and nothing else anywhere; how lists are paged,
retried, written and resumed is the same for all of them and lives elsewhere.

Orders are chosen so that a list that grows while it is read grows at its end: then page numbers keep their
meaning. Where GitLab offers no such order, `identity` lets the crawler drop what it meets twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

_NONE: Mapping[str, str] = MappingProxyType({})
_OLDEST_FIRST = MappingProxyType({"order_by": "created_at", "sort": "asc"})
_BY_ID = MappingProxyType({"order_by": "id", "sort": "asc"})


@frozen
class Collection:
    """One list of an area.

    `name` is also the stem of its output file; `entity` the type it is counted under. `path` is below the
    API, with `{area}` for the area and, when the list belongs to each item of another list (`parent`),
    `{parent}` for that item's `parent_field`. `keyset` asks by keyset pagination first. `identity` is the
    field that tells items apart.
    """

    name: str
    entity: str
    path: str
    parameters: Mapping[str, str] = _NONE
    keyset: bool = False
    parent: str | None = None
    parent_field: str = "id"
    identity: str = "id"


@frozen
class Discovery:
    """One list whose items become jobs of `job_type` and areas of `kind`; `path_field` holds an item's full
    path.
    """

    name: str
    path: str
    job_type: str
    kind: str
    path_field: str
    parameters: Mapping[str, str] = _NONE
    keyset: bool = False


@frozen
class AreaPlan:
    """All there is to crawl of one kind of area.

    `details` is the path of the area itself, written as the single item of the collection `kind`.
    """

    kind: str
    folder: str
    entity: str
    details: str
    path_field: str
    parameters: Mapping[str, str] = _NONE
    collections: tuple[Collection, ...] = ()
    discoveries: tuple[Discovery, ...] = field(default=())


def _projects(name: str, path: str, **parameters: str) -> Discovery:
    return Discovery(name, path, "crawl_project", "project", "path_with_namespace", {"simple": "true", **parameters})


PROJECT = AreaPlan(
    kind="project",
    folder="projects",
    entity="projects",
    details="/projects/{area}",
    path_field="path_with_namespace",
    parameters={"statistics": "false"},
    collections=(
        Collection("members", "project_members", "/projects/{area}/members"),
        Collection("labels", "labels", "/projects/{area}/labels"),
        Collection("milestones", "milestones", "/projects/{area}/milestones"),
        Collection("issues", "issues", "/projects/{area}/issues", {"scope": "all", **_OLDEST_FIRST}, keyset=True),
        Collection(
            "issue_notes",
            "issue_notes",
            "/projects/{area}/issues/{parent}/notes",
            _OLDEST_FIRST,
            parent="issues",
            parent_field="iid",
        ),
        Collection(
            "merge_requests",
            "merge_requests",
            "/projects/{area}/merge_requests",
            {"scope": "all", **_OLDEST_FIRST},
        ),
        Collection(
            "merge_request_notes",
            "merge_request_notes",
            "/projects/{area}/merge_requests/{parent}/notes",
            _OLDEST_FIRST,
            parent="merge_requests",
            parent_field="iid",
        ),
        Collection("commits", "commits", "/projects/{area}/repository/commits", {"all": "true"}),
        Collection("branches", "branches", "/projects/{area}/repository/branches", keyset=True, identity="name"),
        Collection(
            "tags",
            "tags",
            "/projects/{area}/repository/tags",
            {"order_by": "name"},
            keyset=True,
            identity="name",
        ),
        Collection("pipelines", "pipelines", "/projects/{area}/pipelines", _BY_ID),
        # All jobs of the project in one list, rather than a request for each pipeline. GitLab pages it by
        # keyset in this one order only; newest first is harmless there, since a keyset does not move when
        # jobs are added.
        Collection("jobs", "jobs", "/projects/{area}/jobs", {"order_by": "id", "sort": "desc"}, keyset=True),
        Collection(
            "releases",
            "releases",
            "/projects/{area}/releases",
            {"order_by": "created_at", "sort": "asc"},
            identity="tag_name",
        ),
    ),
)

GROUP = AreaPlan(
    kind="group",
    folder="groups",
    entity="groups",
    details="/groups/{area}",
    path_field="full_path",
    parameters={"with_projects": "false"},
    collections=(Collection("members", "group_members", "/groups/{area}/members"),),
    discoveries=(
        Discovery("subgroups", "/groups/{area}/subgroups", "crawl_group", "group", "full_path", _BY_ID),
        _projects("projects", "/groups/{area}/projects", with_shared="false", **_BY_ID),
    ),
)

USER = AreaPlan(
    kind="user",
    folder="users",
    entity="users",
    details="/users/{area}",
    path_field="username",
    discoveries=(_projects("projects", "/users/{area}/projects", **_BY_ID),),
)

AREAS: Mapping[str, AreaPlan] = MappingProxyType({"crawl_project": PROJECT, "crawl_group": GROUP, "crawl_user": USER})
"""Which area each job type crawls."""

NAMESPACES: tuple[Discovery, ...] = (
    Discovery("groups", "/groups", "crawl_group", "group", "full_path", _BY_ID),
    Discovery(
        "projects",
        "/projects",
        "crawl_project",
        "project",
        "path_with_namespace",
        {"simple": "true", **_BY_ID},
        keyset=True,
    ),
    Discovery("users", "/users", "crawl_user", "user", "username", _BY_ID, keyset=True),
)
"""What `discover_namespaces` lists. Groups and users find their projects again; the server makes one job of
both.
"""

PLAN_VERSION = 1
"""Rises when names, orders or parents of collections change: a resume state of another version is not used.
"""
