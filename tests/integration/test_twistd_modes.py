"""The service in every way that twistd runs it, and what it refuses to start on."""

from __future__ import annotations

import json
import os
import signal
import stat
from typing import Any

import psutil

from tests.integration.fault_case import FaultCase, raw_connection
from tests.integration.postgres import execute
from tests.integration.processes import ROOT, Child, listens, twistd, until
from tests.integration.sample import shared_sample, written
from tests.integration.second_client import Client

NOWHERE = "00000000-0000-4000-8000-000000000000"


class ModeTests(FaultCase):
    """Each way of starting serves a crawler that does a whole crawl."""

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()

    async def small_crawl(self) -> None:
        """Do a whole crawl of a small sample with `crawlsock crawl`."""
        self.sample = await shared_sample(projects=2, items=100, latency=0)
        webapp = await self.manager()
        root = await self.crawl(webapp, self.sample)
        crawler = self.crawler("c", slots=4)
        await self.assert_whole(webapp, root)
        self.assertEqual(written(self.output).lines, self.sample.items)
        self.assertEqual(await crawler.terminated(), 0)

    async def test_in_the_foreground(self) -> None:
        """`twistd -n crawlsock` serves a crawler, and keeps its socket and its tokens from others."""
        server = await self.server()
        await self.small_crawl()
        for path, mode in ((self.socket, 0o660), (self.socket.parent, 0o700), (self.data / "tokens" / "admin", 0o600)):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), mode, path)
        self.assertEqual(await server.terminated(), -signal.SIGTERM)
        self.assertFalse(self.socket.exists())

    async def test_as_a_daemon(self) -> None:
        """`twistd crawlsock` becomes a daemon with a pid file and a log, serves a crawler, and ends by its pid."""
        pid_file = self.directory / "crawlsock.pid"
        log = self.directory / "logs" / "daemon.log"
        begun = self.children.begin(
            "twistd",
            twistd("--pidfile", pid_file, "--logfile", log, "crawlsock", *self.options()),
            extra={"DATABASE_URL": self.dsn or ""},
        )
        self.assertEqual(await begun.ended(), 0)
        await until("the daemon serves", lambda: listens(self.socket), 30)
        daemon = psutil.Process(int(pid_file.read_text()))
        self.addCleanup(_kill, daemon)
        self.assertNotEqual(daemon.pid, begun.pid)
        self.assertEqual(os.getpgid(daemon.pid), os.getsid(daemon.pid))
        await self.small_crawl()
        daemon.terminate()
        await until("the daemon has ended", lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE)
        self.assertFalse(pid_file.exists())
        self.assertFalse(self.socket.exists())
        logged = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertIn("Server Shut Down.", logged[-1]["message"])
        self.assertEqual([each for each in logged if each["level"] in ("error", "critical")], [])

    async def test_from_the_tac(self) -> None:
        """`twistd -ny crawlsock.tac`, configured by the environment alone, serves a crawler."""
        words = [option.removeprefix("--").partition("=") for option in self.options()]
        extra = {f"CRAWLSOCK_{name.replace('-', '_').upper()}": value for name, _, value in words}
        extra["DATABASE_URL"] = self.dsn or ""
        tac = self.children.begin("tac", twistd("--pidfile=", "-ny", ROOT / "crawlsock.tac"), extra=extra)
        await self.ready(tac)
        await self.small_crawl()
        self.assertEqual(await tac.terminated(), -signal.SIGTERM)


class SocketTests(FaultCase):
    """A path in use is never taken; a stale one is replaced."""

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()

    def last_words(self, child: Child) -> str:
        """Return the one line that tells why the child ended."""
        [words] = [record["message"] for record in child.records() if record["level"] == "critical"]
        self.assertNotIn("traceback", words)
        return str(words)

    async def test_in_use(self) -> None:
        """A second server on the same socket ends with one line, and the first goes on as if nothing had been."""
        # The client is silent while the second starts, however long that takes here.
        await self.server("first", heartbeat_interval=30, lease_length=90)
        client = Client(self.socket)
        self.addCleanup(client.close)
        client.hello("webapp", self.token("webapp"))
        before = self.socket.stat().st_ino
        second = self.begin_server("second", data_dir=self.directory / "other", runtime_dir=self.socket.parent)
        self.assertEqual(await second.ended(), 4)
        self.assertRegex(self.last_words(second), f"{self.socket} is in use by another server")
        self.expected_words = frozenset({self.last_words(second)})
        self.assertEqual(self.socket.stat().st_ino, before)
        self.assertEqual(client.ask("ping", {})["type"], "ack")
        self.assertTrue(listens(self.socket))

    async def test_in_use_by_a_frozen_server(self) -> None:
        """A server that is stopped still has its socket."""
        first = await self.server("first")
        first.freeze()
        before = self.socket.stat().st_ino
        second = self.begin_server("second", data_dir=self.directory / "other", runtime_dir=self.socket.parent)
        self.assertEqual(await second.ended(), 4)
        self.expected_words = frozenset({self.last_words(second)})
        first.thaw()
        self.assertEqual(self.socket.stat().st_ino, before)
        self.assertTrue(listens(self.socket))

    async def test_stale(self) -> None:
        """The socket that a killed server left behind is replaced."""
        first = await self.server("first")
        first.kill()
        self.assertTrue(self.socket.exists())
        self.assertFalse(listens(self.socket))
        await self.server("second")
        raw_connection(self.socket).close()

    async def test_one_data_directory(self) -> None:
        """Two servers never share one data directory: the second ends with one line."""
        await self.server("first")
        second = self.begin_server("second", runtime_dir=self.directory / "elsewhere")
        self.assertIn(await second.ended(), (4, 7))
        self.expected_words = frozenset({self.last_words(second)})


class RefusalTests(FaultCase):
    """What a server does not start on."""

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()

    begun = 0

    async def refused(self, code: int, **changes: Any) -> str:
        """Start a server that ends with `code`; return its one line."""
        self.begun += 1
        server = self.begin_server(f"server-{self.begun}", **changes)
        self.assertEqual(await server.ended(), code, server.text())
        critical = [record["message"] for record in server.records() if record["level"] == "critical"]
        self.expected_words = frozenset(critical)
        [line] = critical or [line for line in server.text().splitlines() if line.startswith("crawlsock: ")]
        self.assertNotIn("Traceback", server.text())
        self.assertFalse(self.socket.exists())
        return str(line)

    async def test_a_newer_schema(self) -> None:
        """A database that a newer crawlsock has migrated is left alone: exit code 8, one line."""
        assert self.dsn is not None
        execute(
            self.dsn,
            "INSERT INTO crawlsock.schema_migration (version, name, sha256, app_version) "
            "SELECT 9999, 'future', sha256, '99.0' FROM crawlsock.schema_migration LIMIT 1",
        )
        self.assertIn("newer", await self.refused(8))

    async def test_bad_values(self) -> None:
        """A value out of range, and two that contradict each other, end with exit code 7 and one line."""
        self.assertIn("--lease-length", await self.refused(7, lease_length=0.01))
        self.assertIn("lease", await self.refused(7, heartbeat_interval=10, lease_length=11))

    async def test_a_bad_key_file(self) -> None:
        """A key file that holds no key ends with exit code 7 and says which file."""
        self.data.mkdir()
        (self.data / "key").write_text("short\n")
        (self.data / "key").chmod(0o600)
        self.assertIn(str(self.data / "key"), await self.refused(7))

    async def test_a_directory_for_all(self) -> None:
        """A socket directory that everybody may write to ends with exit code 7."""
        shared = self.directory / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        self.assertIn(str(shared), await self.refused(7, runtime_dir=shared))


class HangUpTests(FaultCase):
    """SIGHUP reads the configuration again."""

    async def test_the_log_level(self) -> None:
        """After SIGHUP the log level is the one now in the file; a file that is wrong changes nothing."""
        self.use_shared_database()
        config = self.directory / "crawlsock.toml"
        config.write_text('log_level = "info"\n')
        server = await self.server(config=config)

        def debugging() -> bool:
            return any(record["level"] == "debug" for record in server.records())

        self.assertFalse(debugging())
        config.write_text('log_level = "debug"\n')
        server.signal(signal.SIGHUP)
        client = Client(self.socket)
        self.addCleanup(client.close)
        client.hello("admin", self.token("admin"))

        def level() -> Any:
            settings = client.ask("config_get")["data"]["settings"]
            return next(each["value"] for each in settings if each["name"] == "log_level")

        await until("the level is the new one", lambda: level() == "debug")
        await until("debug lines are logged", lambda: client.ask("job_get", job_id=NOWHERE) and debugging())
        config.write_text('log_lewel = "info"\n')
        server.signal(signal.SIGHUP)
        await until("the mistake is named", lambda: server.said("log_lewel"))
        self.assertEqual(level(), "debug")
        self.assertEqual(client.ask("ping", {})["type"], "ack")


def _kill(process: psutil.Process) -> None:
    if process.is_running():
        process.kill()
