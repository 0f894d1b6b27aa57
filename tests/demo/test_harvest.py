"""What is claimed about counting what was written."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.demo.harvest import count
from crawlsock.gitlab.names import area_folder

HOST = "127.0.0.1:8080"


class HarvestTests(SynchronousTestCase):
    """Files as the crawler writes them."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)

    def write(self, path: str, entity: str, name: str, *items: dict[str, object], hidden: bool = False) -> None:
        folder = self.root.joinpath(*area_folder("demo", HOST, "projects", path, entity))
        if hidden:
            folder = self.root / "demo" / "127.0.0.1%3a8080" / ".parts"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))

    def test_distinct_items_are_counted_by_kind(self) -> None:
        """Items are counted by file, and equal names in two projects are two items."""
        self.write("a/b", "1", "project", {"id": 1})
        self.write("a/b", "1", "branches", {"name": "main"}, {"name": "next"})
        self.write("a/c", "2", "branches", {"name": "main"})
        found = count(self.root, "demo", HOST)
        self.assertEqual((found.items, found.duplicates), (4, 0))
        self.assertEqual(found.by_kind, {"project": 1, "branches": 3})

    def test_an_item_that_stands_twice_is_told(self) -> None:
        """An item twice in a file, or a project in two folders, counts once and is a duplicate."""
        self.write("a/b", "1", "issues", {"id": 5}, {"id": 5})
        self.write("a/b", "1", "project", {"id": 1})
        self.write("a/moved", "1", "project", {"id": 1})
        found = count(self.root, "demo", HOST)
        self.assertEqual(found.duplicates, 2)

    def test_other_crawls_and_unfinished_files_do_not_count(self) -> None:
        """Another host, another account, and what is hidden are not looked at."""
        self.write("a/b", "1", "issues", {"id": 5}, hidden=True)
        self.assertEqual(count(self.root, "demo", HOST).items, 0)
        self.assertEqual(count(self.root, "demo", "127.0.0.1:9").items, 0)
