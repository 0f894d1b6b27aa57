"""``GET /api/v1/events``: the feed as server-sent events.

The law: who may see what is decided before the first byte, by the rules of the socket's `subscribe`; afterwards a
stream only ends. The number of streams is bounded, for one caller and for all, and no stream outlives the token that
opened it, the server's stay, or the client's interest.
"""

from __future__ import annotations

import random as dice
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from crawlsock.config import Settings
from crawlsock.feed.filter import Filter
from crawlsock.store.values import rfc3339
from crawlsock.web import sse
from crawlsock.web.problems import Problem
from crawlsock.web.resource import Answer, WebResource
from crawlsock.web.safety import accepts
from crawlsock.web.stream import TOO_SLOW, Stream
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.server.calls import Caller
    from crawlsock.server.feeds import Hub
    from crawlsock.store.interface import IStore
    from crawlsock.web.site import WebRequest

PING_SECONDS: Final = 10.0
STOPPING: Final = "stopping"
_ROLES: Final = frozenset({"webapp", "monitor", "admin"})
_PARAMETERS: Final = ("job_id", "root_id", "account", "kinds", "position")
_RETRY: Final = 1.0
_RETURNS_A_SECOND: Final = 100
_LONGEST_RETRY: Final = 30.0


class Gate(Protocol):
    """What this needs of `crawlsock.web.gate.Gate`."""

    def identify(self, request: Any) -> Deferred[Caller]:
        """Fire with who asks."""

    def watch(self, caller: Caller, ended: Callable[[str], None]) -> Callable[[], None]:
        """Call back when the caller may no longer look on; return what ends the watch."""


class EventStream(WebResource):
    """Answer with a stream of events.

    :param codec: holds what is asked to the schema of ``subscribe``.
    :param settings: gives the settings at the moment of use.
    :param random: between 0 and 1; spreads the clients that come back.
    :ivar dropped: how many streams ended because the client took nothing.
    """

    isLeaf = True

    def __init__(
        self,
        clock: Any,
        hub: Hub,
        store: IStore,
        gate: Gate,
        codec: Codec,
        settings: Callable[[], Settings],
        *,
        random: Callable[[], float] = dice.random,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._store = store
        self._gate = gate
        self._codec = codec
        self._settings = settings
        self._random = random
        self._channels = hub.channels(sse.delivery)
        self._streams: dict[Stream, Callable[[], None]] = {}
        self._held: dict[str, int] = {}
        self._stopping = False
        self._pinging = LoopingCall(self._ping)
        self._pinging.clock = clock
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._streams)

    def start(self) -> None:
        """Take streams, also after a stop."""
        self._stopping = False

    def stop(self) -> None:
        """End all streams, and take no more. Clients are asked to come back at different times. Twice is once."""
        self._stopping = True
        spread = min(_LONGEST_RETRY, len(self._streams) / _RETURNS_A_SECOND)
        for stream in list(self._streams):
            stream.end(STOPPING, _RETRY + self._random() * spread)

    async def get(self, request: WebRequest) -> Answer | None:
        """Begin a stream, or refuse it."""
        caller = await self._gate.identify(request)
        if caller.role not in _ROLES:
            raise Refusal(ErrorCode.FORBIDDEN, f"the role {caller.role} may not follow the feed")
        if not accepts(request.getHeader("Accept"), sse.MEDIA_TYPE):
            raise Problem("not_acceptable", f"this address answers with {sse.MEDIA_TYPE}")
        wanted, position = self._asked(request)
        filter = Filter.of(wanted, caller.accounts)
        await self._check_sight(caller, wanted)
        if request.method == b"HEAD":
            return Answer(content_type=sse.MEDIA_TYPE)
        owner = self._take_place(caller)
        try:
            if position is None:
                position = await self._channels.begin(filter)
            else:
                await self._check_position(filter, position)
        except BaseException:
            self._give_back(owner)
            raise
        self._begin(request, caller, owner, filter, position)
        return None

    # -- what is asked

    def _asked(self, request: WebRequest) -> tuple[dict[str, Any], str | None]:
        """Return the filter and the position, as the schema of ``subscribe`` wants them."""
        wanted: dict[str, Any] = {}
        query: Mapping[bytes, list[bytes]] = request.args or {}
        for raw, values in query.items():
            name = raw.decode("utf-8", "replace")
            if name not in _PARAMETERS:
                known = ", ".join(_PARAMETERS)
                raise _invalid(name[:64], f"there is no parameter {name[:64]} here; there are: {known}")
            if name == "kinds":
                wanted[name] = [each for value in values for each in _text(name, value).split(",") if each]
            elif len(values) > 1:
                raise _invalid(name, f"{name} is given more than once")
            else:
                wanted[name] = _text(name, values[0])
        position = wanted.pop("position", None)
        last = request.getHeader("Last-Event-ID")
        # A browser that comes back says more than its page knew when it first came.
        position = last or position
        data = {"filter": wanted} if position is None else {"filter": wanted, "position": position}
        try:
            self._codec.decode(orjson.dumps({"type": "subscribe", "id": 1, "data": data}))
        except Refusal as refusal:
            parts = (refusal.pointer or "").split("/")
            name = next((each for each in parts if each in _PARAMETERS), "kinds")
            raise _invalid(name, refusal.message.removeprefix("data.").removeprefix("filter.")) from None
        return wanted, position

    async def _check_position(self, filter: Filter, position: str) -> None:
        """Refuse a position that no store gave, while it can still be said."""
        try:
            await self._channels.check(filter, position)
        except Refusal as refusal:
            if refusal.code is ErrorCode.INVALID_MESSAGE:
                raise _invalid("position", refusal.message) from None
            raise

    async def _check_sight(self, caller: Caller, wanted: Mapping[str, Any]) -> None:
        """Refuse what the caller may not see, in the words for what is not there."""
        if caller.accounts is None:
            return
        account = wanted.get("account")
        if account is not None and account not in caller.accounts:
            raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, f"there is no account {account}")
        for name in ("job_id", "root_id"):
            if name in wanted:
                job = await self._store.job(wanted[name], frozenset())
                if job.account not in caller.accounts:
                    raise Refusal(ErrorCode.UNKNOWN_JOB, f"there is no job {wanted[name]}")

    # -- places

    def _take_place(self, caller: Caller) -> str:
        """Count a stream before it begins: many may be on their way at once."""
        if self._stopping:
            raise Refusal(ErrorCode.DRAINING, "the server is leaving", retry_after=_RETRY)
        settings = self._settings()
        owner = caller.token_id or caller.key or caller.name
        if sum(self._held.values()) >= settings.http_max_streams:
            raise Refusal(
                ErrorCode.TOO_MANY_REQUESTS, "there are as many event streams as there may be", retry_after=5.0
            )
        if self._held.get(owner, 0) >= settings.http_max_streams_per_caller:
            raise Refusal(
                ErrorCode.TOO_MANY_REQUESTS,
                "this token has as many event streams as it may have; close one",
                retry_after=5.0,
            )
        self._held[owner] = self._held.get(owner, 0) + 1
        return owner

    def _give_back(self, owner: str) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    def _begin(self, request: WebRequest, caller: Caller, owner: str, filter: Filter, position: str) -> None:
        def over(stream: Stream, reason: str) -> None:
            unwatch = self._streams.pop(stream)
            unwatch()
            self._give_back(owner)
            self.dropped += reason == TOO_SLOW
            if not self._streams and self._pinging.running:
                self._pinging.stop()

        if request._disconnected or self._stopping:
            self._give_back(owner)
            if self._stopping and not request._disconnected:
                raise Refusal(ErrorCode.DRAINING, "the server is leaving", retry_after=_RETRY)
            return
        stream = Stream(self._clock, request, over)
        self._streams[stream] = lambda: None
        # A little apart, so that a server that dies is not met by all of its viewers in one moment.
        spread = min(_LONGEST_RETRY, len(self._streams) / _RETURNS_A_SECOND)
        at = rfc3339(datetime.fromtimestamp(self._clock.seconds(), timezone.utc))
        stream.begin(self._channels, filter, position, at, _RETRY + self._random() * spread)
        if not stream.ended:
            self._streams[stream] = self._gate.watch(caller, stream.end)
            if not self._pinging.running:
                self._pinging.start(PING_SECONDS, now=False)

    def _ping(self) -> None:
        for stream in list(self._streams):
            stream.ping()


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _invalid(name, f"{name} is not UTF-8") from None


def _invalid(name: str, detail: str) -> Problem:
    return Problem("invalid_parameter", detail, extra={"parameter": name})
