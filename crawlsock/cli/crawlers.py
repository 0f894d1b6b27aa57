"""``crawlsock crawlers`` and ``crawlsock status``: who works, orders to them, and how the server is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import clean, duration, number, print_json, print_pairs, print_table, size

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager


@click.group(short_help="List the crawlers and how they are, and steer them.", invoke_without_command=True)
@pass_invocation
@click.pass_context
def crawlers(context: click.Context, invocation: Invocation) -> None:
    """List the crawlers and how they are, and steer them.

    Those of all servers: state, jobs in hand, memory, when they were last heard of.
    """
    if context.invoked_subcommand is None:
        _list(invocation)


def _list(invocation: Invocation) -> None:
    async def work(manager: JobManager) -> list[dict[str, Any]]:
        return await manager.crawlers()

    found = invocation.ask(work, role="monitor")
    if invocation.as_json:
        for crawler in found:
            print_json(crawler)
        return
    print_table(
        (
            "crawler",
            "state",
            "does",
            "jobs",
            "slots",
            "items/s",
            "memory",
            "cpu",
            "heard",
            "over",
            "version",
            "labels",
            "pid",
        ),
        (
            (
                each["crawler_id"],
                each["state"],
                each.get("status"),
                each["jobs"],
                each["slots"],
                number(each.get("rate")),
                size(each.get("memory_bytes")),
                "" if each.get("cpu_percent") is None else f"{each['cpu_percent']:.0f} %",
                f"{duration(each['heartbeat_age'])} ago",
                each.get("transport"),
                each.get("version"),
                ", ".join(each["labels"]),
                each.get("pid"),
            )
            for each in found
        ),
        "no crawlers; start one with crawlsock crawl",
    )


def _steer(command: str, done: str, sentence: str, more: str) -> None:
    @click.argument("crawler_ids", metavar="CRAWLER...", nargs=-1, required=True)
    @click.option("--reason", metavar="TEXT", help="Why; kept in the audit.")
    @pass_invocation
    def steer(invocation: Invocation, crawler_ids: tuple[str, ...], reason: str | None) -> None:
        async def work(manager: JobManager) -> None:
            for crawler_id in crawler_ids:
                await manager.command(crawler_id, command, reason=reason)
                if invocation.as_json:
                    print_json({"crawler_id": crawler_id, "command": command})
                else:
                    click.echo(f"{done} {clean(crawler_id)}")

        invocation.ask(work)

    crawlers.command(command, short_help=sentence, help=f"{sentence}\n\n{more}")(steer)


_steer("pause", "paused", "Let crawlers hold their jobs.", "They take no more, and those in hand wait at a checkpoint.")
_steer("resume", "resumed", "Let paused crawlers go on.", "They take jobs again.")
_steer(
    "drain",
    "sent away",
    "Let crawlers hand back their jobs and end.",
    "Other crawlers go on from what was saved. A crawler that systemd runs is not started again.",
)
_steer("disconnect", "disconnected", "Cut crawlers off.", "A crawler that lives comes back by itself, with its jobs.")


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
