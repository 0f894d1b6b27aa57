"""Signing in at the dashboard."""

from __future__ import annotations

from crawlsock.handlers.context import Context, Reply


async def login_create(context: Context) -> Reply:
    """Make a link that signs a browser in, once, as whoever asks for it."""
    return Reply("login_create_response", await context.logins.create(context.peer))
