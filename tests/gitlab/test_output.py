"""Parts and files on a real file system."""

from __future__ import annotations

import os
from typing import cast

from twisted.trial.unittest import TestCase

from crawlsock.gitlab.output import AreaOutput, OutputRoot, Part
from tests.gitlab.fakes import QuickDisk


class OutputTests(TestCase):
    """One area's output."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.root = OutputRoot(self.path, QuickDisk())
        self.addCleanup(self.root.close)

    def area(self, attempt: str, path: str = "group/name") -> AreaOutput:
        output = AreaOutput.of(
            self.root, account="a", host="h", folder="projects", path=path, entity_id="7", attempt=attempt
        )
        output.begin()
        self.addCleanup(output.close)
        return output

    def final(self, *parts: str) -> str:
        return os.path.join(self.path, "a", "h", "projects", "group", "name~7", *parts)

    def test_publish(self) -> None:
        """Parts become files of the area; a list without items becomes an empty file."""
        output = self.area("job.1")
        output.write("issues", b"{}\n", 0)
        output.write("issues", b"[]\n", 3)
        [issues, notes] = output.publish({"issues": Part(6, 1), "notes": Part(0, 0)}, {"issues": 2, "notes": 0})
        self.assertEqual((issues.path, issues.items, issues.bytes), ("a/h/projects/group/name~7/issues.jsonl", 2, 6))
        with open(self.final("issues.jsonl"), "rb") as stream:
            self.assertEqual(stream.read(), b"{}\n[]\n")
        self.assertEqual(os.path.getsize(self.final("notes.jsonl")), notes.bytes)
        output.clear_own()
        self.assertEqual(os.listdir(os.path.join(self.path, ".parts", "a", "h", "projects")), [])

    def test_take_over(self) -> None:
        """What an earlier attempt wrote behind its durable bytes is not taken over."""
        first = self.area("job.1")
        first.write("issues", b"one\ntwo\nthr", 0)
        second = self.area("job.2")
        self.assertEqual(second.take_over("job.1", {"issues": Part(4, first.inode("issues"))}), {"issues"})
        self.assertEqual(list(second.lines("issues", 0, 4)), [(b"one", 4)])
        first.write("issues", b"ee\n", 11)
        second.write("issues", b"2\n", 4)
        self.assertEqual(list(second.lines("issues", 4, 6)), [(b"2", 6)])

    def test_too_short(self) -> None:
        """A part that is shorter than what was promised, or not there, is not taken over."""
        first = self.area("job.1")
        first.write("issues", b"one\n", 0)
        second = self.area("job.2")
        self.assertEqual(
            second.take_over("job.1", {"issues": Part(5, first.inode("issues")), "tags": Part(1, 1)}), set()
        )

    def test_published_by_another(self) -> None:
        """A file of the right size that is not the earlier attempt's part is not taken for it."""
        other = self.area("other.1")
        other.write("issues", b"old\n", 0)
        other.publish({"issues": Part(4, 0)}, {"issues": 1})
        second = self.area("job.2")
        self.assertEqual(second.take_over("job.1", {"issues": Part(4, 1)}), set())

    def test_clear(self) -> None:
        """An attempt clears away those before it and leaves those after it alone."""
        first, second, third = self.area("job.1"), self.area("job.2"), self.area("job.3")
        first.write("issues", b"1\n", 0)
        third.write("issues", b"3\n", 0)
        second.clear_others()
        home = os.path.join(self.path, ".parts", "a", "h", "projects", "7")
        self.assertEqual(sorted(os.listdir(home)), ["job.2", "job.3"])
        self.assertRaises(OSError, first.publish, {"issues": Part(2, 1)}, {"issues": 1})
        self.assertFalse(os.path.exists(self.final("issues.jsonl")))

    def test_links(self) -> None:
        """A link on the way to the output is not followed."""
        outside = self.mktemp()
        os.makedirs(outside)
        os.makedirs(os.path.join(self.path, "a", "h"))
        os.symlink(os.path.abspath(outside), os.path.join(self.path, "a", "h", "projects"))
        output = self.area("job.1")
        output.write("issues", b"{}\n", 0)
        self.assertRaises(OSError, output.publish, {"issues": Part(3, 1)}, {"issues": 1})
        self.assertEqual(os.listdir(outside), [])

    def test_link_as_file(self) -> None:
        """A link in the place of a file is replaced, and what it points to is left alone."""
        outside = self.mktemp()
        os.makedirs(self.final())
        os.symlink(os.path.abspath(outside), self.final("issues.jsonl"))
        output = self.area("job.1")
        output.write("issues", b"{}\n", 0)
        output.publish({"issues": Part(3, 1)}, {"issues": 1})
        self.assertFalse(os.path.islink(self.final("issues.jsonl")))
        self.assertFalse(os.path.exists(outside))

    def test_unsafe_component(self) -> None:
        """The disk refuses a component that the naming rules would never make."""
        for component in ("..", ".", "a/b", ".hidden", ""):
            self.assertRaises(ValueError, self.root.disk.open_folder, self.root.descriptor, [component], create=True)

    def test_lines(self) -> None:
        """Lines are read back with the place behind each, from any line's start, however long they are."""
        output = self.area("job.1")
        lines = [b"x" * (size % 50) for size in range(100_000)]
        data = b"".join(line + b"\n" for line in lines)
        output.write("issues", data, 0)
        found = list(output.lines("issues", 0, len(data)))
        self.assertEqual([line for line, _ in found], lines)
        middle = found[50_000][1]
        self.assertEqual(cast(object, next(output.lines("issues", middle, len(data)))), found[50_001])
