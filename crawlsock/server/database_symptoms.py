"""What can be wrong between a server and its PostgreSQL, told from what the store's parts know; and what they say of
themselves for ``status_response``.

The law: looks, and never touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from crawlsock.server.checks import BAD, OK, WARN, Line, graded

if TYPE_CHECKING:
    from crawlsock.server.pulse import Pulse
    from crawlsock.store.batch import GroupCommit
    from crawlsock.store.listener import Listener
    from crawlsock.store.pool import Statistics

COMMIT_WARN, COMMIT_BAD = 2.0, 10.0
WAIT_WARN, WAIT_BAD = 1.0, 4.0
_FULL: Final = 0.9


class Database(Protocol):
    """What this needs of `crawlsock.store.database.Database`."""

    server_version: str

    @property
    def reason(self) -> str:
        """Why the state is what it is."""

    @property
    def listener(self) -> Listener:
        """The connection that listens."""

    def statistics(self) -> Statistics:
        """Return the figures of the pool."""


class DatabaseSymptoms:
    """Look at the connections to the database and what runs over them; `lines` is a source of `Checks`.

    :param schema: the newest migration that this program knows.
    :param poll: gives the seconds after which others' work is found without notifications.
    """

    def __init__(
        self, database: Database, group: GroupCommit, pulse: Pulse, schema: int, poll: Callable[[], float]
    ) -> None:
        self._database = database
        self._group = group
        self._pulse = pulse
        self._schema = schema
        self._poll = poll

    def lines(self) -> Iterator[Line]:
        """Yield a line for each thing, the needed one first."""
        yield self._schema_line()
        yield self._listener()
        yield self._commit()
        yield self._pool()
        yield self._server_connections()

    def status(self) -> dict[str, Any]:
        """Return the figures, for ``status_response``."""
        vitals, listener, statistics = self._pulse.vitals, self._database.listener, self._database.statistics()
        return {
            "database": {
                "state": "up" if self._pulse.beats else "down",
                "reason": self._pulse.reason or self._database.reason,
                "version": self._database.server_version,
                "schema": None if vitals is None else vitals.schema,
                "round_trip": self._pulse.round_trip,
                "connections": None if vitals is None else vitals.connections,
                "max_connections": None if vitals is None else vitals.max_connections,
            },
            "database_pool": {
                "size": statistics.size,
                "connections": statistics.connections,
                "in_use": statistics.in_use,
                "waiting": statistics.waiting,
                "reconnects": statistics.reconnects,
            },
            "listener": {
                "works": listener.works,
                "age": listener.round_trip_age,
                "round_trip": listener.round_trip,
                "reconnects": listener.reconnects,
            },
            "group_commit": {
                "commits": self._group.sizes.count,
                "items": round(self._group.sizes.total),
                "waiting": self._group.waiting,
                "last_seconds": self._group.last_seconds,
                "given_up": self._group.unavailable,
            },
        }

    def _schema_line(self) -> Line:
        vitals = self._pulse.vitals
        if vitals is None:
            return Line(
                "schema", BAD, "the schema was not looked at yet", "see what the database check says", needed=True
            )
        if vitals.schema == self._schema:
            return Line("schema", OK, f"the schema is at version {vitals.schema}", needed=True)
        newer = vitals.schema > self._schema
        return Line(
            "schema",
            BAD,
            f"the schema is at version {vitals.schema}, this program knows {self._schema}",
            "upgrade this server" if newer else "restart this server, which brings the schema up to date",
            needed=True,
        )

    def _listener(self) -> Line:
        listener = self._database.listener
        if listener.works:
            took = "" if listener.round_trip is None else f" within {listener.round_trip * 1000:.0f} ms"
            return Line("listener", OK, f"a notification to ourselves comes back{took}")
        if listener.deaf:
            return Line(
                "listener",
                WARN,
                "LISTEN does not work: notifications are taken and never delivered, as behind a proxy that pools "
                f"transactions; what other servers do is found by polling, {self._poll():g} s later",
                "connect to PostgreSQL directly, or let the proxy pool sessions",
            )
        return Line(
            "listener",
            WARN,
            "no notification has come back from the database yet; the server polls meanwhile",
            "see what the database check says; the listener connects again by itself",
        )

    def _commit(self) -> Line:
        busy = self._group.busy_for
        state = graded(max(busy, self._group.last_seconds if busy else 0.0), COMMIT_WARN, COMMIT_BAD)
        if state == OK:
            return Line("commit", OK, f"the last group of writes took {self._group.last_seconds * 1000:.0f} ms")
        return Line(
            "commit",
            state,
            f"a group of writes has been under way for {busy:.1f} s, and {self._group.waiting} more wait",
            "look for locks and for a slow disk: SELECT pid, wait_event_type, wait_event, query FROM pg_stat_activity "
            "WHERE application_name = 'crawlsock'",
        )

    def _pool(self) -> Line:
        statistics = self._database.statistics()
        state = graded(statistics.oldest_wait, WAIT_WARN, WAIT_BAD)
        return Line(
            "pool",
            state,
            f"{statistics.in_use} of {statistics.size} connections are in use, {statistics.waiting} calls wait",
            None if state == OK else "raise database_pool_size, or look for the statements that take so long",
        )

    def _server_connections(self) -> Line:
        vitals = self._pulse.vitals
        if vitals is None:
            return Line("database_connections", OK, "not looked at yet")
        used, most = vitals.connections, vitals.max_connections
        state = graded(used, most * _FULL, most)
        return Line(
            "database_connections",
            state,
            f"PostgreSQL has {used} connections of at most {most}",
            None if state == OK else "raise max_connections in postgresql.conf, or close what needs none",
        )


class Socket(Protocol):
    """What this needs of `crawlsock.server.listener.SocketServer`."""

    @property
    def endpoint(self) -> str:
        """Where it listens."""

    @property
    def serving(self) -> bool:
        """Whether who connects there reaches this server."""


class SocketSymptoms:
    """Look at what the server listens on; `lines` is a source of `Checks`."""

    def __init__(self) -> None:
        self._sockets: list[Socket] = []

    def add(self, socket: Socket) -> None:
        """Look at this one, too."""
        self._sockets.append(socket)

    def lines(self) -> Iterator[Line]:
        """Yield one line for all sockets."""
        closed = [socket.endpoint for socket in self._sockets if not socket.serving]
        if closed:
            yield Line(
                "socket",
                BAD,
                f"nothing listens on {', '.join(closed)}",
                "restart the server; if the socket's file is gone or another's, find out who removes it",
                needed=True,
            )
        else:
            yield Line("socket", OK, f"listens on {', '.join(each.endpoint for each in self._sockets)}", needed=True)
