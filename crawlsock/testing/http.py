"""An HTTP client for the harness: bytes in memory, answers taken apart, streams as they come.

For tests of what talks to the API, without a network::

    harness = WireHarness()
    answer = await harness.http("GET", "/api/v1/jobs", token=harness.token("monitor"))
    assert answer.status == 200 and answer.json() == {"jobs": []}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from crawlsock.testing.transport import MemoryTransport, connect

NO_BODY = frozenset({204, 304})


@define
class HttpAnswer:
    """One response. Of a stream, `body` grows as it comes.

    :ivar headers: values by lower-case name; several of one name are in a list of `raw_headers`.
    """

    status: int
    reason: str
    raw_headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Return the last value of each header, by lower-case name."""
        return dict(self.raw_headers)

    def json(self) -> Any:
        """Return the body as JSON."""
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode()


@define(eq=False)
class _Parts:
    """What is known of the response that is coming."""

    answer: HttpAnswer
    left: int | None
    chunked: bool
    chunk: int = 0
    buffer: bytearray = field(factory=bytearray)


class HttpPeer(Protocol):
    """The client's end of a connection: requests out, answers in their order.

    :ivar answers: every response whose head came.
    :ivar closed: why the connection ended, or None.
    """

    def __init__(self) -> None:
        self.answers: list[HttpAnswer] = []
        self.closed: str | None = None
        self.server_transport: MemoryTransport
        self._input = bytearray()
        self._current: _Parts | None = None
        self._heads: list[tuple[bool, Deferred[HttpAnswer]]] = []
        self._waiting: list[tuple[bool, Deferred[HttpAnswer]]] = []

    @property
    def wire(self) -> MemoryTransport:
        """This end's transport."""
        transport: Any = self.transport
        assert isinstance(transport, MemoryTransport)
        return transport

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, stream: bool = False
    ) -> Deferred[HttpAnswer]:
        """Send a request; fire with its response: when it is whole, or, for a stream, when its head is there."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        answer: Deferred[HttpAnswer] = Deferred()
        self.expect(method == "HEAD", answer, stream)
        self.wire.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return answer

    def expect(self, headless: bool, answer: Deferred[HttpAnswer], stream: bool = False) -> None:
        """Wait for a response; `headless` when it will have no body whatever its head says."""
        (self._heads if stream else self._waiting).append((headless, answer))

    def dataReceived(self, data: bytes) -> None:
        self._input += data
        while self._take():
            pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed = reason.getErrorMessage()
        if self._current is not None and self._current.left is None and not self._current.chunked:
            self._done()
        for waiting in (*self._waiting, *self._heads):
            waiting[1].errback(reason)
        self._waiting, self._heads = [], []

    def _take(self) -> bool:
        if self._current is None:
            end = self._input.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self._input[:end]).decode("latin-1").split("\r\n")
            del self._input[: end + 4]
            return self._begin(head)
        return self._take_chunk() if self._current.chunked else self._take_body(self._current)

    def _begin(self, head: list[str]) -> bool:
        _, status, reason = (*head[0].split(" ", 2), "")[:3]
        raw = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:])]
        answer = HttpAnswer(int(status), reason, raw)
        if answer.status == 100:
            return True
        self.answers.append(answer)
        length = answer.headers.get("content-length")
        chunked = answer.headers.get("transfer-encoding") == "chunked"
        headless = answer.status in NO_BODY or bool(self._waiting and self._waiting[0][0])
        left = 0 if headless else None if length is None else int(length)
        self._current = _Parts(answer, left, chunked and not headless)
        if self._heads:
            self._heads.pop(0)[1].callback(answer)
        return True

    def _take_body(self, parts: _Parts) -> bool:
        taken = bytes(self._input) if parts.left is None else bytes(self._input[: parts.left])
        parts.answer.body += taken
        del self._input[: len(taken)]
        if parts.left is not None:
            parts.left -= len(taken)
            if parts.left == 0:
                self._done()
                return bool(self._input)
        return False

    def _take_chunk(self) -> bool:
        parts = self._current
        assert parts is not None
        end = self._input.find(b"\r\n")
        if end < 0:
            return False
        size = int(bytes(self._input[:end]).split(b";")[0], 16)
        if len(self._input) < end + 2 + size + 2:
            return False
        parts.answer.body += bytes(self._input[end + 2 : end + 2 + size])
        del self._input[: end + 2 + size + 2]
        if size == 0:
            self._done()
        return bool(self._input)

    def _done(self) -> None:
        parts, self._current = self._current, None
        assert parts is not None
        parts.answer.complete = True
        if self._waiting:
            self._waiting.pop(0)[1].callback(parts.answer)


def dial(clock: IReactorTime, site: Any) -> HttpPeer:
    """Connect to a site in memory."""
    peer = HttpPeer()
    address: Any = None
    built: Any = site.buildProtocol(address)
    peer.server_transport = connect(clock, built, peer)[0]
    return peer
