"""Finding one item by what a URL calls it.

Law: from text out of a path to a number, without building or scanning items. Not found is None; what to say
about it is the routes' affair.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from types import MappingProxyType

from crawlsock.demo.gitlab import planning, repository
from crawlsock.demo.gitlab.kinds import Kind
from crawlsock.demo.gitlab.world import World

MOST_DIGITS = 15


def number(text: str) -> int | None:
    """Read a positive whole number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def project(world: World, text: str) -> int | None:
    """Find a project by its id or its full path."""
    found = number(text)
    if found is None:
        found = number(text.rpartition("-")[2])
        if found is None or not 1 <= found <= world.layout.projects or world.project_path(found) != text:
            return None
    return found if 1 <= found <= world.layout.projects else None


def group(world: World, text: str) -> int | None:
    """Find a group by its id or its full path."""
    found = number(text)
    if found is None:
        found = number(text.rpartition("-")[2])
        if found is None or not 1 <= found <= world.layout.groups or world.namespace_path(found) != text:
            return None
    return found if 1 <= found <= world.layout.groups else None


def user(world: World, text: str) -> int | None:
    """Find a user by id."""
    found = number(text)
    return found if found is not None and 1 <= found <= world.layout.users else None


def username(world: World, text: str) -> int | None:
    """Find a user by login name."""
    lowered = text.lower()
    found = number(lowered[len(lowered.rstrip("0123456789")) :])
    return found if found and found <= world.layout.users and world.username(found) == lowered else None


def index(world: World, kind: Kind, of_project: int, text: str) -> int | None:
    """Find an item of a project by what its own endpoint calls it: iid, id, name or commit."""
    found = _FINDERS[kind](world, kind, of_project, text)
    return found if found is not None and 0 <= found < world.layout.count(kind, of_project) else None


def commit_of_ref(world: World, of_project: int, text: str) -> int | None:
    """Find the commit that a branch, tag or commit name stands for."""
    branch = index(world, Kind.BRANCHES, of_project, text)
    if branch is not None:
        return repository.branch_head(world, of_project, branch)
    tag = index(world, Kind.TAGS, of_project, text)
    return (
        repository.tag_head(world, of_project, tag)
        if tag is not None
        else repository.commit_index(world, of_project, text)
    )


def _by_iid(world: World, kind: Kind, of_project: int, text: str) -> int | None:
    iid = number(text)
    return iid - 1 if iid else None


def _by_id(world: World, kind: Kind, of_project: int, text: str) -> int | None:
    identifier = number(text)
    return identifier - world.base(kind, of_project) - 1 if identifier else None


def _by_name(name: Callable[[World, int, int], str]) -> Callable[[World, Kind, int, str], int | None]:
    def find(world: World, kind: Kind, of_project: int, text: str) -> int | None:
        everything = range(world.layout.count(kind, of_project))
        place = bisect_left(everything, text, key=lambda index: name(world, of_project, index))
        return place if place < len(everything) and name(world, of_project, place) == text else None

    return find


def _label(world: World, kind: Kind, of_project: int, text: str) -> int | None:
    found = _by_id(world, kind, of_project, text)
    return found if found is not None else _by_name(planning.label_name)(world, kind, of_project, text)


_FINDERS: Mapping[Kind, Callable[[World, Kind, int, str], int | None]] = MappingProxyType(
    {
        Kind.ISSUES: _by_iid,
        Kind.ISSUE_NOTES: _by_id,
        Kind.MERGE_REQUESTS: _by_iid,
        Kind.MERGE_REQUEST_NOTES: _by_id,
        Kind.COMMITS: lambda world, kind, of_project, text: commit_of_ref(world, of_project, text),
        Kind.BRANCHES: _by_name(repository.branch_name),
        Kind.TAGS: _by_name(repository.tag_name),
        Kind.PIPELINES: _by_id,
        Kind.JOBS: _by_id,
        Kind.RELEASES: _by_name(repository.tag_name),
        Kind.MILESTONES: _by_id,
        Kind.LABELS: _label,
    }
)
