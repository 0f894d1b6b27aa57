"""The door to PostgreSQL.

The law of this module: it alone imports txpostgres and psycopg2. Driver objects, driver exceptions and
driver ideas of types stop here; above there are rows (tuples of plain values) and the exceptions of
`errors`.

Why not txpostgres' own pool and reconnecting: `docs/decisions/0011-own-connection-pool.md`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import psycopg2
from psycopg2 import extensions
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from txpostgres import txpostgres

from crawlsock.store.errors import (
    CommitUnknown,
    DatabaseAway,
    DatabaseError,
    Refused,
    Unsuitable,
    from_sqlstate,
)
from crawlsock.store.handshake import NETWORK, check_server, greeting
from crawlsock.store.lane import SERVER_GRACE, Lane, Transaction
from crawlsock.store.listener import Listener, Notice
from crawlsock.store.pool import UP, Pool, Row, Statistics
from crawlsock.store.resolve import resolve
from crawlsock.store.shield import cancellable

T = TypeVar("T")


def _as_text(value: Any, cursor: Any) -> Any:
    return value


def _as_bytes(value: Any, cursor: Any) -> bytes | None:
    view = psycopg2.BINARY(value, cursor)
    return None if view is None else bytes(view)


# json, jsonb and uuid as text: parsing is for who wants the value, and orjson is much faster at it.
_TEXT: Final = extensions.new_type((114, 3802, 2950), "CRAWLSOCK_TEXT", _as_text)
_TEXT_ARRAY: Final = extensions.new_array_type((199, 3807, 2951), "CRAWLSOCK_TEXT_ARRAY", _TEXT)
_BYTES: Final = extensions.new_type((17,), "CRAWLSOCK_BYTES", _as_bytes)


class _Cursor(txpostgres.Cursor):  # type: ignore[misc]
    """Txpostgres' cursor, watched through the descriptor of its connection."""

    def fileno(self) -> int:
        return int(self._connection.fileno())


class _Wire(txpostgres.Connection):  # type: ignore[misc]
    """Txpostgres' connection, calm when it dies while idle, and with notifications delivered directly.

    The reactor watches a duplicate of the driver's descriptor. The driver closes its own when it sees that the server
    is gone; the reactor would then keep a dead number for watched, and be deaf to whoever gets it next."""

    cursorFactory = _Cursor

    def __init__(self, reactor: Any, lost: Callable[[str], None]) -> None:
        super().__init__(reactor)
        self._told_lost = lost
        self._descriptor = -1
        self.notified: Callable[[str, str], None] | None = None

    def fileno(self) -> int:
        return self._descriptor if self._descriptor >= 0 else int(super().fileno())

    def settle(self) -> None:
        """Watch a descriptor of our own from now on; while connecting, the driver may change its one."""
        self.reactor.removeReader(self)
        self._descriptor = os.dup(self._connection.fileno())
        self.reactor.addReader(self)

    def doRead(self) -> None:
        try:
            super().doRead()
            broken = not self._connection.closed and self._connection.fileno() < 0
            gone = "the server closed the connection" if broken else ""
        except (psycopg2.Error, ValueError) as error:
            # Stock raises into the reactor, which logs a traceback for every restart of the database.
            gone = str(error).strip() or "the server closed the connection"
        if gone and self._descriptor >= 0:  # while connecting, whoever waits is told
            self._told_lost(gone)

    def connectionLost(self, reason: Any) -> None:
        # A reactor may report a lost peer without a read; with no statement under way, stock swallows that.
        idle = self._pollingD is None
        super().connectionLost(reason)
        if idle:
            self._told_lost("the connection was lost")

    def checkForNotifies(self) -> None:
        # Stock starts a Cooperator task for each. Our observers set a flag, so they are called right here.
        notices, self._connection.notifies[:] = self._connection.notifies[:], []
        if self.notified is not None:
            for notice in notices:
                self.notified(notice.channel, notice.payload)

    def unwatch(self) -> None:
        """Take the connection and its cursors out of the reactor; stock removes only itself."""
        for watched in (self, *self._cursors):
            self.reactor.removeReader(watched)
            self.reactor.removeWriter(watched)
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Connection:
    """One connection: runs one statement at a time, each with a deadline, and is either alive or closed."""

    def __init__(self, reactor: Any) -> None:
        self._clock = reactor
        self._wire = _Wire(reactor, self.close)
        self._observers: list[Callable[[], None]] = []
        self._reason: str | None = None
        self.status = ""
        self.backend_pid = 0
        self.server_version = ""

    @property
    def alive(self) -> bool:
        """Whether statements can be executed."""
        return self._reason is None and self._wire.pollable() is not None and not self._wire.pollable().closed

    def when_lost(self, observer: Callable[[], None]) -> None:
        """Call `observer` once, when the connection is lost or closed; at once if it is already."""
        if self._reason is None:
            self._observers.append(observer)
        else:
            observer()

    def when_notified(self, observer: Callable[[str, str], None]) -> None:
        """Call `observer` with channel and payload of every notification."""
        self._wire.notified = observer

    def close(self, reason: str) -> None:
        """Close for real, whatever the server does: out of the reactor, descriptors closed. Twice is once."""
        if self._reason is not None:
            return
        self._reason = reason
        if self._wire.pollable() is not None:
            self._wire.unwatch()
            self._wire.close()
            # Once more, directly: stock leaves out a connection that broke, though its descriptor is open.
            self._wire.pollable().close()
        observers, self._observers = self._observers, []
        for observer in observers:
            observer()

    async def open(self, dsn: str, options: Mapping[str, Any], settings: Mapping[str, str], timeout: float) -> None:
        """Connect, make the session's settings and look at the server, all within `timeout` seconds.

        :raise DatabaseAway: not reachable, not ready, or one that takes no writes.
        :raise Unsuitable: too old.
        """
        timer = self._clock.callLater(timeout, self.close, f"no connection within {timeout:g} s")
        try:
            try:
                await cancellable(self._wire.connect(dsn, **options), lambda: self.close("given up"))
            except psycopg2.Error as error:
                raise DatabaseAway(self._reason or _message_of(error)) from None
            except Exception as error:
                raise DatabaseAway(self._reason or str(error) or type(error).__name__) from None
            self._wire.settle()
            for caster in (_TEXT, _TEXT_ARRAY, _BYTES):
                extensions.register_type(caster, self._wire.pollable())
            await self._greet(settings, timeout)
        except BaseException as error:
            self.close(str(error) or "given up")
            raise
        finally:
            if timer.active():
                timer.cancel()

    async def _greet(self, settings: Mapping[str, str], timeout: float) -> None:
        sql, parameters = greeting(settings)
        rows = await self.execute(sql, parameters, deadline=timeout, writes=False)
        number, self.server_version, read_only, standby, self.backend_pid = rows[0][:5]
        check_server(number, self.server_version, read_only=read_only, standby=standby)

    def execute(
        self, sql: str, parameters: Sequence[Any] | None, *, deadline: float, writes: bool
    ) -> Deferred[list[Row]]:
        """Run one statement and return its rows; none for a statement that has none.

        Without parameters the text goes out as it is: a literal `%` needs no doubling, several statements may be in it.

        :param deadline: seconds, then the connection is closed. Not cancelled: who is silent ignores a cancel, too.
        :param writes: whether the statement may change anything: `CommitUnknown` instead of `DatabaseAway`.
        """
        return Deferred.fromCoroutine(self._execute(sql, parameters, deadline, writes))

    async def _execute(self, sql: str, parameters: Sequence[Any] | None, deadline: float, writes: bool) -> list[Row]:
        if not self.alive:
            raise DatabaseAway(self._reason or "the connection is closed")
        cursor = self._wire.cursor()
        running = cursor.execute(sql, parameters or None)
        timer: IDelayedCall = self._clock.callLater(deadline, self.close, f"no answer within {deadline:g} s")
        try:
            await cancellable(running, lambda: self.close("the caller gave up"))
            self.status = cursor.statusmessage or ""
            return cursor.fetchall() if cursor.description is not None else []
        except psycopg2.Error as error:
            raise self._translate(error, writes) from None
        except (TypeError, ValueError, IndexError, KeyError) as error:
            # The driver could not put the parameters into the statement: nothing was sent.
            raise Refused("", f"{type(error).__name__}: {error}") from None
        except Exception as error:
            if self._reason is None:
                self.close(f"the driver failed: {type(error).__name__}")
            raise (CommitUnknown if writes else DatabaseAway)(self._reason or str(error)) from None
        finally:
            if timer.active():
                timer.cancel()

    def _translate(self, error: psycopg2.Error, writes: bool) -> DatabaseError:
        message = _message_of(error)
        misuse = isinstance(error, (psycopg2.ProgrammingError, psycopg2.NotSupportedError))
        if error.pgcode is None and misuse and self.alive:
            return Refused("", message)
        detail = error.diag.message_detail if error.pgcode else None
        translated = from_sqlstate(error.pgcode, self._reason or message, detail, in_flight_write=writes)
        if isinstance(translated, DatabaseAway) and not (error.pgcode or "").startswith(("53", "58")):
            self.close(message)
        return translated


def _message_of(error: psycopg2.Error) -> str:
    primary = error.diag.message_primary if error.pgcode else None
    # Libpq explains a lost connection over several lines; what it is comes before what it probably means.
    said, _, _ = str(error).partition("This probably means")
    said, _, _ = said.partition("Is the server running")
    return primary or " ".join(said.split()) or type(error).__name__


class Database:
    """Everything above the driver: a pool for calls and transactions, lanes of their own, and a listener.

    :param dsn: libpq URI or key/value string.
    :param size: connections of the common pool; a lane and the listener add their own.
    :param connect_timeout: seconds for one attempt to connect.
    :param statement_deadline: seconds, after which a statement's connection is closed.
    :param acquire_timeout: seconds a call waits for a free connection.
    :param session_settings: PostgreSQL settings for every session, made again after every reconnect.
    :param on_state: called with `up` or `down` and the reason, at every change.
    :raise Unsuitable: the DSN cannot be read.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        dsn: str,
        *,
        size: int = 4,
        connect_timeout: float = 5.0,
        statement_deadline: float = 10.0,
        acquire_timeout: float = 5.0,
        application_name: str = "crawlsock",
        session_settings: Mapping[str, str] | None = None,
        on_state: Callable[[str, str], None] | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        try:
            given = extensions.parse_dsn(dsn)
        except psycopg2.Error:
            # Without the driver's words: they quote the DSN, password and all.
            raise Unsuitable(
                "the database address cannot be read: write it as postgresql://user@host/name or as host=... dbname=..."
            ) from None
        self._reactor = reactor
        self._dsn = dsn
        self._given = given
        self._timeout = connect_timeout
        self._deadline = statement_deadline
        self._patience = acquire_timeout
        self._jitter = jitter
        self._options = {name: value for name, value in NETWORK.items() if name not in given}
        self._options["application_name"] = application_name
        self._settings = {
            "TimeZone": "UTC",
            "statement_timeout": f"{int((statement_deadline + SERVER_GRACE) * 1000)}",
            "idle_in_transaction_session_timeout": f"{int((statement_deadline + SERVER_GRACE) * 1000)}",
            **(session_settings or {}),
        }
        self._running = False
        self._lanes: list[Lane] = []
        self._on_state = on_state
        self._main = self._lane(size, self._state_changed)
        self._listener = Listener(reactor, self._connect, jitter=jitter, token=f"{os.getpid()}_{id(self):x}")
        self.server_version = ""

    def start(self) -> Deferred[None]:
        """Begin to connect; `when_up` tells when it has worked. Twice is once."""
        self._running = True
        for lane in self._lanes:
            lane.pool.start()
        self._listener.start()
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Close all connections at once; what is under way fails as away. Twice is once."""
        self._running = False
        self._listener.stop()
        for lane in self._lanes:
            lane.pool.stop()
        return succeed(None)

    @property
    def state(self) -> str:
        """`up` while the common pool has a connection, else `down`."""
        return self._main.pool.state

    @property
    def reason(self) -> str:
        """Why the state is what it is, for people."""
        return self._main.pool.reason

    @property
    def listener(self) -> Listener:
        """The listener, for its age and whether it works."""
        return self._listener

    def when_up(self) -> Deferred[None]:
        """Return a Deferred that fires when the database can be used; fails only with `Unsuitable`."""
        return self._main.pool.when_up()

    def statistics(self) -> Statistics:
        """Return the figures of the common pool."""
        return self._main.pool.statistics()

    def call(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        deadline: float | None = None,
        writes: bool = True,
    ) -> Deferred[list[Row]]:
        """Run one statement on any free connection; see `Lane.call`."""
        return self._main.call(sql, parameters, deadline=deadline, writes=writes)

    def transaction(
        self, function: Callable[[Transaction], Awaitable[T]], *, deadline: float | None = None
    ) -> Deferred[T]:
        """Run `function` in a transaction on any free connection; see `Lane.transaction`."""
        return self._main.transaction(function, deadline=deadline)

    def listen(self, channel: str, callback: Callable[[Notice], None]) -> None:
        """Call `callback` for each NOTIFY on `channel`, and with `resync` after every (re)connect."""
        self._listener.listen(channel, callback)

    def writer(self) -> Lane:
        """Return a lane with one connection of its own, beside the common pool, reconnected like it."""
        return self._lane(1, None)

    def _state_changed(self, state: str, reason: str) -> None:
        if state == UP:
            self._log.info("the database was reached: PostgreSQL {version}", version=self.server_version)
        elif self._running:
            self._log.warn("the database went away: {reason}", reason=reason)
        if self._on_state is not None:
            self._on_state(state, reason)

    def _lane(self, size: int, on_state: Callable[[str, str], None] | None) -> Lane:
        pool = Pool(
            self._reactor, self._connect, size=size, jitter=self._jitter, patience=self._patience, on_state=on_state
        )
        lane = Lane(pool, self._deadline)
        self._lanes.append(lane)
        if self._running:
            pool.start()
        return lane

    def _connect(self) -> Deferred[Connection]:
        return Deferred.fromCoroutine(self._connected())

    async def _connected(self) -> Connection:
        connection = Connection(self._reactor)
        options = {**self._options, **await resolve(self._reactor, self._given, self._timeout)}
        await connection.open(self._dsn, options, self._settings, self._timeout)
        self.server_version = connection.server_version
        return connection
