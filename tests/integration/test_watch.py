"""What PostgreSQL decides when several servers look and send at the same moment, and what only it can see."""

from __future__ import annotations

import psycopg2
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from crawlsock.store.database import Database
from crawlsock.store.postgres import PostgresStore
from crawlsock.store.records_values import Finding
from crawlsock.store.values import NewJob
from tests.integration.postgres import fresh_database
from tests.integration.processes import reactor, until


class WatchCase(TestCase):
    timeout = 60

    async def stores(self, count: int) -> list[PostgresStore]:
        """Return the stores of several servers on one database."""
        self.dsn = fresh_database()
        stores = []
        for number in range(count):
            database = Database(reactor, self.dsn, size=2)
            self.addCleanup(database.stop)
            database.start()
            await database.when_up()
            store = PostgresStore(reactor, database, server_id=f"00000000-0000-4000-8000-00000000000{number}")
            await store.when_up()
            stores.append(store)
        return stores


class TogetherTests(WatchCase):
    async def test_one_incident(self) -> None:
        """Servers that find the same things at the same moment open each once, and tell once."""
        stores = await self.stores(3)
        found = [Finding("queue_stalled", "critical", f"{n}", subject=f"{n}", count=1) for n in range(10)]
        for counted in range(1, 6):
            findings = [Finding(each.kind, each.severity, each.title, each.subject, count=counted) for each in found]
            await gatherResults(
                [store.record_incidents(findings, (), ("webhook",), 3600.0) for store in stores for _ in range(2)]
            )
        incidents = (await stores[0].incidents(limit=100)).incidents
        self.assertEqual([each.count for each in incidents], [5] * 10)
        self.assertEqual(len((await stores[0].notifications(limit=100)).notifications), 10)

    async def test_one_sender(self) -> None:
        """Servers that take from the outbox at the same moment get each notification once."""
        stores = await self.stores(3)
        found = [Finding("queue_stalled", "critical", f"{n}", subject=f"{n}") for n in range(100)]
        await stores[0].record_incidents(found, (), ("webhook",), 0.0)
        taken = await gatherResults(
            [store.take_notifications(["webhook"], 60.0, 10) for store in stores for _ in range(4)]
        )
        ids = [outgoing.notification_id for each in taken for outgoing in each]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertTrue(all(len(each) <= 10 for each in taken))


class FeedTests(WatchCase):
    async def test_a_feed_that_is_held_up(self) -> None:
        """A transaction that writes and stays open holds up the feed, and is seen; when it ends nothing is."""
        (store,) = await self.stores(1)
        self.assertIsNone((await store.watch(60, 1, 60)).feed_age)
        other = psycopg2.connect(self.dsn)
        self.addCleanup(other.close)
        other.cursor().execute("INSERT INTO crawlsock.audit (actor, action) VALUES ('x', 'y')")
        await store.submit([NewJob("crawl_user")], accounts=None)

        async def behind() -> bool:
            age = (await store.watch(60, 1, 60)).feed_age
            return age is not None and age > 0.2

        async def level() -> bool:
            return (await store.watch(60, 1, 60)).feed_age is None

        await until("the feed is behind", behind)  # type: ignore[arg-type]
        other.rollback()
        await until("the feed is level", level)  # type: ignore[arg-type]
