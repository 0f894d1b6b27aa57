"""Keep the links and sessions of people who sign in, over `World`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import define
from twisted.internet.defer import Deferred

from crawlsock.store.values import TokenRow
from crawlsock.store.web_sessions_values import WebSession
from crawlsock.testing.memory_presence import Presence
from crawlsock.testing.memory_rows import World, new_id
from crawlsock.wire.errors import ErrorCode, Refusal


@define
class _LoginRow:
    token_id: str
    role: str
    expires_at: datetime


@define
class _SessionRow:
    session_id: str
    token_id: str
    role: str
    created_at: datetime
    expires_at: datetime
    last_seen_at: datetime


class WebSessions(Presence):
    """The part of `MemoryStore` that keeps who is signed in."""

    def create_login(
        self, code_hash: bytes, token_id: str, role: str, lifetime: float, actor: str
    ) -> Deferred[datetime]:
        """Record a link."""
        return self._do(self._create, code_hash, token_id, role, lifetime, actor)

    def use_login(self, code_hash: bytes, session_hash: bytes, lifetime: float) -> Deferred[WebSession | None]:
        """Use a link up."""
        return self._do(self._use, code_hash, session_hash, lifetime)

    def web_session(self, session_hash: bytes, idle: float) -> Deferred[WebSession | None]:
        """Return a session that holds."""
        return self._do(self._session, session_hash, idle)

    def end_web_session(self, session_hash: bytes) -> Deferred[None]:
        """End a session."""
        return self._do(self._end_session, session_hash)

    def living(self, token_ids: Sequence[str], session_ids: Sequence[str], idle: float) -> Deferred[set[str]]:
        """Return what holds."""
        return self._do(self._living, token_ids, session_ids, idle)

    def _logins(self) -> dict[bytes, _LoginRow]:
        rows: dict[bytes, _LoginRow] = self.__dict__.setdefault("_login_rows", {})
        return rows

    def _sessions(self) -> dict[bytes, _SessionRow]:
        rows: dict[bytes, _SessionRow] = self.__dict__.setdefault("_session_rows", {})
        return rows

    def _create(
        self, world: World, code_hash: bytes, token_id: str, role: str, lifetime: float, actor: str
    ) -> datetime:
        token = _token(world, token_id)
        if token is None or token.role not in (role, "admin"):
            raise Refusal(ErrorCode.AUTHENTICATION_FAILED, "the token of this connection has ended")
        rows = self._logins()
        if code_hash not in rows:
            rows[code_hash] = _LoginRow(token_id, role, world.now() + timedelta(seconds=lifetime))
            world.note(actor, "login_create", token_id, {})
        return rows[code_hash].expires_at

    def _use(self, world: World, code_hash: bytes, session_hash: bytes, lifetime: float) -> WebSession | None:
        now = world.now()
        link = self._logins().pop(code_hash, None)
        if link is not None:
            token = _token(world, link.token_id)
            if link.expires_at <= now or token is None:
                return None
            row = _SessionRow(new_id(), link.token_id, link.role, now, now + timedelta(seconds=lifetime), now)
            self._sessions()[session_hash] = row
            world.note(f"{link.role}:{token.name}", "login", row.session_id, {})
        return self._session(world, session_hash, lifetime)

    def _session(self, world: World, session_hash: bytes, idle: float) -> WebSession | None:
        row = self._sessions().get(session_hash)
        token = None if row is None else self._holds(world, row, idle)
        if row is None or token is None:
            return None
        until = row.expires_at if token.expires_at is None else min(row.expires_at, token.expires_at)
        return WebSession(row.session_id, row.token_id, token.name, row.role, token.accounts, row.created_at, until)

    def _holds(self, world: World, row: _SessionRow, idle: float) -> TokenRow | None:
        """Use a session; return its token when both hold."""
        now = world.now()
        if row.expires_at <= now or row.last_seen_at <= now - timedelta(seconds=idle):
            return None
        token = _token(world, row.token_id)
        if token is not None:
            row.last_seen_at = now
        return token

    def _end_session(self, world: World, session_hash: bytes) -> None:
        row = self._sessions().pop(session_hash, None)
        if row is not None:
            world.note(f"{row.role}:{world.tokens[row.token_id].name}", "logout", row.session_id, {})

    def _living(self, world: World, token_ids: Sequence[str], session_ids: Sequence[str], idle: float) -> set[str]:
        wanted = set(session_ids)
        rows = [row for row in self._sessions().values() if row.session_id in wanted]
        held = {row.session_id for row in rows if self._holds(world, row, idle) is not None}
        return held | {token_id for token_id in token_ids if _token(world, token_id) is not None}


def _token(world: World, token_id: str) -> TokenRow | None:
    """Return a token that holds."""
    row = world.tokens.get(token_id)
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= world.now()):
        return None
    return row
