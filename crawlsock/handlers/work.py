"""What a crawler says about a job it holds. Every verb here is fenced by the lease in `job`."""

from __future__ import annotations

from typing import Any

from crawlsock.handlers.context import Context, Reply
from crawlsock.handlers.items import new_job, statuses
from crawlsock.masking import mask_patterns, mask_values
from crawlsock.store.values import Area, Completion, Failure, JobRef, Progress, Release


async def job_started(context: Context, job: JobRef) -> None:
    """Note that work has begun."""
    await context.store.start(job)


async def job_progress(
    context: Context,
    job: JobRef,
    *,
    seq: int,
    stage: str,
    entities: dict[str, Any] | None = None,
    message: str | None = None,
    resume_state: dict[str, Any] | None = None,
) -> None:
    """Record how far the job is, and where the next attempt would go on."""
    await context.store.progress(job, Progress(seq, stage, entities or {}, message, resume_state))


async def jobs_discovered(
    context: Context, job: JobRef, *, jobs: list[dict[str, Any]], summary: dict[str, Any] | None = None
) -> Reply:
    """Make child jobs of what the crawler found; the summary is for people who read the wire."""
    items = await context.store.discover(job, [new_job(each) for each in jobs])
    return Reply("jobs_discovered_response", {"items": statuses(items)})


async def discovery(context: Context, job: JobRef, *, areas: list[dict[str, Any]]) -> None:
    """Record groups, projects and users that were seen."""
    await context.store.areas(job, [Area(**_known(each)) for each in areas])


async def job_completed(
    context: Context,
    job: JobRef,
    *,
    entities: dict[str, Any] | None = None,
    files: list[dict[str, Any]] | None = None,
    summary: dict[str, Any] | None = None,
) -> None:
    """End the job well."""
    await context.store.complete(job, Completion(entities or {}, files or (), summary))


async def job_failed(
    server: Context,
    job: JobRef,
    /,
    *,
    error_type: str,
    message: str,
    recoverable: bool,
    retry_after: float | None = None,
    request: dict[str, Any] | None = None,
    entities: dict[str, Any] | None = None,
    resume_state: dict[str, Any] | None = None,
    stack: str | None = None,
    context: dict[str, Any] | None = None,
) -> None:
    """Count a failure: the job is tried again later, or ends. What looks like a secret in it is hidden first."""
    failure = Failure(
        error_type,
        mask_patterns(message),
        recoverable,
        retry_after,
        mask_values(request),
        entities or {},
        resume_state,
        None if stack is None else mask_patterns(stack),
        mask_values(context),
    )
    await server.store.fail(job, failure)


async def job_released(
    context: Context,
    job: JobRef,
    *,
    reason: str,
    resume_state: dict[str, Any] | None = None,
    entities: dict[str, Any] | None = None,
) -> None:
    """Take the job back unharmed; it costs no attempt."""
    await context.store.release(job, Release(reason, entities or {}, resume_state))


async def job_cancelled(
    context: Context,
    job: JobRef,
    *,
    entities: dict[str, Any] | None = None,
    resume_state: dict[str, Any] | None = None,
) -> None:
    """Note that the cancel was carried out."""
    await context.store.cancelled(job, Release("", entities or {}, resume_state))


async def token_refresh_request(context: Context, job: JobRef, *, generation: int) -> Reply:
    """Answer with a credential newer than the one that no longer works."""
    renewed = await context.credentials.renewed(job.job_id, job.lease, job.session_id, generation)
    return Reply("token_refresh_response", renewed)


def _known(area: dict[str, Any]) -> dict[str, Any]:
    names = ("kind", "entity_id", "path", "name", "parent_path", "visibility", "host")
    return {name: area[name] for name in names if name in area}
