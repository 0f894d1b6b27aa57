"""One connection, as the rest of the server knows it.

The law: a peer is told what arrived and asked to send; it never parses, and only its link touches a transport. All
that is remembered about a connection is here, bounded, and gone with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from crawlsock.server.traffic import Traffic
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import ErrorCode, Refusal
from crawlsock.wire.message import Message

if TYPE_CHECKING:
    from crawlsock.handlers.context import Context
    from crawlsock.server.peer_credentials import PeerCredentials
    from crawlsock.server.routes import Route

MAX_REPLIES_AWAITED = 10_000
"""Pushes that may wait for their ack at one time: more means that the peer acknowledges nothing."""


MAX_REPLY = 1024 * 1024
"""Bytes in a reply, the same that a peer may send."""


class PeerState(Enum):
    """Where a connection is in its life; it only ever moves down this list."""

    CONNECTED = "connected"
    READY = "ready"
    DRAINING = "draining"
    CLOSING = "closing"
    CLOSED = "closed"


class PeerLost(Exception):
    """The connection ended before the peer answered."""


class PeerTimeout(Exception):
    """The peer did not answer in time."""


class Link(Protocol):
    """What a peer needs of the protocol that carries it."""

    congested: bool
    """Whether bytes wait that the peer has not taken."""

    held: int
    """Not 0 while frames are kept back for some reason."""

    def write(self, data: bytes, *, push: bool = False) -> bool:
        """Write framed bytes; answer whether they were taken. A push is not, above the high-water mark."""

    def hold(self, why: int) -> None:
        """Deliver no more frames until released for the same reason."""

    def release(self, why: int) -> None:
        """End a hold."""

    def expect_hello(self) -> None:
        """Close unless hello comes in time."""

    def hello_came(self) -> None:
        """Wait for hello no more: what it asks for may take longer than saying it."""

    def authenticated(self) -> None:
        """Allow frames of full length; hello was good."""

    def close(self, reason: str) -> None:
        """Send what waits, then close; abort when that takes too long."""

    def abort(self, reason: str) -> None:
        """Close at once, losing what waits."""


class Peer:
    """A connection: who is at the other end, what it asked for, what it still owes an answer to.

    :param number: unique in this process, for logs.
    :param wake: called when the first ack of a turn waits, so that one timer flushes all connections.
    :param traffic: where everything that comes and goes is counted, shared by all peers of a server.
    """

    __slots__ = (
        "_awaited",
        "_clock",
        "_codec",
        "_next_id",
        "accounts",
        "acks",
        "allowance",
        "allowance_at",
        "beat_at",
        "connected_at",
        "context",
        "crawler_id",
        "credentials",
        "credits",
        "delivered",
        "detail",
        "dirty",
        "in_flight",
        "job_types",
        "labels",
        "last_id",
        "leaving",
        "link",
        "now",
        "number",
        "on_drained",
        "parked",
        "paused",
        "received",
        "refused",
        "role",
        "routes",
        "sent",
        "session_id",
        "state",
        "token_id",
        "token_name",
        "traffic",
        "transport",
        "wake",
    )

    def __init__(
        self,
        number: int,
        link: Link,
        codec: Codec,
        clock: IReactorTime,
        routes: Mapping[str, Route],
        wake: Callable[[Peer], None],
        credentials: PeerCredentials | None = None,
        transport: str = "unix",
        traffic: Traffic | None = None,
    ) -> None:
        self.number = number
        self.link = link
        self.routes = routes
        self.credentials = credentials
        self.transport = transport
        self.traffic = traffic or Traffic()
        self.context: Context | None = None
        self.state = PeerState.CONNECTED
        self.role: str | None = None
        self.session_id = ""
        self.crawler_id = ""
        self.token_id = ""
        self.token_name = ""
        self.accounts: frozenset[str] | None = None
        self.labels: frozenset[str] = frozenset()
        self.job_types: frozenset[str] | None = None
        self.detail: dict[str, Any] = {}
        self.paused = False
        self.leaving = False
        self.credits = 0
        self.delivered: set[tuple[str, str, str]] = set()
        self.connected_at = self.beat_at = self.now = clock.seconds()
        self.allowance = 0.0
        # Long ago, so that the bucket is full at first.
        self.allowance_at = self.now - 1e9
        self.last_id = 0
        self.in_flight = 0
        self.parked: Message | None = None
        self.on_drained: list[Callable[[], None]] = []
        self.received = self.sent = self.refused = 0
        self.acks: list[int] = []
        self.dirty = False
        self._clock = clock
        self._codec = codec
        self.wake = wake
        self._next_id = 0
        self._awaited: dict[int, tuple[Deferred[Message], IDelayedCall]] = {}

    def __repr__(self) -> str:
        return f"<{self.name} #{self.number} {self.state.value}>"

    @property
    def name(self) -> str:
        """Who this is, in words: the role, and the crawler id or the token's name."""
        return f"{self.role or 'stranger'}:{self.crawler_id or self.token_name or self.number}"

    @property
    def alive(self) -> bool:
        """Whether anything sent now may arrive."""
        return self.state not in (PeerState.CLOSING, PeerState.CLOSED)

    @property
    def wants_jobs(self) -> bool:
        """Whether the dispatcher may give it a job: it asked, it reads, nobody paused it, it is not leaving."""
        return self.credits > 0 and self.state is PeerState.READY and not self.paused and not self.link.congested

    def flush(self) -> None:
        """Write the acks that wait; those of one turn of the reactor leave together in one frame."""
        self.dirty = False
        acks = self.acks
        if not acks:
            return
        self.acks = []
        self.sent += 1
        self.traffic.out["ack"] += 1
        self.link.write(self._codec.encode_ack(acks))

    def reply(self, type: str, re: int, data: Mapping[str, Any]) -> None:
        """Answer a request with data; acks that waited go first, so that replies keep their order."""
        encoded = self._codec.encode(type, dict(data), re=re)
        if len(encoded) > MAX_REPLY:
            self.refuse(
                Refusal(
                    ErrorCode.INVALID_MESSAGE,
                    f"the answer would have {len(encoded)} bytes, more than a frame holds; ask for less",
                    "/data",
                ),
                re,
            )
            return
        self._send(type, encoded)

    def refuse(self, refusal: Refusal, re: int | None) -> None:
        """Answer a request, or bytes that were none, with a typed error."""
        self.refused += 1
        self.traffic.errors[refusal.code.value] += 1
        self._send("error", self._codec.encode("error", refusal.data(), re=re))

    def push(self, type: str, data: Mapping[str, Any], job_id: str | None = None, lease: str | None = None) -> bool:
        """Send what nobody asked for and nobody acknowledges; answer whether it was taken."""
        return self._send(type, self._codec.encode(type, dict(data), job_id=job_id, lease=lease), push=True)

    def request(
        self,
        type: str,
        data: Mapping[str, Any],
        *,
        deadline: float,
        job_id: str | None = None,
        lease: str | None = None,
    ) -> Deferred[Message]:
        """Send a push that the peer answers, and fire with the answer.

        Fails with `Refusal` when the peer answers ``error``, with `PeerTimeout` after `deadline` seconds, and with
        `PeerLost` when the connection ends first.
        """
        answer: Deferred[Message] = Deferred()
        self._next_id += 1
        id = self._next_id
        if len(self._awaited) >= MAX_REPLIES_AWAITED:
            answer.errback(PeerTimeout(f"{self.name} acknowledges nothing"))
            return answer
        encoded = self._codec.encode(type, dict(data), id=id, job_id=job_id, lease=lease)
        if not self._send(type, encoded, push=True):
            answer.errback(PeerLost(f"{self.name} does not read or is gone"))
            return answer
        timer = self._clock.callLater(deadline, self._overdue, id, deadline)
        self._awaited[id] = (answer, timer)
        return answer

    def answered(self, message: Message) -> bool:
        """Take an answer to requests sent before; answer False when there was nothing to answer."""
        ids: Sequence[int] = (message.re,) if isinstance(message.re, int) else (message.re or ())
        known = True
        for id in ids:
            waiting = self._awaited.pop(id, None)
            if waiting is None:
                known = False
                continue
            answer, timer = waiting
            timer.cancel()
            if message.type == "error":
                answer.errback(Refusal.from_data(message.data))
            else:
                answer.callback(message)
        return known

    def closed(self, reason: str) -> None:
        """Tell everybody who waits for this peer that it is gone."""
        self.state = PeerState.CLOSED
        self.credits = 0
        self.acks = []
        self.parked = None
        awaited, self._awaited = self._awaited, {}
        for answer, timer in awaited.values():
            timer.cancel()
            answer.errback(PeerLost(reason))

    def _overdue(self, id: int, deadline: float) -> None:
        answer, _ = self._awaited.pop(id)
        answer.errback(PeerTimeout(f"{self.name} did not answer within {deadline:g} s"))

    def _send(self, type: str, encoded: bytes, push: bool = False) -> bool:
        if self.acks:
            self.flush()
        if not self.link.write(encoded, push=push):
            return False
        self.sent += 1
        self.traffic.out[type] += 1
        return True
