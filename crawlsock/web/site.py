"""The site: requests with our headers, connections within their number, and the tree of resources.

The law: what holds for every request is here and nowhere else: headers, the host check, the size of the body, how
failures leave. Twisted's own pages, its ``Server`` header and its access log never come out of here.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, AnyStr, Final, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource, Resource

from crawlsock.config import Settings
from crawlsock.web.channel import MAX_BODY, WebChannel
from crawlsock.web.problems import MEDIA_TYPE, Problem, problem_of
from crawlsock.web.render import Renderer
from crawlsock.web.resource import HTML, Answer, NotFound
from crawlsock.web.safety import HEADERS, check_host
from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANY_HOST: Final = frozenset({b"/livez", b"/readyz"})
"""Probes address a server by whatever name or number they have; what these say is no secret."""
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class WebRequest(server.Request):
    """A request that answers with our headers, and fails with a problem or a page of ours."""

    channel: WebChannel
    site: WebSite
    _log = Logger()

    def __init__(self, channel: WebChannel, queued: object = None) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self.received = 0

    # -- what came

    @property
    def secure(self) -> bool:
        """Whether the browser speaks TLS, to us or to a proxy before us."""
        url = self.site.settings().http_public_url
        return bool(self.isSecure()) or (url is not None and url.startswith("https:"))

    @property
    def is_api(self) -> bool:
        """Whether a program asks, which gets problems as JSON."""
        return self.path == b"/api" or self.path.startswith(b"/api/")

    def read(self) -> bytes:
        """Return the body; it is whole when a resource is asked."""
        content: Any = self.content
        return cast(bytes, content.read())

    def gotLength(self, length: int | None) -> None:
        """Give up a body that says that it is too large."""
        super().gotLength(min(length or MAX_BODY, MAX_BODY))
        if length is not None and length > MAX_BODY:
            self._too_large()

    def handleContentChunk(self, data: bytes) -> None:
        """Give up a body that becomes too large."""
        self.received += len(data)
        if self.received > MAX_BODY:
            self._too_large()
        else:
            super().handleContentChunk(data)

    def _too_large(self) -> None:
        self.channel.give_up(Problem("content_too_large", f"a body may have at most {MAX_BODY} bytes"))

    # -- what goes

    def process(self) -> None:
        """Find the resource and let it answer."""
        self.site = self.channel.site
        for name, value in HEADERS:
            self.setHeader(name, value)
        self.setHeader(b"Date", http.datetimeToString())
        if (self.site.settings().http_public_url or "").startswith("https:"):
            # Only where somebody has said so: it holds for all ports of the host, those of other programs too.
            self.setHeader(b"Strict-Transport-Security", b"max-age=31536000")
        self.prepath = []
        self.postpath = list(map(unquote_to_bytes, self.path[1:].split(b"/")))
        try:
            if not self.path.startswith(b"/"):
                raise Problem("not_found", "an address begins with a slash")
            if self.path not in _ANY_HOST:
                settings = self.site.settings()
                check_host(self._values("Host"), settings.http_hosts, settings.http_public_url)
            self.render(self.site.getResourceFor(self))
        except Problem as problem:
            self.fail(problem)
        except Exception:
            self.processingFailed(Failure())

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """Return the last value of a header. As text, what is no UTF-8 in it becomes a character that fits nothing."""
        if isinstance(key, bytes):
            found: bytes | None = super().getHeader(key)
            return found
        values = self._values(key)
        return values[-1] if values else None

    def _values(self, name: str) -> list[str]:
        return [value.decode("utf-8", "replace") for value in self.requestHeaders.getRawHeaders(name.encode()) or ()]

    def render(self, resrc: IResource) -> None:
        """Let a resource answer; what a stock one cannot do is refused in our words."""
        try:
            body = resrc.render(self)
        except UnsupportedMethod as error:
            methods: list[bytes] = list(error.allowedMethods)
            allowed = ", ".join(sorted(str(each, "ascii") for each in methods))
            detail = f"this method is not known here; allowed are: {allowed}"
            self.fail(Problem("method_not_allowed", detail, headers={"Allow": allowed}))
            return
        if body is not server.NOT_DONE_YET:
            self.answer(Answer(cast(bytes, body), status=self.code))

    def answer(self, answer: Answer) -> None:
        """Send a whole response, unless the client has left. The one way out."""
        if self._disconnected or self.finished:
            return
        self.setResponseCode(answer.status)
        if answer.content_type is not None:
            self.setHeader(b"Content-Type", answer.content_type.encode())
            if answer.content_type == HTML:
                # With no-referrer, browsers write `Origin: null` when our own forms are sent.
                self.setHeader(b"Referrer-Policy", b"same-origin")
        for name, value in answer.headers.items():
            if name == "Set-Cookie":
                self.responseHeaders.addRawHeader(name, value)
            else:
                self.setHeader(name.encode(), value.encode())
        if answer.status not in http.NO_BODY_CODES:
            self.setHeader(b"Content-Length", b"%d" % len(answer.body))
        self.defaultContentType = None
        self.write(answer.body)
        self.finish()

    def fail(self, error: Exception) -> None:
        """Answer a request that failed: with a problem for programs, with a page for people."""
        problem = problem_of(error)
        if not isinstance(error, (Problem, Refusal)):
            self._log.failure("{method} {path} failed", method=self.method, path=self.path)
        if self.startedWriting:
            # Half an answer cannot be taken back; the client sees that it is not whole.
            self.channel.forceAbortClient()
            return
        if self.is_api:
            answer = Answer(problem.body(), MEDIA_TYPE, problem.status, problem.headers)
        else:
            answer = Answer(self.site.error_page(problem), HTML, problem.status, problem.headers)
        self.answer(answer)

    def processingFailed(self, reason: Failure) -> None:
        """Log what went wrong, and answer blandly."""
        self._log.failure("{method} {path} failed", reason, method=self.method, path=self.path)
        if not self._disconnected and not self.finished:
            self.fail(Problem("internal", "the server failed to do this; its log says why", status=500))


class WebSite(server.Site):
    """Serve a tree of resources within limits.

    :param settings: gives the settings at the moment of use.
    :ivar refused: how many connections and requests were given up, by the problem's code.
    """

    _log = Logger()
    noisy = False

    def __init__(
        self, clock: IReactorTime, root: Resource, settings: Callable[[], Settings], renderer: Renderer
    ) -> None:
        super().__init__(root, WebRequest, reactor=clock)
        self.settings = settings
        self.refused: dict[str, int] = {}
        self.responses: dict[int, int] = {}
        self._renderer = renderer
        self._channels: set[WebChannel] = set()
        self._empty: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._channels)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a channel, or what says that there are too many."""
        settings = self.settings()
        if len(self._channels) >= settings.http_max_connections:
            self.refused["connections"] = self.refused.get("connections", 0) + 1
            return _Full()
        # What Twisted's own factory does, without HTTP/2 and its negotiation.
        channel: Any = WebChannel()
        channel.factory = self
        channel.site = self
        channel.requestFactory = WebRequest
        channel.callLater = self.reactor.callLater
        channel.timeOut = settings.http_idle_timeout
        return channel

    def opened(self, channel: WebChannel) -> None:
        """Count a connection."""
        self._channels.add(channel)

    def closed(self, channel: WebChannel) -> None:
        """Count a connection no more."""
        self._channels.discard(channel)
        if not self._channels:
            empty, self._empty = self._empty, []
            for each in empty:
                each.callback(None)

    def gave_up(self, problem: Problem) -> None:
        """Count a request that was given up."""
        self.refused[problem.code] = self.refused.get(problem.code, 0) + 1
        self._log.debug("A request was given up: {detail}", detail=problem.detail)

    def leave(self) -> Deferred[None]:
        """Close every connection once its answer has left; fire when all are gone."""
        gone: Deferred[None] = Deferred()
        self._empty.append(gone)
        channels: Sequence[WebChannel] = tuple(self._channels)
        for channel in channels:
            channel.close_when_idle()
        if not self._channels and self._empty:
            self._empty.remove(gone)
            gone.callback(None)
        return gone

    def cut_off(self) -> None:
        """Close every connection now."""
        for channel in tuple(self._channels):
            channel.forceAbortClient()

    def error_page(self, problem: Problem) -> bytes:
        """Return the page that says a problem to a person."""
        return self._renderer.render("error.html", status=problem.status, title=problem.title, detail=problem.detail)

    def getResourceFor(self, request: WebRequest) -> Any:
        """Find the resource; what is not there is a problem of ours."""
        found = super().getResourceFor(request)
        return found if isinstance(found, Resource) and type(found).__module__ != "twisted.web.pages" else NotFound()

    def startFactory(self) -> None:
        """Open no access log: addresses of the sign-in carry codes."""

    def stopFactory(self) -> None:
        """Do nothing."""

    def log(self, request: Any) -> None:
        """Count and log a request that was answered, without its query."""
        self.responses[request.code] = self.responses.get(request.code, 0) + 1
        self._log.debug(
            "{method} {path}: {status}",
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("ascii", "replace"),
            status=request.code,
        )


class _Full(Protocol):
    """Say that there are too many connections, and close."""

    def connectionMade(self) -> None:
        """Answer without having been asked."""
        transport: Any = self.transport
        transport.write(_FULL)
        transport.loseConnection()


class Root(Resource):
    """The top of the tree: children by their first word, and `fallback` for all others."""

    def __init__(self) -> None:
        super().__init__()
        self.fallback: Resource = NotFound()

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Return what answers for a word that has no child."""
        return self.fallback
