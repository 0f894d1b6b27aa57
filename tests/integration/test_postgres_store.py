"""Hold the PostgreSQL store to the contract of all stores."""

from __future__ import annotations

import inspect
import pkgutil
from datetime import datetime, timezone
from functools import lru_cache
from importlib import import_module
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from crawlsock.progress import ProgressTracker
from crawlsock.store.database import Database
from crawlsock.store.interface import IStore
from crawlsock.store.postgres import PostgresStore
from tests.integration.postgres import fresh_database
from tests.store import contract
from tests.store.contract.base import SERVER, StoreContract

_SHIFT = """
DO $$
DECLARE
    target record;
BEGIN
    FOR target IN
        SELECT table_name,
               string_agg(format('%1$I = %1$I - interval %2$L', column_name, '{seconds} seconds'), ', ') AS changes
        FROM information_schema.columns
        WHERE table_schema = 'crawlsock' AND data_type = 'timestamp with time zone' AND table_name <> 'schema_migration'
        GROUP BY table_name
    LOOP
        EXECUTE format('UPDATE crawlsock.%I SET ', target.table_name) || target.changes;
    END LOOP;
END $$
"""


# A database is some 300 files; two hundred tests share one, and each begins by emptying it.
_WIPE = """
DELETE FROM crawlsock.job;
DELETE FROM crawlsock.area;
DELETE FROM crawlsock.error_group;
DELETE FROM crawlsock.notification;
DELETE FROM crawlsock.incident;
DELETE FROM crawlsock.crawler_session;
DELETE FROM crawlsock.server;
DELETE FROM crawlsock.auth_token;
DELETE FROM crawlsock.audit;
DELETE FROM crawlsock.queue;
DELETE FROM crawlsock.event;
DELETE FROM crawlsock.activity;
DELETE FROM crawlsock.account;
INSERT INTO crawlsock.account (account) VALUES ('default');
UPDATE crawlsock.feed_horizon SET xid = '0', id = 0;
"""


@lru_cache(maxsize=1)
def _database() -> str:
    return fresh_database()


class OnPostgres(StoreContract):
    """Give the claims a database of their own, whose past can be moved back."""

    database: Database

    def make_store(self) -> Deferred[IStore]:
        return Deferred.fromCoroutine(self._make())

    async def _make(self) -> IStore:
        self.database = Database(reactor, _database(), size=1)
        self.addCleanup(self.database.stop)
        await self.database.start()
        await self.database.when_up()
        await self.database.call(_WIPE)
        store = PostgresStore(reactor, self.database, server_id=SERVER, tracker=ProgressTracker())
        store.listen()
        await store.when_up()
        return store

    async def advance(self, seconds: float) -> None:
        # Moving everything that happened into the past is the same as waiting.
        await self.database.call(_SHIFT.format(seconds=seconds))

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    async def audited(self) -> list[tuple[str, str, str | None]]:
        rows = await self.database.call("SELECT actor, action, target FROM crawlsock.audit ORDER BY audit_id")
        return [(row[0], row[1], row[2]) for row in rows]


def _claims() -> dict[str, Any]:
    """Return one test case a class of claims: the claims, on PostgreSQL."""
    cases = {}
    for found in pkgutil.iter_modules(contract.__path__, f"{contract.__name__}."):
        for name, case in vars(import_module(found.name)).items():
            if inspect.isclass(case) and issubclass(case, StoreContract) and case is not StoreContract:
                body = {"__module__": __name__, "__doc__": case.__doc__}
                cases[f"{name}OnPostgres"] = type(f"{name}OnPostgres", (OnPostgres, case), body)
    return cases


globals().update(_claims())
