"""A small pool of database connections that knows when one is dead.

The law of this module: it keeps connections, hands them out and makes new ones; it knows no driver and no
SQL. Waiting is always bounded, in number and in time, and a database that is away is said to be away at
once, not after a queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from crawlsock.store.errors import DatabaseAway, DatabaseError, Unsuitable

Row = tuple[Any, ...]

# Full jitter below a cap that grows: uniform(0, cap). A jitter around a value would vanish at the cap, and
# all servers of a site would knock at the returning database in step.
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 2.0

UP: Final = "up"
DOWN: Final = "down"


class Link(Protocol):
    """One connection, as the pool sees it."""

    @property
    def alive(self) -> bool:
        """Whether the connection can still be used."""

    @property
    def status(self) -> str:
        """The server's command tag of the last statement, such as `COMMIT`."""

    def execute(
        self, sql: str, parameters: Sequence[Any] | None, *, deadline: float, writes: bool
    ) -> Deferred[list[Row]]:
        """Run one statement; only one at a time."""

    def close(self, reason: str) -> None:
        """Close for real; a statement under way fails with `reason`."""

    def when_lost(self, observer: Callable[[], None]) -> None:
        """Call `observer` once, when the connection is lost or closed."""


@frozen
class Statistics:
    """How the pool is doing. Times are seconds; `oldest_wait` is that of the caller who waits longest."""

    size: int
    connections: int
    in_use: int
    waiting: int
    reconnects: int
    oldest_wait: float


def reconnect_delay(failures: int, jitter: Callable[[float, float], float]) -> float:
    """Return how long to wait before the next attempt, after so many failed ones in a row.

    :param jitter: `random.uniform`, or a test's own.
    """
    return jitter(0.0, min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 16)))


class Pool:
    """Keep `size` connections open, give each to one user at a time, replace the dead.

    :param connect: makes a new connection; fails with a `DatabaseError`.
    :param patience: seconds a caller waits for a free connection.
    :param longest_queue: how many callers may wait.
    :param on_state: called with `up` or `down` and the reason, at every change.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        connect: Callable[[], Awaitable[Link]],
        *,
        size: int,
        jitter: Callable[[float, float], float],
        patience: float = 5.0,
        longest_queue: int = 1000,
        on_state: Callable[[str, str], None] | None = None,
    ) -> None:
        self._clock = clock
        self._connect = connect
        self._jitter = jitter
        self._patience = patience
        self._longest_queue = longest_queue
        self._on_state = on_state
        self._size = size
        self._running = False
        self._links: dict[Link, float] = {}  # each with the time from which it was there
        self._idle: list[Link] = []
        self._connecting: set[Deferred[None]] = set()
        self._delays: set[IDelayedCall] = set()
        self._waiting: deque[_Waiter] = deque()
        self._failures = 0
        self._connects = 0
        self._watchers: list[Deferred[None]] = []
        self.reason = "not connected yet"
        self.error: DatabaseError | None = None
        self.state = DOWN

    def start(self) -> None:
        """Begin to connect. Twice is once."""
        if not self._running:
            self._running = True
            self.error = None
            for _ in range(self._size):
                self._open()

    def stop(self) -> None:
        """Close everything at once; who waits or has a statement under way is told. Twice is once."""
        if not self._running:
            return
        self._running = False
        for delay in list(self._delays):
            delay.cancel()
        self._delays.clear()
        for attempt in list(self._connecting):
            attempt.cancel()
        for link in list(self._links):
            link.close("crawlsock is stopping")
        self._set_down(DatabaseAway("crawlsock is stopping"))

    def acquire(self) -> Deferred[Link]:
        """Return a Deferred of a connection for exclusive use; give it back with `release`.

        :raise DatabaseAway: the database is away, or no connection became free in time.
        """
        while self._idle:
            link = self._idle.pop()  # the last one used: its backend is warm
            if link.alive:
                return succeed(link)
            link.close("found dead")
        if not self._running:
            return fail(DatabaseAway("the database pool is not running"))
        if self.error is not None:
            return fail(self._away())
        if len(self._waiting) >= self._longest_queue:
            return fail(DatabaseAway(f"{len(self._waiting)} calls wait for a database connection already"))
        waiter = _Waiter(self._clock.seconds(), Deferred(self._forget))
        waiter.timeout = self._clock.callLater(self._patience, self._give_up, waiter)
        self._waiting.append(waiter)
        return waiter.deferred

    def release(self, link: Link) -> None:
        """Take a connection back. A dead one is replaced, which has begun the moment it died."""
        if not link.alive or link not in self._links:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.settle():
                waiter.deferred.callback(link)
                return
        self._idle.append(link)

    def discard(self, reason: str) -> None:
        """Close all connections, as suspect; what runs on them fails, and new ones are made."""
        for link in list(self._links):
            link.close(reason)

    def when_up(self) -> Deferred[None]:
        """Return a Deferred that fires as soon as there is a connection; at once when there is.

        :raise Unsuitable: the server is one that we cannot work with, so waiting is in vain.
        """
        if isinstance(self.error, Unsuitable):
            return fail(self.error)
        if self.state == UP:
            return succeed(None)
        watcher: Deferred[None] = Deferred(self._watchers_forget)
        self._watchers.append(watcher)
        return watcher

    def statistics(self) -> Statistics:
        """Return the figures of this moment."""
        oldest = self._clock.seconds() - self._waiting[0].since if self._waiting else 0.0
        return Statistics(
            size=self._size,
            connections=len(self._links),
            in_use=len(self._links) - len(self._idle),
            waiting=len(self._waiting),
            reconnects=max(0, self._connects - self._size),
            oldest_wait=oldest,
        )

    def _open(self) -> None:
        attempt = Deferred.fromCoroutine(self._attempt())
        self._connecting.add(attempt)
        attempt.addBoth(lambda _: self._connecting.discard(attempt))

    async def _attempt(self) -> None:
        try:
            link = await self._connect()
        except DatabaseError as error:
            self._failed(error)
            return
        except Exception as error:
            # A cancelled attempt ends here as well, and a bug in the driver must not end the reconnecting.
            if self._running:
                self._log.failure("connecting to the database failed unexpectedly")
            self._failed(DatabaseAway(str(error) or type(error).__name__))
            return
        if not self._running:
            link.close("crawlsock is stopping")
            return
        self._failures = 0
        self._connects += 1
        self._links[link] = self._clock.seconds()
        link.when_lost(lambda: self._lost(link))
        self._set_up()
        self.release(link)

    def _failed(self, error: DatabaseError) -> None:
        if not self._running:
            return
        self._failures += 1
        self._later(reconnect_delay(self._failures // self._size, self._jitter))
        if not self._links:
            self._set_down(error)

    def _lost(self, link: Link) -> None:
        lived = self._clock.seconds() - self._links.pop(link)
        if link in self._idle:
            self._idle.remove(link)
        if self._running:
            # At once: one lost connection is most often just that. But a server that lets us in only to
            # throw us out must not be knocked at without pause.
            self._later(0.0 if lived > LONGEST_DELAY else reconnect_delay(0, self._jitter))

    def _later(self, seconds: float) -> None:
        def open_now() -> None:
            self._delays.discard(delay)
            self._open()

        delay = self._clock.callLater(seconds, open_now)
        self._delays.add(delay)

    def _set_up(self) -> None:
        self.error = None
        self.reason = "connected"
        if self.state == UP:
            return
        self.state = UP
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.callback(None)
        if self._on_state is not None:
            self._on_state(UP, self.reason)

    def _set_down(self, error: DatabaseError) -> None:
        changed = self.state != DOWN or self.reason != str(error)
        self.error = error
        self.reason = str(error)
        self.state = DOWN
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if waiter.settle():
                waiter.deferred.errback(self._away())
        if isinstance(error, Unsuitable):
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                watcher.errback(error)
        if changed and self._on_state is not None:
            self._on_state(DOWN, self.reason)

    def _away(self) -> DatabaseAway:
        return DatabaseAway(self.reason, LONGEST_DELAY)

    def _give_up(self, waiter: _Waiter) -> None:
        self._waiting.remove(waiter)
        waiter.timeout = None
        waiter.deferred.errback(DatabaseAway(f"no database connection became free within {self._patience:g} s"))

    def _forget(self, deferred: Deferred[Link]) -> None:
        for waiter in self._waiting:
            if waiter.deferred is deferred:
                waiter.settle()
                self._waiting.remove(waiter)
                return

    def _watchers_forget(self, watcher: Deferred[None]) -> None:
        self._watchers.remove(watcher)


class _Waiter:
    """A caller who waits for a connection: since when, and what ends the waiting."""

    __slots__ = ("deferred", "since", "timeout")

    def __init__(self, since: float, deferred: Deferred[Link]) -> None:
        self.since = since
        self.deferred = deferred
        self.timeout: IDelayedCall | None = None

    def settle(self) -> bool:
        """Stop the clock, and tell whether the caller still waits."""
        if self.timeout is None:
            return False
        self.timeout.cancel()
        self.timeout = None
        return True
