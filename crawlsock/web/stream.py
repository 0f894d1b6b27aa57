"""One client's event stream: what the feed shows goes out as it is, and as fast as the client takes it.

The law: nothing is kept for a client that does not read. Its seat is given up while the transport is full; it comes
back by its position when there is room, and one that has made no room for `PATIENCE` seconds is sent away. Every stream
ends here, and says why if it still can.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import implementer

from crawlsock.web import sse
from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from crawlsock.feed.channels import Channels, Seat
    from crawlsock.feed.filter import Filter
    from crawlsock.web.site import WebRequest

PATIENCE: Final = 5.0
"""Seconds for which a client may take nothing."""
_FAREWELL: Final = 5.0
"""Seconds after which the connection of a client that takes nothing is cut, farewell or not."""
TOO_SLOW: Final = "too_slow"


@implementer(IPushProducer)
class Stream:
    """A response that goes on.

    :param over: called once, with the reason, when the stream has ended for whatever cause.
    """

    def __init__(self, clock: Any, request: WebRequest, over: Callable[[Stream, str], None]) -> None:
        self._clock = clock
        self._request = request
        self._transport: Any = request.channel.transport
        self._over = over
        self._seat: Seat | None = None
        self._slow: IDelayedCall | None = None
        self.ended = False

    def begin(self, channels: Channels, filter: Filter, position: str, at: str, retry: float) -> None:
        """Send the head, say hello, and show everything after the position."""
        request = self._request
        request.notifyFinish().addErrback(lambda _: self._close("the client left"))
        request.setHeader(b"Content-Type", sse.MEDIA_TYPE.encode())
        request.setHeader(b"Cache-Control", b"no-store, no-transform")
        # What a proxy gathers is shown late.
        request.setHeader(b"X-Accel-Buffering", b"no")
        no_delay = getattr(self._transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)
        self._seat = channels.join(self, filter, position)
        request.registerProducer(self, True)
        request.write(sse.retry(retry) + sse.hello(position, at))
        if self._seat.ready:
            channels.place(self._seat)

    def ping(self) -> None:
        """Show that the stream lives, and how far it is."""
        if self._seat is not None and self._seat.ready and not self.ended:
            self._request.write(sse.ping(self._seat.news()))

    def end(self, reason: str, retry: float | None = None) -> None:
        """Say why, and end. Again does nothing."""
        if self.ended:
            return
        stuck = self._slow is not None or reason == TOO_SLOW
        if retry is not None:
            self._request.write(sse.retry(retry))
        self._request.write(sse.end(reason))
        self._close(reason)
        self._request.channel.persistent = False
        self._request.unregisterProducer()
        self._request.finish()
        if stuck:
            # What is in the buffer may never leave. The transport ignores this once it is closed.
            self._clock.callLater(_FAREWELL, self.cut)

    def cut(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        self._transport.abortConnection()

    def _close(self, reason: str) -> None:
        if self.ended:
            return
        self.ended = True
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        if self._seat is not None:
            self._seat.leave()
        self._over(self, reason)

    # -- for the seat

    def show(self, data: bytes) -> None:
        """Send a delivery."""
        self._request.write(data)

    def refused(self, refusal: Refusal) -> None:
        """End: the feed shows nothing more."""
        self.end(refusal.code.value)

    # -- for the transport

    def pauseProducing(self) -> None:
        """Stop: the client does not take it."""
        if self._seat is not None and not self.ended:
            self._seat.pause()
            if self._slow is None:
                self._slow = self._clock.callLater(PATIENCE, self._too_slow)

    def resumeProducing(self) -> None:
        """Go on where we were."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        if self._seat is not None and not self.ended:
            self._seat.resume()

    def stopProducing(self) -> None:
        """End: the connection is gone."""
        self._close("the client left")

    def _too_slow(self) -> None:
        self._slow = None
        self.end(TOO_SLOW)
