"""What ends when a token does.

The law: a token that was revoked, on whichever server, or whose time is over, closes the connections that were made
with it. The server that is told closes them at once; the others look every `INTERVAL` seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from crawlsock.server.pool import ConnectionPool
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

INTERVAL: Final = 2.0
"""Seconds between two looks; with the time that a look takes, well below five."""

Observer = Callable[[str], None]


class Revocations:
    """Close the connections of tokens that have ended, and tell observers."""

    _log = Logger()

    def __init__(self, store: IStore, pool: ConnectionPool) -> None:
        self._store = store
        self._pool = pool
        self._observers: list[Observer] = []

    def observe(self, observer: Observer) -> None:
        """Call `observer` with the id of a token that has ended."""
        self._observers.append(observer)

    def token_ended(self, token_id: str, reason: str) -> None:
        """Close the connections that were made with a token. Again does nothing more."""
        refusal = Refusal(ErrorCode.AUTHENTICATION_FAILED, f"the token of this connection {reason}")
        for peer in self._pool:
            if peer.token_id == token_id and peer.alive:
                peer.refuse(refusal, None)
                peer.link.close(refusal.message)
        for observer in self._observers:
            observer(token_id)

    async def run(self) -> None:
        """Look once at the tokens of all connections."""
        tokens = {peer.token_id for peer in self._pool if peer.alive and peer.token_id}
        if not tokens:
            return
        try:
            living = await self._store.living(sorted(tokens), [], 1.0)
        except Refusal as refusal:
            # Without the database nobody can revoke anything either.
            self._log.debug("Nothing was heard of revocations: {reason}", reason=str(refusal))
            return
        for token_id in tokens - living:
            self.token_ended(token_id, "has ended")
