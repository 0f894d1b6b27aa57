"""Netstrings: the only framing on the wire (``<length>:<payload>,``).

What lives here: cutting a byte stream into frames, in time linear in the number of bytes however they
arrive, with memory bounded by ``max_length`` plus one chunk. What must never come here: what a frame means.

The parser is pulled, not pushed: nothing is delivered that nobody asked for. That is what makes a paused
or closing connection stop at once, which the stock ``NetstringReceiver`` does not do; in everything else
the stock class is the oracle of the tests.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawlsock.wire.errors import ErrorCode, FrameError


class NetstringParser:
    """Cut one connection's bytes into frames.

    ``feed`` bytes, then take frames until there is none. The length prefix is judged before a byte of
    payload is kept. After a :class:`FrameError` the parser is dead: every further call raises it again.

    :ivar max_length: the longest payload accepted, in bytes; may be changed at any time and holds from the
        next frame on.
    """

    __slots__ = ("_buffer", "_error", "_offset", "_partial", "_position", "_wanted", "max_length")

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self._buffer = b""  # what is being cut; bytes before _position are used up
        self._position = 0
        self._partial = bytearray()  # follows _buffer, grown in place while a long frame arrives
        self._wanted = 0  # bytes still to come before looking again can be of use
        self._offset = 0  # stream position of _buffer[0]
        self._error: FrameError | None = None

    @property
    def buffered(self) -> int:
        """Return how many bytes are held: fed, but not yet given out as frames."""
        return len(self._buffer) - self._position + len(self._partial)

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the stream; parse nothing yet.

        An unfinished frame is collected in one growing array and copied once more when it is whole, so a
        megabyte that arrives byte by byte costs a megabyte, not its square.
        """
        if self._error is not None:
            return
        size = len(data)
        if size < self._wanted:
            self._wanted -= size
            self._partial += data
            return
        self._wanted = 0
        position = self._position
        if position < len(self._buffer) or self._partial:
            self._buffer = b"".join((self._buffer[position:], self._partial, data))
            self._partial = bytearray()
        else:
            self._buffer = data
        self._offset += position
        self._position = 0

    def next_frame(self) -> bytes | None:
        """Return the next frame's payload, or ``None`` when more bytes are needed.

        :raises FrameError: the stream is no netstring any more, or a frame is longer than ``max_length``.
        """
        buffer = self._buffer
        start = self._position
        colon = buffer.find(b":", start, start + 20)
        if colon < 0:
            self._judge_prefix()
            return None
        prefix = buffer[start:colon]
        if not prefix.isdigit() or (prefix[0] == 48 and colon - start > 1):
            raise self._dead("a frame must start with its length in digits, without leading zeros")
        length = int(prefix)
        if length > self.max_length:
            raise self._too_large()
        end = colon + 1 + length
        missing = end + 1 - len(buffer)
        if missing > 0:
            self._wanted = missing - len(self._partial)
            return None
        if buffer[end] != 44:
            raise self._dead("a frame must end with a comma")
        self._position = end + 1
        return buffer[colon + 1 : end]

    def frames(self) -> Iterator[bytes]:
        """Iterate over all frames that are complete now; stopping early loses nothing.

        :raises FrameError: on reaching the broken frame, after every good one before it was given out.
        """
        return iter(self.next_frame, None)

    def _judge_prefix(self) -> None:
        """Judge a length prefix whose colon has not come yet."""
        if self._error is not None:
            raise self._error
        prefix = self._buffer[self._position :]
        if not prefix:
            return
        digits = prefix[:20]
        if not digits.isdigit() or (digits[0] == 48 and len(digits) > 1):
            raise self._dead("a frame must start with its length in digits, without leading zeros")
        if int(digits) > self.max_length:
            raise self._too_large()

    def _too_large(self) -> FrameError:
        reason = f"a frame may have at most {self.max_length} bytes"
        return self._dead(reason, ErrorCode.FRAME_TOO_LARGE)

    def _dead(self, reason: str, code: ErrorCode = ErrorCode.MALFORMED_FRAME) -> FrameError:
        """Remember the fault and let go of everything held."""
        self._error = FrameError(reason, self._offset + self._position, code)
        self._offset += self._position
        self._buffer = b""
        self._position = 0
        self._partial = bytearray()
        return self._error


def netstring(payload: bytes) -> bytes:
    """Return the payload as one netstring."""
    return b"%d:%b," % (len(payload), payload)
