"""Lists of items that are never built as a whole.

Law: a listing knows how many items there are, what the item at a position is, and by which fields it may be
ordered. It knows nothing of pages, parameters or HTTP (see ``paging``). Position 0 is the oldest item: in
their natural order all ids, times of creation and times of change rise together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import MappingProxyType

from attrs import field, frozen

from crawlsock.demo.gitlab import people, pipelines, planning, repository
from crawlsock.demo.gitlab.kinds import JsonObject, Kind
from crawlsock.demo.gitlab.world import World


class Keyset(Enum):
    """Name GitLab's three ways of keyset pagination."""

    ID = "id_after and id_before in the link"
    CURSOR = "an opaque cursor in the link"
    PAGE_TOKEN = "the name of the last item in the link"


@frozen
class Ordering:
    """Say how GitLab orders one kind of item, and how its keyset pagination, if any, works.

    ``natural`` are values of ``order_by`` that agree with the natural order; ``fields`` are those that need
    sorting. ``keyset_orders`` are the pairs of order and direction for which keyset pagination exists.
    """

    order_by: str = "id"
    sort: str = "desc"
    natural: frozenset[str] = frozenset({"id"})
    fields: frozenset[str] = frozenset()
    keyset: Keyset | None = None
    keyset_orders: frozenset[tuple[str, str]] = frozenset()
    anonymous_keyset_only: bool = False
    counted: bool = True


def _both_ways(*names: str) -> frozenset[tuple[str, str]]:
    return frozenset((name, sort) for name in names for sort in ("asc", "desc"))


_TIMED = frozenset({"id", "created_at", "updated_at"})
_PLAIN_TIMED = Ordering("created_at", natural=_TIMED)
_USER_FIELDS = ("id", "name", "username", "created_at", "updated_at")
_ISSUE_FIELDS = ("created_at", "updated_at", "title", "id", "weight", "due_date", "relative_position")

ORDERINGS: Mapping[Kind, Ordering] = MappingProxyType(
    {
        Kind.USERS: Ordering(
            "id", "desc", _TIMED, frozenset({"name", "username"}), Keyset.CURSOR, _both_ways(*_USER_FIELDS)
        ),
        Kind.GROUPS: Ordering(
            "name",
            "asc",
            frozenset({"id"}),
            frozenset({"name", "path"}),
            Keyset.CURSOR,
            frozenset({("name", "asc")}),
            True,
        ),
        Kind.GROUP_MEMBERS: Ordering(sort="asc"),
        Kind.PROJECTS: Ordering(
            "created_at",
            natural=_TIMED | {"last_activity_at"},
            fields=frozenset({"name", "path", "star_count"}),
            keyset=Keyset.ID,
            keyset_orders=_both_ways("id"),
        ),
        Kind.PROJECT_MEMBERS: Ordering(sort="asc"),
        Kind.ISSUES: Ordering(
            "created_at",
            natural=_TIMED | {"relative_position", "weight"},
            fields=frozenset({"title", "due_date"}),
            keyset=Keyset.CURSOR,
            keyset_orders=_both_ways(*_ISSUE_FIELDS),
        ),
        Kind.ISSUE_NOTES: _PLAIN_TIMED,
        Kind.MERGE_REQUESTS: Ordering("created_at", natural=_TIMED, fields=frozenset({"title"})),
        Kind.MERGE_REQUEST_NOTES: _PLAIN_TIMED,
        Kind.COMMITS: Ordering("default", natural=frozenset({"default"}), counted=False),
        Kind.BRANCHES: Ordering("name", "asc", frozenset({"name", "updated"}), frozenset(), Keyset.PAGE_TOKEN),
        Kind.TAGS: Ordering(
            "updated", "desc", frozenset({"name", "updated", "version"}), frozenset(), Keyset.PAGE_TOKEN
        ),
        Kind.PIPELINES: Ordering(natural=frozenset({"id", "updated_at"}), fields=frozenset({"status", "ref"})),
        Kind.JOBS: Ordering(keyset=Keyset.CURSOR, keyset_orders=frozenset({("id", "desc")})),
        Kind.RELEASES: Ordering("released_at", natural=frozenset({"released_at", "created_at"})),
        Kind.MILESTONES: Ordering(),
        Kind.LABELS: Ordering("name", "asc", frozenset({"name", "id"})),
    }
)
"""How GitLab orders each kind of item when it lists them."""

ContentBuilder = Callable[[World, int, int], JsonObject]

BUILDERS: Mapping[Kind, ContentBuilder] = MappingProxyType(
    {
        Kind.ISSUES: planning.issue,
        Kind.ISSUE_NOTES: lambda world, project, index: planning.note(world, Kind.ISSUE_NOTES, project, index),
        Kind.MERGE_REQUESTS: planning.merge_request,
        Kind.MERGE_REQUEST_NOTES: lambda world, project, index: planning.note(
            world, Kind.MERGE_REQUEST_NOTES, project, index
        ),
        Kind.COMMITS: repository.commit,
        Kind.BRANCHES: repository.branch,
        Kind.TAGS: repository.tag,
        Kind.PIPELINES: pipelines.pipeline,
        Kind.JOBS: pipelines.job,
        Kind.RELEASES: repository.release,
        Kind.MILESTONES: planning.milestone,
        Kind.LABELS: planning.label,
    }
)
"""What makes the ``index``-th item of a kind in a project: ``builder(world, project, index)``."""

_NAMES: Mapping[Kind, Callable[[World, int, int], str]] = MappingProxyType(
    {Kind.BRANCHES: repository.branch_name, Kind.TAGS: repository.tag_name}
)


@frozen(eq=False)
class Listing:
    """A list of items, by position in natural order.

    ``key`` names the list: two listings of one world with equal keys are equal. ``identify`` gives what
    keyset pagination remembers of an item (its id, or its name); it rises with the position. ``keyset`` is
    False for endpoints that page by offset only although the kind of item could do more.
    """

    key: tuple[object, ...]
    kind: Kind
    total: int
    build: Callable[[int], JsonObject]
    identify: Callable[[int], int | str]
    keyset: bool = field(default=True, kw_only=True)

    @property
    def ordering(self) -> Ordering:
        """How items of this kind are ordered."""
        return ORDERINGS[self.kind]


def content(world: World, kind: Kind, project: int) -> Listing:
    """List everything of one kind that a project has."""
    return slice_of_content(world, kind, project, 0, world.layout.count(kind, project), keyset=True)


def slice_of_content(
    world: World, kind: Kind, project: int, start: int, total: int, *, keyset: bool = False
) -> Listing:
    """List ``total`` items of a kind in a project from an index on: a thread's notes, a pipeline's jobs."""
    build, name, base = BUILDERS[kind], _NAMES.get(kind), world.base(kind, project) + start + 1
    return Listing(
        (kind, project, start, total),
        kind,
        total,
        lambda position: build(world, project, start + position),
        partial(name, world, project) if name else base.__add__,
        keyset=keyset,
    )


def users(world: World, numbers: Sequence[int]) -> Listing:
    """List these users."""
    return _numbered((Kind.USERS, _span(numbers)), Kind.USERS, numbers, partial(people.user, world))


def groups(world: World, numbers: Sequence[int], *, keyset: bool = False) -> Listing:
    """List these groups, given in rising order."""
    return _numbered((Kind.GROUPS, _span(numbers)), Kind.GROUPS, numbers, partial(people.group, world), keyset=keyset)


def projects(world: World, numbers: Sequence[int], *, keyset: bool = True) -> Listing:
    """List these projects, given in rising order."""
    build = partial(people.project, world)
    return _numbered((Kind.PROJECTS, _span(numbers)), Kind.PROJECTS, numbers, build, keyset=keyset)


def members(world: World, numbers: Sequence[int], area: int, *, of_project: bool) -> Listing:
    """List these users as members of a project or group."""
    kind = Kind.PROJECT_MEMBERS if of_project else Kind.GROUP_MEMBERS

    def build(number: int) -> JsonObject:
        return people.member(world, number, area, of_project=of_project)

    return _numbered((kind, area, _span(numbers)), kind, numbers, build, keyset=False)


def _numbered(
    key: tuple[object, ...],
    kind: Kind,
    numbers: Sequence[int],
    build: Callable[[int], JsonObject],
    *,
    keyset: bool = True,
) -> Listing:
    return Listing(
        key, kind, len(numbers), lambda position: build(numbers[position]), numbers.__getitem__, keyset=keyset
    )


def _span(numbers: Sequence[int]) -> object:
    """Name a set of numbers: a range by its ends, however long it is, anything else by its members."""
    return (numbers.start, numbers.stop) if isinstance(numbers, range) else tuple(numbers)
