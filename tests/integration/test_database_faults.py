"""The door to PostgreSQL when things die: backends, connections, the listener's, the whole server."""

from __future__ import annotations

import os
import signal

import psutil
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from crawlsock.store.database import Connection, Database
from crawlsock.store.errors import CommitUnknown, DatabaseAway
from crawlsock.store.lane import Transaction
from crawlsock.store.listener import Notice
from tests.integration.database_case import DatabaseCase, failure_of, open_sockets, until
from tests.integration.postgres import execute, own_cluster, shared_cluster


class LostConnections(DatabaseCase):
    async def test_backend_killed_while_idle(self) -> None:
        """After idle backends were terminated every call succeeds: the dead are never handed out."""
        database = await self.database(size=3)
        await until(lambda: database.statistics().connections == 3)
        execute(
            self.dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await until(lambda: database.statistics().reconnects == 3)
        results = await gatherResults([database.call("SELECT 1") for _ in range(30)])
        self.assertEqual(results, [[(1,)]] * 30)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_descriptor_closed_by_the_driver(self) -> None:
        """A connection whose descriptor the driver has closed first leaves nothing behind that the reactor watches."""
        connection = Connection(reactor)
        await connection.open(self.dsn, {}, {}, 5)
        readers = len(reactor.getReaders())
        # What libpq does when it finds the server gone, before anybody is told.
        os.close(connection._wire.pollable().fileno())
        connection.close("the server is gone")
        self.assertEqual(len(reactor.getReaders()), readers - 1)
        self.assertEqual([each for each in reactor.getReaders() if each.fileno() < 0], [])
        self.assertFalse(connection.alive)

    async def test_backend_killed_while_writing(self) -> None:
        """A writing call whose backend dies has an unknown outcome; a read is plainly away."""
        database = await self.database()
        kill = "SELECT pg_terminate_backend(pg_backend_pid())"
        await failure_of(database.call(kill), CommitUnknown)
        error = await failure_of(database.call(kill, writes=False), DatabaseAway)
        self.assertNotIsInstance(error, CommitUnknown)
        self.assertGreater(error.retry_after, 0)

    async def test_commit_cut_off(self) -> None:
        """A transaction that dies before COMMIT is away and undone; one that dies in COMMIT is unknown."""
        database = await self.database()
        await database.call("CREATE TABLE t (a int)")

        async def before(transaction: Transaction) -> None:
            await transaction.call("INSERT INTO t VALUES (1)")
            await transaction.call("SELECT pg_terminate_backend(pg_backend_pid())")

        error = await failure_of(database.transaction(before), DatabaseAway)
        self.assertNotIsInstance(error, CommitUnknown)
        self.assertEqual(await database.call("SELECT * FROM t"), [])

        await database.call(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
        )
        await database.call(
            "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON t"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()"
        )

        async def during(transaction: Transaction) -> None:
            await transaction.call("INSERT INTO t VALUES (2)")

        await failure_of(database.transaction(during), CommitUnknown)

    async def test_stopped_backend(self) -> None:
        """A stopped backend costs one call its deadline, and leaves neither descriptor nor reader behind."""
        database = await self.database(size=1)
        await until(lambda: database.listener.works)
        readers, sockets = len(reactor.getReaders()), open_sockets()
        pid = (await database.call("SELECT pg_backend_pid()"))[0][0]
        os.kill(pid, signal.SIGSTOP)
        try:
            await failure_of(database.call("SELECT 1", deadline=0.2), CommitUnknown)
            self.assertNotEqual(await database.call("SELECT pg_backend_pid()"), [(pid,)])
            self.assertEqual(len(reactor.getReaders()), readers)
            self.assertLessEqual(open_sockets(), sockets)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def test_bounded_waiting(self) -> None:
        """Who waits for a connection in vain is told so, in bounded time."""
        database = await self.database(size=1, acquire_timeout=0.1)
        sleeping = database.call("SELECT pg_sleep(0.5)")
        error = await failure_of(database.call("SELECT 1"), DatabaseAway)
        self.assertIn("became free", error.reason)
        await sleeping

    async def test_read_only(self) -> None:
        """A server that takes no writes counts as away, with the reason."""
        name = self.dsn.partition("@/")[2].partition("?")[0]
        execute(shared_cluster().dsn, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        database = Database(reactor, self.dsn, size=1)
        self.addCleanup(database.stop)
        database.start()
        await until(lambda: "takes no writes" in database.reason)
        error = await failure_of(database.call("SELECT 1"), DatabaseAway)
        self.assertIn("takes no writes", error.reason)
        execute(shared_cluster().dsn, f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await database.when_up()

    async def test_lane(self) -> None:
        """A lane has its own connection, runs its calls in order, and replaces a suspect one."""
        database = await self.database(size=1)
        lane = database.writer()
        pids = await gatherResults([lane.call("SELECT pg_backend_pid()") for _ in range(3)])
        self.assertEqual(len({row[0][0] for row in pids}), 1)
        self.assertNotEqual(await database.call("SELECT pg_backend_pid()"), pids[0])
        lane.discard("looks strange")
        self.assertNotEqual(await lane.call("SELECT pg_backend_pid()"), pids[0])

    async def test_stop_and_start(self) -> None:
        """Stopping twice and starting again both work, and stopping leaves nothing in the reactor."""
        sockets = open_sockets()
        database = await self.database()
        await database.stop()
        await database.stop()
        self.assertLessEqual(open_sockets(), sockets)
        await failure_of(database.call("SELECT 1"), DatabaseAway)
        database.start()
        await database.when_up()
        self.assertEqual(await database.call("SELECT 1"), [(1,)])


class Listening(DatabaseCase):
    async def test_notifications(self) -> None:
        """A listener is first told to read everything, then woken by each notification."""
        notices: list[Notice] = []
        database = Database(reactor, self.dsn, size=1)
        self.addCleanup(database.stop)
        database.listen("work", notices.append)
        database.start()
        await until(lambda: len(notices) == 1)
        await database.call("SELECT pg_notify('work', 'seven')")
        await until(lambda: len(notices) == 2)
        self.assertEqual(notices, [Notice("work", "", resync=True), Notice("work", "seven")])
        await until(lambda: database.listener.works)

    async def test_late_channel(self) -> None:
        """A channel added while the listener is connected is heard, too."""
        database = await self.database()
        await until(lambda: database.listener.works)
        notices: list[Notice] = []
        database.listen('odd "name"', notices.append)
        await until(lambda: len(notices) == 1)
        await database.call("SELECT pg_notify('odd \"name\"', '')")
        await until(lambda: len(notices) == 2)

    async def test_survives(self) -> None:
        """After its connection died the listener listens again, and says so by another resync."""
        database = await self.database(size=1, application_name="heard")
        notices: list[Notice] = []
        database.listen("work", notices.append)
        await until(lambda: len(notices) == 1)
        execute(
            self.dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'heard' AND datname = current_database()",
        )
        await until(lambda: len(notices) == 2)
        self.assertTrue(notices[1].resync)
        await database.call("SELECT pg_notify('work', 'again')")
        await until(lambda: notices[-1].payload == "again")
        self.assertEqual(self.flushLoggedErrors(), [])


class LostServer(TestCase):
    """The whole server dies; every test has its own."""

    timeout = 90

    async def test_kill_and_restart(self) -> None:
        """PostgreSQL killed: calls fail at once as away. Back again: calls work within ten seconds."""
        with own_cluster() as embedded:
            states: list[str] = []
            database = Database(
                reactor, embedded.start().dsn(), size=2, on_state=lambda state, reason: states.append(state)
            )
            self.addCleanup(database.stop)
            notices: list[Notice] = []
            database.listen("work", notices.append)
            database.start()
            await database.when_up()
            await until(lambda: len(notices) == 1)
            await database.call("CREATE TABLE t AS SELECT 42 AS a")
            pid = embedded.pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: database.state == "down")
            begun = reactor.seconds()
            await failure_of(database.call("SELECT 1"), DatabaseAway)
            self.assertLess(reactor.seconds() - begun, 0.1)
            embedded.start()
            begun = reactor.seconds()
            await database.when_up()
            self.assertLess(reactor.seconds() - begun, 5)
            self.assertEqual(await database.call("SELECT a FROM t"), [(42,)])
            await until(lambda: len(notices) == 2)
            self.assertEqual(states, ["up", "down", "up"])
            await database.stop()
            self.assertEqual(self.flushLoggedErrors(), [])

    async def test_frozen_server(self) -> None:
        """A server that is frozen as a whole is away after the deadline, and usable again once it is not."""
        with own_cluster() as embedded:
            database = Database(reactor, embedded.start().dsn(), size=1, connect_timeout=0.3, statement_deadline=0.5)
            self.addCleanup(database.stop)
            database.start()
            await database.when_up()
            pid = embedded.pid()
            assert pid is not None
            postmaster = psutil.Process(pid)
            frozen = [postmaster, *postmaster.children()]
            for process in frozen:
                process.suspend()
            try:
                await failure_of(database.call("SELECT 1"), CommitUnknown)
                await until(lambda: database.state == "down")
            finally:
                for process in frozen:
                    process.resume()
            await database.when_up()
            self.assertEqual(await database.call("SELECT 1"), [(1,)])
            await database.stop()

    async def test_not_there(self) -> None:
        """A server that was never there is away, with a reason, and starting is no error."""
        database = Database(reactor, "postgresql:///nowhere?host=/nonexistent", size=1)
        self.addCleanup(database.stop)
        database.start()
        await until(lambda: "nonexistent" in database.reason)
        error = await failure_of(database.call("SELECT 1"), DatabaseAway)
        self.assertIn("nonexistent", error.reason)
