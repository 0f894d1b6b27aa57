"""What operators look back at: failures in groups, incidents, the audit, areas, and what people were told."""

from __future__ import annotations

from typing import Any, cast

from crawlsock.handlers.access import check_account
from crawlsock.handlers.context import Context, Reply
from crawlsock.incidents import advice
from crawlsock.store.records_values import AreaFilter, AuditFilter, ErrorFilter, ErrorGroup, ErrorSort
from crawlsock.wire.errors import ErrorCode, Refusal

_LIMITS = (
    "queue_limit",
    "poison_limit",
    "rate_limit_requests",
    "rate_limit_burst",
    "max_in_flight",
    "max_connections",
)


async def error_list(
    context: Context,
    *,
    account: str | None = None,
    error_type: str | None = None,
    category: str | None = None,
    sort: str = "recent",
    limit: int = 50,
    cursor: str | None = None,
) -> Reply:
    """Show one page of groups of failures, each with what it means and what to do."""
    wanted = ErrorFilter(
        account=account,
        accounts=context.peer.accounts,
        error_type=error_type,
        category=category,
        sort=cast(ErrorSort, sort),
        limit=limit,
        cursor=cursor,
    )
    page = await context.store.errors(wanted)
    return Reply("error_list_response", _page("groups", [_group(each) for each in page.groups], page.next_cursor))


async def error_get(
    context: Context,
    *,
    fingerprint: str,
    account: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Reply:
    """Show one group, and one page of its failures."""
    if account is not None:
        check_account(context, account)
    detail = await context.store.error(fingerprint, account, accounts=context.peer.accounts, limit=limit, cursor=cursor)
    data = _page("occurrences", [each.as_json() for each in detail.occurrences], detail.next_cursor)
    return Reply("error_get_response", {"group": _group(detail.group), **data})


async def incident_list(
    context: Context,
    *,
    open: bool = False,
    account: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Reply:
    """Show one page of incidents."""
    page = await context.store.incidents(context.peer.accounts, open, limit, cursor, account)
    data = _page("incidents", [each.as_json() for each in page.incidents], page.next_cursor)
    return Reply("incident_list_response", data)


async def audit_list(
    context: Context,
    *,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Reply:
    """Show one page of who did what."""
    if context.peer.accounts is not None:
        raise Refusal(ErrorCode.FORBIDDEN, "this token is bound to accounts; the audit is about all of them")
    page = await context.store.audit_entries(AuditFilter(actor, action, target, limit, cursor))
    return Reply("audit_list_response", _page("entries", [each.as_json() for each in page.entries], page.next_cursor))


async def area_list(
    context: Context,
    *,
    account: str | None = None,
    host: str | None = None,
    kind: str | None = None,
    search: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Reply:
    """Show one page of the places that crawlers have seen."""
    page = await context.store.seen_areas(AreaFilter(account, context.peer.accounts, host, kind, search, limit, cursor))
    return Reply("area_list_response", _page("areas", [each.as_json() for each in page.areas], page.next_cursor))


async def queue_list(context: Context) -> Reply:
    """Show the queue of all types, and that of each type, with pauses, jobs and limits."""
    accounts = context.peer.accounts
    counted = await context.overview.types(accounts)
    pauses = {pause.job_type: pause.as_json() for pause in await context.store.queues()}
    jobs = {each["type"]: each["jobs"] for each in counted["types"]}
    named = sorted(jobs.keys() | {name for name in pauses if name is not None})
    queues = [{"job_type": name, "paused": False, **pauses.get(name, {}), "jobs": jobs.get(name, {})} for name in named]
    whole = {"paused": False, **pauses.get(None, {}), "jobs": counted["jobs"]}
    settings = context.settings.current
    limits = {name: getattr(settings, name) for name in _LIMITS}
    if accounts is None:
        limits["live_jobs"] = await context.store.live_jobs()
    return Reply(
        "queue_list_response", {"queues": [whole, *queues], "counts_at": counted["counts_at"], "limits": limits}
    )


async def notification_list(context: Context, *, limit: int = 50, cursor: str | None = None) -> Reply:
    """Show one page of what people were told, and the channels there are."""
    page = await context.store.notifications(context.peer.accounts, limit, cursor)
    data = _page("notifications", [each.as_json() for each in page.notifications], page.next_cursor)
    return Reply("notification_list_response", {**data, "channels": context.notifications.channels()})


async def notification_test(context: Context) -> Reply:
    """Send a test by every channel."""
    sent = await context.notifications.test(context.peer.name)
    return Reply("notification_test_response", {"notifications": sent})


def explained(category: str, error_type: str) -> dict[str, str]:
    """Return what a failure means, and what to do about it, as fields."""
    told = advice(category, error_type)
    return {"explanation": told.explanation, "next_step": told.next_step}


def _group(group: ErrorGroup) -> dict[str, Any]:
    return {**group.as_json(), **explained(group.category, group.error_type)}


def _page(name: str, items: list[dict[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    return {name: items} if next_cursor is None else {name: items, "next_cursor": next_cursor}
