"""Names on disk for names from outside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from crawlsock.gitlab.names import COMPONENT_BYTES, FOLDER_BYTES, area_folder, decode, encode, is_safe

names = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="./\\~%\0\n aAﬁΩ", max_size=300),
    st.sampled_from(["", ".", "..", "...", "/", "con", "a" * 5000, "%2e", "~1", "-rf", ".parts"]),
)


class EncodeTests(TestCase):
    """One name."""

    @given(names)
    def test_reversible(self, name: str) -> None:
        """Every name comes back from what it became."""
        self.assertEqual(decode(encode(name)), name)

    @given(names)
    def test_safe(self, name: str) -> None:
        """Every component is short, plain, visible, and the same on a file system that ignores case."""
        for component in encode(name):
            self.assertTrue(is_safe(component), component)
            self.assertLessEqual(len(component), COMPONENT_BYTES)
            self.assertNotIn("/", component)
            self.assertFalse(component.startswith("."))
            self.assertTrue(component.isascii() and component.isprintable())
            self.assertEqual(component, component.lower())

    @given(names, names)
    def test_distinct(self, one: str, other: str) -> None:
        """Two names never become one."""
        if one != other:
            self.assertNotEqual(encode(one), encode(other))

    def test_readable(self) -> None:
        """A usual name stays as it is."""
        self.assertEqual(encode("my-project_2.0"), ["my-project_2.0"])
        self.assertEqual(encode(".Hidden"), ["%2e%48idden"])

    def test_unsafe(self) -> None:
        """What never comes from here is not let through to the disk."""
        for component in ("", ".", "..", ".x", "a/b", "A", "a b", "%zz", "ü", "a" * 300, "x\n"):
            self.assertFalse(is_safe(component), component)


class AreaFolderTests(TestCase):
    """The folder of an area."""

    def test_readable(self) -> None:
        """A project's folder shows account, host, path and id."""
        folder = area_folder("acme", "gitlab.com", "projects", "group/sub/Name", "42")
        self.assertEqual("/".join(folder), "acme/gitlab.com/projects/group/sub/%4eame~42")

    @given(names, names, names)
    def test_inside(self, account: str, path: str, entity: str) -> None:
        """No account, path or id leads out of the root, or makes a folder too long for the wire."""
        if len(account) < 60 and len(entity) < 60:
            folder = area_folder(account, "h", "projects", path, entity)
            self.assertTrue(all(map(is_safe, folder)), folder)
            self.assertLess(len("/".join(folder)), FOLDER_BYTES + 1)

    @given(names, names, st.integers(1, 9), st.integers(1, 9))
    def test_apart(self, one: str, other: str, first: int, second: int) -> None:
        """Two areas never share a folder, whatever their paths."""
        if first != second:
            self.assertNotEqual(
                area_folder("a", "h", "projects", one, str(first)),
                area_folder("a", "h", "projects", other, str(second)),
            )
