"""What a web application wants done: jobs made, cancelled, held, let go, tried again."""

from __future__ import annotations

from typing import Any

from crawlsock.handlers.access import check_job
from crawlsock.handlers.context import Context, Reply
from crawlsock.handlers.items import new_job, statuses
from crawlsock.store.values import Control


async def job_submit(context: Context, *, jobs: list[dict[str, Any]]) -> Reply:
    """Make a job of every item; a bad one does not hurt its neighbours."""
    await context.queue.admit(len(jobs))
    items = await context.store.submit([new_job(each) for each in jobs], accounts=context.peer.accounts)
    return Reply("job_submit_response", {"items": statuses(items)})


async def job_cancel(context: Context, job_id: str, *, tree: bool = False, reason: str | None = None) -> dict[str, Any]:
    """Cancel a job, or it and all below it."""
    await check_job(context, job_id)
    return _ordered(context, await context.store.cancel(job_id, tree=tree, reason=reason, actor=context.peer.name))


async def job_pause(context: Context, job_id: str, *, tree: bool = False, reason: str | None = None) -> dict[str, Any]:
    """Hold a job, or it and all below it."""
    await check_job(context, job_id)
    return _ordered(context, await context.store.pause(job_id, tree=tree, reason=reason, actor=context.peer.name))


async def job_resume(context: Context, job_id: str, *, tree: bool = False, reason: str | None = None) -> dict[str, Any]:
    """Let a held job go on, or it and all below it."""
    await check_job(context, job_id)
    return _ordered(context, await context.store.resume(job_id, tree=tree, reason=reason, actor=context.peer.name))


async def job_retry(context: Context, job_id: str, *, tree: bool = False, reason: str | None = None) -> dict[str, Any]:
    """Queue an ended job afresh, or all such below it."""
    await check_job(context, job_id)
    return _ordered(context, await context.store.retry(job_id, tree=tree, reason=reason, actor=context.peer.name))


def _ordered(context: Context, control: Control) -> dict[str, Any]:
    """Tell the crawlers concerned, and answer how many jobs it was."""
    context.orders.deliver(control.orders)
    return {"affected": control.affected}
