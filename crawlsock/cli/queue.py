"""``crawlsock queue``: what waits by type, and whether it is given out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import moment, number, print_heading, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager


@click.group(short_help="Show the queues; stop and start giving out jobs.")
def queue() -> None:
    """Show the queues; stop and start giving out jobs."""


@queue.command("list", short_help="List job types, their jobs, and what is paused.")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List job types, their jobs, and what is paused, by whom and why."""

    async def work(manager: JobManager) -> dict[str, Any]:
        return await manager.queues()

    found = invocation.ask(work, role="monitor")
    if invocation.as_json:
        print_json(found)
        return
    print_table(
        ("type", "given out", "queued", "in hand", "failed", "paused by", "since", "why"),
        ((each.get("job_type") or "(all)", "no" if each["paused"] else "yes",
          number(_sum(each, "queued", "waiting_credential", "paused")), number(_sum(each, "assigned", "running")),
          number(_sum(each, "failed")), each.get("actor"), moment(each.get("at")), each.get("reason"))
         for each in found["queues"]),
        "no jobs and no pauses",
    )  # fmt: skip
    limits = found.get("limits") or {}
    if limits:
        print_heading("Limits")
        print_pairs([(name.replace("_", " "), number(value)) for name, value in limits.items()])


def _sum(row: dict[str, Any], *states: str) -> int | None:
    jobs = row.get("jobs")
    return None if jobs is None else sum(jobs.get(state, 0) for state in states)


@queue.command("pause", short_help="Give out no more jobs of a type, or of all types.")
@click.argument("type", required=False)
@click.option("--reason", metavar="TEXT", help="Why; shown to whoever looks.")
@pass_invocation
def pause(invocation: Invocation, type: str | None, reason: str | None) -> None:
    """Give out no more jobs of TYPE, or of all types. What runs goes on; `queue resume` ends it."""

    async def work(manager: JobManager) -> None:
        await manager.pause_queue(type, reason=reason)

    invocation.ask(work)
    _tell(invocation, type, True)


@queue.command("resume", short_help="Give out jobs of a type, or of all types, again.")
@click.argument("type", required=False)
@pass_invocation
def resume(invocation: Invocation, type: str | None) -> None:
    """Give out jobs of TYPE, or of all types, again. A pause of all types and one of a type are two pauses."""

    async def work(manager: JobManager) -> None:
        await manager.resume_queue(type)

    invocation.ask(work)
    _tell(invocation, type, False)


def _tell(invocation: Invocation, type: str | None, paused: bool) -> None:
    if invocation.as_json:
        print_json({**({"job_type": type} if type else {}), "paused": paused})
    else:
        jobs = f"jobs of the type {type}" if type else "jobs"
        click.echo(f"no more {jobs} are given out" if paused else f"{jobs} are given out again")
