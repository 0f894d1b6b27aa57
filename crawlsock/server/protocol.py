"""Bytes in, bytes out: the netstring protocol of one connection.

The law: this is the only place that touches a transport, and one method of it (`CrawlsockProtocol.write`) writes.
It knows frames, never messages. It differs from the stock `NetstringReceiver` where that one fails us: it parses in
linear time, it stops delivering the moment it is held or closing, it logs and counts what it could not parse, it is
bounded in both directions, and no close waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import NetstringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from crawlsock.server.peer import Peer, PeerState
from crawlsock.wire.errors import ErrorCode, FrameError, Refusal
from crawlsock.wire.netstring import NetstringParser, netstring

CLOSE_DEADLINE: Final = 5.0
"""Seconds that a closing connection may take to send what waits."""

HARD_LIMIT: Final = 4
"""Times the high-water mark: a peer that makes us hold so many bytes of replies is cut off."""

HOLD_CONGESTED: Final = 1
HOLD_FULL: Final = 2
HOLD_ORDER: Final = 4
HOLD_CLOSING: Final = 8


class Limits:
    """What one connection may use; a view of the live settings, read at the moment of use."""

    def __init__(self, settings: Callable[[], Any]) -> None:
        self._settings = settings

    @property
    def max_frame(self) -> int:
        """Bytes of a frame after hello."""
        return int(self._settings().max_frame)

    @property
    def max_frame_before_hello(self) -> int:
        """Bytes of a frame before hello."""
        return int(self._settings().max_frame_before_hello)

    @property
    def hello_timeout(self) -> float:
        """Seconds to say hello."""
        return float(self._settings().hello_timeout)

    @property
    def high_water(self) -> int:
        """Bytes that may wait for a peer before pushes to it are refused."""
        return int(self._settings().send_high_water)

    @property
    def send_deadline(self) -> float:
        """Seconds that a peer may leave bytes untaken."""
        return float(self._settings().send_deadline)


class Events:
    """What the protocol tells the server, in the order of a connection's life. Replaced by the factory."""

    def opened(self, protocol: CrawlsockProtocol) -> Peer:
        """Make the peer for a new connection."""
        raise NotImplementedError

    def frame_received(self, peer: Peer, frame: bytes) -> None:
        """Take one frame."""
        raise NotImplementedError

    def broken(self, peer: Peer, error: FrameError) -> None:
        """Count a peer whose bytes were no frames."""
        raise NotImplementedError

    def lost(self, peer: Peer, reason: str) -> None:
        """Forget the peer."""
        raise NotImplementedError


@implementer(IPushProducer)
class CrawlsockProtocol(NetstringReceiver):
    """Carry frames between a transport and a `Peer`.

    :param events: told about the life of the connection and every frame.
    :param clock: for the deadlines; a paused Unix transport does not report that the peer closed, so every state
        that waits for the peer has one.
    """

    _log = Logger()
    peer: Peer
    # Every stream transport of Twisted has all that is used of it here; no one interface says so.
    transport: Any

    def __init__(self, events: Events, clock: IReactorTime, limits: Limits) -> None:
        self._events = events
        self._clock = clock
        self._limits = limits
        self._parser = NetstringParser(limits.max_frame_before_hello)
        self.MAX_LENGTH = limits.max_frame_before_hello
        self.held = 0
        self._pumping = False
        self._waiting = 0
        self._producing = False
        self._hello: IDelayedCall | None = None
        self._drain: IDelayedCall | None = None
        self._close: IDelayedCall | None = None
        self._reason = ""
        self.congested = False

    # -- from the transport

    def connectionMade(self) -> None:
        # At once: a producer that is registered late does not hear of the bytes that wait already.
        self.transport.registerProducer(self, True)
        self._producing = True
        self.peer = self._events.opened(self)
        if self.peer.alive:
            self.expect_hello()

    def dataReceived(self, data: bytes) -> None:
        if self.held & HOLD_CLOSING:
            return
        peer = self.peer
        peer.now = self._clock.seconds()
        peer.traffic.received.bytes += len(data)
        self._parser.feed(data)
        if not self._pumping:
            self._pump()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for timer in (self._hello, self._drain, self._close):
            if timer is not None and timer.active():
                timer.cancel()
        self._hello = self._drain = self._close = None
        self.held |= HOLD_CLOSING
        self._producing = False
        words = self._reason or reason.getErrorMessage()
        self.peer.closed(words)
        self._events.lost(self.peer, words)

    def stringReceived(self, string: bytes) -> None:
        self._events.frame_received(self.peer, string)

    def sendString(self, string: bytes) -> None:
        self.write(netstring(string))

    # -- as the transport's producer: what we produce is replies and pushes

    def pauseProducing(self) -> None:
        self.congested = True
        self._waiting = 0
        self.hold(HOLD_CONGESTED)
        if self._drain is None:
            self._drain = self._clock.callLater(self._limits.send_deadline, self._not_read)

    def resumeProducing(self) -> None:
        self.congested = False
        self._waiting = 0
        if self._drain is not None:
            self._drain.cancel()
            self._drain = None
        self.release(HOLD_CONGESTED)
        waiting, self.peer.on_drained = self.peer.on_drained, []
        for callback in waiting:
            callback()

    def stopProducing(self) -> None:
        # The transport says this when it is losing the connection; connectionLost follows and does the work.
        self._producing = False

    # -- the link of the peer

    def write(self, data: bytes, *, push: bool = False) -> bool:
        if self.held & HOLD_CLOSING:
            return False
        if self.congested:
            high_water = self._limits.high_water
            if self._waiting > high_water:
                if push:
                    return False
                if self._waiting > HARD_LIMIT * high_water:
                    self.abort("the peer asked for more than it reads")
                    return False
            self._waiting += len(data)
        size = len(data)
        sent = self.peer.traffic.sent
        sent.bytes += size
        sent.counts[size.bit_length()] += 1
        self.transport.write(data)
        return True

    def hold(self, why: int) -> None:
        if not self.held:
            self.transport.pauseProducing()
        self.held |= why

    def release(self, why: int) -> None:
        if not self.held & why:
            return
        self.held &= ~why
        if self.held:
            return
        self.transport.resumeProducing()
        if not self._pumping:
            self._pump()

    def expect_hello(self) -> None:
        if self._hello is None and not self.held & HOLD_CLOSING:
            self._hello = self._clock.callLater(self._limits.hello_timeout, self._no_hello)

    def hello_came(self) -> None:
        if self._hello is not None:
            self._hello.cancel()
            self._hello = None

    def authenticated(self) -> None:
        self.hello_came()
        self.MAX_LENGTH = self._parser.max_length = self._limits.max_frame

    def close(self, reason: str) -> None:
        if self.held & HOLD_CLOSING:
            return
        self.peer.flush()
        self._begin_close(reason)
        self._close = self._clock.callLater(CLOSE_DEADLINE, self._close_overdue)
        # A transport with a producer would wait for it before it closes.
        if self._producing:
            self._producing = False
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self, reason: str) -> None:
        self._begin_close(reason)
        self.transport.abortConnection()

    # -- the rest

    def _begin_close(self, reason: str) -> None:
        self.held |= HOLD_CLOSING
        self._reason = self._reason or reason
        self.peer.state = PeerState.CLOSING
        self.hello_came()

    def _pump(self) -> None:
        """Deliver frames until there is none, or somebody holds the connection.

        Not reentrant: a release from within a handler finds the loop already running.
        """
        next_frame = self._parser.next_frame
        received = self._events.frame_received
        peer = self.peer
        sizes = peer.traffic.received.counts
        self._pumping = True
        try:
            while not self.held:
                frame = next_frame()
                if frame is None:
                    break
                sizes[len(frame).bit_length()] += 1
                received(peer, frame)
        except FrameError as error:
            self._broken(error)
        finally:
            self._pumping = False
        # What was answered within this turn leaves now; what the store answers later leaves with its batch.
        if peer.acks and not self.held & HOLD_CLOSING:
            peer.flush()

    def _broken(self, error: FrameError) -> None:
        self.brokenPeer = 1
        self._log.warn(
            "{peer} sent bytes that are no frame: {reason}, at byte {offset} of the stream",
            peer=self.peer.name,
            reason=error.reason,
            offset=error.offset,
            code=error.code.value,
        )
        self._events.broken(self.peer, error)
        self.peer.refuse(Refusal(error.code, error.reason), None)
        self.close(error.reason)

    def _no_hello(self) -> None:
        self._hello = None
        refusal = Refusal(
            ErrorCode.HELLO_TIMEOUT, f"say hello within {self._limits.hello_timeout:g} seconds of connecting"
        )
        self._log.info("{peer} said no hello in time", peer=self.peer.name)
        self.peer.refuse(refusal, None)
        self.close(refusal.message)

    def _not_read(self) -> None:
        self._drain = None
        self._log.warn(
            "{peer} did not read for {seconds} s and was cut off",
            peer=self.peer.name,
            seconds=self._limits.send_deadline,
        )
        self.abort("the peer did not read")

    def _close_overdue(self) -> None:
        self._close = None
        self.abort("the peer did not take the rest before the connection closed")
