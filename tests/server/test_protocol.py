"""Bytes in and bytes out, on transports that only pretend."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import NetstringReceiver
from twisted.python.failure import Failure
from twisted.trial import unittest

from crawlsock.server.peer import Peer, PeerState
from crawlsock.server.protocol import (
    CLOSE_DEADLINE,
    HARD_LIMIT,
    HOLD_FULL,
    HOLD_ORDER,
    CrawlsockProtocol,
    Events,
)
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import FrameError
from crawlsock.wire.netstring import netstring

CODEC = Codec(Catalog.load())


class Limits:
    max_frame = 100_000
    max_frame_before_hello = 4096
    hello_timeout = 5.0
    high_water = 1000
    send_deadline = 30.0


class Transport(StringTransport):
    """A transport that tells how it was closed."""

    aborted = False
    closed = False

    def abortConnection(self) -> None:
        self.aborted = True

    def loseConnection(self) -> None:
        self.closed = True

    def resumeProducing(self) -> None:
        # StringTransport insists on having been paused by the test itself.
        self.producerState = "producing"

    def pauseProducing(self) -> None:
        self.producerState = "paused"


class Recorder(Events):
    """Note everything that a protocol tells."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.frames: list[bytes] = []
        self.faults: list[FrameError] = []
        self.ends: list[str] = []
        self.act: Any = lambda frame: None

    def opened(self, protocol: CrawlsockProtocol) -> Peer:
        return Peer(1, protocol, CODEC, self.clock, {}, lambda peer: None)

    def frame_received(self, peer: Peer, frame: bytes) -> None:
        self.frames.append(frame)
        self.act(frame)

    def broken(self, peer: Peer, error: FrameError) -> None:
        self.faults.append(error)

    def lost(self, peer: Peer, reason: str) -> None:
        self.ends.append(reason)


class Stock(NetstringReceiver):
    """Twisted's own protocol, as the oracle."""

    MAX_LENGTH = Limits.max_frame_before_hello

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def stringReceived(self, string: bytes) -> None:
        self.frames.append(string)


class ProtocolCase(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.events, self.protocol, self.transport = self.make()

    def make(self) -> tuple[Recorder, CrawlsockProtocol, Transport]:
        events = Recorder(self.clock)
        protocol = CrawlsockProtocol(events, self.clock, Limits())  # type: ignore[arg-type]
        transport = Transport()
        protocol.makeConnection(transport)
        return events, protocol, transport

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))


class FrameTests(ProtocolCase):
    def test_every_cut(self) -> None:
        """Wherever the stream is cut, the same frames arrive in the same order."""
        payloads = [b"", b"a", b"12:ab,", b"x" * 130, b"\x00\xff"]
        stream = b"".join(map(netstring, payloads))
        for cut in range(len(stream) + 1):
            events, protocol, _ = self.make()
            protocol.dataReceived(stream[:cut])
            protocol.dataReceived(stream[cut:])
            self.assertEqual(events.frames, payloads)
            protocol.connectionLost()

    def test_byte_by_byte(self) -> None:
        """A stream that comes byte by byte gives the same frames."""
        for byte in b"".join(map(netstring, [b"one", b"", b"three"])):
            self.protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.events.frames, [b"one", b"", b"three"])

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.binary(max_size=40)), st.binary(max_size=12), st.integers(min_value=0, max_value=400))
    def test_oracle(self, payloads: list[bytes], rest: bytes, cut: int) -> None:
        """Frames, and the verdict on what is no frame, are those of the stock protocol."""
        stream = b"".join(map(netstring, payloads)) + rest
        events, protocol, transport = self.make()
        stock, stock_transport = Stock(), Transport()
        stock.makeConnection(stock_transport)
        for part in (stream[:cut], stream[cut:]):
            protocol.dataReceived(part)
            if not stock_transport.closed:
                stock.dataReceived(part)
        self.assertEqual(events.frames, stock.frames)
        self.assertEqual(transport.closed, stock_transport.closed)
        protocol.connectionLost()

    def test_nothing_after_close(self) -> None:
        """Once the connection is closing, the frames that came with the last chunk are not delivered."""
        self.events.act = lambda frame: self.protocol.close("enough")
        self.protocol.dataReceived(netstring(b"one") + netstring(b"two"))
        self.protocol.dataReceived(netstring(b"three"))
        self.assertEqual(self.events.frames, [b"one"])
        self.lose()

    def test_hold(self) -> None:
        """A held connection delivers nothing and reads nothing, and goes on where it stopped."""
        self.events.act = lambda frame: self.protocol.hold(HOLD_ORDER)
        self.protocol.dataReceived(netstring(b"one") + netstring(b"two"))
        self.assertEqual((self.events.frames, self.transport.producerState), ([b"one"], "paused"))
        self.events.act = lambda frame: None
        self.protocol.release(HOLD_ORDER)
        self.assertEqual((self.events.frames, self.transport.producerState), ([b"one", b"two"], "producing"))

    def test_two_holds(self) -> None:
        """A connection held for two reasons goes on when both have ended."""
        self.protocol.hold(HOLD_ORDER)
        self.protocol.hold(HOLD_FULL)
        self.protocol.dataReceived(netstring(b"one"))
        self.protocol.release(HOLD_ORDER)
        self.assertEqual(self.events.frames, [])
        self.protocol.release(HOLD_FULL)
        self.assertEqual(self.events.frames, [b"one"])

    def test_send_string(self) -> None:
        """The stock way to send still works, and frames what it is given."""
        self.protocol.sendString(b"hello")
        self.assertEqual(self.transport.value(), b"5:hello,")


class BreakingTests(ProtocolCase):
    def test_malformed(self) -> None:
        """Bytes that are no frame are answered, counted, and end the connection."""
        self.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIn(b'"malformed_frame"', self.transport.value())
        self.assertEqual((len(self.events.faults), self.transport.closed), (1, True))
        self.lose()

    def test_too_large(self) -> None:
        """Before hello a frame over 4 KiB is refused by its length alone."""
        self.protocol.dataReceived(b"4097:")
        self.assertIn(b'"frame_too_large"', self.transport.value())
        self.lose()

    def test_larger_after_hello(self) -> None:
        """After hello frames may have their full length."""
        self.protocol.authenticated()
        self.protocol.dataReceived(netstring(b"x" * 50_000))
        self.assertEqual(len(self.events.frames[0]), 50_000)
        self.protocol.dataReceived(b"100001:")
        self.assertTrue(self.transport.closed)
        self.lose()

    def test_linear(self) -> None:
        """A flood of empty frames is parsed in linear time: a megabyte of them is a matter of a moment."""
        began = self.events.frames
        self.protocol.dataReceived(b"0:," * 350_000)
        self.assertEqual(len(began), 350_000)


class DeadlineTests(ProtocolCase):
    def test_hello_timeout(self) -> None:
        """Whoever says no hello in time is told so and closed."""
        self.clock.advance(Limits.hello_timeout)
        self.assertIn(b'"hello_timeout"', self.transport.value())
        self.assertTrue(self.transport.closed)
        self.lose()

    def test_no_timeout_after_hello(self) -> None:
        """After hello nothing waits for it any more."""
        self.protocol.authenticated()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_deadline(self) -> None:
        """A peer that does not take the rest is cut off."""
        self.protocol.close("done")
        self.assertEqual((self.transport.closed, self.transport.aborted), (True, False))
        self.clock.advance(CLOSE_DEADLINE)
        self.assertTrue(self.transport.aborted)
        self.lose()

    def test_closed_leaves_nothing(self) -> None:
        """When the connection is gone, no timer is left and the events know why."""
        self.protocol.close("done")
        self.lose()
        self.assertEqual((self.clock.getDelayedCalls(), self.events.ends), ([], ["done"]))
        self.assertIs(self.protocol.peer.state, PeerState.CLOSED)


class HighWaterTests(ProtocolCase):
    def test_producer_at_once(self) -> None:
        """The protocol is its transport's producer from the first moment."""
        self.assertIs(self.transport.producer, self.protocol)

    def test_congested(self) -> None:
        """A peer that does not read is not read, and hears no more pushes above the high-water mark."""
        self.protocol.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.assertTrue(self.protocol.write(b"x" * 1001, push=True))
        self.assertFalse(self.protocol.write(b"push", push=True))
        self.assertTrue(self.protocol.write(b"reply"))
        self.protocol.resumeProducing()
        self.assertTrue(self.protocol.write(b"push", push=True))
        self.assertEqual(self.transport.producerState, "producing")

    def test_hard_limit(self) -> None:
        """Replies without bound to a peer that does not read end the connection."""
        self.protocol.pauseProducing()
        for _ in range(HARD_LIMIT + 2):
            self.protocol.write(b"x" * Limits.high_water)
        self.assertTrue(self.transport.aborted)
        self.lose()

    def test_send_deadline(self) -> None:
        """A peer that takes nothing for too long is cut off: its transport would not even report a close."""
        self.protocol.authenticated()
        self.protocol.pauseProducing()
        self.clock.advance(Limits.send_deadline)
        self.assertTrue(self.transport.aborted)
        self.lose()

    def test_drained_in_time(self) -> None:
        """A peer that reads again in time is not cut off, and those who waited for it are told."""
        told: list[str] = []
        self.protocol.authenticated()
        self.protocol.pauseProducing()
        self.protocol.peer.on_drained.append(lambda: told.append("drained"))
        self.protocol.resumeProducing()
        self.clock.advance(Limits.send_deadline)
        self.assertEqual((told, self.transport.aborted), (["drained"], False))
