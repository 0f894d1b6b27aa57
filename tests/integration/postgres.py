"""One real PostgreSQL for a test session, and a database of its own for each test that asks.

The server is the embedded one, started when first asked for and thrown away at exit.
`CRAWLSOCK_TEST_POSTGRES` says
`machine` or `wheel` to choose its programs; `CRAWLSOCK_TEST_DATABASE_URL` names a server to use instead (a
URI of a role that may create databases).
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from attrs import define, field
from twisted.internet import task
from twisted.internet.defer import Deferred

from crawlsock.postgres import EmbeddedPostgres


@define
class SharedCluster:
    """A server that tests share. `dsn` may create databases; `embedded` is None for a foreign one."""

    dsn: str
    embedded: EmbeddedPostgres | None
    directory: Path | None
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1))
    _template: str | None = None
    _made: list[str] = field(factory=list)

    def new_name(self) -> str:
        """Return a name for a database that nobody else uses."""
        return f"crawlsock_test_{os.getpid()}_{next(self._numbers)}"

    def create(self, template: str | None = None) -> str:
        """Create a database and return its DSN."""
        name = self.new_name()
        source = f' TEMPLATE "{template}"' if template else ""
        execute(self.dsn, f'CREATE DATABASE "{name}"{source}')
        self._made.append(name)
        return with_database(self.dsn, name)

    def migrated_template(self) -> str:
        """Return the name of a database with all migrations applied, made once a session."""
        if self._template is None:
            dsn = self.create()
            migrate(dsn)
            self._template = self._made[-1]
        return self._template

    def close(self) -> None:
        """Remove what was made: the whole server if it is ours, else the databases."""
        if self.embedded is not None:
            self.embedded.destroy()
            if self.directory is not None:
                shutil.rmtree(self.directory, ignore_errors=True)
            return
        for name in self._made:
            execute(self.dsn, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


_shared: list[SharedCluster] = []


def shared_cluster() -> SharedCluster:
    """Return the session's server, started if it is not yet."""
    if not _shared:
        _shared.append(_make_cluster())
        atexit.register(_shared[0].close)
    return _shared[0]


def fresh_database(cluster: SharedCluster | None = None) -> str:
    """Return the DSN of a new database with all migrations applied; it takes some 50 ms."""
    cluster = cluster or shared_cluster()
    return cluster.create(cluster.migrated_template())


def empty_database(cluster: SharedCluster | None = None) -> str:
    """Return the DSN of a new database with nothing in it."""
    return (cluster or shared_cluster()).create()


@contextmanager
def own_cluster(prefer: str | None = None) -> Iterator[EmbeddedPostgres]:
    """Give a server of the test's own, not started yet, for tests that kill it; removed afterwards."""
    directory = public_temporary_directory()
    embedded = EmbeddedPostgres(directory / "data", prefer=prefer or chosen_programs())
    try:
        yield embedded
    finally:
        embedded.destroy()
        shutil.rmtree(directory, ignore_errors=True)


def chosen_programs() -> str | None:
    """Return `machine` or `wheel` when the session is to use these, else None."""
    return os.environ.get("CRAWLSOCK_TEST_POSTGRES") or None


def public_temporary_directory() -> Path:
    """Return a new directory that the server's account can enter, too, when the tests run as root."""
    directory = Path(tempfile.mkdtemp(prefix="crawlsock-test-"))
    directory.chmod(0o711)
    return directory


def with_database(dsn: str, name: str) -> str:
    """Return the URI `dsn` with another database name."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def execute(dsn: str, sql: str) -> list[tuple[object, ...]]:
    """Run one statement, blocking, on a connection of its own, and return its rows."""
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description is not None else []
    finally:
        connection.close()


def migrate(dsn: str) -> None:
    """Apply all migrations, blocking; in a process of its own, because a reactor may be running here."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, dsn],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode != 0:
        raise AssertionError(f"the migrations do not apply:\n{done.stdout[-4000:]}")


def _make_cluster() -> SharedCluster:
    given = os.environ.get("CRAWLSOCK_TEST_DATABASE_URL")
    if given:
        return SharedCluster(dsn=given, embedded=None, directory=None)
    directory = public_temporary_directory()
    embedded = EmbeddedPostgres(directory / "data", prefer=chosen_programs())
    cluster = embedded.start()
    # What this server holds is thrown away, and nobody pulls its plug: tests that kill one have their own.
    with (cluster.data_dir / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("fsync = off\nfull_page_writes = off\n")
    os.kill(embedded.pid() or 0, signal.SIGHUP)
    return SharedCluster(dsn=cluster.dsn(), embedded=embedded, directory=directory)


async def _migrate_here(reactor: object, dsn: str) -> None:
    from crawlsock.store.database import Database
    from crawlsock.store.migrate import Migrator

    database = Database(reactor, dsn, size=1)
    database.start()
    try:
        await database.when_up()
        await Migrator(database, "test").apply()
    finally:
        await database.stop()


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(_migrate_here(reactor, sys.argv[1])))
