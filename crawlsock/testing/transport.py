"""Connections without a network: two protocols, joined in memory, on a clock that you advance.

What one side writes reaches the other with the next turn of the clock, never at once: as with a socket, nobody is
called back from within a write. A side that does not read makes the other's bytes wait, and its producer is told.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

BUFFER: Final = 64 * 1024
"""Bytes that may wait before the producer is paused, as in a socket's transport."""


@implementer(ITransport, IPushProducer)
class MemoryTransport:
    """One end of a connection in memory."""

    def __init__(self, clock: IReactorTime, protocol: IProtocol) -> None:
        self.protocol = protocol
        self.connected = True
        self.disconnecting = False
        self.reading = True
        self._clock = clock
        self._other: MemoryTransport
        self._outgoing: list[bytes] = []
        self._size = 0
        self._scheduled = False
        self._producer: Any = None
        self._producer_paused = False

    @property
    def waiting(self) -> int:
        """How many bytes were written and not yet taken by the other side."""
        return self._size

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self.connected or self.disconnecting or not data:
            return
        self._outgoing.append(bytes(data))
        self._size += len(data)
        if self._producer is not None and not self._producer_paused and self._size > BUFFER:
            self._producer_paused = True
            self._producer.pauseProducing()
        self._schedule()

    def writeSequence(self, data: Any) -> None:
        """Send many pieces."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close when everything has been taken."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._schedule()

    def abortConnection(self) -> None:
        """Close now."""
        self._outgoing.clear()
        self._size = 0
        self._clock.callLater(0, self._lose, ConnectionLost())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Tell `producer` when too many bytes wait."""
        self._producer = producer
        self._producer_paused = False

    def unregisterProducer(self) -> None:
        """Tell it no more."""
        self._producer = None
        self._schedule()

    def pauseProducing(self) -> None:
        """Read no more."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Read again."""
        if self.connected and not self.disconnecting:
            self.reading = True
            self._other._schedule()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def getPeer(self) -> IAddress:
        """Return an address that means nothing."""
        return IPv4Address("TCP", "127.0.0.1", 0)

    def getHost(self) -> IAddress:
        """Return an address that means nothing."""
        return IPv4Address("TCP", "127.0.0.1", 0)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing: there is no delay."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Do nothing: there is nothing to keep alive."""

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        other = self._other
        if not self.connected or not other.connected:
            return
        if other.reading and self._outgoing:
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            self._size = 0
            other.protocol.dataReceived(data)
            if self._producer is not None and self._producer_paused:
                self._producer_paused = False
                self._producer.resumeProducing()
        if self.disconnecting and not self._outgoing and self._producer is None:
            self._lose(ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        for end in (self, self._other):
            if end.connected:
                end.connected = False
                end.protocol.connectionLost(Failure(reason))  # type: ignore[no-untyped-call]


def connect(clock: IReactorTime, server: IProtocol, client: IProtocol) -> tuple[MemoryTransport, MemoryTransport]:
    """Join two protocols; return their transports, the server's first."""
    ends = MemoryTransport(clock, server), MemoryTransport(clock, client)
    ends[0]._other, ends[1]._other = ends[1], ends[0]
    server.makeConnection(ends[0])
    client.makeConnection(ends[1])
    return ends


@implementer(IStreamClientEndpoint)
@frozen(eq=False)
class MemoryEndpoint:
    """Connect to a server's factory in memory, wherever Twisted wants a client endpoint.

    `refusing` decides at each connect whether there is a server at all.
    """

    clock: IReactorTime
    factory: IProtocolFactory
    refusing: Any = lambda: False

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect."""
        if self.refusing():
            return fail(ConnectError(string="no server is here"))  # type: ignore[no-untyped-call]
        address = IPv4Address("TCP", "127.0.0.1", 0)
        server, client = self.factory.buildProtocol(address), protocolFactory.buildProtocol(address)
        if server is None or client is None:
            return fail(ConnectError(string="no connection was wanted"))  # type: ignore[no-untyped-call]
        connect(self.clock, server, client)
        return succeed(client)
