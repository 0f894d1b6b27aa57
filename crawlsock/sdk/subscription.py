"""
Subscription: the feed of events as an asynchronous iterator that goes on after lost links.

The law: nothing is buffered without bound. A reader too slow for the feed is unsubscribed here, and subscribed
again from where it got to once it has caught up, so that events wait at the server and not in this process. A
delivery that comes in parts counts when it is whole, so that a lost link in its middle doubles nothing. A gap is
told, never hidden.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from crawlsock.sdk.errors import NotConnected, Refused
from crawlsock.sdk.outbox import Request
from crawlsock.sdk.requests import NOT_NOW, PAUSE, Requests
from crawlsock.sdk.values import Event
from crawlsock.wire.message import Message

MOST_BUFFERED = 10_000


class Subscription:
    """
    Iterate over events: `async for event in subscription`, and `close()` when there is enough.

    :ivar position: where reading would go on, after the last event that was taken; `None` before the first.
    """

    def __init__(
        self,
        name: str,
        requests: Requests,
        filter: dict[str, Any],
        position: str | None,
        forget: Callable[[Subscription], None],
        most: int = MOST_BUFFERED,
    ) -> None:
        self.name = name
        self.position = position
        self._requests = requests
        self._filter = filter
        self._forget = forget
        self._most = most
        self._events: deque[Event] = deque()
        self._parts: list[Event] = []
        self._again: IDelayedCall | None = None
        self._received = position
        self._overflowed = False
        self._closed = False
        self._problem: Exception | None = None
        self._waiter: Deferred[None] | None = None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._problem is not None:
                raise self._problem
            if self._closed:
                raise StopAsyncIteration
            if self._overflowed:
                self._overflowed = False
                self.begin()
            waiter = self._waiter = Deferred()
            try:
                await waiter
            finally:
                self._waiter = None
        event = self._events.popleft()
        self.position = event.position
        return event

    def close(self) -> None:
        """End the iteration, after what was received already."""
        if not self._closed:
            self._closed = True
            self._drop_call()
            self._forget(self)
            self._unsubscribe()
            self._wake()

    async def stirred(self, clock: IReactorTime, patience: float) -> bool:
        """
        Wait until an event is there (it stays), or for `patience` seconds; for who only wants to be woken.

        :returns: whether there is one.
        """
        if self._problem is not None:
            raise self._problem
        if self._events or self._closed:
            return bool(self._events)
        waiter = self._waiter = Deferred()
        late = clock.callLater(patience, self._wake)
        try:
            await waiter
        finally:
            self._waiter = None
            if late.active():
                late.cancel()
        return bool(self._events)

    def skip(self) -> None:
        """Drop what is there: who reads the state has seen it all."""
        if self._events:
            self.position = self._received
            self._events.clear()
        if self._overflowed:
            self._overflowed = False
            self.begin()

    # What follows is for the manager.

    def begin(self) -> None:
        """Subscribe from where we are: at first, and after every welcome."""
        self._drop_call()
        self._parts.clear()
        if self._closed or self._overflowed or self._problem is not None or not self._requests.linked:
            return
        body: dict[str, Any] = {"subscription": self.name}
        if self._filter:
            body["filter"] = self._filter
        if self._received is not None:
            body["position"] = self._received
        self._requests.send(Request("subscribe", body, None, None, self._subscribed, keep=False))

    def take(self, data: dict[str, Any]) -> None:
        """Take in an `event` push."""
        if self._closed or self._overflowed:
            return
        position, snapshot = data["position"], data.get("snapshot", False)
        more, parts, batch = data.get("more", False), self._parts, data["events"]
        before = self._received or position
        if data.get("gap", False):
            parts.append(Event("gap", before if batch or more else position, {"kind": "gap"}, snapshot))
        for index, fields in enumerate(batch, 1):
            # Only the last event of a delivery moves the position: a reader that stops in the middle of one gets
            # all of it again, rather than losing the rest.
            where = before if more or index < len(batch) else position
            parts.append(Event(fields["kind"], where, fields, snapshot))
        if more:
            return
        self._events.extend(parts)
        parts.clear()
        self._received = position
        if len(self._events) >= self._most:
            self._overflowed = True
            self._unsubscribe()
        self._wake()

    def fail(self, problem: Exception) -> None:
        """Let the reader meet what will never get better."""
        self._problem = problem
        self._wake()

    def _subscribed(self, message: Message | None, error: Exception | None) -> None:
        if message is not None:
            if self._received is None:
                self._received = message.data["position"]
        elif isinstance(error, Refused):
            if error.code == "position_too_old" and self._received is not None:
                # The feed no longer reaches back: say so, and go on with a snapshot.
                self._events.append(Event("gap", self._received, {"kind": "gap"}, False))
                self._received = None
                self._wake()
                self.begin()
            elif error.code in NOT_NOW:
                self._again = self._requests.clock.callLater(error.retry_after or PAUSE, self._begin_again)
            else:
                self.fail(error)
        elif not isinstance(error, NotConnected):
            self.fail(error or CancelledError())

    def _begin_again(self) -> None:
        self._again = None
        self.begin()

    def _drop_call(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            again.cancel()

    def _unsubscribe(self) -> None:
        self._requests.send(Request("unsubscribe", {"subscription": self.name}, keep=False))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)
