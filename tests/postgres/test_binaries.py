"""Which PostgreSQL programs are taken, shown with programs that only say their version."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.postgres import BinariesNotFound
from crawlsock.postgres.account import Account
from crawlsock.postgres.binaries import Installation, find_installation

OURSELVES = Account(name="ourselves", uid=os.geteuid(), gid=os.getegid(), switch=False)


class Finding(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir(parents=True)

    def programs(self, version: str, *names: str) -> Path:
        for name in names or ("initdb", "postgres"):
            program = self.base / name
            program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
            program.chmod(0o755)
        return self.base

    def find(self, bin_dir: Path | None = None, **options: str | int) -> Installation:
        return find_installation(OURSELVES, self.base / "copies", bin_dir=bin_dir, **options)  # type: ignore[arg-type]

    def refusal(self, bin_dir: Path | None = None, **options: str | int) -> str:
        try:
            self.find(bin_dir, **options)
        except BinariesNotFound as error:
            return str(error)
        raise AssertionError("nothing was refused")

    def test_given(self) -> None:
        """Programs that were named are taken when they are complete and new enough."""
        found = self.find(self.programs("16.4 (Debian 16.4-1)"))
        self.assertEqual((found.version, found.major, found.origin), ("16.4", 16, "given"))
        self.assertEqual(found.program("initdb"), str(self.base / "initdb"))

    def test_beta(self) -> None:
        """A version without a minor number is understood."""
        self.assertEqual(self.find(self.programs("19beta1")).version, "19.0")

    def test_refused(self) -> None:
        """What is missing, too old, of the wrong version or broken is named with its place."""
        self.assertIn("postgres missing", self.refusal(self.programs("16.4", "initdb")))
        self.assertIn("older than 14", self.refusal(self.programs("13.9")))
        self.assertIn("needs 15", self.refusal(self.programs("16.4"), major=15))
        (self.base / "postgres").write_text("#!/bin/sh\nexit 1\n")
        self.assertIn("cannot be run", self.refusal(self.base))
        self.assertIn(str(self.base), self.refusal(self.base))

    def test_preference(self) -> None:
        """A preference that does not exist is refused with those that do."""
        self.assertIn("machine, wheel", self.refusal(prefer="cloud"))
