"""
The outbox: requests that were made and have no answer yet, in the order in which they were made.

The law: a kept request leaves only by an answer or because its maker gave up. A lost link puts everything
kept back in line, before what came later; ids are given out anew on every connection. What is not kept (a
heartbeat, say) dies with its connection. No Twisted here, no clock: this is bookkeeping.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from crawlsock.wire.message import Message

Done = Callable[[Message | None, Exception | None], None]


class Request:
    """
    One request on its way: what it says, and who hears of its answer.

    :ivar keep: whether it is sent again after a lost link or a "not now".
    :ivar order: its place in line, for ever.
    :ivar refusals: how often it was refused for the time being.
    :ivar refused: why it was refused the last time; `None` while it is in flight, since that may have acted.
    """

    __slots__ = ("data", "done", "id", "job_id", "keep", "lease", "order", "refusals", "refused", "type")

    def __init__(
        self,
        type: str,
        data: dict[str, Any],
        job_id: str | None = None,
        lease: str | None = None,
        done: Done | None = None,
        keep: bool = True,
    ) -> None:
        self.type = type
        self.data = data
        self.job_id = job_id
        self.lease = lease
        self.done = done
        self.keep = keep
        self.order = 0
        self.refusals = 0
        self.refused: Exception | None = None
        self.id = 0


class Outbox:
    """Hold what was asked. `limit`: above so many requests, `full` tells the makers to wait."""

    __slots__ = ("_id", "_order", "in_flight", "limit", "set_aside", "waiting")

    def __init__(self, limit: int = 10_000) -> None:
        self.limit = limit
        self.waiting: deque[Request] = deque()
        self.in_flight: dict[int, Request] = {}
        self.set_aside: list[Request] = []
        self._id = 0
        self._order = 0

    def __len__(self) -> int:
        return len(self.waiting) + len(self.in_flight) + len(self.set_aside)

    def __iter__(self) -> Iterator[Request]:
        yield from self.in_flight.values()
        yield from self.set_aside
        yield from self.waiting

    @property
    def full(self) -> bool:
        return len(self.waiting) + len(self.in_flight) + len(self.set_aside) >= self.limit

    def put(self, request: Request) -> None:
        """Stand in line."""
        self._order += 1
        request.order = self._order
        self.waiting.append(request)

    def take(self) -> Request:
        """Take the next in line, with a fresh id; it is in flight from now on."""
        request = self.waiting.popleft()
        self._id += 1
        request.id = self._id
        request.refused = None
        self.in_flight[self._id] = request
        return request

    def next_id(self) -> int:
        """Give out an id of this connection for a message that is not kept here, such as `hello`."""
        self._id += 1
        return self._id

    def answered(self, id: int) -> Request | None:
        """Take out the request with this id; `None` if there is none (given up, or never was)."""
        return self.in_flight.pop(id, None)

    def put_aside(self, request: Request, why: Exception | None = None) -> None:
        """Keep a request that was refused for the time being, until `again()`."""
        request.refusals += 1
        request.refused = why
        self.set_aside.append(request)

    def again(self, request: Request | None = None) -> None:
        """Put a request set aside back in line (all of them if none is named), in their old order."""
        if request is None:
            back, self.set_aside = self.set_aside, []
        elif request in self.set_aside:
            self.set_aside.remove(request)
            back = [request]
        else:
            return
        self._line_up(back)

    def cut(self) -> list[Request]:
        """Follow a lost link: line up what is kept, and return what dies with the connection."""
        everyone = list(self)
        self.in_flight.clear()
        self.waiting.clear()
        self.set_aside = []
        self._id = 0
        self._line_up([request for request in everyone if request.keep])
        return [request for request in everyone if not request.keep]

    def give_up(self, request: Request) -> None:
        """Forget a request whose maker no longer wants an answer."""
        if self.in_flight.get(request.id) is request:
            del self.in_flight[request.id]
        elif request in self.set_aside:
            self.set_aside.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)

    def _line_up(self, requests: list[Request]) -> None:
        if requests:
            self.waiting = deque(sorted([*requests, *self.waiting], key=lambda request: request.order))
