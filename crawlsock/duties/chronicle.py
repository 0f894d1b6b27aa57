"""Write down what happened in each minute."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.wire.errors import Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

INTERVAL: Final = 2.0
"""Seconds between entries."""
KEPT: Final = timedelta(hours=6)
"""How long entries are kept; charts show an hour."""


class Chronicle:
    """Keep what this server saw happen, added to what is recorded of those minutes.

    Also a part of the lifecycle: stopping it writes what is left. What the store does not take stays for the next time.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: IStore, server_id: str) -> None:
        self._clock = clock
        self._store = store
        self._server_id = server_id

    async def run(self) -> None:
        """Write once, if anything happened."""
        minutes = self._store.seen.take()
        if not minutes:
            return
        before = datetime.fromtimestamp(self._clock.seconds(), timezone.utc) - KEPT
        try:
            await self._store.add_activity(minutes, self._server_id, before)
        except Refusal as refusal:
            self._store.seen.put_back(minutes)
            self._log.debug("What happened could not be written down: {reason}", reason=str(refusal))

    def start(self) -> None:
        """Do nothing: the duty begins by itself."""

    async def stop(self) -> None:
        """Write what is left."""
        await self.run()
