"""What people and programs ask about jobs, progress and crawlers."""

from __future__ import annotations

from typing import Any, cast

from crawlsock.handlers.access import check_account, check_job
from crawlsock.handlers.context import Context, Reply
from crawlsock.handlers.records import explained
from crawlsock.masking import mask_values
from crawlsock.store.values import Include, JobView, Scope
from crawlsock.wire.errors import ErrorCode, Refusal


async def job_get(context: Context, job_id: str, *, include: list[str] | None = None) -> Reply:
    """Show a job."""
    await check_job(context, job_id)
    view = await context.store.job(job_id, frozenset(cast("list[Include]", include or [])))
    return Reply("job_get_response", {"job": _shown(view)})


async def progress_get(context: Context, job_id: str | None = None, *, scope: str, account: str | None = None) -> Reply:
    """Show how far a job, a tree, an account or everything is."""
    if scope in ("job", "tree"):
        if job_id is None:
            raise Refusal(ErrorCode.INVALID_MESSAGE, f"scope {scope} needs job_id", "/job_id")
        await check_job(context, job_id)
    elif scope == "account":
        if account is None:
            raise Refusal(ErrorCode.INVALID_MESSAGE, "scope account needs account", "/data/account")
        check_account(context, account)
    elif context.peer.accounts is not None:
        raise Refusal(ErrorCode.FORBIDDEN, "this token is bound to accounts; ask for scope account", "/data/scope")
    progress = await context.store.progress_of(cast(Scope, scope), job_id, account)
    return Reply("progress_get_response", {"progress": progress.as_json()})


async def crawler_list(context: Context) -> Reply:
    """Show the crawlers of all servers."""
    crawlers = await context.operations.crawlers()
    if context.peer.accounts is not None:
        # Crawlers work for everybody; which hosts others use is not for those who are here for some accounts.
        crawlers = [{name: value for name, value in each.items() if name != "hosts"} for each in crawlers]
    return Reply("crawler_list_response", {"crawlers": crawlers})


async def status_get(context: Context) -> Reply:
    """Show the state of this server."""
    return Reply("status_response", await context.operations.status(context.peer.accounts))


def _shown(view: JobView) -> dict[str, Any]:
    data = view.as_json()
    for name in ("payload", "summary"):
        if name in data:
            data[name] = mask_values(data[name])
    for error in data.get("errors", ()):
        error.update(explained(error["category"], error["error_type"]))
    return data
