"""Which migrations are pending, and which are refused."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.store.migrate import (
    Applied,
    Migration,
    MigrationChanged,
    MigrationError,
    SchemaTooNew,
    load_migrations,
    pending,
)

FIRST, SECOND, THIRD = (Migration(n, f"m{n}", f"SELECT {n}") for n in (1, 2, 3))


def applied(*migrations: Migration) -> list[Applied]:
    return [Applied(m.version, m.name, m.sha256) for m in migrations]


class Pending(SynchronousTestCase):
    def test_rest(self) -> None:
        """What was not applied is pending, in order."""
        self.assertEqual(pending((FIRST, SECOND, THIRD), []), (FIRST, SECOND, THIRD))
        self.assertEqual(pending((FIRST, SECOND, THIRD), applied(FIRST)), (SECOND, THIRD))
        self.assertEqual(pending((FIRST,), applied(FIRST)), ())

    def test_newer(self) -> None:
        """A version above ours is refused, naming both."""
        error = self.assertRaises(SchemaTooNew, pending, (FIRST,), applied(FIRST, SECOND))
        self.assertIn("2", str(error))

    def test_changed(self) -> None:
        """A checksum that differs, a file that is gone and one slipped in below are refused."""
        other = Migration(1, "m1", "SELECT 'other'")
        for ours, had in (
            ((other, SECOND), applied(FIRST)),
            ((SECOND,), applied(FIRST)),
            ((FIRST, SECOND, THIRD), applied(FIRST, THIRD)),
        ):
            self.assertRaises(MigrationChanged, pending, ours, had)


class Loading(SynchronousTestCase):
    def directory(self, *names: str) -> Path:
        directory = Path(self.mktemp())
        directory.mkdir()
        for name in names:
            (directory / name).write_text(f"-- {name}")
        return directory

    def test_order(self) -> None:
        """Files come in the order of their numbers; other files are left alone."""
        loaded = load_migrations(self.directory("0010_ten.sql", "0002_two.sql", "README"))
        self.assertEqual((loaded[0].version, loaded[0].name, loaded[0].sql), (2, "two", "-- 0002_two.sql"))
        self.assertEqual([m.file_name for m in loaded], ["0002_two.sql", "0010_ten.sql"])

    def test_bad_names(self) -> None:
        """A file with a bad name, or a number used twice, is refused by name."""
        for names, word in (
            (("1_one.sql",), "1_one.sql"),
            (("0001_one.sql", "0001_uno.sql"), "same number"),
        ):
            error = self.assertRaises(MigrationError, load_migrations, self.directory(*names))
            self.assertTrue(re.search(word, str(error)))

    def test_ours(self) -> None:
        """This program's own migrations are numbered from one without a gap."""
        versions = [migration.version for migration in load_migrations()]
        self.assertEqual(versions, list(range(1, len(versions) + 1)))
        self.assertTrue(versions)
