"""``crawlsock crawlers`` and ``crawlsock status``: who works, and how the server is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import duration, number, print_json, print_pairs, print_table, size

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager


@click.command(short_help="List the crawlers and how they are.")
@pass_invocation
def crawlers(invocation: Invocation) -> None:
    """List the crawlers of all servers: state, jobs in hand, memory, when they were last heard of."""

    async def work(manager: JobManager) -> list[dict[str, Any]]:
        return await manager.crawlers()

    found = invocation.ask(work, role="monitor")
    if invocation.as_json:
        for crawler in found:
            print_json(crawler)
        return
    print_table(
        ("crawler", "state", "does", "jobs", "slots", "memory", "cpu", "heard", "labels", "pid"),
        (
            (
                each["crawler_id"],
                each["state"],
                each.get("status"),
                each["jobs"],
                each["slots"],
                size(each.get("memory_bytes")),
                "" if each.get("cpu_percent") is None else f"{each['cpu_percent']:.0f} %",
                f"{duration(each['heartbeat_age'])} ago",
                ", ".join(each["labels"]),
                each.get("pid"),
            )
            for each in found
        ),
        "no crawlers; start one with crawlsock crawl",
    )


@click.command(short_help="Show the server's state.")
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show the server's state: jobs, crawlers, database, uptime."""

    async def work(manager: JobManager) -> dict[str, Any]:
        return await manager.status()

    found = invocation.ask(work, role="monitor")
    if invocation.as_json:
        print_json(found)
        return
    server, jobs = found["server"], {state: count for state, count in found["jobs"].items() if count}
    print_pairs(
        [
            ("server", server.get("name")),
            ("version", server.get("version")),
            ("up for", duration(found["uptime"])),
            ("database", found["database"].get("state")),
            ("crawlers", found["crawlers"]),
            ("jobs", ", ".join(f"{number(count)} {state}" for state, count in jobs.items()) or "none"),
            ("connections", found["pool"].get("connections")),
        ]
    )
