"""A Unix socket that passes bytes on to another, and whose links can be cut in the middle of anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure


class _Side(Protocol):
    """One end of a link; `other` takes what arrives here."""

    transport: Any

    def __init__(self, links: set[_Side]) -> None:
        self._links = links
        self.other: _Side | None = None
        self._early = b""

    def connectionMade(self) -> None:
        self._links.add(self)

    def join(self, other: _Side) -> None:
        self.other = other
        if self._early:
            other.transport.write(self._early)
            self._early = b""

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._links.discard(self)
        if self.other is not None:
            self.other.transport.abortConnection()


class CuttingRoom:
    """Listen at `path`, pass everything on to `target`, and cut all links when asked."""

    def __init__(self, reactor: Any, path: Path, target: Path) -> None:
        self._reactor = reactor
        self._target = UNIXClientEndpoint(reactor, os.fspath(target))
        self._links: set[_Side] = set()
        factory = Factory.forProtocol(lambda: self._accepted())
        factory.noisy = False
        self._port = reactor.listenUNIX(os.fspath(path), factory)
        self.cuts = 0

    def _accepted(self) -> _Side:
        near, far = _Side(self._links), _Side(self._links)
        factory = Factory.forProtocol(lambda: far)
        factory.noisy = False

        def joined(_: object) -> None:
            near.join(far)
            far.join(near)

        self._target.connect(factory).addCallbacks(joined, lambda _: near.transport.abortConnection())
        return near

    @property
    def links(self) -> int:
        """How many links there are."""
        return len(self._links) // 2

    def cut(self) -> None:
        """Cut all links, whatever is on its way."""
        self.cuts += 1
        for side in list(self._links):
            side.transport.abortConnection()

    def stop(self) -> Deferred[None]:
        """Listen no more and cut everything."""
        self.cut()
        return maybeDeferred(self._port.stopListening).addCallback(lambda _: None)
