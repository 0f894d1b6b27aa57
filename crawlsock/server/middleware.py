"""What runs around every handler of the server: who may, how often, how it went.

The law: middleware decides per role and message type at start, and per message only what depends on the message.
Each class here is one concern and knows no other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from crawlsock.handlers.context import Context
from crawlsock.interfaces import After, Before, IMiddleware
from crawlsock.tally import Histogram
from crawlsock.wire.catalog import MessageType
from crawlsock.wire.errors import ErrorCode, Refusal
from crawlsock.wire.message import Message

_HELLO: Final = "hello"
# Whoever leaves must still be able to say what became of the jobs in hand.
_TAKES_SOMETHING_NEW: Final = frozenset({"hello", "job_submit", "job_request", "subscribe"})


@implementer(IMiddleware)
class Authentication:
    """Let nobody do anything before hello, and nobody say hello twice."""

    def before(self, role: str | None, message_type: MessageType) -> Before | None:
        """Refuse what comes before hello, and a second hello unless the session has expired."""
        if role is None:
            return None if message_type.name == _HELLO else self._refuse_stranger
        return self._refuse_second if message_type.name == _HELLO else None

    def after(self, role: str | None, message_type: MessageType) -> After | None:
        """Do nothing."""
        return None

    @staticmethod
    def _refuse_stranger(context: Context, message: Message) -> None:
        raise Refusal(ErrorCode.NOT_AUTHENTICATED, f"say hello before {message.type}", "/type")

    @staticmethod
    def _refuse_second(context: Context, message: Message) -> None:
        # A crawler whose session has ended says hello again, on the connection that it has.
        if context.peer.role != "crawler" or context.peer.session_id:
            raise Refusal(ErrorCode.INVALID_STATE, "this connection has said hello already", "/type")


@implementer(IMiddleware)
class Roles:
    """Let each role send what the schemas allow it."""

    def before(self, role: str | None, message_type: MessageType) -> Before | None:
        """Refuse a type that the role may not send."""
        if role is None or message_type.name == _HELLO or role in message_type.requests_from:
            return None
        allowed = ", ".join(sorted(message_type.requests_from))

        def refuse(context: Context, message: Message) -> None:
            raise Refusal(ErrorCode.FORBIDDEN, f"a {role} may not send {message.type}; allowed are: {allowed}", "/type")

        return refuse

    def after(self, role: str | None, message_type: MessageType) -> After | None:
        """Do nothing."""
        return None


@define
class _Bucket:
    allowance: float
    at: float


@implementer(IMiddleware)
class RateLimit:
    """Let one peer send so many requests a second for long, and so many at once: a token bucket a connection.

    Hellos have one bucket for the whole server, because each costs a look into the database.

    :param rates: gives (requests a second, requests at once), and the same for hellos, at the moment of use.
    """

    def __init__(
        self,
        clock: IReactorTime,
        rate: Callable[[], tuple[float, float]],
        hellos: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._rate = rate
        self._hellos = hellos
        self._hello_bucket = _Bucket(hellos(), clock.seconds())

    def before(self, role: str | None, message_type: MessageType) -> Before | None:
        """Charge the message's cost."""
        if message_type.name == _HELLO:
            return self._charge_hello
        cost = message_type.cost
        rate = self._rate

        def charge(context: Context, message: Message) -> None:
            peer = context.peer
            # The common case is one subtraction; time is looked at only when the bucket seems empty.
            left = peer.allowance - cost  # type: ignore[attr-defined]
            if left < 0:
                per_second, burst = rate()
                now = peer.now  # type: ignore[attr-defined]
                left += (now - peer.allowance_at) * per_second  # type: ignore[attr-defined]
                peer.allowance_at = now  # type: ignore[attr-defined]
                if left > burst - cost:
                    left = burst - cost
                if left < 0:
                    peer.allowance = left + cost  # type: ignore[attr-defined]
                    raise Refusal(
                        ErrorCode.RATE_LIMITED,
                        f"more than {per_second:g} requests a second",
                        retry_after=max(0.001, round(-left / per_second, 3)),
                    )
            peer.allowance = left  # type: ignore[attr-defined]

        return charge

    def after(self, role: str | None, message_type: MessageType) -> After | None:
        """Do nothing."""
        return None

    def _charge_hello(self, context: Context, message: Message) -> None:
        bucket, per_second, now = self._hello_bucket, self._hellos(), self._clock.seconds()
        bucket.allowance = min(per_second, bucket.allowance + (now - bucket.at) * per_second)
        bucket.at = now
        if bucket.allowance < 1:
            wait = (1 - bucket.allowance) / per_second
            raise Refusal(
                ErrorCode.RATE_LIMITED, "too many peers say hello at once", retry_after=max(0.001, round(wait, 3))
            )
        bucket.allowance -= 1


@implementer(IMiddleware)
class Draining:
    """Take nothing new while the server leaves.

    :param draining: gives the seconds until the server is back, or None while it stays.
    """

    def __init__(self, draining: Callable[[], float | None]) -> None:
        self._draining = draining

    def before(self, role: str | None, message_type: MessageType) -> Before | None:
        """Refuse what begins something."""
        return self._refuse if message_type.name in _TAKES_SOMETHING_NEW else None

    def after(self, role: str | None, message_type: MessageType) -> After | None:
        """Do nothing."""
        return None

    def _refuse(self, context: Context, message: Message) -> None:
        back = self._draining()
        if back is not None:
            raise Refusal(ErrorCode.DRAINING, "this server is leaving; connect again", retry_after=back)


@implementer(IMiddleware)
class RequestLog:
    """Log refusals, at level debug."""

    _log = Logger()

    def before(self, role: str | None, message_type: MessageType) -> Before | None:
        """Do nothing."""
        return None

    def after(self, role: str | None, message_type: MessageType) -> After | None:
        """Log how a request ended."""
        return self._ended

    def _ended(self, context: Context, message: Message, refusal: Refusal | None, seconds: float) -> None:
        if refusal is None:
            return
        self._log.debug(
            "{peer} was refused {type}: {code}: {reason}",
            peer=context.peer.name,
            type=message.type,
            job_id=message.job_id,
            code=refusal.code.value,
            reason=refusal.message,
            seconds=seconds,
        )


REQUEST_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds that a request may take; most are answered by the next commit, and a commit takes some milliseconds."""


@define
class RequestStatistics:
    """How the requests of one type from one role went: `slowest` is the longest that one took, in seconds."""

    role: str
    type: str
    took: Histogram = field(factory=lambda: Histogram(REQUEST_BOUNDS))
    slowest: float = 0.0
    refused: dict[str, int] = field(factory=dict)

    @property
    def count(self) -> int:
        """How many there were."""
        return self.took.count


@implementer(IMiddleware)
class Timing:
    """Count requests and add up how long they took, from the frame to the decision of the answer."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], RequestStatistics] = {}

    @property
    def rows(self) -> Mapping[tuple[str, str], RequestStatistics]:
        """The statistics by role and message type; types that nobody has sent yet are there with zeros."""
        return self._rows

    def before(self, role: str | None, message_type: MessageType) -> Before | None:
        """Do nothing."""
        return None

    def after(self, role: str | None, message_type: MessageType) -> After | None:
        """Count the request."""
        key = (role or "stranger", message_type.name)
        row = self._rows.setdefault(key, RequestStatistics(*key))
        took = row.took
        bounds, counts = took.bounds, took.counts

        def count(context: Context, message: Message, refusal: Refusal | None, seconds: float) -> None:
            # `Histogram.observe`, without the call: this is paid for every message.
            counts[bisect_left(bounds, seconds)] += 1
            took.total += seconds
            if seconds > row.slowest:
                row.slowest = seconds
            if refusal is not None:
                code = refusal.code.value
                row.refused[code] = row.refused.get(code, 0) + 1

        return count
