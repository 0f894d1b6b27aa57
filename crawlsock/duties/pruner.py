"""Remove what nobody will ask for any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.config import Settings
from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

INTERVAL: Final = 300.0
"""Seconds between prunings."""


class Pruner:
    """Remove events and ended jobs that are older than the settings keep them.

    :param clock: tells seconds since 1970, as reactors do.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: IStore, settings: Callable[[], Settings]) -> None:
        self._clock = clock
        self._store = store
        self._settings = settings

    async def run(self) -> None:
        """Prune once."""
        settings = self._settings()
        now = datetime.fromtimestamp(self._clock.seconds(), timezone.utc)
        try:
            pruned = await self._store.prune(
                now - timedelta(seconds=settings.retention_events),
                now - timedelta(seconds=settings.retention_jobs),
            )
        except Refusal as refusal:
            self._log.debug("Nothing could be pruned: {reason}", reason=str(refusal))
            return
        if pruned.events or pruned.jobs:
            self._log.info("{events} events and {jobs} jobs were pruned", events=pruned.events, jobs=pruned.jobs)
