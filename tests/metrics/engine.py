"""The parts between a server and a database that is none: real ones, over connections that the test answers."""

from __future__ import annotations

from typing import Any

import orjson
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from crawlsock.store.batch import GroupCommit
from crawlsock.store.listener import Listener
from crawlsock.store.pool import Pool, Statistics
from tests.store.links import FakeLink, FakeServer


class Item:
    """One write of a group."""

    def encode(self, index: int) -> list[dict[str, Any]]:
        """Ask for nothing."""
        return [{}]

    def answer(self, answer: Any) -> None:
        """Take it."""

    def refuse(self, refusal: Exception) -> None:
        """Take that, too."""


class Engine:
    """A group commit, a pool and a listener, as `crawlsock.store.database.Database` shows them.

    :ivar under_way: groups that were sent; the test lets them commit.
    """

    def __init__(self, clock: IReactorTime, size: int = 1) -> None:
        self.server_version = "15"
        self.reason = "connected"
        self.clock: Any = clock
        self.under_way: list[Deferred[str]] = []
        self.group = GroupCommit(
            clock, self._send, lambda: succeed(None), {"a": _answer}, header=dict, committed=lambda: None
        )
        self.server = FakeServer()
        self.pool = Pool(clock, self.server.connect, size=size, jitter=lambda low, high: 0.0)
        self.listening = FakeServer()
        self.listener = Listener(clock, self.listening.connect, jitter=lambda low, high: 0.0, token="me")
        self.link = FakeLink()

    def start(self) -> None:
        """Connect the pool and the listener, and let one notification come back."""
        self.pool.start()
        while self.server.attempts:
            self.server.accept()
        self.listener.start()
        self.link = self.listening.accept()
        while self.link.answers:
            self.link.answer()
        self.notify()

    def notify(self) -> None:
        """Deliver the notification that the listener sends to itself."""
        self.link.notify("crawlsock_probe_me", "")

    def stop(self) -> None:
        """Leave no delayed call behind."""
        self.listener.stop()
        self.pool.stop()
        for each in self.under_way:
            if not each.called:
                each.callback("{}")

    def statistics(self) -> Statistics:
        """Return the figures of the pool."""
        return self.pool.statistics()

    def write(self) -> None:
        """Put one item into a group, and let it be sent."""
        self.group.add("a", Item())
        self.clock.advance(0)

    def commit(self) -> None:
        """Let the group under way commit."""
        self.under_way[-1].callback(orjson.dumps({"a": []}).decode())

    def _send(self, batch: str) -> Deferred[str]:
        self.under_way.append(Deferred())
        return self.under_way[-1]


def _answer(answer: Any, waiters: list[Any]) -> None:
    for waiter in waiters:
        waiter.answer(answer)
