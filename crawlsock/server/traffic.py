"""What goes over the sockets of one server, counted.

The law: counting is one addition at the place where it happens; this holds the numbers and knows nobody. Sizes are
counted by powers of two, because the length of a number in bits is found at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

_SIZES: Final = 33
_SMALLEST: Final = 6
_LARGEST: Final = 20


class Sizes:
    """Frames of one direction, by size: `counts[n]` are those whose length has n bits."""

    __slots__ = ("bytes", "counts")

    def __init__(self) -> None:
        self.counts = [0] * _SIZES
        self.bytes = 0

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield bounds in bytes, infinity last, with how many frames were not above each."""
        so_far = 0
        for bits, count in enumerate(self.counts):
            so_far += count
            if _SMALLEST <= bits <= _LARGEST:
                yield float(2**bits - 1), so_far
        yield float("inf"), so_far


class Traffic:
    """Frames, messages and errors, added up over all connections of a server.

    :ivar received: frames that came. Their bytes are all that came, with the framing.
    :ivar sent: frames that left, likewise.
    :ivar out: messages that left, by type: replies, pushes and errors. An ack for many requests is one.
    :ivar replies: answers to our pushes that came, by type.
    :ivar errors: errors that were sent, by code.
    :ivar unread: frames whose message did not come as far as a handler.
    """

    __slots__ = ("errors", "out", "received", "replies", "sent", "unread")

    def __init__(self) -> None:
        self.received = Sizes()
        self.sent = Sizes()
        self.out: defaultdict[str, int] = defaultdict(int)
        self.replies: defaultdict[str, int] = defaultdict(int)
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.unread = 0
