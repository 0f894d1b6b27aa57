"""The kinds of items a sample GitLab holds.

Law: an item is one JSON object that one list endpoint returns, and it is counted exactly once, under the kind
of that endpoint. Whoever adds a list endpoint whose objects are not reachable through another one adds a kind
here; whoever adds a second way to the same objects (``/groups/:id/subgroups`` beside ``/groups``) does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

JsonObject = dict[str, object]
"""One JSON object, as GitLab's API answers it."""


class Kind(str, Enum):
    """Name a kind of item; the value is the word used in counts, statistics and options."""

    USERS = "users"
    GROUPS = "groups"
    GROUP_MEMBERS = "group_members"
    PROJECTS = "projects"
    PROJECT_MEMBERS = "project_members"
    ISSUES = "issues"
    ISSUE_NOTES = "issue_notes"
    MERGE_REQUESTS = "merge_requests"
    MERGE_REQUEST_NOTES = "merge_request_notes"
    COMMITS = "commits"
    BRANCHES = "branches"
    TAGS = "tags"
    PIPELINES = "pipelines"
    JOBS = "jobs"
    RELEASES = "releases"
    MILESTONES = "milestones"
    LABELS = "labels"


ENDPOINTS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.USERS: "/users",
        Kind.GROUPS: "/groups",
        Kind.GROUP_MEMBERS: "/groups/:id/members",
        Kind.PROJECTS: "/projects",
        Kind.PROJECT_MEMBERS: "/projects/:id/members",
        Kind.ISSUES: "/projects/:id/issues",
        Kind.ISSUE_NOTES: "/projects/:id/issues/:iid/notes",
        Kind.MERGE_REQUESTS: "/projects/:id/merge_requests",
        Kind.MERGE_REQUEST_NOTES: "/projects/:id/merge_requests/:iid/notes",
        Kind.COMMITS: "/projects/:id/repository/commits",
        Kind.BRANCHES: "/projects/:id/repository/branches",
        Kind.TAGS: "/projects/:id/repository/tags",
        Kind.PIPELINES: "/projects/:id/pipelines",
        Kind.JOBS: "/projects/:id/pipelines/:pipeline_id/jobs",
        Kind.RELEASES: "/projects/:id/releases",
        Kind.MILESTONES: "/projects/:id/milestones",
        Kind.LABELS: "/projects/:id/labels",
    }
)
"""The list endpoint (below ``/api/v4``) that returns each item of a kind exactly once."""

CONTENT: tuple[Kind, ...] = (
    Kind.ISSUES,
    Kind.ISSUE_NOTES,
    Kind.MERGE_REQUESTS,
    Kind.MERGE_REQUEST_NOTES,
    Kind.COMMITS,
    Kind.BRANCHES,
    Kind.TAGS,
    Kind.PIPELINES,
    Kind.JOBS,
    Kind.RELEASES,
    Kind.MILESTONES,
    Kind.LABELS,
)
"""What a project holds besides its members; the order is part of what a seed means."""

PARENTS: Mapping[Kind, Kind] = MappingProxyType(
    {
        Kind.ISSUE_NOTES: Kind.ISSUES,
        Kind.MERGE_REQUEST_NOTES: Kind.MERGE_REQUESTS,
        Kind.JOBS: Kind.PIPELINES,
    }
)
"""Kinds that are reached through items of another kind, and not at all when that one is refused."""
