"""Keep the embedded PostgreSQL running while the service runs.

The law of this module: it decides when to start and stop, never how. What blocks runs in the reactor's
threads.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from crawlsock.postgres.embedded import Cluster

POLL_SECONDS: Final = 0.5
# After this many polls without success a restart is tried at every poll times this; see _due.
_MOST_POLLS_BETWEEN_TRIES: Final = 16


class Embedded(Protocol):
    """What the supervisor needs of `EmbeddedPostgres`; the first two block."""

    def start(self) -> Cluster:
        """Start or adopt the server."""

    def stop(self) -> bool:
        """Stop the server unless others use it."""

    def is_running(self) -> bool:
        """Tell, without blocking, whether the server lives."""


class PostgresSupervisor(Service):
    """Start the server with the service, start it again when it dies, stop it with the service.

    Stop it last: everything that holds a connection has to be gone before, or the shutdown aborts its work.

    :param reactor: gives the clock and the threads.
    """

    _log = Logger()

    def __init__(self, reactor: Any, embedded: Embedded) -> None:
        self._reactor = reactor
        self._embedded = embedded
        self._loop: LoopingCall | None = None
        self._loop_ended: Deferred[Any] = succeed(None)
        self._outcome: Cluster | Failure | None = None
        self._waiting: list[Deferred[Cluster]] = []
        self._failures = 0
        self._skipped = 0
        self.restarts = 0

    def when_ready(self) -> Deferred[Cluster]:
        """Return a Deferred of the running cluster, or of the reason why its first start failed."""
        if isinstance(self._outcome, Failure):
            return fail(self._outcome)
        if self._outcome is not None:
            return succeed(self._outcome)
        waiting: Deferred[Cluster] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def startService(self) -> None:
        """Begin to start the server, and to watch it from then on. Twice is once."""
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]
        self._outcome = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = self._reactor
        self._loop_ended = self._loop.start(POLL_SECONDS, now=True)

    def stopService(self) -> Deferred[None]:
        """Stop watching, then stop the server; the Deferred fires when it is down."""
        if not self.running:
            return succeed(None)
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._loop is not None and self._loop.running:
            self._loop.stop()
        await self._loop_ended
        await self._in_thread(self._embedded.stop)

    def _look(self) -> Deferred[None] | None:
        if self._embedded.is_running() or not self._due():
            return None
        return Deferred.fromCoroutine(self._start())

    def _due(self) -> bool:
        """Space the tries further apart, the more of them failed: a full disk must not be hammered."""
        if self._skipped < min(2**self._failures, _MOST_POLLS_BETWEEN_TRIES) - 1:
            self._skipped += 1
            return False
        self._skipped = 0
        return True

    async def _start(self) -> None:
        first = self._outcome is None
        if not first:
            self._log.warn("embedded PostgreSQL died and is started again")
        try:
            cluster = await self._in_thread(self._embedded.start)
        except Exception as error:
            self._failures += 1
            self._log.error("embedded PostgreSQL did not start: {reason}", reason=str(error))
            if first:
                self._settle(Failure(error))  # type: ignore[no-untyped-call]
            return
        self._failures = 0
        if not first:
            self.restarts += 1
        self._log.info(
            "embedded PostgreSQL {version} was ready in {data_dir}",
            version=cluster.version,
            data_dir=str(cluster.data_dir),
        )
        self._settle(cluster)

    def _settle(self, outcome: Cluster | Failure) -> None:
        self._outcome = outcome
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if isinstance(outcome, Failure):
                deferred.errback(outcome)
            else:
                deferred.callback(outcome)

    def _in_thread(self, function: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function)
