"""Notice who no longer answers.

The law: heartbeats and pings say whether a *connection* lives; whether a *session* lives is the database's clock's
business. So this cuts off dead connections and never takes a job from anybody.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from crawlsock.server.peer import Peer, PeerState
from crawlsock.server.pool import ConnectionPool
from crawlsock.wire.errors import Refusal

SILENT_BEATS: Final = 2
"""Heartbeats that a peer may miss before it is asked whether it lives."""


class HealthMonitor:
    """Look at all connections every heartbeat interval; ask the silent ones, cut off those that do not answer.

    :param interval: seconds between heartbeats, as the peers were told.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, pool: ConnectionPool, interval: float) -> None:
        self._clock = clock
        self._pool = pool
        self._interval = interval
        self._asked: dict[Peer, Deferred[bool]] = {}
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock
        self.missed = 0

    def start(self) -> None:
        """Begin to look. Again is fine."""
        if not self._loop.running:
            self._loop.start(self._interval, now=False).addErrback(self._bug)

    def stop(self) -> None:
        """Look no more. Again is fine."""
        if self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """Ask every peer that has been silent for too long."""
        now = self._clock.seconds()
        for peer in self._pool:
            silence = now - peer.now
            if peer.state not in (PeerState.READY, PeerState.DRAINING) or silence < SILENT_BEATS * self._interval:
                continue
            if peer not in self._asked:
                self.missed += 1
                self._log.info("{peer} has been silent for {seconds} s", peer=peer.name, seconds=round(silence, 1))
                self.ask(peer, self._interval)

    def ask(self, peer: Peer, deadline: float) -> Deferred[bool]:
        """Ping a peer; fire with whether it answered, and cut it off if it did not.

        Asked again while the first ping is under way, the answer is the same.
        """
        asked = self._asked.get(peer)
        if asked is not None:
            answer: Deferred[bool] = Deferred()

            def both(alive: bool) -> bool:
                answer.callback(alive)
                return alive

            asked.addCallback(both)
            return answer
        if not peer.alive:
            return succeed(False)
        asking = self._ask(peer, deadline)
        if not asking.called:
            self._asked[peer] = asking
        return asking

    def _ask(self, peer: Peer, deadline: float) -> Deferred[bool]:
        def lives(_: Any) -> bool:
            self._asked.pop(peer, None)
            return True

        def silent(failure: Any) -> bool:
            self._asked.pop(peer, None)
            if failure.check(Refusal):
                # An error is an answer, too.
                return True
            self._pool.clear(peer, "it did not answer a ping")
            return False

        return peer.request("ping", {}, deadline=deadline).addCallbacks(lives, silent)

    def _bug(self, failure: Any) -> None:
        self._log.failure("Looking after connections failed", failure)
        self.start()
