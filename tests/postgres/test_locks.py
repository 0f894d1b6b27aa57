"""Locks between processes; two descriptors of one process count as two."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.postgres import StartFailed
from crawlsock.postgres.locks import Usage, exclusive


class Locks(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def test_exclusive(self) -> None:
        """Who does not get the lock in time is told; once let go it can be had again."""
        with exclusive(self.path, patience=1):
            second = exclusive(self.path, patience=0)
            self.assertRaises(StartFailed, second.__enter__)
        with exclusive(self.path, patience=0):
            pass

    def test_usage(self) -> None:
        """A user is the sole one while nobody else marked the cluster; asking changes nothing."""
        first, second, asking = Usage(self.path), Usage(self.path), Usage(self.path)
        first.take()
        first.take()
        self.assertTrue(first.is_sole())
        self.assertFalse(asking.is_sole())
        second.take()
        self.assertFalse(first.is_sole())
        self.assertFalse(second.is_sole())
        first.release()
        first.release()
        self.assertTrue(second.is_sole())
        second.release()
        self.assertTrue(asking.is_sole())
