"""What operators do. Every one of these is in the audit, with who did it."""

from __future__ import annotations

from crawlsock.handlers.context import Context, Reply
from crawlsock.wire.errors import ErrorCode, Refusal

_BOUND = frozenset({"webapp", "monitor"})
"""The roles that can be held to some accounts."""


async def crawler_command(context: Context, *, crawler_id: str, command: str, reason: str | None = None) -> None:
    """Pause, resume, drain or disconnect a crawler."""
    await context.operations.command(crawler_id, command, reason, context.peer.name)


async def queue_pause(context: Context, *, job_type: str | None = None, reason: str | None = None) -> None:
    """Assign no more jobs of a type, or none at all."""
    await context.store.pause_queue(job_type, True, reason, context.peer.name)


async def queue_resume(context: Context, *, job_type: str | None = None, reason: str | None = None) -> None:
    """Assign jobs of a type again, or of all."""
    await context.store.pause_queue(job_type, False, reason, context.peer.name)


async def config_set(context: Context, *, name: str, value: str) -> None:
    """Change a setting until the next start."""
    await context.operations.set(name, value, context.peer.name)


async def config_get(context: Context) -> Reply:
    """Show all settings, with secrets hidden."""
    return Reply("config_get_response", {"settings": context.operations.settings()})


async def broadcast(context: Context, *, message: str) -> None:
    """Tell everybody who is connected."""
    await context.operations.broadcast(message, context.peer.name)


async def token_create(
    context: Context,
    *,
    role: str,
    name: str,
    accounts: list[str] | None = None,
    expires_at: str | None = None,
) -> Reply:
    """Make a token, shown this once."""
    if accounts is not None and role not in _BOUND:
        raise Refusal(
            ErrorCode.INVALID_MESSAGE,
            f"the token of a {role} cannot be bound to accounts: what the role does concerns all of them; leave it out",
            "/data/accounts",
        )
    created = await context.operations.create_token(role, name, accounts, expires_at, context.peer.name)
    return Reply("token_create_response", created)


async def token_list(context: Context) -> Reply:
    """Show all tokens without themselves."""
    return Reply("token_list_response", {"tokens": [row.as_json() for row in await context.store.tokens()]})


async def token_revoke(context: Context, *, token_id: str) -> None:
    """End a token, and the connections that were made with it."""
    await context.operations.revoke_token(token_id, context.peer.name)
