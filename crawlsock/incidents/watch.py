"""Look for incidents, on every server; the store sees to it that none is opened twice.

The law: this asks the store, hands what it saw to the rules, and records what they say. The one thing that the store
cannot see is that it was away: that is held in memory until it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.config import Settings
from crawlsock.incidents.rules import Limits, database_lost, examine, told
from crawlsock.store.records_values import Finding
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore


class IncidentWatch:
    """Open, count up and close incidents.

    :param channels: by which people are told.
    :param notified: called when there is something in the outbox.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        settings: Callable[[], Settings],
        channels: Callable[[], Sequence[str]],
        notified: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._store = store
        self._settings = settings
        self._channels = channels
        self._notified = notified
        self._away_since: float | None = None
        self._back_at: float | None = None

    async def run(self) -> None:
        """Look once; the duty."""
        if self._store.state != "up":
            self._gone()
            return
        try:
            await self._look()
        except Refusal as refusal:
            if refusal.code is ErrorCode.UNAVAILABLE and self._store.state != "up":
                self._gone()
            self._log.debug("It could not be looked for incidents: {reason}", reason=str(refusal))

    def _gone(self) -> None:
        """Remember since when the store is away, and learn when it is back."""
        if self._away_since is None or self._back_at is not None:
            self._away_since = self._away_since if self._away_since is not None else self._clock.seconds()
            self._back_at = None
            self._store.when_up().addCallbacks(self._returned, lambda _: None)

    def _returned(self, _: object) -> None:
        self._back_at = self._clock.seconds()

    async def _look(self) -> None:
        settings = self._settings()
        limits = Limits(
            settings.incident_window,
            settings.incident_threshold,
            settings.incident_feed_behind,
            settings.notify_from,
        )
        seen = await self._store.watch(limits.window, limits.threshold, settings.incident_stalled_after)
        verdict = examine(seen, limits)
        findings = [*verdict.findings, *self._absence(settings)]
        if findings or verdict.over:
            recorded = await self._store.record_incidents(
                findings, verdict.over, self._channels(), settings.incident_cool_down
            )
            if recorded.opened or recorded.closed:
                self._log.info(
                    "{opened} incidents were opened and {closed} closed",
                    opened=recorded.opened,
                    closed=recorded.closed,
                )
            if recorded.notified:
                self._notified()
        self._away_since = self._back_at = None

    def _absence(self, settings: Settings) -> list[Finding]:
        if self._away_since is None:
            return []
        now = self._clock.seconds()
        away = (self._back_at if self._back_at is not None else now) - self._away_since
        return [told(database_lost(away), settings.notify_from)] if away >= settings.incident_database_away else []
