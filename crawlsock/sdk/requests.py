"""
Requests: everything that was asked over a connection, until it is answered.

The law: whoever asks hears exactly once, the server's answer or an exception, whatever happens to the link. What
is said in one turn of the reactor leaves in one write, and this is the one place that writes after the greeting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from crawlsock.sdk.errors import NotAnswered, NotConnected, Refused
from crawlsock.sdk.hello import Welcome
from crawlsock.sdk.link import Link
from crawlsock.sdk.outbox import Done, Outbox, Request
from crawlsock.wire.codec import Codec
from crawlsock.wire.message import Message

PAUSE = 1.0
LONGEST_PAUSE = 30.0
NOT_NOW = frozenset({"unavailable", "rate_limited", "too_many_requests", "draining"})
"""Refusals that concern everything this peer might send: it holds its tongue for a while."""
TRY_AGAIN = NOT_NOW | {"queue_full", "internal"}
MOST_INTERNAL = 5
"""How often a request that the server stumbles over is sent again."""
WRITE_SIZE = 256 * 1024
PACE = 0.02
"""Seconds between looks at the rate limit, while it holds requests back."""


class Requests:
    """
    Send requests and hand their answers to whoever asked.

    :param turn_ends: called before every write, for what is to leave with it.
    :param limit: unanswered requests above which `room()` makes callers wait.
    """

    def __init__(
        self,
        clock: IReactorTime,
        codec: Codec,
        turn_ends: Callable[[], None],
        limit: int,
        random: Random,
    ) -> None:
        self.outbox = Outbox(limit)
        self.in_turn = False
        self._clock = clock
        self._codec = codec
        self._turn_ends = turn_ends
        self._random = random
        self._link: Link | None = None
        self._most = 0
        self._max_frame = 0
        self._costs = {name: kind.cost for name, kind in codec.catalog.types.items()}
        self._rate = 0.0
        self._budget = 0.0
        self._budget_at = 0.0
        self._acks: list[int] = []
        self._flush_call: IDelayedCall | None = None
        self._held: IDelayedCall | None = None
        self._room: list[Deferred[None]] = []
        self._ended: Exception | None = NotConnected("the connection was not started")

    @property
    def full(self) -> bool:
        return self.outbox.full

    @property
    def linked(self) -> bool:
        """Whether there is a link on which requests may leave."""
        return self._link is not None

    @property
    def clock(self) -> IReactorTime:
        return self._clock

    # Asking.

    def ask(
        self,
        type: str,
        data: dict[str, Any] | None = None,
        *,
        job_id: str | None = None,
        lease: str | None = None,
        deadline: float | None = None,
    ) -> Deferred[Message]:
        """
        Send a request, again after a lost link or a "not now", until there is an answer.

        :param deadline: seconds after which to give up; default: never.
        :returns: the reply. Fails with `Refused` (for good, or "not now" until the deadline), `NotAnswered` (deadline)
            or `NotConnected` (stopped).
        """
        answer: Deferred[Message] = Deferred(lambda _: self.outbox.give_up(request))

        def done(message: Message | None, error: Exception | None) -> None:
            if error is not None:
                answer.errback(error)
            elif message is not None:
                answer.callback(message)

        request = Request(type, data or {}, job_id, lease, done)
        if deadline is not None:
            answer.addBoth(keeping(self._clock.callLater(deadline, self._too_late, request, deadline)))
        self.send(request)
        return answer

    def send(self, request: Request) -> None:
        """Put a request on its way; its `done` hears of the answer."""
        if self._ended is not None:
            tell(request.done, None, self._ended)
            return
        self.outbox.put(request)
        self.touch()

    def ack(self, id: int) -> None:
        """Acknowledge a push, with whatever else leaves at the end of this turn."""
        self._acks.append(id)

    def room(self) -> Deferred[None]:
        """Give a Deferred that fires when there is room: await it before making many requests."""
        room: Deferred[None] = Deferred()
        if self.outbox.full and self._ended is None:
            self._room.append(room)
        else:
            room.callback(None)
        return room

    def touch(self) -> None:
        """See to it that what is to be said leaves at the end of this turn."""
        if not self.in_turn and self._flush_call is None and self._link is not None:
            self._flush_call = self._clock.callLater(0, self._flush_due)

    def flush(self) -> None:
        """Write everything that may be written now, in one piece as a rule."""
        link = self._link
        if link is None:
            return
        self.in_turn = True
        try:
            self._turn_ends()
            while parts := self._parts(link):
                link.write(b"".join(parts))
        finally:
            self.in_turn = False

    def _parts(self, link: Link) -> list[bytes]:
        """Encode as much as fits into one write, and may be in flight."""
        parts: list[bytes] = []
        if self._acks:
            acks, self._acks = self._acks, []
            parts.append(self._codec.encode_ack(acks))
        if self._held is not None or not link.ready:
            return parts
        if self._rate:
            self._refill()
        size = 0
        encode = self._codec.encode
        outbox = self.outbox
        waiting, in_flight, most = outbox.waiting, outbox.in_flight, self._most
        while waiting and len(in_flight) < most and size < WRITE_SIZE and self._budget > 0:
            request = outbox.take()
            if self._rate:
                self._budget -= self._costs.get(request.type, 1)
            try:
                frame = encode(request.type, request.data, id=request.id, job_id=request.job_id, lease=request.lease)
            except (TypeError, ValueError) as error:
                self._cannot(request, Refused("invalid_message", f"{request.type}: {error}"))
                continue
            if len(frame) > self._max_frame:
                sentence = f"{request.type} would have {len(frame)} bytes, the server takes {self._max_frame}"
                self._cannot(request, Refused("frame_too_large", f"{sentence}; send less at once"))
                continue
            size += len(frame)
            parts.append(frame)
        return parts

    def _refill(self) -> None:
        """Count what may be sent by now under the server's rate limit, and come back if that is nothing."""
        now = self._clock.seconds()
        self._budget = min(self._rate, self._budget + (now - self._budget_at) * self._rate)
        self._budget_at = now
        if self._budget <= 0 and self.outbox.waiting and self._flush_call is None:
            self._flush_call = self._clock.callLater(PACE, self._flush_due)

    def _cannot(self, request: Request, why: Refused) -> None:
        self.outbox.answered(request.id)
        tell(request.done, None, why)

    def _flush_due(self) -> None:
        self._flush_call = None
        self.flush()

    def _too_late(self, request: Request, deadline: float) -> None:
        self.outbox.give_up(request)
        why = "" if self._link is not None else ", and there is no connection"
        silence = NotAnswered(f"no answer to {request.type} in {deadline:g} seconds{why}")
        # The server did answer, with a "not now" each time: that tells the caller more.
        tell(request.done, None, request.refused or silence)

    # Answers.

    def acknowledged(self, message: Message) -> None:
        """Take in an `ack`, of one request or of many."""
        re = message.re
        in_flight = self.outbox.in_flight
        for id in re if isinstance(re, tuple) else (re,):
            request = in_flight.pop(id, None)  # type: ignore[arg-type]
            if request is not None and request.done is not None:
                request.done(message, None)

    def replied(self, ids: Iterable[int], message: Message) -> None:
        """Take in a reply with a body."""
        for id in ids:
            request = self.outbox.answered(id)
            if request is not None:
                tell(request.done, message, None)

    def refused(self, ids: Iterable[int], refused: Refused) -> None:
        """Take in an `error`: the end of a request, or a reason to send it again later."""
        for id in ids:
            request = self.outbox.answered(id)
            if request is None:
                continue
            again = request.keep and refused.code in TRY_AGAIN
            if again and (refused.code != "internal" or request.refusals < MOST_INTERNAL):
                self._later(request, refused)
            else:
                tell(request.done, None, refused)

    def turn_over(self) -> None:
        """End a turn in which frames came in."""
        while self._room and not self.outbox.full:
            self._room.pop(0).callback(None)
        self.flush()

    def _later(self, request: Request, refused: Refused) -> None:
        """Send a request again after a while; if nothing at all is wanted now, hold everything back."""
        self.outbox.put_aside(request, refused)
        least = PAUSE if refused.retry_after is None else min(refused.retry_after, LONGEST_PAUSE)
        delay = least + self._random.uniform(0, min(PAUSE, least))
        if refused.code not in NOT_NOW:
            self._clock.callLater(delay, self._once_more, request)
        elif self._held is None:
            self._held = self._clock.callLater(delay, self._go_on)

    def _go_on(self) -> None:
        self._held = None
        self.outbox.again()
        self.flush()

    def _once_more(self, request: Request) -> None:
        self.outbox.again(request)
        self.touch()

    # Links come and go.

    def started(self) -> None:
        """Take requests from now on; they leave when there is a link."""
        self._ended = None

    def opened(self, link: Link, welcome: Welcome) -> None:
        """Write to this link from now on."""
        self._link = link
        self._most = welcome.max_in_flight
        self._max_frame = welcome.max_frame
        # One second's worth may leave at once. Without a limit the budget never gets less.
        self._rate = welcome.requests_per_second
        self._budget = self._rate or 1.0
        self._budget_at = self._clock.seconds()

    def ask_no_more(self) -> None:
        """Send no request on this link any more: what is asked from now on waits for the next one."""
        self._most = 0

    def closed(self) -> None:
        """Line up again what is kept; what is not kept fails with `NotConnected`."""
        self._link = None
        self._acks = []
        self._drop_calls()
        for request in self.outbox.cut():
            tell(request.done, None, NotConnected("the link was lost"))

    def ended(self, reason: Exception) -> None:
        """Fail whatever is unanswered, and whatever is asked from now on."""
        self._link = None
        self._ended = reason
        self._drop_calls()
        left, self.outbox = list(self.outbox), Outbox(self.outbox.limit)
        for request in left:
            tell(request.done, None, reason)
        waiters, self._room = self._room, []
        for waiter in waiters:
            waiter.callback(None)

    def _drop_calls(self) -> None:
        calls = (self._flush_call, self._held)
        self._flush_call = self._held = None
        for call in calls:
            if call is not None and call.active():
                call.cancel()


def tell(done: Done | None, message: Message | None, error: Exception | None) -> None:
    """Let whoever asked hear of the answer."""
    if done is not None:
        done(message, error)


def keeping(call: IDelayedCall) -> Callable[[Any], Any]:
    """Make a callback that drops a deadline and passes the result on."""

    def keep(result: Any) -> Any:
        if call.active():
            call.cancel()
        return result

    return keep
