"""A scripted server without a network: it speaks the real wire, and does what a test tells it."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec
from crawlsock.wire.message import Message
from crawlsock.wire.netstring import NetstringParser

CATALOG = Catalog.load()
CODEC = Codec(CATALOG, verify=True)
JOB = "0d9488c2-7f3e-4a52-9c7e-{:012d}"
SHUTDOWN = {"graceful": True, "deadline": 10, "reason": "restart", "reconnect_delay": 2.5}


class FakeTransport(StringTransport):
    """The client's end of a link; counts writes, and reports a lost link when told to."""

    protocol: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.gone = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        if not self.gone:
            self.writes += 1
            super().write(data)

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.cut(ConnectionAborted())

    def cut(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason))


@implementer(IStreamClientEndpoint)
class FakeServer:
    """
    Be the endpoint and the server behind it.

    :ivar heard: every message the client sent, in order, over all links.
    :ivar rules: what to do with a request, by type; the default acknowledges.
    :ivar unreachable: exceptions with which the next connects fail.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.heard: list[Message] = []
        self.hellos: list[Message] = []
        self.attempts: list[float] = []
        self.unreachable: deque[Exception] = deque()
        self.transport: FakeTransport | None = None
        self.welcome: dict[str, Any] = {}
        self.refuse_hello: deque[dict[str, Any]] = deque()
        self.rules: dict[str, Callable[[Message], None]] = {}
        self.silent: set[str] = set()
        self.cut_bytes: int | None = None
        self.ids = 0
        self._parser = NetstringParser(1 << 20)
        self._out: list[bytes] = []

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        self.attempts.append(self.clock.seconds())
        if self.unreachable:
            return fail(self.unreachable.popleft())
        protocol = factory.buildProtocol(None)  # type: ignore[arg-type]
        assert protocol is not None
        transport = self.transport = FakeTransport()
        transport.protocol = protocol
        self._parser = NetstringParser(1 << 20)
        self._out = []
        protocol.makeConnection(transport)
        return succeed(protocol)

    @property
    def link(self) -> FakeTransport:
        assert self.transport is not None
        return self.transport

    def say(self, type: str, data: dict[str, Any] | None = None, **envelope: Any) -> None:
        """Queue a message for the client; `turn()` delivers it."""
        self._out.append(CODEC.encode(type, data, **envelope))

    def push(self, type: str, data: dict[str, Any] | None = None, **envelope: Any) -> int:
        """Queue a push that wants an ack; returns its id."""
        self.ids += 1
        self.say(type, data, id=self.ids, **envelope)
        return self.ids

    def refuse(self, message: Message, code: str, **more: Any) -> None:
        self.say("error", {"code": code, "message": f"no: {code}", **more}, re=message.id)

    def assign(self, number: int, lease: str | None = None, **fields: Any) -> tuple[str, str]:
        """Queue an assignment of job number so-and-so; returns its id and lease."""
        job_id, lease = JOB.format(number), lease or f"lease-{number}"
        self.say("job_assignment", assignment(**fields), job_id=job_id, lease=lease)
        return job_id, lease

    def turn(self) -> None:
        """Let everything that is due now happen, on both sides, until nothing moves any more."""
        for _ in range(100):
            self.clock.advance(0)
            moved = self._listen()
            transport = self.transport
            if transport is not None and not transport.gone:
                if self._out:
                    out, self._out = b"".join(self._out), []
                    moved = True
                    size = self.cut_bytes or len(out)
                    for start in range(0, len(out), size):
                        if not transport.gone:
                            transport.protocol.dataReceived(out[start : start + size])
                if transport.disconnecting and not transport.gone:
                    moved = True
                    self._listen()
                    transport.cut(ConnectionDone())
            if not moved:
                return
        raise AssertionError("the two never come to rest")

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass in small steps, with turns between."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            self.clock.advance(min(step, end - self.clock.seconds()))
            self.turn()

    def drop(self) -> None:
        """Lose the link; what the client wrote and the server has not read is lost with it."""
        link = self.link
        link.clear()
        self._out = []
        link.cut(ConnectionLost())

    def types(self) -> list[str]:
        return [message.type for message in self.heard]

    def of(self, type: str) -> list[Message]:
        return [message for message in self.heard if message.type == type]

    def _listen(self) -> bool:
        transport = self.transport
        if transport is None or transport.gone or not transport.value():
            return False
        self._parser.feed(transport.value())
        transport.clear()
        for frame in self._parser.frames():
            self._hear(CODEC.decode(frame))
        return True

    def _hear(self, message: Message) -> None:
        if message.type == "hello":
            self._greet(message)
            return
        self.heard.append(message)
        if message.type in ("ack", "error") or message.type in self.silent:
            return
        rule = self.rules.get(message.type)
        if rule is not None:
            rule(message)
        elif message.type == "job_request":
            self.say("job_response", {"jobs": []}, re=message.id)
        else:
            self.say("ack", re=message.id)

    def _greet(self, hello: Message) -> None:
        self.hellos.append(hello)
        if self.refuse_hello:
            self.say("error", self.refuse_hello.popleft(), re=hello.id)
            return
        resume = hello.data.get("resume")
        body: dict[str, Any] = {
            "version": 1,
            "features": [],
            "session_id": f"s-{len(self.hellos)}",
            "resumed": resume is not None,
            "leases_kept": resume.get("leases", []) if resume else [],
            "leases_lost": [],
            "heartbeat_interval": 10,
            "lease_length": 30,
            "progress_interval": 1,
            "limits": {"max_frame": 1 << 20, "max_in_flight": 100, "requests_per_second": 0},
            "server_time": "2026-11-23T10:15:30Z",
            "server": {"name": "fake", "version": "0", "server_id": "x"},
            **self.welcome,
        }
        if hello.data["role"] == "crawler":
            body.setdefault("ticket", f"ticket-{len(self.hellos)}")
        self.say("welcome", body, re=hello.id)


def assignment(**fields: Any) -> dict[str, Any]:
    return {
        "type": "crawl",
        "attempt": 1,
        "account": "team",
        "priority": 0,
        "root_id": JOB.format(1),
        **fields,
    }


def busy() -> ConnectError:
    return ConnectError(errno.EAGAIN, "Resource temporarily unavailable")


def absent() -> ConnectError:
    return ConnectError(errno.ENOENT, "No such file or directory")
