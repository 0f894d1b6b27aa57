"""Take jobs back from crawlers that are gone, by the database's clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore
    from crawlsock.store.values import Order

LONG_PAUSE: Final = 5.0
"""Seconds without a run, beyond the interval, after which this process is taken to have slept."""


class Keeper(Protocol):
    """What this needs of `crawlsock.server.sessions.SessionKeeper`."""

    def reap(self, session_ids: Sequence[str] | None = None) -> Awaitable[Sequence[Any]]:
        """Take back the jobs of sessions past their deadline."""

    def adopt(self) -> Awaitable[None]:
        """Give the crawlers of this server time to come back."""


class Reaper:
    """Reap sessions past their deadline, and take jobs that are stuck.

    Heartbeats cannot be recorded while the database is away, nor while this process does not run. After either, the
    deadlines have passed without anybody's fault: sessions are adopted first, and reaped from the next run on.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        keeper: Keeper,
        deliver: Callable[[Sequence[Order]], None],
        interval: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._store = store
        self._keeper = keeper
        self._deliver = deliver
        self._interval = interval
        self._away = False
        self._last: float | None = None

    async def run(self) -> None:
        """Reap once."""
        now = self._clock.seconds()
        slept = self._last is not None and now - self._last > self._interval() + LONG_PAUSE
        self._last = now
        if self._store.state != "up":
            self._away = True
            return
        try:
            if self._away or slept:
                await self._keeper.adopt()
                self._away = False
                return
            await self._keeper.reap()
            self._deliver(await self._store.stuck())
        except Refusal as refusal:
            self._away = True
            self._log.debug("Nothing could be reaped: {reason}", reason=str(refusal))
