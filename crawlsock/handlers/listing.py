"""Lists, counts, trees, why a job waits, everything at a glance; and one verb for many jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from crawlsock.handlers.access import check_account, check_job
from crawlsock.handlers.context import Context, Reply
from crawlsock.handlers.situation import explained, situation
from crawlsock.jobs.explain import explain
from crawlsock.store.listing_values import Verb
from crawlsock.store.values import JobFilter

# A list shows what a job is; what it was given and what it left behind can be large, and is asked for by job_get.
NOT_LISTED = frozenset({"payload", "summary", "files", "errors", "assignments", "milestones", "children"})


def job_filter(context: Context, wanted: dict[str, Any], limit: int, cursor: str | None) -> JobFilter:
    """Return a filter as the store takes it, narrowed to what the peer may see."""
    fields = {name: wanted[name] for name in _PLAIN if name in wanted}
    for name in ("created_after", "created_before"):
        if name in wanted:
            fields[name] = datetime.fromisoformat(wanted[name].replace("Z", "+00:00"))
    return JobFilter(
        states=frozenset(wanted.get("states") or ()),
        accounts=context.peer.accounts,
        limit=limit,
        cursor=cursor,
        **fields,
    )


_PLAIN = ("type", "account", "host", "root_id", "parent_id", "crawler_id", "error", "search", "sort")


async def job_list(
    context: Context,
    *,
    states: list[str] | None = None,
    type: str | None = None,
    account: str | None = None,
    host: str | None = None,
    root_id: str | None = None,
    parent_id: str | None = None,
    crawler_id: str | None = None,
    error: str | None = None,
    search: str | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
    sort: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Reply:
    """Show one page of jobs."""
    named = {
        "states": states,
        "type": type,
        "account": account,
        "host": host,
        "root_id": root_id,
        "parent_id": parent_id,
        "crawler_id": crawler_id,
        "error": error,
        "search": search,
        "created_after": created_after,
        "created_before": created_before,
        "sort": sort,
    }
    wanted = {name: value for name, value in named.items() if value is not None}
    page = await context.store.jobs(job_filter(context, wanted, limit, cursor))
    data = page.as_json()
    data["jobs"] = [_listed(job) for job in data["jobs"]]
    return Reply("job_list_response", data)


async def job_counts(context: Context, *, account: str | None = None, type: str | None = None) -> Reply:
    """Count jobs by state."""
    accounts = context.peer.accounts
    if account is not None:
        check_account(context, account)
        accounts = frozenset({account})
    return Reply("job_counts_response", await context.overview.counts(accounts, type))


async def job_control(
    context: Context,
    *,
    verb: str,
    filter: dict[str, Any],
    reason: str | None = None,
    limit: int = 1000,
    cursor: str | None = None,
) -> Reply:
    """Do a verb to jobs that match, and tell the crawlers that have them."""
    wanted = job_filter(context, filter, limit, cursor)
    done = await context.store.control_jobs(cast(Verb, verb), wanted, reason=reason, actor=context.peer.name)
    context.orders.deliver(done.orders)
    data: dict[str, Any] = {"affected": done.affected, "examined": done.examined}
    if done.next_cursor is not None:
        data["next_cursor"] = done.next_cursor
    return Reply("job_control_response", data)


async def job_tree(context: Context, job_id: str, *, limit: int = 50, cursor: str | None = None) -> Reply:
    """Show the jobs right below a job, with the sums of what is below them."""
    await check_job(context, job_id)
    page = await context.store.job_tree(job_id, limit, cursor)
    data: dict[str, Any] = {"children": [_listed(branch.as_json()) for branch in page.children]}
    if page.next_cursor is not None:
        data["next_cursor"] = page.next_cursor
    return Reply("job_tree_response", data)


async def job_explain(context: Context, job_id: str) -> Reply:
    """Say why a job does not run, or how it ended."""
    await check_job(context, job_id)
    standing = await context.store.standing(job_id)
    crawlers = await context.operations.crawlers()
    return Reply("job_explain_response", explained(explain(situation(standing, crawlers))))


async def overview_get(context: Context) -> Reply:
    """Show everything at a glance."""
    return Reply("overview_response", await context.overview.read(context.peer.accounts))


def _listed(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name not in NOT_LISTED}
