"""Signing in at the dashboard: links that are used once, and what they are exchanged for.

The law: a code and a cookie are 256 random bits each; in the clear they are in the link, in the browser, and nowhere
else. The store has hashes. A link belongs to the token that asked for it, is good for one sign-in, and dies soon.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from twisted.internet.defer import Deferred

from crawlsock.config import Settings
from crawlsock.store.values import rfc3339
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.handlers.context import Peer
    from crawlsock.store.interface import IStore
    from crawlsock.store.web_sessions_values import WebSession

_RANDOM_BYTES: Final = 32


def secret_hash(secret: str | bytes) -> bytes:
    """Return what the store knows a code or a cookie by. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).digest()


class SignedIn(NamedTuple):
    """A session that has begun, and the cookie that names it, which is told this once."""

    session: WebSession
    cookie: str


class LoginDesk:
    """Make links that sign in, and exchange them for sessions.

    :param settings: gives the settings at the moment of use.
    :ivar address: where the dashboard is served, such as ``http://127.0.0.1:8420``; None while it is not.
    """

    def __init__(self, store: IStore, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._settings = settings
        self.address: str | None = None

    def create(self, peer: Peer) -> Deferred[dict[str, Any]]:
        """Fire with a link that signs in as this peer, and when it ends.

        Fails with ``invalid_state`` when this server serves no pages, and ``authentication_failed`` when the peer's
        token has ended.
        """
        return Deferred.fromCoroutine(self._create(peer))

    async def _create(self, peer: Peer) -> dict[str, Any]:
        settings = self._settings()
        address = settings.http_public_url or self.address
        if address is None or settings.http_endpoint is None:
            raise Refusal(ErrorCode.INVALID_STATE, "this server serves no pages; set http_endpoint and restart it")
        code = secrets.token_urlsafe(_RANDOM_BYTES)
        until = await self._store.create_login(
            secret_hash(code), peer.token_id, str(peer.role), settings.login_lifetime, peer.name
        )
        return {"url": f"{address}/login?code={code}", "expires_at": rfc3339(until)}

    async def use(self, code: str) -> SignedIn | None:
        """Exchange a code for a session; None when it is unknown, used, or over."""
        cookie = secrets.token_urlsafe(_RANDOM_BYTES)
        lifetime = self._settings().web_session_lifetime
        session = await self._store.use_login(secret_hash(code), secret_hash(cookie), lifetime)
        return None if session is None else SignedIn(session, cookie)

    async def end(self, cookie: bytes) -> None:
        """End the session that a cookie names; one that is not there is ended already."""
        await self._store.end_web_session(secret_hash(cookie))
