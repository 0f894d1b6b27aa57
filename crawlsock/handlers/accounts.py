"""Accounts and their credentials. What goes in never comes out by these doors."""

from __future__ import annotations

from crawlsock.handlers.access import check_account
from crawlsock.handlers.context import Context, Reply


async def credential_put(
    context: Context,
    *,
    account: str,
    host: str,
    kind: str,
    access_token: str,
    refresh_token: str | None = None,
    expires_at: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    token_url: str | None = None,
) -> None:
    """Store or renew an account's credential; jobs that waited for it run."""
    check_account(context, account)
    credential = {
        "account": account,
        "host": host,
        "kind": kind,
        "access_token": access_token,
        "refresh_token": refresh_token,
        "expires_at": expires_at,
        "client_id": client_id,
        "client_secret": client_secret,
        "token_url": token_url,
    }
    await context.credentials.put(credential, context.peer.name)


async def account_list(context: Context) -> Reply:
    """Show the accounts that the peer may see, without their secrets."""
    accounts = context.peer.accounts
    views = [view.as_json() for view in await context.store.accounts() if accounts is None or view.account in accounts]
    return Reply("account_list_response", {"accounts": views})
