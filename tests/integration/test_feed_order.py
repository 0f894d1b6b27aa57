"""Read the feed of a real PostgreSQL while transactions commit out of order."""

from __future__ import annotations

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial import unittest

from crawlsock.store.database import Database
from crawlsock.store.postgres import PostgresStore
from crawlsock.store.values import NewJob
from tests.integration.postgres import execute, fresh_database

SERVER = "00000000-0000-4000-8000-00000000000a"


class FeedOrderTests(unittest.TestCase):
    """No reader ever passes a transaction that may still commit."""

    async def setUp(self) -> None:  # type: ignore[override]
        dsn = self.dsn = fresh_database()
        self.database = Database(reactor, dsn)
        self.addCleanup(self.database.stop)
        await self.database.start()
        await self.database.when_up()
        self.store = PostgresStore(reactor, self.database, server_id=SERVER)
        self.store.listen()
        await self.store.when_up()
        # Web applications submit in transactions of their own, which take as long as they take.
        self.slow = psycopg2.connect(dsn)
        self.addCleanup(self.slow.close)

    def submit_slowly(self) -> str:
        """Submit a job in a transaction that is left open; return the job's id."""
        with self.slow.cursor() as cursor:
            cursor.execute("SELECT id FROM crawlsock.submit('crawl_user')")
            row = cursor.fetchone()
        assert row is not None
        return str(row[0])

    async def submit(self) -> str | None:
        """Submit a job through the store; return its id."""
        (status,) = await self.store.submit([NewJob("crawl_user")], accounts=None)
        return status.job_id

    async def test_nothing_is_read_past_an_open_transaction(self) -> None:
        """An event that commits late is read before those that began after it, and none is missed."""
        before = await self.submit()
        late = self.submit_slowly()
        after = await self.submit()
        page = await self.store.events_after(None, 100)
        self.assertEqual([event["job_id"] for event in page.events], [before])
        self.slow.commit()
        rest = await self.store.events_after(page.position, 100)
        self.assertEqual([event["job_id"] for event in rest.events], [late, after])
        whole = await self.store.events_after(None, 100)
        self.assertEqual(whole.events, page.events + rest.events)

    async def test_the_head_is_the_highest_number(self) -> None:
        """What was pruned under a transaction of fewer digits is before what can be read, although not as text."""
        execute(self.dsn, "UPDATE crawlsock.feed_horizon SET xid = '99', id = 1")
        await self.submit()
        page = await self.store.events_after(await self.store.event_head(), 100)
        self.assertEqual((page.events, page.gap), ([], False))

    async def test_the_head_waits_for_open_transactions(self) -> None:
        """Who subscribes now hears of what an open transaction did before, once it commits."""
        await self.submit()
        late = self.submit_slowly()
        after = await self.submit()
        head = await self.store.event_head()
        self.slow.commit()
        page = await self.store.events_after(head, 100)
        self.assertEqual([event["job_id"] for event in page.events], [late, after])

    async def test_what_is_rolled_back_never_was(self) -> None:
        """A submission that the web application rolls back leaves no job and no event."""
        gone = self.submit_slowly()
        self.slow.rollback()
        kept = await self.submit()
        page = await self.store.events_after(None, 100)
        self.assertEqual([event["job_id"] for event in page.events], [kept])
        with self.slow.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM crawlsock.job WHERE job_id = %s", (gone,))
            self.assertEqual(cursor.fetchone(), (0,))

    async def test_a_submission_in_sql_wakes_the_service(self) -> None:
        """A job submitted in SQL reaches those who wait for work as soon as it commits."""
        woken: Deferred[None] = Deferred()
        self.store.on_work(lambda: None if woken.called else woken.callback(None))
        self.submit_slowly()
        self.slow.commit()
        await woken

    def test_submitting_for_nobody_is_an_error_that_helps(self) -> None:
        """An unknown account is refused with the remedy, and the transaction is the caller's to roll back."""
        with self.slow.cursor() as cursor, self.assertRaises(psycopg2.errors.ForeignKeyViolation) as caught:
            cursor.execute("SELECT * FROM crawlsock.submit('crawl_user', account => 'nobody')")
        self.assertIn("there is no account 'nobody'", str(caught.exception))
        self.assertIn("credential_put", caught.exception.diag.message_hint or "")

    def test_a_key_that_lives_is_a_duplicate(self) -> None:
        """A second live job with the key is not made; the first one's id comes back."""
        with self.slow.cursor() as cursor:
            answers: list[tuple[str, str]] = []
            for _ in range(2):
                cursor.execute("SELECT status, id FROM crawlsock.submit('crawl_user', job_key => 'nightly')")
                answers += cursor.fetchall()
        self.assertEqual(answers, [("created", answers[0][1]), ("duplicate", answers[0][1])])
