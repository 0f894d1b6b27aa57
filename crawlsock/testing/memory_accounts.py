"""Keep accounts with their sealed credentials, and tokens, over `World`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from crawlsock.jobs import HELD, Action, State, apply
from crawlsock.store.values import (
    AccountView,
    CredentialRow,
    RefreshTicket,
    RefusedCredential,
    SealedCredential,
    TokenRow,
)
from crawlsock.testing.memory_crawl import take_back
from crawlsock.testing.memory_rows import AccountRow, World, new_id
from crawlsock.wire.errors import ErrorCode, Refusal


def put_credential(
    world: World,
    account: str,
    host: str,
    kind: str,
    sealed: SealedCredential,
    expires_at: datetime | None,
    actor: str,
) -> int:
    """Make an account or renew its credential."""
    row = world.accounts.setdefault(account, AccountRow(account))
    if row.credential is not None and row.credential.sealed == sealed:
        return row.generation
    fresh = CredentialRow(account, host, kind, "valid", row.generation + 1, sealed, expires_at)
    world.note(actor, "credential_put", account, {"host": host, "kind": kind})
    return _renew(world, row, fresh)


def _renew(world: World, row: AccountRow, fresh: CredentialRow) -> int:
    row.credential = fresh
    row.generation = fresh.generation
    row.holder = row.until = None
    for job in world.jobs.values():
        if job.account == row.account and job.state is State.WAITING_CREDENTIAL:
            world.move(job, apply(Action.RENEW, world.facts(job)))
            world.tell_job("job_resumed", job, "credential_renewed")
    world.tell("credential_changed", account=row.account, state="valid", generation=row.generation)
    return row.generation


def credential(world: World, account: str) -> CredentialRow | None:
    """Return the credential as stored."""
    return world.find_account(account).credential


def begin_refresh(world: World, account: str, generation: int, server_id: str, ttl: float) -> RefreshTicket | None:
    """Let one server refresh."""
    row = world.find_account(account)
    if row.credential is None:
        raise Refusal(ErrorCode.CREDENTIAL_MISSING, f"account {account!r} has no credential; store one first")
    if row.generation != generation or row.credential.state != "valid":
        return None
    now = world.now()
    if row.holder not in (None, server_id) and row.until is not None and row.until > now:
        return None
    row.holder, row.until = server_id, now + timedelta(seconds=ttl)
    return RefreshTicket(account, generation, row.credential, row.until)


def finish_refresh(
    world: World, account: str, generation: int, sealed: SealedCredential, expires_at: datetime | None
) -> int:
    """Replace what was refreshed, unless somebody was first."""
    row = world.find_account(account)
    if row.credential is None or row.generation != generation:
        return row.generation
    fresh = attrs.evolve(
        row.credential,
        state="valid",
        generation=generation + 1,
        sealed=sealed,
        expires_at=expires_at,
        reason=None,
    )
    return _renew(world, row, fresh)


def refuse_credential(world: World, account: str, generation: int, reason: str) -> RefusedCredential:
    """Mark a credential as refused and put the account's jobs aside."""
    row = world.find_account(account)
    if row.credential is None or row.generation != generation or row.refused:
        return RefusedCredential(0)
    row.credential = attrs.evolve(row.credential, state="refused", reason=reason)
    row.holder = row.until = None
    world.tell("credential_changed", account=account, state="refused", generation=generation, reason=reason)
    moved, orders = 0, []
    for job in world.jobs.values():
        if job.account != account or job.state not in HELD | {State.QUEUED}:
            continue
        change = apply(Action.REFUSE, world.facts(job))
        moved += change.state is State.WAITING_CREDENTIAL
        if job.state in HELD:
            orders.append(take_back(world, job, change, "credential", "credential_refused"))
        else:
            world.move(job, change)
            world.tell_job("job_waiting_credential", job, "credential_refused")
    return RefusedCredential(moved, orders)


def newer_credentials(world: World, known: Mapping[str, int]) -> list[CredentialRow]:
    """Return what was renewed since."""
    rows = (world.accounts[account].credential for account in known if account in world.accounts)
    return [row for row in rows if row is not None and row.state == "valid" and row.generation > known[row.account]]


def expiring_credentials(world: World, within: float) -> list[CredentialRow]:
    """Return what should be refreshed soon."""
    until = world.now() + timedelta(seconds=within)
    rows = (row.credential for row in world.accounts.values() if row.credential is not None)
    return [
        row
        for row in rows
        if row.kind == "oauth" and row.state == "valid" and row.expires_at is not None and row.expires_at <= until
    ]


def accounts(world: World) -> list[AccountView]:
    """Show all accounts."""
    waiting: dict[str, int] = {}
    for job in world.jobs.values():
        if job.state is State.WAITING_CREDENTIAL:
            waiting[job.account] = waiting.get(job.account, 0) + 1
    return [_view(row, waiting.get(name, 0)) for name, row in sorted(world.accounts.items())]


def _view(row: AccountRow, waiting: int) -> AccountView:
    held = row.credential
    if held is None:
        return AccountView(row.account, "none", row.generation, waiting)
    return AccountView(
        account=row.account,
        state=held.state,
        generation=row.generation,
        jobs_waiting=waiting,
        host=held.host,
        kind=held.kind,
        expires_at=held.expires_at,
        reason=held.reason,
    )


def sessions_of_account(world: World, account: str) -> list[tuple[str, str, str]]:
    """Return who works for an account."""
    return [
        (row.session_id, job_id, lease)
        for row in world.sessions.values()
        for lease, job_id in row.leases.items()
        if world.jobs[job_id].account == account
    ]


def create_token(
    world: World,
    role: str,
    name: str,
    hash: bytes,
    accounts: frozenset[str] | None,
    expires_at: datetime | None,
    actor: str,
) -> str:
    """Record a token."""
    for row in world.tokens.values():
        if row.hash == hash:
            return row.token_id
    row = TokenRow(new_id(), role, name, hash, world.now(), accounts, expires_at)
    world.tokens[row.token_id] = row
    world.note(actor, "token_create", row.token_id, {"role": role, "name": name})
    return row.token_id


def token_by_hash(world: World, hash: bytes) -> TokenRow | None:
    """Find a token that is good, and note its use."""
    now = world.now()
    for row in world.tokens.values():
        if row.hash == hash:
            if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
                return None
            world.tokens[row.token_id] = attrs.evolve(row, last_used_at=now)
            return world.tokens[row.token_id]
    return None


def revoke_token(world: World, token_id: str, actor: str) -> None:
    """Revoke a token."""
    row = world.tokens.get(token_id)
    if row is None:
        raise Refusal(ErrorCode.UNKNOWN_TOKEN, f"there is no token {token_id}", "/token_id")
    if row.revoked_at is None:
        world.tokens[token_id] = attrs.evolve(row, revoked_at=world.now())
        world.note(actor, "token_revoke", token_id, {})
