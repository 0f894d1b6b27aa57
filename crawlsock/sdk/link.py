"""
Link: one transport to the server. Bytes to frames, and frames to bytes; it knows no message.

The law: one function writes to the transport. When the transport has enough, the link is not `ready`, and
nothing is written until it is.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from crawlsock.wire.errors import FrameError
from crawlsock.wire.netstring import NetstringParser
from crawlsock.wire.session import MAX_FRAME


class LinkOwner(Interface):
    """Who hears of a link."""

    def link_made(self, link: Link) -> None: ...

    def frames_came(self, link: Link, frames: list[bytes]) -> None: ...

    def link_ready(self, link: Link) -> None: ...

    def link_broke(self, link: Link, error: FrameError) -> None: ...

    def link_lost(self, link: Link, reason: Failure) -> None: ...


@implementer(IPushProducer)
class Link(Protocol):
    """Carry frames for its owner."""

    def __init__(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._parser = NetstringParser(MAX_FRAME)
        self._closing = False
        self.ready = False

    def connectionMade(self) -> None:
        self.ready = True
        self._wire.registerProducer(self, True)
        self._owner.link_made(self)

    @property
    def _wire(self) -> Any:
        # Every stream transport of Twisted can register a producer and abort; no one interface says so.
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        parser = self._parser
        parser.feed(data)
        frames: list[bytes] = []
        try:
            frames.extend(parser.frames())
        except FrameError as error:
            self._owner.frames_came(self, frames)
            self._owner.link_broke(self, error)
            return
        self._owner.frames_came(self, frames)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ready = False
        self._owner.link_lost(self, reason)

    def write(self, data: bytes) -> None:
        """Send whole frames."""
        self._wire.write(data)

    def close(self) -> None:
        """Close after what was written has gone out; what still comes in is not heard."""
        if not self._closing:
            self._closing = True
            self.ready = False
            self._wire.unregisterProducer()
            self._wire.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self.ready = False
        self._wire.abortConnection()

    def pauseProducing(self) -> None:
        self.ready = False

    def resumeProducing(self) -> None:
        self.ready = True
        self._owner.link_ready(self)

    def stopProducing(self) -> None:
        self.ready = False
