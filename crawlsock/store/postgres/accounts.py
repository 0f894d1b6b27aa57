"""Write and read accounts, credentials, tokens, queues and the audit trail.

The law of this module: secrets pass through it sealed or hashed; it could not read one if it wanted to.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crawlsock.store.pool import Row
from crawlsock.store.postgres.base import deferred, dumps, is_uuid, loads
from crawlsock.store.postgres.sessions import Sessions
from crawlsock.store.values import (
    AccountView,
    CredentialRow,
    Order,
    QueueView,
    RefreshTicket,
    RefusedCredential,
    SealedCredential,
    TokenRow,
)
from crawlsock.wire.errors import ErrorCode, Refusal


def _credential(row: Row) -> CredentialRow:
    return CredentialRow(
        account=row[0],
        host=row[1],
        kind=row[2],
        state=row[3],
        generation=row[4],
        sealed=SealedCredential(row[7]),
        expires_at=row[5],
        reason=row[6],
    )


def _token(row: Row) -> TokenRow:
    accounts = None if row[5] is None else frozenset(row[5])
    return TokenRow(row[0], row[1], row[2], row[3], row[4], accounts, row[6], row[7], row[8])


def _unknown(account: str) -> Refusal:
    return Refusal(
        ErrorCode.UNKNOWN_ACCOUNT, f"there is no account {account!r}: store its credential first", "/account"
    )


class Accounts(Sessions):
    """The part of the store that keeps credentials, tokens, pauses and the audit trail."""

    @deferred
    async def put_credential(
        self,
        account: str,
        host: str,
        kind: str,
        sealed: SealedCredential,
        expires_at: datetime | None,
        actor: str,
    ) -> int:
        rows = await self.function(
            "put_credential(%s, %s, %s, %s::bytea, %s::timestamptz, %s)",
            account,
            host,
            kind,
            sealed.blob,
            expires_at,
            actor,
        )
        self._changed()
        return int(rows[0][0])

    @deferred
    async def credential(self, account: str) -> CredentialRow | None:
        rows = await self.read("credential", {"account": account})
        if not rows:
            raise _unknown(account)
        return None if rows[0][2] is None else _credential(rows[0])

    @deferred
    async def begin_refresh(self, account: str, generation: int, server_id: str, ttl: float) -> RefreshTicket | None:
        standing, until = (await self.function("begin_refresh", account, generation, server_id, ttl))[0]
        if standing == "unknown_account":
            raise _unknown(account)
        if standing == "credential_missing":
            raise Refusal(
                ErrorCode.CREDENTIAL_MISSING,
                f"account {account!r} has no credential: store one with credential_put",
            )
        if standing == "busy":
            return None
        credential = await self.credential(account)
        if credential is None or credential.generation != generation:
            return None
        return RefreshTicket(account, generation, credential, until)

    @deferred
    async def finish_refresh(
        self, account: str, generation: int, sealed: SealedCredential, expires_at: datetime | None
    ) -> int:
        rows = await self.function(
            "finish_refresh(%s, %s, %s::bytea, %s::timestamptz)",
            account,
            generation,
            sealed.blob,
            expires_at,
        )
        if rows[0][0] is None:
            raise _unknown(account)
        self._changed()
        return int(rows[0][0])

    @deferred
    async def refuse_credential(self, account: str, generation: int, reason: str) -> RefusedCredential:
        jobs, orders, states = (await self.function("refuse_credential", account, generation, reason))[0]
        self.tally.taken_back(loads(states))
        self.forget_counts()
        self._committed()
        return RefusedCredential(jobs, [Order(*order) for order in loads(orders)])

    @deferred
    async def expiring_credentials(self, within: float) -> list[CredentialRow]:
        return [_credential(row) for row in await self.read("expiring_credentials", {"within": within})]

    @deferred
    async def newer_credentials(self, known: Mapping[str, int]) -> list[CredentialRow]:
        asked = {"accounts": list(known), "generations": list(known.values())}
        return [_credential(row) for row in await self.read("newer_credentials", asked)] if known else []

    @deferred
    async def accounts(self) -> list[AccountView]:
        return [AccountView(*row) for row in await self.read("accounts")]

    @deferred
    async def sessions_of_account(self, account: str) -> list[tuple[str, str, str]]:
        return [(row[0], row[1], row[2]) for row in await self.read("sessions_of_account", {"account": account})]

    @deferred
    async def pause_queue(self, job_type: str | None, paused: bool, reason: str | None, actor: str) -> None:
        await self.function("pause_queue", job_type, paused, reason, actor)
        self._changed()

    @deferred
    async def queues(self) -> list[QueueView]:
        return [QueueView(*row) for row in await self.read("queues")]

    @deferred
    async def create_token(
        self,
        role: str,
        name: str,
        hash: bytes,
        accounts: frozenset[str] | None,
        expires_at: datetime | None,
        actor: str,
    ) -> str:
        parameters: dict[str, Any] = {
            "token_id": str(uuid.uuid4()),
            "role": role,
            "name": name,
            "hash": hash,
            "accounts": None if accounts is None else sorted(accounts),
            "expires_at": expires_at,
            "actor": actor,
        }
        return str((await self.write("create_token", parameters))[0][0])

    @deferred
    async def token_by_hash(self, hash: bytes) -> TokenRow | None:
        rows = await self.write("token_by_hash", {"hash": hash})
        return _token(rows[0]) if rows else None

    @deferred
    async def tokens(self) -> list[TokenRow]:
        return [_token(row) for row in await self.read("tokens")]

    @deferred
    async def revoke_token(self, token_id: str, actor: str) -> None:
        known = is_uuid(token_id) and (await self.write("revoke_token", {"token_id": token_id, "actor": actor}))[0][0]
        if not known:
            raise Refusal(
                ErrorCode.UNKNOWN_TOKEN,
                f"there is no token {token_id[:64]}: look at token_list",
                "/token_id",
            )

    @deferred
    async def audit(self, actor: str, action: str, target: str | None, detail: dict[str, Any]) -> None:
        await self.write("audit", {"actor": actor, "action": action, "target": target, "detail": dumps(detail)})

    def _changed(self) -> None:
        self._committed()
        self._work()
