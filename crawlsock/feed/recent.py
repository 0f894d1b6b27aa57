"""Remember the last deliveries of a channel, for viewers that come back from a moment ago.

The law: what is given again is what was given, byte for byte. Only positions that somebody was told can be asked for.
"""

from __future__ import annotations

from collections import deque

from attrs import frozen


@frozen
class Delivery:
    """What one message to a viewer holds: everything up to its position."""

    data: bytes
    position: str


class Recent:
    """The last deliveries, up to so many bytes, and the positions between them."""

    def __init__(self) -> None:
        self._kept: deque[Delivery] = deque()
        self._first = 0
        self._bytes = 0
        # By position: the number of the delivery that follows it. Numbers only rise, so the oldest come first.
        self._next: dict[str, int] = {}

    def mark(self, position: str) -> None:
        """Note that a viewer was told this position, and has everything until now."""
        self._next.pop(position, None)
        self._next[position] = self._first + len(self._kept)
        while len(self._next) > 2 * len(self._kept) + 64:
            del self._next[next(iter(self._next))]

    def add(self, delivery: Delivery, most_bytes: int) -> None:
        """Keep a delivery, and of the earlier ones what fits into `most_bytes`."""
        self._kept.append(delivery)
        self._bytes += len(delivery.data)
        while self._bytes > most_bytes:
            self._bytes -= len(self._kept.popleft().data)
            self._first += 1
        while self._next:
            oldest = next(iter(self._next))
            if self._next[oldest] >= self._first:
                break
            del self._next[oldest]
        self.mark(delivery.position)

    def after(self, position: str) -> list[Delivery] | None:
        """Return what was delivered after a position; None when that is not known."""
        number = self._next.get(position)
        if number is None or number < self._first:
            return None
        return list(self._kept)[number - self._first :]
