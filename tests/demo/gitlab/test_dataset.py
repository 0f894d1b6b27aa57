"""The data of the sample GitLab: repeatable, counted, cheap."""

from __future__ import annotations

import time
from collections import Counter

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Kind, Refusal
from crawlsock.demo.gitlab.kinds import CONTENT, ENDPOINTS, PARENTS
from crawlsock.demo.gitlab.layout import Spread, make_layout
from crawlsock.demo.gitlab.listing import BUILDERS


def _everything(dataset: Dataset, *, backwards: bool = False) -> list[bytes]:
    world = dataset.world
    places = [
        (kind, project, index)
        for project in dataset.projects
        for kind in CONTENT
        for index in range(world.layout.count(kind, project))
    ]
    return [
        orjson.dumps(BUILDERS[kind](world, project, index))
        for kind, project, index in (places[::-1] if backwards else places)
    ]


class SizeTests(TestCase):
    """How much there is."""

    def test_exact_total(self) -> None:
        """A dataset holds exactly the number of items asked for."""
        for projects, items in ((60, 20_000), (1, 500), (7, 1_234), (300, 9_999)):
            self.assertEqual(Dataset.generate(3, projects, items).total(), items)

    def test_smallest(self) -> None:
        """Where users, groups and members alone exceed what was asked for, projects are empty."""
        dataset = Dataset.generate(3, 10, 0)
        counts = dataset.counts()
        self.assertEqual({counts[kind.value] for kind in CONTENT}, {0})
        self.assertEqual(counts["projects"], 10)
        self.assertEqual(Dataset.generate(3, 0, 0).counts()["projects"], 0)

    def test_large_is_cheap(self) -> None:
        """Ten million items in three thousand projects are laid out in well under two seconds."""
        before = time.process_time()
        dataset = Dataset.generate(1, 3_000, 10_000_000)
        self.assertEqual(dataset.total(), 10_000_000)
        self.assertLess(time.process_time() - before, 2)

    def test_every_kind(self) -> None:
        """The default dataset has items of every kind, each with its endpoint, and nested groups."""
        dataset = Dataset.generate(1)
        self.assertNotIn(0, dataset.counts().values())
        self.assertEqual(set(dataset.counts()), {kind.value for kind in Kind})
        self.assertEqual(set(ENDPOINTS), set(Kind))
        depths = {path.count("/") for path in dataset.world.layout.group_paths}
        self.assertGreaterEqual(max(depths), 2)

    @given(st.integers(0, 2**40), st.integers(0, 40), st.integers(0, 6_000))
    @settings(max_examples=40, deadline=None)
    def test_nothing_hangs_in_the_air(self, seed: int, projects: int, items: int) -> None:
        """No project has notes without threads, jobs without pipelines or anything without commits."""
        layout = make_layout(seed, projects, items)
        for project in range(1, projects + 1):
            counts = {kind: layout.count(kind, project) for kind in CONTENT}
            self.assertGreaterEqual(min(counts.values()), 0)
            for below, above in PARENTS.items():
                self.assertTrue(counts[above] or not counts[below])
            self.assertLessEqual(counts[Kind.RELEASES], counts[Kind.TAGS])
            self.assertTrue(counts[Kind.COMMITS] or not sum(counts.values()))

    @given(st.integers(0, 2_000), st.integers(1, 300))
    @settings(max_examples=60, deadline=None)
    def test_spread(self, children: int, parents: int) -> None:
        """Children are dealt out completely, in order, and each knows its parent."""
        spread = Spread(children, parents)
        self.assertEqual(sum(spread.of(parent) for parent in range(parents)), children)
        dealt = [parent for parent in range(parents) for _ in range(spread.of(parent))]
        self.assertEqual([spread.parent(child) for child in range(children)], dealt)


class CountTests(TestCase):
    """The dataset's own count."""

    def setUp(self) -> None:
        self.dataset = Dataset.generate(11, 40, 8_000)

    def test_areas_add_up(self) -> None:
        """The counts of all top-level groups and of all users add up to the counts of everything."""
        summed: Counter[str] = Counter()
        for group in self.dataset.top_level_groups:
            summed.update(self.dataset.counts(group=group))
        for user in self.dataset.users:
            summed.update(self.dataset.counts(user=user))
        self.assertEqual(dict(summed), self.dataset.counts())

    def test_projects_add_up(self) -> None:
        """The counts of single projects add up to those of everything that belongs to projects."""
        summed: Counter[str] = Counter()
        for project in self.dataset.projects:
            summed.update(self.dataset.counts(project=project))
        whole = self.dataset.counts()
        outside = {"users", "groups", "group_members"}
        self.assertEqual(
            {kind: count for kind, count in summed.items() if kind not in outside},
            {kind: count for kind, count in whole.items() if kind not in outside},
        )

    def test_subtree(self) -> None:
        """A group's counts hold the groups and projects below it, and these alone."""
        layout = self.dataset.world.layout
        group = next(one for one in self.dataset.top_level_groups if layout.children.get(one))
        counts = self.dataset.counts(group=group)
        below = layout.subtree(group)
        self.assertEqual(counts["groups"], len(below))
        self.assertEqual(counts["projects"], sum(home in below for home in layout.homes))
        self.assertEqual(counts["users"], 0)

    def test_refused(self) -> None:
        """What is refused is not expected, and neither is what hangs below it."""
        layout = self.dataset.world.layout
        project = max(self.dataset.projects, key=lambda one: layout.count(Kind.ISSUE_NOTES, one))
        refused = [
            Refusal(Kind.ISSUES, project),
            Refusal(Kind.ISSUE_NOTES, project),
            Refusal(Kind.GROUP_MEMBERS, 1),
        ]
        missing = (
            layout.count(Kind.ISSUES, project)
            + layout.count(Kind.ISSUE_NOTES, project)
            + layout.count(Kind.GROUP_MEMBERS, 1)
        )
        self.assertGreater(missing, 10)
        self.assertEqual(self.dataset.total(refused=refused), self.dataset.total() - missing)
        self.assertEqual(self.dataset.counts(project=project, refused=refused)["issues"], 0)


class ItemTests(TestCase):
    """The items themselves."""

    def test_repeatable(self) -> None:
        """Equal arguments make equal items, whatever was asked for before; another seed makes others."""
        first, second = Dataset.generate(5, 6, 900), Dataset.generate(5, 6, 900)
        self.assertEqual(_everything(first), _everything(second, backwards=True)[::-1])
        self.assertNotEqual(_everything(first), _everything(Dataset.generate(6, 6, 900)))

    def test_identities(self) -> None:
        """No two items of a kind share an id, and no id is the item's iid."""
        dataset = Dataset.generate(5, 12, 3_000)
        for kind in CONTENT:
            if kind in (Kind.BRANCHES, Kind.TAGS, Kind.RELEASES):
                continue
            items = [
                BUILDERS[kind](dataset.world, project, index)
                for project in dataset.projects
                for index in range(dataset.world.layout.count(kind, project))
            ]
            self.assertEqual(len({item["id"] for item in items}), len(items), kind)
            self.assertFalse(any(item["id"] == item.get("iid") for item in items), kind)

    def test_notes_belong(self) -> None:
        """A thread says how many notes it has, and its notes name it."""
        dataset = Dataset.generate(5, 4, 2_000)
        for kind, above in ((Kind.ISSUE_NOTES, Kind.ISSUES), (Kind.MERGE_REQUEST_NOTES, Kind.MERGE_REQUESTS)):
            for project in dataset.projects:
                count = dataset.world.layout.count
                notes = Counter(
                    BUILDERS[kind](dataset.world, project, index)["noteable_id"]
                    for index in range(count(kind, project))
                )
                for index in range(count(above, project)):
                    thread = BUILDERS[above](dataset.world, project, index)
                    self.assertEqual(thread["user_notes_count"], notes[thread["id"]])

    def test_time_rises(self) -> None:
        """Items with greater ids were made later, and nothing was changed before it was made."""
        dataset = Dataset.generate(5, 2, 2_000)
        for kind in (Kind.ISSUES, Kind.MERGE_REQUESTS, Kind.PIPELINES, Kind.ISSUE_NOTES):
            count = dataset.world.layout.count(kind, 1)
            items = [BUILDERS[kind](dataset.world, 1, index) for index in range(count)]
            for name in ("created_at", "updated_at"):
                moments = [str(item[name]) for item in items]
                self.assertEqual(moments, sorted(moments))
            self.assertTrue(all(str(item["created_at"]) <= str(item["updated_at"]) for item in items))

    def test_hostile(self) -> None:
        """Hostile names are there when asked for, never otherwise, stay JSON, and change no count."""
        plain, hostile = Dataset.generate(5, 6, 2_000), Dataset.generate(5, 6, 2_000, hostile_names=True)
        text, plain_text = b"".join(_everything(hostile)), b"".join(_everything(plain))
        for mark in (b"<script>", b"\\u001b[31m", "\u202e".encode(), b"../../"):
            self.assertIn(mark, text)
            self.assertNotIn(mark, plain_text)
        self.assertNotIn(b"\\u0000", text)
        self.assertEqual(plain.counts(), hostile.counts())
        for item in _everything(hostile):
            orjson.loads(item)
