"""What a peer says about itself."""

from __future__ import annotations

from typing import Any

from crawlsock.handlers.context import Context, Reply


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that the message had."""
    return {name: value for name, value in fields.items() if value is not None}


async def hello(
    context: Context,
    *,
    role: str,
    versions: list[int],
    token: str | None = None,
    client: dict[str, Any] | None = None,
    features: list[str] | None = None,
    crawler_id: str | None = None,
    slots: int | None = None,
    labels: list[str] | None = None,
    job_types: list[str] | None = None,
    hostname: str | None = None,
    pid: int | None = None,
    resume: dict[str, Any] | None = None,
) -> Reply:
    """Log the peer in, with a new session or the one it comes back to."""
    said = _given(
        role=role,
        versions=versions,
        token=token,
        client=client,
        features=features,
        crawler_id=crawler_id,
        slots=slots,
        labels=labels,
        job_types=job_types,
        hostname=hostname,
        pid=pid,
        resume=resume,
    )
    return Reply("welcome", await context.sessions.login(context.peer, said))


async def ping(context: Context) -> None:
    """Answer that this end lives."""


async def heartbeat(
    context: Context,
    *,
    status: str,
    active_jobs: list[str],
    totals: dict[str, int] | None = None,
    memory_bytes: int | None = None,
    cpu_percent: float | None = None,
    uptime_seconds: float | None = None,
    hosts: list[dict[str, Any]] | None = None,
) -> None:
    """Renew the crawler's session, and with it all its leases."""
    beat = _given(
        status=status,
        active_jobs=active_jobs,
        totals=totals,
        memory_bytes=memory_bytes,
        cpu_percent=cpu_percent,
        uptime_seconds=uptime_seconds,
        hosts=None if hosts is None else tuple(hosts),
    )
    await context.sessions.beat(context.peer, beat)


async def job_request(context: Context, *, slots: int) -> Reply:
    """Give the crawler what there is to do now; what comes later follows as pushes."""
    return Reply("job_response", {"jobs": await context.dispatcher.ask(context.peer, slots)})
