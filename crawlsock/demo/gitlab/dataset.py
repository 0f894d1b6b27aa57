"""A whole sample GitLab, and its own count of what it holds.

Law: this is the face of the data towards the rest of crawlsock. It answers how many items there are; nobody
has to list them to know. No HTTP, no Twisted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import frozen

from crawlsock.demo.gitlab.kinds import CONTENT, PARENTS, Kind
from crawlsock.demo.gitlab.layout import make_layout
from crawlsock.demo.gitlab.world import World

DEFAULT_EXTERNAL_URL = "https://gitlab.example.com"


@frozen
class Refusal:
    """Say that one resource of one project (for ``group_members``: of one group) is refused.

    ``status`` is 403, or 404 as GitLab answers where a feature is switched off. Items that are reached only
    through a refused resource (the notes of refused issues) are refused with it.
    """

    kind: Kind
    area: int
    status: int = 403


@frozen(eq=False)
class Dataset:
    """Hold a deterministic sample GitLab: equal arguments make equal items, whoever asks in whatever order.

    Its size in memory grows with the number of groups and projects, not of items, so millions of items cost
    nothing until they are asked for.
    """

    world: World

    @classmethod
    def generate(
        cls,
        seed: int,
        projects: int = 60,
        items: int = 20_000,
        *,
        external_url: str = DEFAULT_EXTERNAL_URL,
        hostile_names: bool = False,
    ) -> Dataset:
        """Make a sample GitLab of so many projects and exactly so many items of all kinds together.

        Users, groups, memberships and projects are items as well; where they alone exceed ``items``, the
        projects are empty and the total is larger. ``external_url`` is what the items' ``web_url`` begin
        with. ``hostile_names`` puts markup, control and bidirectional characters into a quarter of the names
        and titles.
        """
        return cls(World(make_layout(seed, projects, items), external_url.rstrip("/"), hostile_names))

    @property
    def seed(self) -> int:
        """The number that everything here follows from."""
        return self.world.layout.seed

    @property
    def groups(self) -> range:
        """The ids of all groups."""
        return range(1, self.world.layout.groups + 1)

    @property
    def projects(self) -> range:
        """The ids of all projects."""
        return range(1, self.world.layout.projects + 1)

    @property
    def users(self) -> range:
        """The ids of all users."""
        return range(1, self.world.layout.users + 1)

    @property
    def top_level_groups(self) -> list[int]:
        """The ids of the groups that have no parent."""
        return [group for group in self.groups if not self.world.layout.parents[group - 1]]

    def counts(
        self,
        *,
        group: int | None = None,
        project: int | None = None,
        user: int | None = None,
        refused: Collection[Refusal] = (),
    ) -> dict[str, int]:
        """Return how many items of each kind there are, by the kind's name.

        Without an area: everything. Of a ``group``: itself, all groups below it, their members, their
        projects and what these hold. Of a ``project``: itself (as one of ``projects``), its members and what
        it holds. Of a ``user``: itself (as one of ``users``), the projects in its own namespace and what they
        hold. The counts of all top-level groups and all users add up to the counts of everything. What is
        ``refused`` is left out: the result is what a crawler can get.
        """
        layout = self.world.layout
        if project is not None:
            return self._sum(users=0, groups=(), projects=(project,), refused=refused)
        if user is not None:
            return self._sum(users=1, groups=(), projects=layout.projects_of.get(-user, ()), refused=refused)
        if group is not None:
            groups = layout.subtree(group)
            projects = [one for home in groups for one in layout.projects_of.get(home, ())]
            return self._sum(users=0, groups=groups, projects=projects, refused=refused)
        return self._sum(users=layout.users, groups=self.groups, projects=self.projects, refused=refused)

    def total(self, *, refused: Collection[Refusal] = ()) -> int:
        """Return how many items of all kinds there are: what a complete crawl writes."""
        return sum(self.counts(refused=refused).values())

    def _sum(
        self, *, users: int, groups: Collection[int], projects: Collection[int], refused: Iterable[Refusal]
    ) -> dict[str, int]:
        layout = self.world.layout
        counts = dict.fromkeys(Kind, 0)
        counts[Kind.USERS] = users
        counts[Kind.GROUPS] = len(groups)
        counts[Kind.PROJECTS] = len(projects)
        areas = {Kind.GROUP_MEMBERS: groups, **dict.fromkeys((Kind.PROJECT_MEMBERS, *CONTENT), projects)}
        for kind, where in areas.items():
            if len(where) == len(layout.totals[kind]) - 1:
                counts[kind] = layout.totals[kind][-1]
            else:
                counts[kind] = sum(layout.count(kind, area) for area in where)
        for kind, area in _closed(refused):
            if area in areas[kind]:
                counts[kind] -= layout.count(kind, area)
        return {kind.value: count for kind, count in counts.items()}


def _closed(refused: Iterable[Refusal]) -> set[tuple[Kind, int]]:
    """Name everything that is out of reach, what hangs below a refused resource included."""
    found = {(refusal.kind, refusal.area) for refusal in refused}
    return found | {
        (below, area) for below, kind in PARENTS.items() for refused_kind, area in found if kind == refused_kind
    }
