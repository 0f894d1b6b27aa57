"""One HTTP connection, held to its limits.

The law: whatever a client does or leaves undone, it costs a bounded amount of memory and of time. Parsing is Twisted's;
here is when it is given up. A connection that was given up gets one answer and is read no more, apart from a little
that is thrown away so that the answer is not lost with a reset.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web import http

from crawlsock.web.problems import MEDIA_TYPE, Problem
from crawlsock.web.safety import HEADERS

if TYPE_CHECKING:
    from crawlsock.web.site import WebSite

MAX_BODY: Final = 64 * 1024
"""Bytes in the body of a request."""
_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 256 * 1024


class WebChannel(http.HTTPChannel):
    """Give up a request that is too large or too slow, and a connection that nothing comes on.

    :ivar site: the factory, set by it.
    """

    site: WebSite
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self._deadline: IDelayedCall | None = None
        self._given_up = False
        self._thrown_away = 0

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return not self.requests

    def connectionMade(self) -> None:
        """Count the connection, and wait for its first request."""
        self.site.opened(self)
        super().connectionMade()
        self._wait(self.site.settings().http_header_timeout)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Forget the connection."""
        self._wait(None)
        self.site.closed(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Parse, or throw away what comes after we gave up."""
        if self._given_up:
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES:
                self.transport.pauseProducing()
            return
        if self.idle and self._deadline is None:
            self._wait(self.site.settings().http_header_timeout)
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head of a request."""
        if self._deadline is None:
            # What was sent ahead of the last answer comes here without `dataReceived`.
            self._wait(self.site.settings().http_header_timeout)
        if not self._given_up:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        """Take a piece of the body of a request."""
        if not self._given_up:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Give up: no line of a head has a reason to be so long."""
        if self.idle:
            self.give_up(Problem("uri_too_long", f"the address is longer than {self.MAX_LENGTH} bytes"))
        else:
            self.give_up(Problem("headers_too_large", f"a header is longer than {self.MAX_LENGTH} bytes"))

    def allHeadersReceived(self) -> None:
        """Wait for the body from now on."""
        self._wait(self.site.settings().http_body_timeout)
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Wait no more: the next one to be slow is ourselves."""
        if not self._given_up:
            self._wait(None)
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Go on with the next request, or end; in both cases the client has so long to take the answer."""
        super().requestDone(request)
        if not self.persistent and self.transport is not None:
            self.setTimeout(self._savedTimeOut)

    def close_when_idle(self) -> None:
        """Close now, or after the answer that is under way."""
        if self.idle:
            self.loseConnection()
        else:
            self.persistent = False

    def give_up(self, problem: Problem) -> None:
        """Answer with a problem, read no more, and close. Again does nothing."""
        if self._given_up:
            return
        self._given_up = True
        self._wait(None)
        self.setTimeout(None)
        self.site.gave_up(problem)
        body = problem.body()
        lines = [
            f"HTTP/1.1 {problem.status} {problem.title}".encode(),
            *(name + b": " + value for name, value in HEADERS),
            *(f"{name}: {value}".encode() for name, value in problem.headers.items()),
            f"Content-Type: {MEDIA_TYPE}".encode(),
            b"Content-Length: %d" % len(body),
            b"Connection: close",
        ]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self._deadline = self.callLater(_LINGER_SECONDS, self._hang_up)

    def timeoutConnection(self) -> None:
        """Close a connection on which nothing happens; what waits to be sent gets a little longer."""
        self._wait(None)
        if not self._given_up:
            super().timeoutConnection()

    def _hang_up(self) -> None:
        self._deadline = None
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    def _wait(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.callLater(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.idle:
            # Nothing was asked, so nothing is answered.
            self.loseConnection()
        else:
            self.give_up(Problem("request_timeout", "the request did not come whole in time"))

    def _send100Continue(self) -> None:
        if not self._given_up:
            super()._send100Continue()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.give_up(Problem("bad_request", "this is no HTTP/1.1 request"))
