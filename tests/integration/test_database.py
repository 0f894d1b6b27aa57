"""The door to PostgreSQL, on a real server: what comes back as what, and what is refused."""

from __future__ import annotations

from twisted.internet import reactor

from crawlsock.store.database import Database
from crawlsock.store.errors import DatabaseAway, Refused, Retryable, Unsuitable
from crawlsock.store.lane import Transaction
from tests.integration.database_case import DatabaseCase, failure_of, until
from tests.integration.postgres import execute


class Values(DatabaseCase):
    async def test_types(self) -> None:
        """Documents and ids come back as text, times with their zone, bytes as bytes, arrays as lists."""
        database = await self.database(session_settings={"TimeZone": "Asia/Tokyo"})
        rows = await database.call(
            """SELECT '{"a": 1}'::jsonb, '{"b":2}'::json, '00000000-0000-0000-0000-000000000001'::uuid,
            '2026-11-23 12:00:00+00'::timestamptz, '\\x00ff'::bytea, ARRAY[1, 2]::int8[], ARRAY['{}'::jsonb],
            NULL::jsonb, ARRAY['00000000-0000-0000-0000-000000000001'::uuid], NULL::bytea"""
        )
        document, other, uuid, moment, data, numbers, documents, nothing, uuids, no_bytes = rows[0]
        self.assertEqual((document, other), ('{"a": 1}', '{"b":2}'))
        self.assertEqual(uuid, "00000000-0000-0000-0000-000000000001")
        self.assertEqual(moment.utctimetuple()[3:5], (12, 0))
        self.assertEqual(data, b"\x00\xff")
        self.assertEqual((numbers, documents, uuids), ([1, 2], ["{}"], [uuid]))
        self.assertIs(nothing, None)
        self.assertIs(no_bytes, None)

    async def test_parameters(self) -> None:
        """A document goes in as text, with every character that quoting could spoil."""
        database = await self.database()
        text = '{"k": "quote \' backslash \\\\ percent % é \U0001f600"}'
        rows = await database.call("SELECT %s::json", (text,))
        self.assertEqual(rows, [(text,)])

    async def test_percent(self) -> None:
        """Without parameters a percent sign is only a percent sign."""
        database = await self.database()
        self.assertEqual(await database.call("SELECT 'a%sb%'"), [("a%sb%",)])

    async def test_no_rows(self) -> None:
        """A statement that returns nothing gives no rows."""
        database = await self.database()
        self.assertEqual(await database.call("CREATE TABLE t (a int)"), [])

    async def test_utc(self) -> None:
        """A session's times are in UTC, whatever the server's zone."""
        database = await self.database()
        self.assertEqual(await database.call("SHOW TimeZone"), [("UTC",)])


class Refusals(DatabaseCase):
    async def test_error_of_the_statement(self) -> None:
        """A refused statement says its SQLSTATE and leaves the connection in use."""
        database = await self.database(size=1)
        before = await database.call("SELECT pg_backend_pid()")
        error = await failure_of(database.call("SELECT 1/0"), Refused)
        self.assertEqual(error.sqlstate, "22012")
        self.assertEqual(await database.call("SELECT pg_backend_pid()"), before)

    async def test_bad_parameters(self) -> None:
        """Parameters that the driver cannot write are refused before anything is sent."""
        database = await self.database(size=1)
        for sql, parameters in (
            ("SELECT %s", (object(),)),
            ("SELECT %s, %s", (1,)),
            ("SELECT %s", ("\0",)),
            ("SELECT %q", (1,)),
        ):
            error = await failure_of(database.call(sql, parameters), Refused)
            self.assertEqual(error.sqlstate, "")
        self.assertEqual(await database.call("SELECT 1"), [(1,)])

    async def test_lock_timeout(self) -> None:
        """A lock that is not given in time is reported, not taken for a dead connection."""
        database = await self.database(session_settings={"lock_timeout": "100ms"})
        await database.call("CREATE TABLE t (a int)")

        async def hold(transaction: Transaction) -> None:
            await transaction.call("LOCK TABLE t")
            error = await failure_of(database.call("SELECT * FROM t"), Refused)
            self.assertEqual(error.sqlstate, "55P03")

        await database.transaction(hold)
        self.assertEqual(database.statistics().reconnects, 0)

    async def test_serialization(self) -> None:
        """A transaction that lost against another one is retryable, and its connection goes on."""
        database = await self.database(session_settings={"default_transaction_isolation": "repeatable read"})
        await database.call("CREATE TABLE t (a int)")
        await database.call("INSERT INTO t VALUES (1)")

        async def lose(transaction: Transaction) -> None:
            await transaction.call("SELECT * FROM t")
            await database.call("UPDATE t SET a = 2")
            await transaction.call("UPDATE t SET a = 3")

        error = await failure_of(database.transaction(lose), Retryable)
        self.assertEqual(error.sqlstate, "40001")
        self.assertEqual(await database.call("SELECT a FROM t"), [(2,)])
        self.assertEqual(database.statistics().reconnects, 0)

    def test_unreadable_address(self) -> None:
        """An address that cannot be read is refused at once, without repeating it."""
        error = self.assertRaises(Unsuitable, Database, reactor, "postgresql://u:hush@[x/")
        self.assertNotIn("hush", str(error))


class Transactions(DatabaseCase):
    async def test_commit(self) -> None:
        """What a transaction did is there when its Deferred fires, and its result is the function's."""
        database = await self.database()

        async def work(transaction: Transaction) -> str:
            await transaction.call("CREATE TABLE t (a int)")
            await transaction.call("INSERT INTO t VALUES (%s)", (7,))
            return "done"

        self.assertEqual(await database.transaction(work), "done")
        self.assertEqual(execute(self.dsn, "SELECT a FROM t"), [(7,)])

    async def test_rollback(self) -> None:
        """An exception of the function rolls back, arrives, and leaves the connection clean."""
        database = await self.database(size=1)

        async def work(transaction: Transaction) -> None:
            await transaction.call("CREATE TABLE t (a int)")
            raise LookupError("enough")

        await failure_of(database.transaction(work), LookupError)
        self.assertEqual(await database.call("SELECT to_regclass('t')::text"), [(None,)])

    async def test_swallowed_error(self) -> None:
        """A transaction whose function swallowed an error is not taken for committed."""
        database = await self.database()

        async def work(transaction: Transaction) -> None:
            await failure_of(transaction.call("SELECT 1/0"), Refused)

        error = await failure_of(database.transaction(work), Refused)
        self.assertEqual(error.sqlstate, "25P02")

    async def test_cancel(self) -> None:
        """Cancelling a transaction rolls it back by closing its connection; the pool makes another."""
        database = await self.database(size=1)

        async def work(transaction: Transaction) -> None:
            await transaction.call("CREATE TABLE t (a int)")
            await transaction.call("SELECT pg_sleep(60)")

        running = database.transaction(work)
        asleep = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
        await until(lambda: bool(execute(self.dsn, asleep)))
        running.cancel()
        await failure_of(running, DatabaseAway)
        self.assertEqual(await database.call("SELECT to_regclass('t')::text"), [(None,)])
