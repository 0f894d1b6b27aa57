"""Groups of failures when several servers report the same failures at the same time."""

from __future__ import annotations

import random

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from crawlsock.store.database import Database
from crawlsock.store.postgres import PostgresStore
from crawlsock.store.records_values import ErrorFilter
from crawlsock.store.values import Demand, Failure, JobRef, NewJob, NewSession
from tests.integration.postgres import execute, fresh_database
from tests.integration.processes import reactor

SERVERS = 3
ROUNDS = 12
JOBS = 40
KINDS = 8


class TogetherTests(TestCase):
    timeout = 90

    async def store(self, number: int) -> PostgresStore:
        """Return the store of one server."""
        database = Database(reactor, self.dsn, size=2)
        self.addCleanup(database.stop)
        database.start()
        await database.when_up()
        return PostgresStore(reactor, database, server_id=f"00000000-0000-4000-8000-00000000000{number}")

    async def test_no_server_waits_for_another_in_a_ring(self) -> None:
        """Servers that report the same failures at once, in any order, count every one, without a deadlock."""
        self.dsn = fresh_database()
        dice = random.Random(7)
        stores = [await self.store(number) for number in range(SERVERS)]
        sessions = [
            await store.open_session(NewSession(f"c{number}", store.server_id, bytes([number]), 3600.0))
            for number, store in enumerate(stores)
        ]
        for round_ in range(ROUNDS):
            for store in stores:
                await store.submit([NewJob("crawl_user") for _ in range(JOBS)], accounts=None)
            held = [
                (store, JobRef(given.job_id, given.lease, given.session_id))
                for store, session in zip(stores, sessions, strict=True)
                for given in await store.assign([Demand(session.session_id, JOBS)])
            ]
            self.assertEqual(len(held), SERVERS * JOBS)
            dice.shuffle(held)
            await gatherResults(
                [
                    store.fail(ref, Failure(f"Kind{dice.randrange(KINDS)}", f"round {round_}", recoverable=False))
                    for store, ref in held
                ]
            )
        page = await stores[0].errors(ErrorFilter())
        self.assertEqual(len(page.groups), KINDS)
        self.assertEqual(sum(group.count for group in page.groups), SERVERS * ROUNDS * JOBS)
        self.assertEqual(sum(group.failed_now for group in page.groups), SERVERS * ROUNDS * JOBS)
        [(deadlocks,)] = execute(self.dsn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        self.assertEqual(deadlocks, 0)
