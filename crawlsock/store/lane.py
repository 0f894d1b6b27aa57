"""How statements reach connections: one by one, or in transactions.

The law of this module: the only place that writes BEGIN, COMMIT and ROLLBACK. No driver, and no SQL of the
application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred

from crawlsock.store.errors import DatabaseError, Refused
from crawlsock.store.pool import Link, Pool, Row

T = TypeVar("T")

# How much longer than us the server is patient with a statement: it must not outlive our interest in it for
# long.
SERVER_GRACE: Final = 2.0


class Transaction:
    """What a function inside `Database.transaction` works with."""

    def __init__(self, connection: Link, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def call(self, sql: str, parameters: Sequence[Any] = (), *, deadline: float | None = None) -> Deferred[list[Row]]:
        """Run one statement in the transaction. Losing the connection here is a certain rollback."""
        return self._connection.execute(sql, parameters, deadline=deadline or self._deadline, writes=False)


class Lane:
    """Connections for one purpose; a lane of one connection runs its calls one after the other."""

    def __init__(self, pool: Pool, deadline: float) -> None:
        self.pool = pool
        self._deadline = deadline

    def call(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        deadline: float | None = None,
        writes: bool = True,
    ) -> Deferred[list[Row]]:
        """Run one statement, committed when it returns: one round trip.

        :param deadline: seconds, at most the statement deadline of the database (the server's own limit is
            a little above that one).
        :param writes: False for a read, so that losing the connection under it is a plain `DatabaseAway`.
        :raise DatabaseError: one of its kinds.
        """
        return Deferred.fromCoroutine(self._call(sql, parameters, deadline or self._deadline, writes))

    async def _call(self, sql: str, parameters: Sequence[Any], deadline: float, writes: bool) -> list[Row]:
        connection = await self.pool.acquire()
        try:
            return await connection.execute(sql, parameters, deadline=deadline, writes=writes)
        finally:
            self.pool.release(connection)

    def transaction(
        self, function: Callable[[Transaction], Awaitable[T]], *, deadline: float | None = None
    ) -> Deferred[T]:
        """Run `function` between BEGIN and COMMIT; return its result once committed. An exception rolls back.

        :param deadline: seconds for each statement, if not the usual; the server's limit follows.
        :raise CommitUnknown: the connection was lost while committing; before that, it is `DatabaseAway`.
        """
        return Deferred.fromCoroutine(self._transaction(function, deadline))

    async def _transaction(self, function: Callable[[Transaction], Awaitable[T]], deadline: float | None) -> T:
        patience = deadline or self._deadline
        begin = "BEGIN"
        if deadline is not None:
            begin += f"; SET LOCAL statement_timeout = {int((deadline + SERVER_GRACE) * 1000)}"
        connection = await self.pool.acquire()
        try:
            try:
                await connection.execute(begin, None, deadline=self._deadline, writes=False)
                result = await function(Transaction(connection, patience))
            except BaseException:
                await self._roll_back(connection)
                raise
            await connection.execute("COMMIT", None, deadline=patience, writes=True)
            if connection.status != "COMMIT":
                # The function swallowed the error of one of its statements; the server answers COMMIT by a
                # rollback.
                raise Refused("25P02", "the transaction had failed before and was rolled back")
            return result
        finally:
            self.pool.release(connection)

    async def _roll_back(self, connection: Link) -> None:
        if not connection.alive:
            return
        try:
            await connection.execute("ROLLBACK", None, deadline=self._deadline, writes=False)
        except DatabaseError:
            connection.close("rolling back failed")

    def discard(self, reason: str) -> None:
        """Close the lane's connections, as suspect, and make new ones."""
        self.pool.discard(reason)
