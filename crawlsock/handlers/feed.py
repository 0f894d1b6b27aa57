"""Subscribing to what happens."""

from __future__ import annotations

from typing import Any

from crawlsock.handlers.access import check_job
from crawlsock.handlers.context import Context, Reply


async def subscribe(
    context: Context,
    *,
    subscription: str | None = None,
    filter: dict[str, Any] | None = None,
    position: str | None = None,
) -> Reply:
    """Push events from a position on, or from now on."""
    wanted = filter or {}
    for field in ("job_id", "root_id"):
        if field in wanted:
            await check_job(context, wanted[field])
    begun = await context.feeds.subscribe(context.peer, subscription, wanted, position)
    return Reply("subscribe_response", begun)


async def unsubscribe(context: Context, *, subscription: str) -> None:
    """Push no more of them."""
    context.feeds.unsubscribe(context.peer, subscription)
