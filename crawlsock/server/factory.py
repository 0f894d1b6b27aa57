"""Make a peer for every connection, and lead all of them out when the server leaves."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from crawlsock.config import Settings
from crawlsock.handlers.context import Context
from crawlsock.server.peer import Peer, PeerState
from crawlsock.server.peer_credentials import peer_credentials
from crawlsock.server.pool import ConnectionPool
from crawlsock.server.protocol import CrawlsockProtocol, Events, Limits
from crawlsock.server.router import MessageRouter
from crawlsock.server.traffic import Traffic
from crawlsock.wire.errors import ErrorCode, FrameError, Refusal

_RETRY_WHEN_FULL: Final = 1.0
_TIME_TO_SAY_GOODBYE: Final = 1.0


@implementer(IProtocolFactory)
class CrawlsockFactory(Events):
    """Connect protocols with the pool and the router.

    One timer a turn of the reactor flushes the acks of all connections that have some: a batch of the store that
    answers a thousand requests writes once to each connection.

    :param settings: gives the settings at the moment of use.
    :param context_for: makes the context of a peer.
    """

    _log = Logger()
    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        pool: ConnectionPool,
        router: MessageRouter,
        settings: Callable[[], Settings],
        context_for: Callable[[Peer], Context],
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._pool = pool
        self._router = router
        self._settings = settings
        self._context_for = context_for
        self._spread = spread
        self._limits = Limits(settings)
        self.traffic = Traffic()
        self._numbers = count(1)
        self._dirty: list[Peer] = []
        self._stranger_routes = router.routes_for(None)
        self.draining: float | None = None
        # Bound once: it is called for every frame.
        self.frame_received = router.frame_received  # type: ignore[method-assign]

    # -- IProtocolFactory

    def doStart(self) -> None:
        """Do nothing: the factory has nothing to open."""

    def doStop(self) -> None:
        """Do nothing: listening ended, connections have not."""

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """Make a protocol; who is at the other end is found out when it is connected."""
        return CrawlsockProtocol(self, self._clock, self._limits)

    # -- Events

    def opened(self, protocol: CrawlsockProtocol) -> Peer:
        """Make the peer; refuse it at once when there are too many, when its user may not, or while draining."""
        handle = _handle(protocol.transport)
        peer = Peer(
            next(self._numbers),
            protocol,
            self._router.codec,
            self._clock,
            self._stranger_routes,
            self._wake,
            None if handle is None else peer_credentials(handle),
            _transport_name(protocol.transport, handle),
            self.traffic,
        )
        # The link needs its peer to refuse, and the peer its context.
        protocol.peer = peer
        peer.context = self._context_for(peer)
        refusal = self._refusal(peer)
        self._pool.add(peer)
        if refusal is not None:
            self._log.info("{peer} was refused: {reason}", peer=peer.name, reason=refusal.message)
            peer.refuse(refusal, None)
            protocol.close(refusal.message)
        return peer

    def broken(self, peer: Peer, error: FrameError) -> None:
        """Count the connection that broke the framing."""
        self._pool.count("broken")

    def lost(self, peer: Peer, reason: str) -> None:
        """Forget the connection and tell the observers."""
        self._pool.remove(peer, reason)

    # -- draining

    def drain(self, reason: str) -> Deferred[None]:
        """Tell every peer that the server leaves, and fire when all are gone.

        Crawlers finish or hand back what they hold and then close; each gets its own delay before it comes back, so
        that thousands do not return at once. The others have nothing to finish. Whoever is still here after
        `drain_timeout` is cut off, and keeps its session.
        """
        settings = self._settings()
        timeout, spread = settings.drain_timeout, settings.reconnect_spread
        self.draining = spread or 1.0
        for peer in self._pool:
            if not peer.alive:
                continue
            data = {
                "graceful": True,
                "deadline": timeout,
                "reason": reason,
                "reconnect_delay": round(self._spread(0, spread), 3),
            }
            if peer.role is not None:
                peer.push("shutdown", data)
            if peer.role == "crawler":
                peer.state = PeerState.DRAINING
            else:
                peer.link.close(reason)
        empty = self._pool.when_empty()
        overdue = self._clock.callLater(timeout, self._cut_off)

        def done(result: Any) -> None:
            if overdue.active():
                overdue.cancel()

        return empty.addBoth(done)

    def _cut_off(self) -> None:
        for peer in self._pool:
            peer.link.abort("the server could wait no longer")

    # -- the rest

    def _refusal(self, peer: Peer) -> Refusal | None:
        settings = self._settings()
        if self.draining is not None:
            return Refusal(ErrorCode.DRAINING, "this server is leaving; connect again", retry_after=self.draining)
        if len(self._pool) >= settings.max_connections:
            return Refusal(
                ErrorCode.UNAVAILABLE,
                f"this server has its {settings.max_connections} connections",
                retry_after=_RETRY_WHEN_FULL,
            )
        uids = settings.allowed_uids
        if uids and peer.credentials is not None and peer.credentials.uid not in uids:
            return Refusal(
                ErrorCode.AUTHENTICATION_FAILED, f"user {peer.credentials.uid} may not connect to this socket"
            )
        return None

    def _wake(self, peer: Peer) -> None:
        if not self._dirty:
            self._clock.callLater(0, self._flush)
        self._dirty.append(peer)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for peer in dirty:
            if peer.acks:
                peer.flush()


def _handle(transport: Any) -> socket.socket | None:
    get = getattr(transport, "getHandle", None)
    handle = get() if get is not None else None
    return handle if isinstance(handle, socket.socket) else None


def _transport_name(transport: Any, handle: socket.socket | None) -> str:
    if hasattr(transport, "getPeerCertificate"):
        return "tls"
    if handle is None:
        return "memory"
    return "unix" if handle.family == socket.AF_UNIX else "tcp"
