"""Migrations on a real server: files with everything in them, races, refusals."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from crawlsock.store.database import Database
from crawlsock.store.errors import DatabaseAway
from crawlsock.store.migrate import (
    Migration,
    MigrationChanged,
    MigrationFailed,
    Migrator,
    SchemaTooNew,
    load_migrations,
)
from tests.integration.database_case import failure_of
from tests.integration.postgres import empty_database, execute

FIRST = Migration(1, "first", "CREATE TABLE crawlsock.thing (a int);")
SECOND = Migration(
    2,
    "second",
    """
    -- A comment with a semicolon; and an apostrophe's trouble, and 100 %s.
    CREATE FUNCTION crawlsock.twice(n int) RETURNS int LANGUAGE plpgsql AS $body$
    BEGIN
        IF n % 2 = 0 THEN RETURN n * 2; END IF;
        RETURN 2 * n;
    END;
    $body$;
    INSERT INTO crawlsock.thing VALUES (crawlsock.twice(21));
    """,
)
BROKEN = Migration(3, "broken", "INSERT INTO crawlsock.thing VALUES (1); SELECT nonsense;")


class Migrating(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.dsn = empty_database()

    async def migrator(self, *migrations: Migration, dsn: str | None = None) -> Migrator:
        database = Database(reactor, dsn or self.dsn, size=1)
        self.addCleanup(database.stop)
        database.start()
        await database.when_up()
        return Migrator(database, "1.2.3", migrations)

    async def test_apply(self) -> None:
        """Missing migrations are applied in order, once, and remembered with the program's version."""
        migrator = await self.migrator(FIRST, SECOND)
        self.assertEqual(await migrator.plan(), (FIRST, SECOND))
        self.assertEqual(await migrator.apply(), (FIRST, SECOND))
        self.assertEqual(await migrator.apply(), ())
        self.assertEqual(execute(self.dsn, "SELECT a FROM crawlsock.thing"), [(42,)])
        rows = execute(self.dsn, "SELECT version, name, app_version FROM crawlsock.schema_migration ORDER BY 1")
        self.assertEqual(rows, [(1, "first", "1.2.3"), (2, "second", "1.2.3")])

    async def test_plan_changes_nothing(self) -> None:
        """Planning on an empty database leaves it empty."""
        await (await self.migrator(FIRST)).plan()
        self.assertEqual(execute(self.dsn, "SELECT to_regnamespace('crawlsock') IS NULL"), [(True,)])

    async def test_broken(self) -> None:
        """A migration that fails is rolled back whole and named; those before it stay."""
        migrator = await self.migrator(FIRST, SECOND, BROKEN)
        error = await failure_of(migrator.apply(), MigrationFailed)
        self.assertIn("0003_broken.sql", str(error))
        self.assertEqual(await migrator.plan(), (BROKEN,))
        self.assertEqual(execute(self.dsn, "SELECT a FROM crawlsock.thing"), [(42,)])

    async def test_newer_schema(self) -> None:
        """A program older than the schema refuses, both to plan and to apply."""
        await (await self.migrator(FIRST, SECOND)).apply()
        older = await self.migrator(FIRST)
        await failure_of(older.plan(), SchemaTooNew)
        await failure_of(older.apply(), SchemaTooNew)

    async def test_changed_file(self) -> None:
        """An applied migration whose text changed is noticed."""
        await (await self.migrator(FIRST)).apply()
        changed = await self.migrator(Migration(1, "first", FIRST.sql + " -- better"))
        error = await failure_of(changed.apply(), MigrationChanged)
        self.assertIn("0001_first", str(error))

    async def test_race(self) -> None:
        """Of several servers that start at once each migration is applied by exactly one."""
        migrators = [await self.migrator(FIRST, SECOND) for _ in range(4)]
        applied = await gatherResults([migrator.apply() for migrator in migrators])
        self.assertEqual(sorted(m.version for done in applied for m in done), [1, 2])
        self.assertEqual(execute(self.dsn, "SELECT a FROM crawlsock.thing"), [(42,)])

    async def test_owner_of_the_schema(self) -> None:
        """A role that owns nothing but the schema can migrate it."""
        name = self.dsn.partition("@/")[2].partition("?")[0]
        execute(self.dsn, "CREATE SCHEMA crawlsock")
        execute(self.dsn, f'REVOKE CREATE ON DATABASE "{name}" FROM CURRENT_USER')
        self.assertEqual(await (await self.migrator(FIRST)).apply(), (FIRST,))

    async def test_own_migrations(self) -> None:
        """This program's migrations apply to an empty database, and then there is nothing left to do."""
        ours = load_migrations()
        migrator = await self.migrator(*ours)
        self.assertEqual(await migrator.apply(), ours)
        self.assertEqual(await migrator.plan(), ())

    async def test_lost_connection(self) -> None:
        """A migration cut off in the middle is applied by the next attempt."""
        slow = Migration(1, "slow", "SELECT pg_sleep(60)")
        running = (await self.migrator(slow)).apply()
        asleep = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE '%pg_sleep(60)' AND datname = current_database()"
        )
        while not execute(self.dsn, asleep):
            await deferLater(reactor, 0.02)
        await failure_of(running, DatabaseAway)
        self.assertEqual(await (await self.migrator(FIRST)).apply(), (FIRST,))
