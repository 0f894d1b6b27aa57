"""What PostgreSQL decides when two want the same row in the same moment."""

from __future__ import annotations

import json
import uuid

import psycopg2
from twisted.trial.unittest import TestCase

from crawlsock.store.database import Database
from tests.integration.postgres import execute, fresh_database
from tests.integration.processes import reactor, until

WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%crawlsock.reap(%' LIMIT 1"


class ReapTests(TestCase):
    """A session that somebody else is just writing to."""

    timeout = 60

    async def begin(self) -> str:
        """Make a database with one session; return the session's id."""
        self.dsn = fresh_database()
        session_id = str(uuid.uuid4())
        wish = {
            "session_id": session_id,
            "crawler_id": "c",
            "server_id": str(uuid.uuid4()),
            "ticket": "00",
            "slots": 1,
            "lease_length": 30,
        }
        execute(self.dsn, f"SELECT crawlsock.open_session('{json.dumps(wish)}', 3)")
        self.database = Database(reactor, self.dsn)
        self.addCleanup(self.database.stop)
        await self.database.start()
        await self.database.when_up()
        return session_id

    async def test_a_named_session_is_waited_for(self) -> None:
        """A dead crawler's session is reaped even when its lost link is being noted in the same moment."""
        session_id = await self.begin()
        other = psycopg2.connect(self.dsn)
        self.addCleanup(other.close)
        other.cursor().execute("SELECT crawlsock.detach_session(%s)", (session_id,))
        reaping = self.database.call("SELECT session::text FROM crawlsock.reap(%s::uuid[], 3)", ([session_id],))
        await until("the reaper waits", lambda: execute(self.dsn, WAITING))
        other.commit()
        self.assertEqual(await reaping, [(session_id,)])

    async def test_an_expired_one_is_left_to_who_has_it(self) -> None:
        """Looking for expired sessions passes over one that is just being renewed."""
        session_id = await self.begin()
        execute(self.dsn, "UPDATE crawlsock.crawler_session SET deadline = now() - interval '1 s'")
        other = psycopg2.connect(self.dsn)
        self.addCleanup(other.close)
        renew = "UPDATE crawlsock.crawler_session SET deadline = now() + interval '1 h' WHERE session_id = %s"
        other.cursor().execute(renew, (session_id,))
        self.assertEqual(await self.database.call("SELECT * FROM crawlsock.reap(NULL, 3)"), [])
        other.commit()
        self.assertEqual(await self.database.call("SELECT * FROM crawlsock.reap(NULL, 3)"), [])
