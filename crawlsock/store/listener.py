"""One connection that listens for NOTIFY, and comes back by itself.

The law of this module: a notification only wakes. Whoever listens reads the truth from rows, so after every
new connection (settings made, LISTEN repeated, in that order) each listener is told to read everything it
may have missed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from crawlsock.store.errors import DatabaseAway, DatabaseError
from crawlsock.store.pool import Link, reconnect_delay

PROBE_SECONDS: Final = 5.0
_DEADLINE: Final = 5.0
_DEAF_AFTER: Final = 2
_PROBE_CHANNEL: Final = "crawlsock_probe"


@frozen
class Notice:
    """What wakes a listener: a NOTIFY with its payload or, with `resync`, the order to read all anew."""

    channel: str
    payload: str
    resync: bool = False


class ListeningLink(Link, Protocol):
    """A connection that also says what it was notified of."""

    def when_notified(self, observer: Callable[[str, str], None]) -> None:
        """Call `observer` with channel and payload of each notification."""


class Listener:
    """Listen on channels; call back when something came, and once after every new connection.

    The way is probed by a NOTIFY to ourselves: a proxy that pools transactions swallows LISTEN without a
    word, and a connection can be dead without the kernel knowing.

    :param connect: makes a new connection, settings and all.
    :param token: makes this listener's probe channel its own.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        connect: Callable[[], Awaitable[ListeningLink]],
        *,
        jitter: Callable[[float, float], float],
        token: str,
    ) -> None:
        self._clock = clock
        self._connect = connect
        self._jitter = jitter
        self._probe_channel = f"{_PROBE_CHANNEL}_{token}"
        self._callbacks: dict[str, list[Callable[[Notice], None]]] = {}
        self._link: ListeningLink | None = None
        self._running = False
        self._attempt: Deferred[None] | None = None
        self._delay: IDelayedCall | None = None
        self._failures = 0
        self._probe: LoopingCall | None = None
        self._probe_sent: float | None = None
        self._probe_answered: float | None = None
        self._silent = 0
        self.round_trip: float | None = None
        self.reconnects = 0

    @property
    def round_trip_age(self) -> float | None:
        """Seconds since a NOTIFY to ourselves last came back; None when none ever did."""
        if self._probe_answered is None:
            return None
        return self._clock.seconds() - self._probe_answered

    @property
    def connected(self) -> bool:
        """Whether there is a connection that listens."""
        return self._link is not None

    @property
    def deaf(self) -> bool:
        """Whether we send probes on a connection that lives, and none comes back: a proxy in between pools
        transactions, and LISTEN does not work."""
        return self._link is not None and self._silent > _DEAF_AFTER

    @property
    def works(self) -> bool:
        """Whether notifications arrive, by the last probe; if not, everybody has to poll."""
        age = self.round_trip_age
        return self._link is not None and age is not None and age < 2 * PROBE_SECONDS + _DEADLINE

    def listen(self, channel: str, callback: Callable[[Notice], None]) -> None:
        """Call `callback` for each notification on `channel`. It must be cheap: set a flag, no more."""
        new = channel not in self._callbacks
        self._callbacks.setdefault(channel, []).append(callback)
        if self._link is not None:
            if new:
                Deferred.fromCoroutine(self._listen_late(self._link, channel))
            else:
                self._call(callback, Notice(channel, "", resync=True))

    def start(self) -> None:
        """Begin to connect. Twice is once."""
        if not self._running:
            self._running = True
            self._open()

    def stop(self) -> None:
        """Close the connection and stay away. Twice is once."""
        self._running = False
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        if self._attempt is not None:
            self._attempt.cancel()
        if self._link is not None:
            self._link.close("crawlsock is stopping")

    def _open(self) -> None:
        self._delay = None
        attempt = self._attempt = Deferred.fromCoroutine(self._try())
        attempt.addBoth(self._attempt_ended)

    def _attempt_ended(self, _: object) -> None:
        self._attempt = None

    async def _try(self) -> None:
        link: ListeningLink | None = None
        try:
            link = await self._connect()
            link.when_notified(self._notified)
            await self._listen_to_all(link)
            if not link.alive:
                raise DatabaseAway("the connection was lost while it began to listen")
        except Exception as error:
            # Every kind of failure, an unexpected one as well, ends in another attempt: a deaf server is no
            # use.
            if link is not None:
                link.close("listening failed")
            if self._running:
                if self._failures == 0:
                    self._log.warn("listening to the database failed: {reason}", reason=str(error))
                self._failures += 1
                self._again(reconnect_delay(self._failures, self._jitter))
            return
        if not self._running:
            link.close("crawlsock is stopping")
            return
        self._failures = 0
        self._link = link
        link.when_lost(self._lost)
        self._resync(self._callbacks)
        self._start_probing(link)

    async def _listen_late(self, link: ListeningLink, channel: str) -> None:
        try:
            await self._listen(link, channel)
        except DatabaseError as error:
            link.close(f"LISTEN failed: {error}")  # the next connection listens to all of them
            return
        self._resync((channel,))

    async def _listen_to_all(self, link: ListeningLink) -> None:
        # Again and again, because channels may be added while one of them is under way.
        listening: set[str] = set()
        while missing := {self._probe_channel, *self._callbacks} - listening:
            for channel in missing:
                await self._listen(link, channel)
            listening |= missing

    async def _listen(self, link: ListeningLink, channel: str) -> None:
        quoted = channel.replace('"', '""')
        await link.execute(f'LISTEN "{quoted}"', None, deadline=_DEADLINE, writes=False)

    def _resync(self, channels: Iterable[str]) -> None:
        for channel in list(channels):
            for callback in list(self._callbacks[channel]):
                self._call(callback, Notice(channel, "", resync=True))

    def _notified(self, channel: str, payload: str) -> None:
        if channel == self._probe_channel:
            self._probe_answered = self._clock.seconds()
            self._silent = 0
            if self._probe_sent is not None:
                self.round_trip = self._probe_answered - self._probe_sent
            return
        for callback in list(self._callbacks.get(channel, ())):
            self._call(callback, Notice(channel, payload))

    def _call(self, callback: Callable[[Notice], None], notice: Notice) -> None:
        try:
            callback(notice)
        except Exception:
            self._log.failure("a listener on {channel} failed", channel=notice.channel)

    def _start_probing(self, link: ListeningLink) -> None:
        self._silent = 0
        probe = self._probe = LoopingCall(lambda: Deferred.fromCoroutine(self._send_probe(link)))
        probe.clock = self._clock
        probe.start(PROBE_SECONDS, now=True)

    async def _send_probe(self, link: ListeningLink) -> None:
        # A proxy in between would let this statement pass and never deliver; `works` tells. Only a
        # statement that does not come back proves the connection dead, and then its deadline closes it.
        self._probe_sent = self._clock.seconds()
        self._silent += 1
        with suppress(DatabaseError):
            await link.execute("SELECT pg_notify(%s, '')", (self._probe_channel,), deadline=_DEADLINE, writes=False)

    def _lost(self) -> None:
        self._link = None
        if self._probe is not None and self._probe.running:
            self._probe.stop()
        if self._running:
            self.reconnects += 1
            self._again(0.0)

    def _again(self, seconds: float) -> None:
        self._delay = self._clock.callLater(seconds, self._open)
