"""What is claimed about checking an installation, as far as it needs no database and no server."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import tempfile
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.cli.doctor import files, machine, programs, server
from crawlsock.cli.doctor.findings import Finding, bad, exit_code, failure, ok, summed_up, warn
from crawlsock.cli.exits import Exit
from crawlsock.config import Settings, load
from crawlsock.secrets import Vault
from crawlsock.store.migrate import SchemaTooNew


def _echo(said: str, _: object) -> str:
    return said


class Scratch(SynchronousTestCase):
    """A private directory."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.data = self.folder / "data"

    def settings(self, **environ: str) -> Settings:
        return load({"data_dir": str(self.data)}, environ).settings

    def told(self, finding: Finding, state: str, *parts: str) -> None:
        self.assertEqual(finding.state, state, finding)
        for part in parts:
            self.assertIn(part, f"{finding.summary} {finding.remedy}")
        if state in ("warn", "bad"):
            self.assertTrue(finding.remedy)
        self.assertEqual(finding.exit is Exit.DONE, state != "bad")


class FindingTests(SynchronousTestCase):
    def test_the_first_that_is_bad_decides(self) -> None:
        """The exit code is that of the first check that is bad; what only may become so does not count."""
        found = [ok("a", "x"), warn("b", "x", "y"), bad("c", "x", "y", Exit.BAD_CONFIGURATION), bad("d", "x", "y")]
        self.assertEqual(exit_code(found), Exit.BAD_CONFIGURATION)
        self.assertEqual(summed_up(found), "2 to mend, 1 to look at")
        self.assertEqual((exit_code(found[:2]), summed_up(found[:1])), (Exit.DONE, "all is well"))

    def test_an_exception_of_ours_is_taken_apart(self) -> None:
        """What it says becomes the summary, what it advises the remedy, and its exit code stays."""
        found = failure("schema", SchemaTooNew("the schema is newer; install the newer release"))
        self.assertEqual(
            found, bad("schema", "the schema is newer", "install the newer release", Exit.VERSION_MISMATCH)
        )


class FileTests(Scratch):
    def test_before_the_first_start(self) -> None:
        """A data directory that can be made is no fault."""
        found = files.check_files(self.settings())
        self.assertEqual([each.state for each in found], ["skipped", "ok"])

    def test_a_directory_that_others_can_read(self) -> None:
        """Rights that are too wide are told with the command that narrows them."""
        self.data.mkdir(mode=0o755)
        self.data.chmod(0o755)
        self.told(files.check_data_dir(self.data), "warn", "0755", f"chmod 700 {self.data}")
        self.data.chmod(0o711)
        self.told(files.check_data_dir(self.data), "ok")

    def test_what_is_no_directory(self) -> None:
        """A file in its place is bad configuration."""
        self.data.write_text("")
        found = files.check_data_dir(self.data)
        self.told(found, "bad", "no directory")
        self.assertEqual(found.exit, Exit.BAD_CONFIGURATION)

    def test_the_key(self) -> None:
        """A key that is private and whole is well; one that others read, or that is none, is bad. None is made."""
        path = self.folder / "key"
        self.told(files.check_key(path), "skipped")
        self.assertFalse(path.exists())
        Vault.from_file(path)
        self.told(files.check_key(path), "ok")
        path.chmod(0o644)
        self.told(files.check_key(path), "bad", f"chmod 600 {path}")
        path.chmod(0o600)
        path.write_text("nonsense\n")
        self.told(files.check_key(path), "bad", "restore the file")

    def test_tokens(self) -> None:
        """Tokens that are missing, open or another role's are told."""
        for role in files.ROLES:
            path = self.folder / role
            path.write_text(f"cs_{role}_x\n")
            path.chmod(0o600)
        self.told(files.check_tokens(self.folder), "ok")
        (self.folder / "webapp").unlink()
        self.told(files.check_tokens(self.folder), "warn", "no file for webapp")
        (self.folder / "admin").write_text("cs_monitor_x\n")
        self.told(files.check_tokens(self.folder), "warn", "holds no token of that role")
        (self.folder / "admin").chmod(0o640)
        self.told(files.check_tokens(self.folder), "bad", "chmod 600")

    def test_the_disk(self) -> None:
        """Little room is a warning, almost none is bad."""
        for free, state in ((500 << 30, "ok"), (500 << 20, "warn"), (50 << 20, "bad")):
            self.told(files.check_disk(self.data, lambda _, free=free: (1 << 40, 0, free)), state)


class MachineTests(Scratch):
    def test_open_files(self) -> None:
        """A hard limit below what connections may need is told with the number to set."""
        self.told(machine.check_descriptors(2000, (1024, 4096)), "warn", "LimitNOFILE=4256")
        self.told(machine.check_descriptors(2000, (1024, resource.RLIM_INFINITY)), "ok")

    def test_who_listens_on_the_socket(self) -> None:
        """The process that listens is named; a socket that was left behind is nobody's."""
        settings = self.settings()
        assert settings.socket_path is not None
        settings.socket_path.parent.mkdir(parents=True)
        self.told(machine.check_socket(settings)[0], "skipped", "nobody listens")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(settings.socket_path))
            self.told(machine.check_socket(settings)[0], "skipped", "was left by a server that is gone")
            listening.listen()
            found, listener = machine.check_socket(settings)
            self.told(found, "ok", f"pid {os.getpid()}")
            assert listener is not None
            self.assertEqual(listener.pid, os.getpid())

    def test_a_server_that_starts(self) -> None:
        """A server that has the data directory and no socket yet is seen by its lock, which is not touched."""
        self.data.mkdir()
        path = self.data / "server_id"
        path.write_text("x")
        with path.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.told(machine.check_socket(self.settings())[0], "warn", f"pid {os.getpid()}", "has the data directory")
        self.assertIsNone(machine.who_holds(path))

    def test_ports(self) -> None:
        """A port is free, or the server's, or taken by another; and one that the server should have is missed."""
        us, other = machine.Listener(os.getpid()), machine.Listener(1)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            endpoint = f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1"
            self.told(machine.check_port("http port", endpoint, None), "ok", "is free")
            self.told(machine.check_port("http port", endpoint, us), "bad", "does not listen")
            listening.listen()
            self.told(machine.check_port("http port", endpoint, us), "ok", f"pid {os.getpid()}")
            for server_ in (None, other):
                found = machine.check_port("http port", endpoint, server_)
                self.told(found, "bad", f"taken by pid {os.getpid()}", "http_endpoint")
                self.assertEqual(found.exit, Exit.CONFLICT)
        self.told(machine.check_port("tls port", None, None), "skipped")

    def test_addresses(self) -> None:
        """The address of an endpoint string is where one reaches it from here."""
        for endpoint, address in (
            ("tcp:8420:interface=127.0.0.1", ("127.0.0.1", 8420)),
            ("tcp:port=80", ("127.0.0.1", 80)),
            ("ssl:8421:privateKey=/k:certKey=/c:interface=0.0.0.0", ("127.0.0.1", 8421)),
            (r"tcp:80:interface=\:\:1", ("::1", 80)),
            ("unix:/x", None),
            ("tcp:0", None),
        ):
            self.assertEqual(machine.address_of(endpoint), address, endpoint)

    def test_the_unit(self) -> None:
        """A unit that failed, changed or is started again and again is told; without systemd there is none."""
        well = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "NRestarts": "0"}
        for changed, state, part in (
            ({}, "ok", "active (running)"),
            ({"LoadState": "not-found"}, "skipped", "not installed"),
            ({"ActiveState": "failed", "Result": "exit-code"}, "bad", "journalctl"),
            ({"NeedDaemonReload": "yes"}, "warn", "daemon-reload"),
            ({"NRestarts": "7"}, "warn", "7 times"),
        ):
            said = "".join(f"{name}={value}\n" for name, value in {**well, **changed}.items())
            self.told(machine.check_unit(partial(_echo, said), self.folder), state, part)
        self.told(machine.check_unit(lambda _: "", self.folder / "none"), "skipped")

    def test_an_embedded_database_that_cannot_be(self) -> None:
        """Without a database and without programs for one, that is said before the first start tries."""
        found, dsn = machine.check_embedded(self.settings(), None)
        self.assertIsNone(dsn)
        self.assertIn(found.state, ("skipped", "bad"))
        other = self.settings(DATABASE_URL="postgresql://u@127.0.0.1/x")
        self.told(machine.check_embedded(other, None)[0], "skipped", "another database is configured")


class ProgramTests(Scratch):
    def test_extras(self) -> None:
        """Parts of the server that are missing are told with the command that brings them."""
        self.told(programs.check_extras(lambda name: True), "ok", "server, gitlab, cli")
        found = programs.check_extras(lambda name: name != "txpostgres")
        self.told(found, "bad", "txpostgres", "pip install 'crawlsock[server]'")
        self.told(programs.check_extras(lambda name: name in ("click", "rich")), "warn", "unless only crawlers")

    def test_the_plugin(self) -> None:
        """twistd without our command is told, whatever is the matter with other plugins."""
        self.told(programs.check_plugin(), "ok")
        self.told(programs.check_plugin(lambda: ["web"]), "bad", "twistd --help")

        def broken() -> list[str]:
            raise ImportError("somebody else's")

        self.told(programs.check_plugin(broken), "bad", "somebody else's")


class ServerTests(Scratch):
    def test_what_it_says_of_itself(self) -> None:
        """The server's own checks are taken over, with their remedies."""
        found = server.finding_of({"check": "pool", "state": "warn", "summary": "busy", "remedy": "wait"})
        self.assertEqual(found, warn("server: pool", "busy", "wait"))
        found = server.finding_of({"check": "database", "state": "bad", "summary": "away", "remedy": "start it"})
        self.assertEqual(found.exit, Exit.NOT_REACHABLE)

    def test_pages(self) -> None:
        """Pages that nobody serves, or that somebody else does, are told."""
        self.told(server.check_pages(None), "skipped")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            self.told(server.check_pages(endpoint), "bad", "does not answer")
