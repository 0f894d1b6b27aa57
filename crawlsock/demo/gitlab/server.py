"""The sample GitLab on a network: ``twisted.web`` around ``application``.

Law: bytes become an ``Ask`` here and a ``Reply`` becomes bytes, after the delay it asks for. Nothing is
decided here.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from crawlsock.demo.gitlab.application import STATISTICS_PATH, Application, Ask, Reply
from crawlsock.demo.gitlab.dataset import Dataset
from crawlsock.demo.gitlab.kinds import JsonObject
from crawlsock.demo.gitlab.options import Options
from crawlsock.demo.gitlab.statistics import Statistics
from crawlsock.demo.gitlab.tokens import TokenBook, TokenPair

LOOPBACK = "tcp:0:interface=127.0.0.1"

_MOST_BODY = 65_536


class _SampleSite(Site):
    """A site without an access log: its lines would cost more than its answers, and hold tokens."""

    def log(self, request: object) -> None:
        """Write nothing."""


class SampleResource(Resource):
    """Answer every request of a site from one application."""

    isLeaf = True

    def __init__(self, reactor: IReactorTime, application: Application) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self._application = application
        self.channels: WeakSet[HTTPChannel] = WeakSet()

    def render(self, request: Request) -> int:
        """Answer now, or when the reply's delay is over; a client that goes away meanwhile is counted."""
        self.channels.add(request.channel)
        application = self._application
        ask = _read(request)
        observed = ask.path != STATISTICS_PATH
        if observed:
            application.statistics.started()
        reply = application.answer(ask, self._reactor.seconds())
        if reply.delay:
            waiting = self._reactor.callLater(reply.delay, self._send, request, reply, observed)
            request.notifyFinish().addErrback(lambda _: self._abandon(waiting))
        else:
            self._send(request, reply, observed)
        return NOT_DONE_YET

    def _send(self, request: Request, reply: Reply, observed: bool) -> None:
        if observed:
            self._application.statistics.finished(reply.status)
        request.setResponseCode(reply.status)
        headers = request.responseHeaders
        for name, value in reply.headers.items():
            headers.setRawHeaders(name, [value])
        headers.setRawHeaders("Content-Length", [str(len(reply.body))])
        request.write(reply.body)  # type: ignore[no-untyped-call]
        request.finish()  # type: ignore[no-untyped-call]

    def _abandon(self, waiting: IDelayedCall) -> None:
        if waiting.active():
            waiting.cancel()
            self._application.statistics.lost()


class SampleGitLab:
    """Serve one dataset as GitLab's REST API: ``url = await SampleGitLab(reactor, dataset).listen()``.

    The server belongs to loopback: it knows no TLS, and its tokens follow from the seed. Its OAuth tokens
    begin to age when it is made.
    """

    def __init__(self, reactor: Any, dataset: Dataset, options: Options | None = None) -> None:
        self.dataset = dataset
        self.options = options or Options()
        self.url = ""
        self.application = Application.new(dataset, self.options, reactor.seconds())
        self._reactor = reactor
        self._resource = SampleResource(reactor, self.application)
        self._port: IListeningPort | None = None

    @property
    def statistics(self) -> Statistics:
        """What the server saw so far."""
        return self.application.statistics

    @property
    def tokens(self) -> TokenBook:
        """Every token there is; ``issue`` and ``revoke`` act as people would."""
        return self.application.tokens

    @property
    def personal_token(self) -> str:
        """A personal access token that works."""
        return self.tokens.personal_tokens[0]

    @property
    def oauth(self) -> TokenPair:
        """The first OAuth pair."""
        return self.tokens.pairs[0]

    def expected(self) -> dict[str, int]:
        """Return how many items of each kind a crawler can get, refused resources left out."""
        return self.dataset.counts(refused=self.options.faults.refused)

    def description(self) -> JsonObject:
        """Return what another process needs to know: address, tokens, and the counts to expect."""
        expected = self.expected()
        return {
            "url": self.url,
            "seed": self.dataset.seed,
            "personal_tokens": list(self.tokens.personal_tokens),
            "oauth": [
                {"access_token": pair.access_token, "refresh_token": pair.refresh_token} for pair in self.tokens.pairs
            ],
            "counts": expected,
            "items_expected": sum(expected.values()),
        }

    def resource(self) -> SampleResource:
        """Return the resource, for a site of one's own or for an in-memory test."""
        return self._resource

    def site(self) -> Site:
        """Return the site, for an endpoint of one's own."""
        return _SampleSite(self._resource, reactor=self._reactor)  # type: ignore[no-untyped-call]

    async def listen(self, endpoint: str = LOOPBACK) -> str:
        """Listen on a TCP endpoint string, by default on loopback and any free port; return the base URL."""
        server = serverFromString(self._reactor, endpoint)  # type: ignore[no-untyped-call]
        self._port = await server.listen(self.site())
        self.url = _base_url(self._port.getHost())
        return self.url

    async def close(self) -> None:
        """Stop listening and end every connection; does nothing when there is nothing to stop."""
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        for channel in list(self._resource.channels):
            if channel.transport is not None:
                channel.transport.abortConnection()  # type: ignore[attr-defined]  # every real transport has it


def _base_url(address: IAddress) -> str:
    if not isinstance(address, (IPv4Address, IPv6Address)):
        raise ValueError(f"a sample GitLab listens on TCP, as in {LOOPBACK}, and not on {address}")
    host = f"[{address.host}]" if isinstance(address, IPv6Address) else address.host
    return f"http://{host}:{address.port}"


def _read(request: Request) -> Ask:
    method = request.method.decode("ascii", "replace")
    scheme = "https" if request.isSecure() else "http"  # type: ignore[no-untyped-call]
    host = request.getHeader("host") or "localhost"
    body = b""
    if method == "POST" and request.content is not None:
        body = request.content.read(_MOST_BODY)
    query = {}
    # Twisted merges the form of a POST into request.args; an Ask keeps the two apart.
    if method != "POST" and request.args:
        query = {
            name.decode("utf-8", "replace"): values[-1].decode("utf-8", "replace")
            for name, values in request.args.items()
        }
    return Ask(
        method,
        f"{scheme}://{host}",
        request.path.decode("ascii", "replace"),
        query,
        {name: request.getHeader(name) for name in ("private-token", "authorization", "content-type")},
        body,
    )
