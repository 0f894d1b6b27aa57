"""Keep the links and sessions of people who sign in.

The law of this module: what is secret about them passes through it hashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crawlsock.store.postgres.base import Base, deferred, is_uuid
from crawlsock.store.web_sessions_values import WebSession
from crawlsock.wire.errors import ErrorCode, Refusal


class WebSessions(Base):
    """The part of the store that keeps who is signed in."""

    @deferred
    async def create_login(self, code_hash: bytes, token_id: str, role: str, lifetime: float, actor: str) -> datetime:
        parameters = {"hash": code_hash, "token_id": token_id, "role": role, "lifetime": lifetime, "actor": actor}
        rows = await self.write("create_login", parameters) if is_uuid(token_id) else []
        if not rows:
            raise Refusal(ErrorCode.AUTHENTICATION_FAILED, "the token of this connection has ended")
        until: datetime = rows[0][0]
        return until

    @deferred
    async def use_login(self, code_hash: bytes, session_hash: bytes, lifetime: float) -> WebSession | None:
        rows = await self.function(
            "use_login(%s::bytea, %s::bytea, %s::float8)", code_hash, session_hash, float(lifetime)
        )
        if not rows[0][0]:
            return None
        session: WebSession | None = await self.web_session(session_hash, lifetime)
        return session

    @deferred
    async def web_session(self, session_hash: bytes, idle: float) -> WebSession | None:
        rows = await self.write("web_session", {"hash": session_hash, "idle": float(idle)})
        if not rows:
            return None
        session_id, token_id, name, role, accounts, created_at, expires_at = rows[0]
        bound = None if accounts is None else frozenset(accounts)
        return WebSession(str(session_id), str(token_id), name, role, bound, created_at, expires_at)

    @deferred
    async def end_web_session(self, session_hash: bytes) -> None:
        await self.write("end_web_session", {"hash": session_hash})

    @deferred
    async def living(self, token_ids: Sequence[str], session_ids: Sequence[str], idle: float) -> set[str]:
        parameters = {
            "tokens": list(filter(is_uuid, token_ids)),
            "sessions": list(filter(is_uuid, session_ids)),
            "idle": float(idle),
        }
        return {row[0] for row in await self.write("living", parameters)}
