"""What is claimed about where a demo puts its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.demo.children import environment
from crawlsock.demo.place import Place
from crawlsock.demo.plan import Plan, crawler_command, sample_command, server_command


class PlaceTests(SynchronousTestCase):
    """Directories only; nothing runs."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)

    def test_a_place_of_ours_goes_away(self) -> None:
        """Without a named directory everything is in a private one, and gone afterwards."""
        place = Place.make(None)
        self.assertFalse(place.data.stat().st_mode & 0o066)
        self.assertIsNone(place.remove(keep_logs=False))
        self.assertFalse(place.data.exists())

    def test_only_the_logs_stay_when_they_are_wanted(self) -> None:
        """After trouble the logs are kept, and nothing else."""
        place = Place.make(None)
        self.addCleanup(shutil.rmtree, place.data)
        (place.output / "x").write_text("x")
        self.assertEqual(place.remove(keep_logs=True), place.logs)
        self.assertEqual(list(place.data.iterdir()), [place.logs])

    def test_a_named_directory_stays(self) -> None:
        """What the user named is not removed."""
        place = Place.make(str(self.scratch / "kept"))
        place.remove(keep_logs=False)
        self.assertTrue(place.output.is_dir())

    def test_a_long_path_has_its_socket_elsewhere(self) -> None:
        """Below a directory too deep for a Unix socket, the socket lies in a short one, which goes away."""
        place = Place.make(str(self.scratch / ("deep" * 30)))
        self.assertLess(len(os.fsencode(place.socket)), 108)
        self.assertNotEqual(place.runtime.parent, place.data)
        place.remove(keep_logs=False)
        self.assertFalse(place.runtime.exists())

    def test_children_do_not_hear_of_other_servers(self) -> None:
        """The environment of children has no setting of ours, no database, and finds this very package."""
        made = environment(
            {"CRAWLSOCK_DATA_DIR": "/x", "DATABASE_URL": "y", "PGHOST": "z", "HOME": "/h", "PYTHONPATH": "a"}
        )
        self.assertEqual(made["HOME"], "/h")
        self.assertEqual({"CRAWLSOCK_DATA_DIR", "DATABASE_URL", "PGHOST"} & made.keys(), set())
        self.assertEqual([each for each in made["PYTHONPATH"].split(os.pathsep) if not os.path.isabs(each)], [])

    def test_whose_postgresql_is_wanted(self) -> None:
        """The server is told whose PostgreSQL to run, and serves its pages on loopback alone."""
        command = server_command(Plan(postgres="machine"), Place.make(str(self.scratch / "kept")), 8420)
        self.assertIn("--embedded-postgres=machine", command)
        self.assertIn("--http-endpoint=tcp:8420:interface=127.0.0.1", command)

    def test_no_secret_is_in_a_command_line(self) -> None:
        """The commands of all children name files and addresses, and no token."""
        place = Place.make(str(self.scratch / "kept"))
        plan = Plan()
        commands = [
            sample_command(plan),
            server_command(Plan(), place, 8420),
            crawler_command(plan, place, 1, "http://127.0.0.1:1"),
        ]
        for command in commands:
            self.assertEqual([word for word in command if "glpat" in word or "cs_" in word], [])
