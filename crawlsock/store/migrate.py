"""Bring the schema to this program's version.

The law of this module: a migration is a file `NNNN_name.sql`, applied once, whole, in one transaction, and
never changed afterwards; the database remembers number and checksum of each. It writes no schema of its own
except the one table it keeps that memory in. Everything happens under an advisory lock, so of several
servers that start at once one migrates and the others find it done. No more than ownership of the schema is
needed: it may live in the database of the web application.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from crawlsock.store.database import Database
from crawlsock.store.errors import Refused
from crawlsock.store.lane import Transaction

if TYPE_CHECKING:
    # Its name until 3.13; from 3.11 on it is in importlib.resources.abc as well.
    from importlib.abc import Traversable

SCHEMA: Final = "crawlsock"

# How long a migration, or waiting for the server that migrates, may take.
PATIENCE: Final = 600.0

_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('crawlsock.schema_migration', 0))"
# Asked of the catalog's rows, not of to_regclass or to_regnamespace: these answer from a session's cache,
# which within a transaction does not learn what another one committed while this one waited for the lock.
_EXISTS: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE n.nspname = '{SCHEMA}' AND c.relname = 'schema_migration')"
)
_SCHEMA_EXISTS: Final = f"SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '{SCHEMA}')"
_APPLIED: Final = f"SELECT version, name, sha256 FROM {SCHEMA}.schema_migration ORDER BY version"
_RECORD: Final = f"INSERT INTO {SCHEMA}.schema_migration (version, name, sha256, app_version) VALUES (%s, %s, %s, %s)"
_MEMORY: Final = f"""
CREATE TABLE IF NOT EXISTS {SCHEMA}.schema_migration (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    app_version text NOT NULL
);
COMMENT ON TABLE {SCHEMA}.schema_migration IS 'Which migrations this schema has had.';
"""


class MigrationError(Exception):
    """The schema cannot be brought to this program's version; the message names place and remedy."""


class SchemaTooNew(MigrationError):
    """The schema belongs to a newer program, which may have changed what this one relies on."""


class MigrationChanged(MigrationError):
    """A migration that was applied is no longer what it was, or is gone."""


class MigrationFailed(MigrationError):
    """PostgreSQL refused a migration. Those before it are applied, this one is rolled back."""


@frozen
class Migration:
    """One file: its number, its name, its text."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Return the checksum of the text, by which a later change is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def file_name(self) -> str:
        """Return the file's name, for messages."""
        return f"{self.version:04d}_{self.name}.sql"


@frozen
class Applied:
    """What the database remembers of one migration."""

    version: int
    name: str
    sha256: str


def load_migrations(directory: Traversable | None = None) -> tuple[Migration, ...]:
    """Return the migrations of this program, or of a directory, in order.

    :raise MigrationError: a file whose name is none, or a number that is there twice.
    """
    place = directory if directory is not None else files("crawlsock").joinpath("sql").joinpath("migrations")
    found: dict[int, Migration] = {}
    for entry in place.iterdir() if place.is_dir() else ():
        if not entry.name.endswith(".sql"):
            continue
        named = _FILE_NAME.fullmatch(entry.name)
        if named is None:
            raise MigrationError(f"{entry.name} is no name for a migration: use NNNN_name.sql")
        migration = Migration(version=int(named[1]), name=named[2], sql=entry.read_text(encoding="utf-8"))
        other = found.setdefault(migration.version, migration)
        if other is not migration:
            raise MigrationError(f"{other.file_name} and {migration.file_name} have the same number")
    return tuple(found[version] for version in sorted(found))


def newest_migration() -> int:
    """Return the version that the schema has when this program is done with it."""
    return max((migration.version for migration in load_migrations()), default=0)


def pending(ours: Sequence[Migration], applied: Iterable[Applied]) -> tuple[Migration, ...]:
    """Return what has to be applied yet, in order.

    :raise SchemaTooNew: the database had a migration that we do not have, above all of ours.
    :raise MigrationChanged: one that it had is not what we have under that number, or would have to be
        slipped in below one that is applied.
    """
    mine: Mapping[int, Migration] = {migration.version: migration for migration in ours}
    newest = max(mine, default=0)
    had = {record.version: record for record in applied}
    for record in had.values():
        if record.version > newest:
            raise SchemaTooNew(
                f"the schema {SCHEMA} is at version {record.version} ({record.name}), this program knows "
                f"versions up to {newest}: run a newer crawlsock, or restore a backup from before the upgrade"
            )
        migration = mine.get(record.version)
        if migration is None or migration.sha256 != record.sha256:
            raise MigrationChanged(
                f"migration {record.version:04d}_{record.name} was applied with other content than it has "
                "now: applied migrations are never edited; install the release that fits this database"
            )
    rest = tuple(migration for migration in ours if migration.version not in had)
    if rest and had and rest[0].version < max(had):
        raise MigrationChanged(f"{rest[0].file_name} comes before applied migrations: give it a higher number")
    return rest


class Migrator:
    """Compare the schema with this program's migrations, and apply what is missing.

    :param database: started; the work waits for its connections like any other.
    :param app_version: written beside each migration, for people who look for a culprit.
    """

    _log = Logger()

    def __init__(self, database: Database, app_version: str, migrations: Sequence[Migration] | None = None) -> None:
        self._database = database
        self._app_version = app_version
        self._migrations = tuple(migrations) if migrations is not None else load_migrations()

    def plan(self) -> Deferred[tuple[Migration, ...]]:
        """Return what `apply` would do, in order, without doing any of it.

        :raise MigrationError: it would refuse.
        """
        return self._database.transaction(self._look)

    def apply(self) -> Deferred[tuple[Migration, ...]]:
        """Apply what is missing and return it; afterwards the schema is at this program's version.

        :raise MigrationError: one of its kinds.
        :raise DatabaseAway: the connection was lost; calling again goes on where it stopped.
        """
        return Deferred.fromCoroutine(self._apply())

    async def _apply(self) -> tuple[Migration, ...]:
        done: list[Migration] = []
        while True:
            # One transaction a migration, each with its own look under the lock: another server may have
            # been faster.
            migration = await self._database.transaction(self._apply_next, deadline=PATIENCE)
            if migration is None:
                return tuple(done)
            self._log.info("migration {file_name} was applied", file_name=migration.file_name)
            done.append(migration)

    async def _apply_next(self, transaction: Transaction) -> Migration | None:
        # A first look without the lock, so that the usual start, with nothing to do, waits for nobody.
        if not await self._look(transaction):
            return None
        await transaction.call(_LOCK)
        rest = await self._look(transaction)
        if not rest:
            return None
        migration = rest[0]
        try:
            await self._prepare(transaction)
            await transaction.call(migration.sql)
            await transaction.call(_RECORD, (migration.version, migration.name, migration.sha256, self._app_version))
        except Refused as error:
            raise MigrationFailed(f"{migration.file_name} was refused by PostgreSQL: {error}") from error
        return migration

    async def _prepare(self, transaction: Transaction) -> None:
        # Asked for first: an owner of the schema who may not create schemas must not be refused for IF NOT
        # EXISTS.
        there = await transaction.call(_SCHEMA_EXISTS)
        if not there[0][0]:
            await transaction.call(f"CREATE SCHEMA {SCHEMA}")
        await transaction.call(_MEMORY)

    async def _look(self, transaction: Transaction) -> tuple[Migration, ...]:
        exists = (await transaction.call(_EXISTS))[0][0]
        rows = await transaction.call(_APPLIED) if exists else []
        return pending(self._migrations, (Applied(version, name, sha256) for version, name, sha256 in rows))
