"""Who is where, and how many of everything: the numbers behind a sample GitLab.

Law: this module holds what cannot be computed on demand, namely the tree of groups, the homes of projects and
the running totals of every kind. It is integers only, of a size that grows with groups and projects and never
with items. It builds no JSON (that is done in ``people``, ``planning``, ``repository`` and ``pipelines``).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from attrs import frozen

from crawlsock.demo.gitlab.chance import draw
from crawlsock.demo.gitlab.kinds import CONTENT, PARENTS, Kind
from crawlsock.demo.gitlab.words import TOPICS

DEEPEST_GROUP = 5
"""Levels of nested groups that are made; GitLab allows twenty."""

_SHARES: Mapping[Kind, int] = {
    Kind.ISSUES: 110,
    Kind.ISSUE_NOTES: 240,
    Kind.MERGE_REQUESTS: 70,
    Kind.MERGE_REQUEST_NOTES: 160,
    Kind.COMMITS: 200,
    Kind.BRANCHES: 25,
    Kind.TAGS: 20,
    Kind.PIPELINES: 30,
    Kind.JOBS: 110,
    Kind.RELEASES: 10,
    Kind.MILESTONES: 10,
    Kind.LABELS: 15,
}

_CROWD = (3, 0, 1, 0, 2, 1, 0, 4, 0, 1, 24, 0, 2, 1, 3, 0, 1, 1, 0, 6, 0, 2, 1, 0, 3, 0, 1, 9, 0, 1, 2, 0)
_CROWD_BEFORE = (0, *accumulate(_CROWD))
"""How notes gather: most threads have none or few, some have very many."""

_HOMES_SALT, _PARENTS_SALT, _SIZE_SALT, _MIX_SALT, _MEMBERS_SALT = range(1, 6)


def _crowd_before(index: int) -> int:
    blocks, rest = divmod(index, len(_CROWD))
    return blocks * _CROWD_BEFORE[-1] + _CROWD_BEFORE[rest]


@frozen
class Spread:
    """Deal ``children`` out to ``parents`` in order, unevenly, with every boundary computable by itself."""

    children: int
    parents: int

    def before(self, parent: int) -> int:
        """Return how many children the parents in front of this one have; ``before(parents)`` is all."""
        if not self.parents:
            return 0
        return self.children * _crowd_before(parent) // _crowd_before(self.parents)

    def of(self, parent: int) -> int:
        """Return how many children this parent has."""
        return self.before(parent + 1) - self.before(parent)

    def parent(self, child: int) -> int:
        """Return the parent of a child."""
        return bisect_right(range(self.parents + 1), child, key=self.before) - 1


@frozen(eq=False)
class Layout:
    """Say where everything of one sample GitLab is.

    Users, groups and projects are numbered from 1, and those numbers are their ids. ``parents[g - 1]`` is the
    parent of group ``g``, 0 for a top-level group. ``homes[p - 1]`` is the namespace of project ``p``: a
    group's id, or minus a user's id. ``totals[kind][n]`` is how many items of a kind the first ``n`` projects
    (for ``group_members``: groups) have together.
    """

    seed: int
    users: int
    parents: Sequence[int]
    homes: Sequence[int]
    totals: Mapping[Kind, Sequence[int]]
    group_paths: Sequence[str]
    children: Mapping[int, Sequence[int]]
    projects_of: Mapping[int, Sequence[int]]

    @property
    def groups(self) -> int:
        """The number of groups of all levels."""
        return len(self.parents)

    @property
    def projects(self) -> int:
        """The number of projects."""
        return len(self.homes)

    def count(self, kind: Kind, area: int) -> int:
        """Return how many items of a kind a project (for ``group_members``: a group) has."""
        totals = self.totals[kind]
        return totals[area] - totals[area - 1]

    def first(self, kind: Kind, area: int) -> int:
        """Return how many items of a kind stand in front of the first one of this project (or group)."""
        return self.totals[kind][area - 1]

    def spread(self, kind: Kind, project: int) -> Spread:
        """Return how a project's notes or jobs are dealt out to its issues, merge requests or pipelines."""
        return Spread(self.count(kind, project), self.count(PARENTS[kind], project))

    def subtree(self, group: int) -> list[int]:
        """Return a group and all groups below it, itself first."""
        found = [group]
        for one in found:
            found.extend(self.children.get(one, ()))
        return found

    def members(self, area: int, *, project: bool) -> list[int]:
        """Return the user ids of the direct members of a project or group."""
        kind = Kind.PROJECT_MEMBERS if project else Kind.GROUP_MEMBERS
        start = draw(self.seed, _MEMBERS_SALT, int(project), area) % self.users
        return sorted((start + step) % self.users + 1 for step in range(self.count(kind, area)))


def _content(budget: int, bits: int) -> list[int]:
    """Divide a project's budget into counts in the order of ``CONTENT`` that add up to the budget."""
    if not budget:
        return [0] * len(CONTENT)
    weights = [_SHARES[kind] * (8 + (bits >> (4 * place) & 15)) for place, kind in enumerate(CONTENT)]
    whole = sum(weights)
    counts = {kind: (budget - 1) * weight // whole for kind, weight in zip(CONTENT, weights, strict=True)}
    spare = budget - sum(counts.values())
    for kind, parent in PARENTS.items():
        if not counts[parent]:
            spare += counts[kind]
            counts[kind] = 0
    untagged = max(0, counts[Kind.RELEASES] - counts[Kind.TAGS])
    counts[Kind.RELEASES] -= untagged
    spare += untagged
    if not counts[Kind.BRANCHES] and spare > 1:
        counts[Kind.BRANCHES] = 1
        spare -= 1
    counts[Kind.COMMITS] += spare
    return [counts[kind] for kind in CONTENT]


def _group_tree(seed: int, groups: int) -> tuple[list[int], list[str]]:
    top = max(1, groups // 3)
    parents: list[int] = []
    paths: list[str] = []
    depths: list[int] = []
    for group in range(1, groups + 1):
        bits = draw(seed, _PARENTS_SALT, group)
        parent = 0 if group <= top else 1 + bits % (group - 1)
        while parent and depths[parent - 1] >= DEEPEST_GROUP:
            parent = parents[parent - 1]
        parents.append(parent)
        depths.append(depths[parent - 1] + 1 if parent else 1)
        name = f"{TOPICS[(bits >> 20) % len(TOPICS)]}-{group}"
        paths.append(f"{paths[parent - 1]}/{name}" if parent else name)
    return parents, paths


def _grouped(owners: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for place, owner in enumerate(owners, 1):
        if owner:
            found.setdefault(owner, []).append(place)
    return found


def _running(counts: Sequence[int]) -> Sequence[int]:
    return array("q", (0, *accumulate(counts)))


def make_layout(seed: int, projects: int, items: int) -> Layout:
    """Lay out a sample GitLab of ``projects`` projects and exactly ``items`` items of all kinds together.

    Users, groups, members and the projects themselves are items too; when they alone are more than ``items``,
    projects are empty and the total is larger.
    """
    users = 8 + projects // 4
    groups = max(2, projects // 4)
    parents, paths = _group_tree(seed, groups)
    homes = []
    for project in range(1, projects + 1):
        bits = draw(seed, _HOMES_SALT, project)
        homes.append(-(1 + (bits >> 8) % users) if bits % 8 == 0 else 1 + (bits >> 8) % groups)
    group_members = [2 + draw(seed, _MEMBERS_SALT, 2, group) % 5 for group in range(1, groups + 1)]
    project_members = [1 + draw(seed, _MEMBERS_SALT, 3, project) % 4 for project in range(1, projects + 1)]
    budget = max(0, items - users - groups - projects - sum(group_members) - sum(project_members))
    weights = _running([1 << draw(seed, _SIZE_SALT, project) % 6 for project in range(1, projects + 1)])
    contents = []
    for project in range(1, projects + 1):
        share = budget * weights[project] // weights[-1] - budget * weights[project - 1] // weights[-1]
        contents.append(_content(share, draw(seed, _MIX_SALT, project)))
    totals = {kind: _running([content[place] for content in contents]) for place, kind in enumerate(CONTENT)}
    totals[Kind.GROUP_MEMBERS] = _running(group_members)
    totals[Kind.PROJECT_MEMBERS] = _running(project_members)
    return Layout(
        seed=seed,
        users=users,
        parents=parents,
        homes=homes,
        totals=totals,
        group_paths=paths,
        children=_grouped(parents),
        projects_of=_grouped(homes),
    )
