"""The stage for tests of faults: a server process, crawler processes, a sample GitLab, and questions to the rows.

The law: whoever is tested runs in a process of its own, started as a user would start it. The test only looks, through
the SDK and into the database, and does the harm.
"""

from __future__ import annotations

import functools
import inspect
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg2
from twisted.trial.unittest import TestCase

from crawlsock.postgres import EmbeddedPostgres
from crawlsock.sdk import JobManager, NewJob
from tests.integration.postgres import (
    chosen_programs,
    execute,
    fresh_database,
    public_temporary_directory,
)
from tests.integration.processes import Child, Children, listens, python, reactor, twistd, until
from tests.integration.sample import Sample, shared_sample, written

HEARTBEAT: Final = 0.5
LEASE: Final = 2.0


class FaultCase(TestCase):
    """One data directory, the processes on it, and a look at both."""

    timeout = 90
    expected_words: frozenset[str] = frozenset()
    """Critical lines that a test means to provoke."""

    def setUp(self) -> None:
        # Not mktemp: the path of a Unix socket is short, and PostgreSQL's account must get in.
        self.directory = public_temporary_directory()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.data = self.directory / "data"
        self.socket = self.data / "run" / "crawlsock.sock"
        self.output = self.directory / "output"
        self.dsn: str | None = None
        self.addCleanup(self._remove_embedded)
        self.children = Children(self.directory / "logs")
        self.addCleanup(self.children.end_all)
        self._managers: list[JobManager] = []
        # Before the processes end, so that nobody tries to come back to them.
        self.addCleanup(self._stop_managers)
        method = getattr(self, self._testMethodName)
        setattr(self, self._testMethodName, self._telling(method))

    def _telling(self, method: Callable[[], Any]) -> Callable[[], Any]:
        """Show what the processes said when the test fails."""

        @functools.wraps(method)
        async def run() -> None:
            try:
                result = method()
                if inspect.isawaitable(result):
                    await result
                self.assertEqual(self._bugs(), [], "a fault is no excuse for a bug")
            except BaseException:
                sys.stdout.write(self.children.tails())
                raise

        return run

    def _bugs(self) -> list[str]:
        return [
            f"{child.name}: {record['message']}\n{record.get('traceback', '')}"
            for child in self.children.children
            for record in child.records()
            if record.get("level") == "critical" and record["message"] not in self.expected_words
        ]

    def _remove_embedded(self) -> None:
        home = self.data / "postgres"
        if home.exists():
            EmbeddedPostgres(home).destroy()

    async def _stop_managers(self) -> None:
        for manager in self._managers:
            await manager.stop()

    # -- processes

    def options(self, **changes: Any) -> list[str]:
        """Return the options of a server with short deadlines; a change of None leaves an option out."""
        settings: dict[str, Any] = {
            "data_dir": self.data,
            "http_endpoint": "none",
            "heartbeat_interval": HEARTBEAT,
            "lease_length": LEASE,
            "resume_grace": 5,
            "reap_interval": 0.1,
            "progress_interval": 0.1,
            "reconnect_spread": 0.1,
            "drain_timeout": 5,
            "embedded_postgres": chosen_programs() or "auto",
            **changes,
        }
        return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if value is not None]

    def begin_server(self, name: str = "server", *, mode: str = "-n", **changes: Any) -> Child:
        """Begin a server, and do not wait for it; on a database of its own in the shared cluster, or embedded."""
        extra = {"DATABASE_URL": self.dsn} if self.dsn is not None else {}
        return self.children.begin(name, twistd(mode, "--pidfile=", "crawlsock", *self.options(**changes)), extra=extra)

    async def ready(self, server: Child, path: Path | None = None) -> Child:
        """Wait until the server takes connections."""
        await until(f"{server.name} takes connections", lambda: listens(path or self.socket) or not server.alive, 30.0)
        self.assertTrue(server.alive, "the server ended instead of serving")
        return server

    async def server(self, name: str = "server", **changes: Any) -> Child:
        """Start a server and wait until it takes connections."""
        return await self.ready(self.begin_server(name, **changes))

    def use_shared_database(self) -> None:
        """Give the servers of this test a database in the cluster that tests share: quicker than one of their own."""
        self.dsn = fresh_database()

    def crawler(self, name: str, *, slots: int = 2, **options: Any) -> Child:
        """Begin `crawlsock crawl`, as a user would."""
        words: list[str] = []
        for option, value in {
            "data_dir": self.data,
            "crawler_id": name,
            "slots": slots,
            "output": self.output,
            "allowed_host": self.sample.url,
            **options,
        }.items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        return self.children.begin(name, python("crawlsock.cli", "crawl", *words))

    # -- what a web application sees

    def token(self, role: str) -> str:
        """Return the token that the server made for a role."""
        return (self.data / "tokens" / role).read_text().strip()

    async def manager(self, role: str = "webapp", path: Path | None = None) -> JobManager:
        """Connect an SDK of the web application to the server."""
        manager = JobManager(os.fspath(path or self.socket), self.token(role), role, reactor=reactor)
        self._managers.append(manager)
        await manager.start(deadline=20)
        return manager

    sample: Sample

    async def crawl(self, manager: JobManager, sample: Sample | None = None) -> str:
        """Submit a crawl of the whole sample with a credential; return the id of its root job."""
        self.sample = sample or await shared_sample()
        await manager.credential_put("sample", self.sample.url, "personal", self.sample.token)
        [status] = await manager.submit(NewJob("discover_namespaces", account="sample", host=self.sample.url))
        assert status.job_id is not None, status
        return status.job_id

    async def half_way(self, share: float = 0.3) -> int:
        """Wait until this share of the items is written down as processed, with jobs still running; return them."""

        def processed() -> int:
            [(found,)] = self.rows(
                "SELECT coalesce(sum((e.value->>'processed')::bigint), 0)::bigint "
                "FROM crawlsock.job_progress p, jsonb_each(p.entities) e"
            )
            assert isinstance(found, int)
            return found if found >= share * self.sample.items else 0

        found = await until("the crawl is half way", processed)
        self.assertLess(found, self.sample.items, "the crawl was over before the harm was done")
        self.assertTrue(self.rows("SELECT 1 FROM crawlsock.job_queue WHERE state = 'running' LIMIT 1"))
        return found

    async def assert_whole(self, manager: JobManager, root: str, seconds: float = 45.0) -> None:
        """Wait for the end of the crawl; its counts are the sample's, and every item is on disk once."""
        await until("the crawl ends", self._over, seconds)
        progress = await manager.progress(root, scope="tree")
        self.assertEqual(set(progress["jobs"]), {"completed"}, progress["jobs"])
        found = {kind: counts["processed"] for kind, counts in progress["entities"].items() if counts["processed"]}
        self.assertEqual(found, {kind: count for kind, count in self.sample.counts.items() if count})
        on_disk = written(self.output)
        self.assertEqual((on_disk.lines, on_disk.repeated), (self.sample.items, 0))

    def _over(self) -> bool:
        states = "('completed', 'failed', 'cancelled')"
        try:
            return not self.rows(f"SELECT 1 FROM crawlsock.job_queue WHERE state NOT IN {states} LIMIT 1")
        except Exception:
            return False  # the database is just coming back

    # -- rows

    def database(self) -> str:
        """Return how to reach the database that the servers of this test use."""
        if self.dsn is not None:
            return self.dsn
        cluster = EmbeddedPostgres(self.data / "postgres").running_cluster()
        assert cluster is not None, "the embedded PostgreSQL does not run"
        return cluster.dsn()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the database."""
        return execute(self.database(), sql)

    def postmaster(self) -> psutil.Process:
        """Return the process that begins all others of the database."""
        return postmaster_of(self.database())

    def dump(self, tables: Mapping[str, str]) -> dict[str, list[tuple[object, ...]]]:
        """Return the rows of each table that match its condition, as text, in order."""
        return {
            table: self.rows(f"SELECT t::text FROM crawlsock.{table} t WHERE {condition} ORDER BY 1")
            for table, condition in tables.items()
        }


def raw_connection(path: Path) -> socket.socket:
    """Connect a plain socket, for peers that do what no client would."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(os.fspath(path))
    return connection


def postmaster_of(dsn: str) -> psutil.Process:
    """Return the parent of the backend that answers at `dsn`."""
    connection = psycopg2.connect(dsn)
    try:
        found = psutil.Process(psutil.Process(connection.get_backend_pid()).ppid())
    finally:
        connection.close()
    # Whoever asks is about to kill it.
    assert found.name() == "postgres", found
    return found
