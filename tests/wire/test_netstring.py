"""The netstring parser, with the stock class as its oracle."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import NetstringReceiver
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire.errors import ErrorCode, FrameError
from crawlsock.wire.netstring import NetstringParser, netstring

LIMIT = 99


class Stock(NetstringReceiver):
    """The stock class, collecting."""

    MAX_LENGTH = LIMIT

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.makeConnection(StringTransport())

    def stringReceived(self, string: bytes) -> None:
        self.received.append(string)


def stock_verdict(chunks: list[bytes]) -> tuple[list[bytes], bool]:
    """Return the frames that the stock class delivers, and whether it gave up on the peer."""
    stock = Stock()
    for chunk in chunks:
        if stock.brokenPeer:
            break
        stock.dataReceived(chunk)
    return stock.received, bool(stock.brokenPeer)


def our_verdict(chunks: list[bytes], limit: int = LIMIT) -> tuple[list[bytes], bool]:
    """Return the frames that our parser delivers, and whether it gave up on the peer."""
    parser = NetstringParser(limit)
    frames: list[bytes] = []
    try:
        for chunk in chunks:
            parser.feed(chunk)
            collect(parser, frames)
    except FrameError:
        return frames, True
    return frames, False


def collect(parser: NetstringParser, frames: list[bytes]) -> None:
    """Append every complete frame, keeping those before a broken one."""
    for frame in parser.frames():
        frames.append(frame)


STREAMS = (
    b"0:,",
    b"5:hello,0:,12:hello world!,",
    b"3:a,b,3:a:b,2:\x00\xff,",
    b"99:" + b"x" * 99 + b",1:y,",
    b"100:" + b"x" * 100 + b",",
    b"5:hello;1:x,",
    b"05:hello,",
    b"00:,",
    b":,",
    b"1:x,-1:x,",
    b"1:x,+1:x,",
    b"1:x, 1:x,",
    b"1:x,1_0:xxxxxxxxxx,",
    b"1:x,9999999999999999999999999:x,",
    b"1:x,a",
    b"\xb2:xx,",
)


class OracleTests(SynchronousTestCase):
    """Our parser and the stock class hold the same opinion."""

    def test_every_cut_into_two(self) -> None:
        """However a stream is cut in two, the frames and the verdict are the stock class's."""
        for stream in STREAMS:
            for cut in range(len(stream) + 1):
                chunks = [stream[:cut], stream[cut:]]
                self.assertEqual(our_verdict(chunks), stock_verdict(chunks), (stream, cut))

    def test_every_cut_into_three(self) -> None:
        """However a stream is cut in three, the frames and the verdict are the stock class's."""
        for stream in (stream for stream in STREAMS if len(stream) < 40):
            for first in range(len(stream) + 1):
                for second in range(first, len(stream) + 1):
                    chunks = [stream[:first], stream[first:second], stream[second:]]
                    self.assertEqual(our_verdict(chunks), stock_verdict(chunks), chunks)

    def test_byte_by_byte(self) -> None:
        """A stream that arrives byte by byte gives the stock class's frames and verdict."""
        for stream in STREAMS:
            chunks = [stream[i : i + 1] for i in range(len(stream))]
            self.assertEqual(our_verdict(chunks), stock_verdict(chunks), stream)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=120), max_size=8), st.data())
    def test_good_streams(self, payloads: list[bytes], data: st.DataObject) -> None:
        """Any payloads, cut anywhere, come out as they went in, as far as the limit allows."""
        stream = b"".join(map(netstring, payloads))
        chunks = cuts(stream, data)
        self.assertEqual(our_verdict(chunks), stock_verdict(chunks))

    @settings(max_examples=500, deadline=None)
    @given(st.lists(st.sampled_from([b"0", b"1", b"2", b":", b",", b"x", b"1:x,", b"-", b" ", b"\xff"])), st.data())
    def test_any_bytes(self, pieces: list[bytes], data: st.DataObject) -> None:
        """Any bytes at all, cut anywhere, give the stock class's frames and verdict."""
        chunks = cuts(b"".join(pieces), data)
        self.assertEqual(our_verdict(chunks), stock_verdict(chunks))


def cuts(stream: bytes, data: st.DataObject) -> list[bytes]:
    """Cut a stream at places that hypothesis draws."""
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


class ParserTests(SynchronousTestCase):
    """What the stock class does not do."""

    def test_pausable(self) -> None:
        """Frames that nobody has asked for yet stay in the parser, and come later."""
        parser = NetstringParser(LIMIT)
        parser.feed(b"1:a,1:b,1:c,")
        for frame in parser.frames():
            self.assertEqual(frame, b"a")
            break
        self.assertEqual(parser.buffered, 8)
        self.assertEqual(list(parser.frames()), [b"b", b"c"])
        self.assertEqual(parser.buffered, 0)

    def test_feeding_while_paused(self) -> None:
        """Bytes fed before the earlier frames were taken follow them in order."""
        parser = NetstringParser(LIMIT)
        parser.feed(b"1:a,1:b,3:c")
        self.assertEqual(parser.next_frame(), b"a")
        parser.feed(b"de,")
        self.assertEqual(list(parser.frames()), [b"b", b"cde"])

    def test_frames_before_the_fault(self) -> None:
        """Every good frame is given out before the error of the broken one."""
        parser = NetstringParser(LIMIT)
        parser.feed(b"1:a,1:b,x")
        self.assertEqual(parser.next_frame(), b"a")
        self.assertEqual(parser.next_frame(), b"b")
        with self.assertRaises(FrameError) as caught:
            parser.next_frame()
        self.assertEqual(caught.exception.code, ErrorCode.MALFORMED_FRAME)
        self.assertEqual(caught.exception.offset, 8)

    def test_dead_for_good(self) -> None:
        """After an error the parser keeps nothing and raises the same error again."""
        parser = NetstringParser(LIMIT)
        parser.feed(b"x")
        self.assertRaises(FrameError, parser.next_frame)
        parser.feed(b"1:a,")
        self.assertRaises(FrameError, parser.next_frame)
        self.assertEqual(parser.buffered, 0)

    def test_refuses_by_the_prefix(self) -> None:
        """A frame that is too long is refused when its length is known, before any payload came."""
        for prefix in (b"100:", b"100", b"99999999999999999999999999"):
            parser = NetstringParser(LIMIT)
            parser.feed(prefix)
            with self.assertRaises(FrameError) as caught:
                parser.next_frame()
            self.assertEqual(caught.exception.code, ErrorCode.FRAME_TOO_LARGE)

    def test_limit_changes_between_frames(self) -> None:
        """A raised limit holds for the next frame of the same chunk."""
        parser = NetstringParser(4)
        parser.feed(netstring(b"abcd") + netstring(b"abcde"))
        self.assertEqual(parser.next_frame(), b"abcd")
        parser.max_length = 5
        self.assertEqual(parser.next_frame(), b"abcde")

    def test_offset_counts_the_whole_stream(self) -> None:
        """The offset of a fault counts from the first byte of the connection, whatever the chunks."""
        stream = b"5:hello,0:,3:abc,!"
        for size in range(1, len(stream) + 1):
            parser = NetstringParser(LIMIT)
            offset = -1
            for start in range(0, len(stream), size):
                parser.feed(stream[start : start + size])
                try:
                    list(parser.frames())
                except FrameError as error:
                    offset = error.offset
            self.assertEqual(offset, 17, size)

    def test_time_is_linear(self) -> None:
        """Sixteen times the bytes take about sixteen times as long, for empty frames and for one long frame."""

        def seconds(chunks: list[bytes], limit: int) -> float:
            best = 60.0
            for _ in range(3):
                started = time.perf_counter()
                our_verdict(chunks, limit)
                best = min(best, time.perf_counter() - started)
            return best

        empty = seconds([b"0:," * 80000], 9)
        self.assertLess(empty, 60 * max(seconds([b"0:," * 5000], 9), 0.0005))
        body = b"x" * 65536
        long = seconds([b"1048576:", *[body[i : i + 16] for i in range(0, 65536, 16)] * 16, b","], 1048576)
        short = seconds([b"65536:", *[body[i : i + 16] for i in range(0, 65536, 16)], b","], 65536)
        self.assertLess(long, 60 * max(short, 0.0005))

    def test_a_frame_in_pieces_is_counted(self) -> None:
        """Bytes of an unfinished frame count as buffered, and never exceed what was fed."""
        parser = NetstringParser(LIMIT)
        parser.feed(b"50:")
        self.assertIsNone(parser.next_frame())
        for fed in range(1, 51):
            parser.feed(b"x")
            self.assertIsNone(parser.next_frame())
            self.assertEqual(parser.buffered, fed + 3)
        parser.feed(b",")
        self.assertEqual(parser.next_frame(), b"x" * 50)
        self.assertEqual(parser.buffered, 0)
