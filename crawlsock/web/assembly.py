"""Put the web side of one server together.

The law: which resource hangs where is decided here, and nothing else is. The service and the in-memory harness both use
this, so a test meets the same site that runs.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource

from crawlsock.config import LiveSettings, Settings
from crawlsock.lifecycle import Lifecycle
from crawlsock.metrics import Metrics
from crawlsock.metrics.web import WebMetrics
from crawlsock.server.assembly import Server
from crawlsock.server.listener import SocketServer
from crawlsock.server.logins import LoginDesk
from crawlsock.web.api import Api, Document
from crawlsock.web.events import EventStream
from crawlsock.web.gate import Gate
from crawlsock.web.health import Doorkeeper, Live, Ready
from crawlsock.web.login import Login, Logout, Session
from crawlsock.web.metrics import MetricsPage
from crawlsock.web.pages import Pages, dress
from crawlsock.web.render import Renderer
from crawlsock.web.resource import NotFound
from crawlsock.web.site import Root, WebSite
from crawlsock.web.static import StaticFiles, own

_STOP_SECONDS: Final = 5.0


class Web:
    """All parts of the web side, connected and not started.

    :ivar site: the factory that serves; `gate` says who asks; `api` and `root` are where resources hang.
    """

    def __init__(self, clock: IReactorTime, server: Server, settings: LiveSettings) -> None:
        self.clock = clock
        self.settings = settings
        self.server = server
        self.renderer = Renderer()
        self.gate = Gate(clock, server.store, self._now)
        server.revocations.observe(self.gate.ended)
        self.api = Api(server.calls, self.gate)
        self.events = EventStream(clock, server.hub, server.store, self.gate, server.router.codec, self._now)
        self.doorkeeper = Doorkeeper(self.gate, lambda: not server.pulse.beats)
        self.root = Root()
        self.site = WebSite(clock, self.root, self._now, self.renderer)
        self.metrics = Metrics(server)
        self.metrics.use(WebMetrics(self.site).collect)
        self._hang()

    def add_to(self, lifecycle: Lifecycle, reactor: Any) -> None:
        """Add the parts to a lifecycle, behind the store: what serves before the sockets do stops after them, so that
        probes and pages say that the server leaves while it does.
        """
        endpoint = self._now().http_endpoint
        if endpoint is None:
            return
        lifecycle.add("web connections", _Connections(self), 2 * _STOP_SECONDS)
        lifecycle.add("gate", self.gate)
        lifecycle.add("event streams", self.events)
        listener = SocketServer(reactor, endpoint, self.site)
        lifecycle.add("listener http", listener)
        lifecycle.add("web address", _Address(self.server.logins, endpoint, listener))

    def _hang(self) -> None:
        """Hang every resource at its address. The order means nothing."""
        logins = self.server.logins
        self.root.putChild(b"login", Login(self.gate, logins, self.renderer, self.settings))
        self.root.putChild(b"logout", Logout(self.gate, logins))
        self.api.putChild(b"session", Session(self.gate, logins, self.settings, self.server.server_id))
        self.api.putChild(b"openapi.json", Document(self.server.router.catalog, self.gate))
        versions = _Branch()
        versions.putChild(b"v1", self.api)
        self.api.putChild(b"events", self.events)
        self.root.putChild(b"api", versions)
        self.root.putChild(b"metrics", MetricsPage(self.metrics, self.doorkeeper))
        self.root.putChild(b"livez", Live())
        self.root.putChild(b"readyz", Ready(self.server.checks, self.doorkeeper))
        dress(self.renderer, own())
        self.root.putChild(b"static", StaticFiles(own()))
        self.root.fallback = Pages(self.clock, self.gate, self.server.calls, self.renderer)

    def _now(self) -> Settings:
        return self.settings.current


class _Address:
    """Where pages are served, told to those who write links, once it is known."""

    def __init__(self, logins: LoginDesk, endpoint: str, listener: SocketServer) -> None:
        self._logins = logins
        self._endpoint = endpoint
        self._listener = listener

    def start(self) -> None:
        """Tell."""
        host = getattr(self._listener.port, "getHost", lambda: None)()
        if isinstance(host, (IPv4Address, IPv6Address)):
            name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host.host, host.host)
            scheme = "https" if self._endpoint.startswith("ssl:") else "http"
            shown = f"[{name}]" if ":" in name and not name.startswith("[") else name
            self._logins.address = f"{scheme}://{shown}:{host.port}"

    def stop(self) -> None:
        """Take it back."""
        self._logins.address = None


class _Branch(Resource):
    """A part of an address that is nothing by itself."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Say that nothing is here."""
        return NotFound()

    def render(self, request: Any) -> Any:
        """Say that nothing is here."""
        return NotFound().render(request)


class _Connections:
    """The connections as a part of the lifecycle: they begin by themselves, and stopping leads them out."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> Deferred[None]:
        """Close what is idle, let answers under way leave, cut off whoever is still here after a while."""
        gone = self._web.site.leave()
        overdue = self._web.clock.callLater(_STOP_SECONDS, self._web.site.cut_off)

        def done(result: Any) -> Any:
            if overdue.active():
                overdue.cancel()
            return result

        return gone.addBoth(done)
