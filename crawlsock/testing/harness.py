"""A whole server in memory, and peers that say what you tell them to.

For tests of crawlers and web applications, without a network, a database, or waiting::

    harness = WireHarness()
    crawler = harness.connect("crawler")
    webapp = harness.connect("webapp")
    await webapp.request("job_submit", {"jobs": [{"type": "crawl_project"}]})
    reply = await crawler.request("job_request", {"slots": 1})
    job = reply.data["jobs"][0]
    await crawler.request("job_started", job_id=job["job_id"], lease=job["lease"])
    answer = await harness.http("GET", "/api/v1/jobs", token=harness.token("monitor"))
    harness.stop()

Everything happens on `harness.clock`; `harness.advance(seconds)` lets time pass. The server is the real one, with a
`MemoryStore` behind it, and checks its own messages against the schemas.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from itertools import count
from typing import Any

import orjson
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from crawlsock.config import LiveSettings, load
from crawlsock.feed import Hub
from crawlsock.masking import Masker
from crawlsock.secrets import Vault
from crawlsock.server.assembly import Server
from crawlsock.server.tokens import new_token, token_hash
from crawlsock.testing.http import HttpAnswer, HttpPeer, dial
from crawlsock.testing.memory import MemoryStore
from crawlsock.testing.transport import MemoryEndpoint, MemoryTransport, connect
from crawlsock.web.assembly import Web
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import Refusal
from crawlsock.wire.message import Message
from crawlsock.wire.netstring import NetstringParser, netstring

_LARGE = 64 * 1024 * 1024


class NoHttp:
    """Refuse every request: a harness without `http` reaches no GitLab host."""

    def post(self, url: str, **kwargs: Any) -> Deferred[Any]:
        """Fail."""
        return fail(ConnectionError("this harness has no HTTP client; give it one"))


class WirePeer(Protocol):
    """The other end of a connection to the harness: sends what a test wants, and keeps what comes.

    :ivar pushes: what the server sent unasked, in order.
    :ivar replies: every reply, in order; those to `request` are also the result of its Deferred.
    :ivar welcome: the data of ``welcome``, once it came.
    :ivar closed: why the connection ended, or None.
    :ivar answers_pushes: acknowledge pushes that ask for it, as a well-behaved peer does.
    """

    def __init__(self, codec: Codec, harness: WireHarness, answers_pushes: bool = True) -> None:
        self.pushes: list[Message] = []
        self.replies: list[Message] = []
        self.welcome: dict[str, Any] = {}
        self.closed: str | None = None
        self.answers_pushes = answers_pushes
        self._codec = codec
        self._harness = harness
        self._parser = NetstringParser(_LARGE)
        self._last_id = 0
        self._waiting: dict[int, Deferred[Message]] = {}
        self.server_transport: MemoryTransport

    @property
    def wire(self) -> MemoryTransport:
        """This end's transport."""
        transport: Any = self.transport
        assert isinstance(transport, MemoryTransport)
        return transport

    def dataReceived(self, data: bytes) -> None:
        self._parser.feed(data)
        for frame in self._parser.frames():
            self._received(self._codec.decode(frame))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed = reason.getErrorMessage()
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.errback(reason)

    def request(
        self,
        type: str,
        data: Mapping[str, Any] | None = None,
        *,
        job_id: str | None = None,
        lease: str | None = None,
    ) -> Deferred[Message]:
        """Send a request and let the server work; fire with the reply.

        Fails with `Refusal` when the reply is ``error``, and with the reason when the connection ends first.
        """
        self._last_id += 1
        reply: Deferred[Message] = Deferred()
        self._waiting[self._last_id] = reply
        self.send(type, data, id=self._last_id, job_id=job_id, lease=lease)
        self._harness.settle()
        return reply

    def send(self, type: str, data: Mapping[str, Any] | None = None, **envelope: Any) -> None:
        """Send a message as it is, and do not wait for anything."""
        self._last_id = max(self._last_id, envelope.get("id") or 0)
        encoded = self._codec.encode(type, None if data is None else dict(data), **envelope)
        self.wire.write(encoded)

    def send_frame(self, payload: bytes) -> None:
        """Send any payload in a frame, and let the server work."""
        self.send_bytes(netstring(payload))

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes, and let the server work."""
        self.wire.write(data)
        self._harness.settle()

    def pushed(self, type: str) -> list[Message]:
        """Return the pushes of one type."""
        return [push for push in self.pushes if push.type == type]

    def close(self) -> None:
        """Close the connection as a process does that ends or loses its link."""
        self.wire.abortConnection()
        self._harness.settle()

    def _received(self, message: Message) -> None:
        if message.re is None and message.type != "error":
            self.pushes.append(message)
            if message.id is not None and self.answers_pushes:
                self.wire.write(self._codec.encode_ack(message.id))
            return
        self.replies.append(message)
        if message.type == "welcome":
            self.welcome = message.data
        for id in message.answers():
            waiting = self._waiting.pop(id, None)
            if waiting is None:
                continue
            if message.type == "error":
                waiting.errback(Refusal.from_data(message.data))
            else:
                waiting.callback(message)


class WireHarness:
    """A server in memory, started.

    :param settings: settings by name, as text, over those of the profile ``test``.
    :param http: what renews tokens; by default nothing does.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        clock: Clock | None = None,
        store: MemoryStore | None = None,
        http: Any = None,
        plugins: Any = (),
    ) -> None:
        self.clock = clock or Clock()
        self.store = store or MemoryStore(self.clock)
        options = {"profile": "test", "data_dir": "/nonexistent/crawlsock", **(settings or {})}
        self.settings = LiveSettings(load(options, {}))
        self.masker = Masker()
        self.tokens: dict[str, str] = {}
        self.peers: list[WirePeer] = []
        self.http_peers: list[HttpPeer] = []
        self.listening = True
        self._numbers = count(1)
        self._http = http or NoHttp()
        self._plugins = plugins
        self._vault = Vault([secrets.token_bytes(32)], "the harness")
        self.server = self._make_server()
        self._start()

    # -- the server

    def stop(self) -> None:
        """Stop the server and leave no delayed call behind."""
        for peer in self.peers:
            if peer.closed is None:
                peer.close()
        self._stop()
        self._drop_http()
        self.store.stop()
        self.settle()

    def kill(self) -> None:
        """End the server as ``kill -9`` does: links break, nobody says goodbye, the store stays as it is."""
        self._stop()
        for peer in self.peers:
            if peer.closed is None:
                peer.wire.abortConnection()
        self._drop_http()
        self.listening = False
        self.settle()

    def restart(self) -> None:
        """Start a server on the same store, under the same id."""
        self.server = self._make_server()
        self.listening = True
        self._start()

    def settle(self) -> None:
        """Let everything happen that is due now."""
        self.clock.advance(0)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, in steps that leave deadlines their order."""
        left = seconds
        while left > 0:
            self.clock.advance(min(step, left))
            left -= step
        self.settle()

    def endpoint(self) -> MemoryEndpoint:
        """Return a client endpoint that connects to this server, for `crawlsock.sdk` and for your own clients."""
        return MemoryEndpoint(self.clock, _Switch(self), lambda: not self.listening)

    # -- peers

    def token(self, role: str, accounts: frozenset[str] | None = None) -> str:
        """Return a token of the role, made when it is first asked for."""
        if accounts is not None or role not in self.tokens:
            token = new_token(role)
            self.store.create_token(role, f"test {role}", token_hash(token), accounts, None, "harness")
            if accounts is not None:
                return token
            self.tokens[role] = token
        return self.tokens[role]

    def dial(self, answers_pushes: bool = True) -> WirePeer:
        """Connect a peer that says nothing yet."""
        peer = WirePeer(self.server.router.codec, self, answers_pushes)
        built: Any = self.server.factory.buildProtocol(None)
        ends = connect(self.clock, built, peer)
        peer.server_transport = ends[0]
        self.peers.append(peer)
        self.settle()
        return peer

    def connect(self, role: str = "crawler", *, answers_pushes: bool = True, **hello: Any) -> WirePeer:
        """Connect a peer and say hello; fields of ``hello`` may be given. Raise what the server refuses it with."""
        peer = self.dial(answers_pushes)
        welcome = self.hello(peer, role, **hello)
        refused: list[BaseException] = []
        welcome.addCallbacks(lambda _: None, lambda failure: refused.append(failure.value or failure))
        if refused:
            raise refused[0]
        return peer

    def hello(self, peer: WirePeer, role: str = "crawler", **hello: Any) -> Deferred[Message]:
        """Say hello on a connection that is there."""
        data: dict[str, Any] = {"role": role, "token": self.token(role), "versions": [1]}
        if role == "crawler":
            data["crawler_id"] = f"crawler-{next(self._numbers)}"
        data.update(hello)
        return peer.request("hello", {name: value for name, value in data.items() if value is not None})

    # -- the web side

    def dial_http(self) -> HttpPeer:
        """Connect an HTTP client that says nothing yet."""
        peer = dial(self.clock, self.web.site)
        self.http_peers.append(peer)
        self.settle()
        return peer

    def http(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        json: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        peer: HttpPeer | None = None,
        stream: bool = False,
    ) -> Deferred[HttpAnswer]:
        """Send a request and let the server work; fire with its response.

        :param json: the body, as JSON with its content type.
        :param headers: further ones; an empty value leaves one of the usual ones out.
        :param peer: a connection to use; otherwise there is a new one.
        :param stream: fire when the head of the response is there; the body grows in the answer.
        """
        if json is not None:
            body = orjson.dumps(json)
        usual = {
            "Host": "localhost",
            "Authorization": "" if token is None else f"Bearer {token}",
            "Content-Type": "application/json" if json is not None else "",
            "Content-Length": str(len(body)) if body else "",
            **(headers or {}),
        }
        to_send = {name: value for name, value in usual.items() if value}
        answer = (peer or self.dial_http()).request(method, target, to_send, body, stream=stream)
        self.settle()
        return answer

    def _drop_http(self) -> None:
        for peer in self.http_peers:
            if peer.closed is None:
                peer.wire.abortConnection()
        self.settle()

    # -- the rest

    def _make_server(self) -> Server:
        self.hub = Hub(self.clock, self.store)
        server = Server(
            self.clock,
            self.store,
            self.settings,
            vault=self._vault,
            masker=self.masker,
            hub=self.hub,
            http=self._http,
            server_id="00000000-0000-4000-8000-000000000001",
            plugins=self._plugins,
            verify=True,
        )
        self.web = Web(self.clock, server, self.settings)
        return server

    def _start(self) -> None:
        server = self.server
        self.hub.start()
        server.sessions.start()
        server.dispatcher.start()
        server.health.start()
        for duty in server.duties.values():
            duty.start()
        self.web.gate.start()
        self.settle()

    def _stop(self) -> None:
        server = self.server
        self.web.gate.stop()
        for duty in server.duties.values():
            duty.stop()
        server.health.stop()
        server.dispatcher.stop()
        server.sessions.stop()
        Deferred.fromCoroutine(self.hub.stop())


@implementer(IProtocolFactory)
class _Switch:
    """The factory of whichever server the harness has at the moment of a connect."""

    def __init__(self, harness: WireHarness) -> None:
        self._harness = harness

    def doStart(self) -> None:
        """Do nothing."""

    def doStop(self) -> None:
        """Do nothing."""

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """Let the server make the protocol."""
        return self._harness.server.factory.buildProtocol(addr)
