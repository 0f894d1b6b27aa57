"""Which directories are made, and which are left alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.postgres import ClusterLost, StartFailed
from crawlsock.postgres.account import Account
from crawlsock.postgres.layout import LONGEST_SOCKET_DIR, make_layout, own_directory, write_private

OURSELVES = Account(name="ourselves", uid=os.geteuid(), gid=os.getegid(), switch=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class Places(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)

    def test_new(self) -> None:
        """A data directory that was not there is made, closed to others."""
        layout = make_layout(self.base / "new" / "data", OURSELVES)
        self.assertEqual(mode(layout.home), 0o700)
        self.assertEqual(layout.cluster, layout.home / "cluster")

    def test_existing(self) -> None:
        """A directory that was there keeps its mode."""
        home = self.base / "mine"
        home.mkdir(mode=0o755)
        home.chmod(0o751)
        make_layout(home, OURSELVES)
        self.assertEqual(mode(home), 0o751)

    def test_file(self) -> None:
        """A file in the directory's place is named in the refusal."""
        (self.base / "file").write_text("")
        error = self.assertRaises(StartFailed, make_layout, self.base / "file", OURSELVES)
        self.assertIn("file", str(error))

    def test_lost(self) -> None:
        """A pointer to a place without a cluster is an error, not an empty database."""
        home = self.base / "data"
        home.mkdir()
        write_private(home / "location", f"{self.base}/gone\n")
        self.assertRaises(ClusterLost, make_layout, home, OURSELVES)

    def test_socket(self) -> None:
        """The socket's directory is short and private, and the same every time."""
        layout = make_layout(self.base / ("d" * 100), OURSELVES)
        chosen = layout.socket_dir()
        self.addCleanup(chosen.rmdir)
        self.assertLessEqual(len(str(chosen)), LONGEST_SOCKET_DIR)
        self.assertEqual(mode(chosen), 0o700)
        self.assertEqual(make_layout(layout.home, OURSELVES).socket_dir(), chosen)

    def test_socket_not_ours(self) -> None:
        """A recorded socket directory that others may enter by now is not used again."""
        layout = make_layout(self.base / ("d" * 100), OURSELVES)
        first = layout.socket_dir()
        self.addCleanup(first.rmdir)
        first.chmod(0o755)
        second = layout.socket_dir()
        self.addCleanup(second.rmdir)
        self.assertNotEqual(second, first)

    def test_own_directory(self) -> None:
        """A directory of ours that is there already must be private."""
        path = self.base / "own"
        own_directory(path, OURSELVES)
        own_directory(path, OURSELVES)
        path.chmod(0o755)
        self.assertRaises(StartFailed, own_directory, path, OURSELVES)

    def test_private_file(self) -> None:
        """A secret is written with mode 0600, whatever the umask, and replaces the old one whole."""
        path = self.base / "secret"
        path.write_text("old and longer")
        path.chmod(0o644)
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        write_private(path, "new")
        self.assertEqual((path.read_text(), mode(path)), ("new", 0o600))
        self.assertEqual(list(self.base.iterdir()), [path])
