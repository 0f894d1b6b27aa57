"""What the tests of the database door share: waiting, failing, and a database of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from crawlsock.store.database import Database
from tests.integration.postgres import empty_database

IMMEDIATE = 0.02

E = TypeVar("E", bound=Exception)


async def until(condition: Callable[[], bool], patience: float = 10.0) -> None:
    """Let the reactor run until `condition` holds; fail when it does not in time."""
    for _ in range(int(patience / IMMEDIATE)):
        if condition():
            return
        await deferLater(reactor, IMMEDIATE)
    raise AssertionError("the condition did not come true in time")


async def failure_of(deferred: Deferred[Any], kind: type[E]) -> E:
    """Return the exception that `deferred` fails with, which must be of that kind."""
    try:
        await deferred
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def open_sockets() -> int:
    """Count this process's own sockets."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
        except FileNotFoundError:
            pass  # the one that listed the directory
    return count


class DatabaseCase(TestCase):
    """A test with a database of its own."""

    timeout = 60

    def setUp(self) -> None:
        self.dsn = empty_database()

    async def database(self, dsn: str | None = None, **options: Any) -> Database:
        database = Database(reactor, dsn or self.dsn, **{"size": 2, "statement_deadline": 5.0, **options})
        self.addCleanup(database.stop)
        database.start()
        await database.when_up()
        return database
