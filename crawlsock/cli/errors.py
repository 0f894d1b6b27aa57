"""``crawlsock errors`` and ``crawlsock incidents``: what goes wrong, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.jobs import what
from crawlsock.cli.screen import clean, moment, number, print_heading, print_json, print_pairs, print_table, say

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager

_PAGE: Final = 500

Row = dict[str, Any]


@click.command(short_help="Show what goes wrong, in groups.")
@click.argument("fingerprint", required=False)
@click.option("--account", help="Only of this account.")
@click.option("--type", "error_type", metavar="TYPE", help="Only of this type of error.")
@click.option("--category", metavar="NAME", help="Only of this category, such as network or credential.")
@click.option("--sort", type=click.Choice(["recent", "frequent"]), help="What comes first. Default: recent.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@pass_invocation
def errors(
    invocation: Invocation,
    fingerprint: str | None,
    account: str | None,
    error_type: str | None,
    category: str | None,
    sort: str | None,
    limit: int,
) -> None:
    """Show what goes wrong, in groups.

    Errors of one type whose messages differ only in numbers and names are one group. With FINGERPRINT: that group,
    where it happened, and what to do.
    """
    if fingerprint is not None:
        _one(invocation, fingerprint, account, limit)
        return

    async def work(manager: JobManager) -> list[Row]:
        return await _pages(
            lambda size, cursor: manager.errors(
                account=account, error_type=error_type, category=category, sort=sort, limit=size, cursor=cursor
            ),
            limit,
        )

    found = invocation.ask(work)
    if invocation.as_json:
        for each in found:
            print_json(each)
        return
    print_table(
        ("fingerprint", "account", "type", "category", "severity", "times", "failed now", "last", "what"),
        (
            (
                each["fingerprint"],
                each["account"],
                each["error_type"],
                each.get("category"),
                each.get("severity"),
                number(each["count"]),
                number(each.get("failed_now")),
                moment(each.get("last_seen")),
                each.get("title"),
            )
            for each in found
        ),
        "no errors",
    )


def _one(invocation: Invocation, fingerprint: str, account: str | None, limit: int) -> None:
    async def work(manager: JobManager) -> Row:
        return await manager.error(fingerprint, account=account, limit=min(limit, _PAGE))

    found = invocation.ask(work)
    if invocation.as_json:
        print_json(found)
        return
    group = found["group"]
    print_pairs(
        [
            ("fingerprint", group["fingerprint"]),
            ("account", group["account"]),
            ("type", group["error_type"]),
            ("what", group.get("title")),
            ("category", group.get("category")),
            ("severity", group.get("severity")),
            (
                "times",
                f"{number(group['count'])}, {moment(group.get('first_seen'))} to {moment(group.get('last_seen'))}",
            ),
            ("failed now", number(group.get("failed_now"))),
            ("last said", group.get("last_message")),
            ("means", group.get("explanation")),
            ("next step", group.get("next_step")),
        ]
    )
    rows = found["occurrences"]
    if rows:
        print_heading("Where")
        print_table(
            ("id", "type", "what", "state", "attempt", "at", "message"),
            (
                (
                    each["job_id"],
                    each.get("type"),
                    what(each),
                    each.get("state"),
                    each.get("attempt"),
                    moment(each.get("at")),
                    each.get("message"),
                )
                for each in rows
            ),
            "",
        )
    if group.get("failed_now"):
        chosen = shlex.join(["--account", group["account"], "--error", group["fingerprint"]])
        say(f"\nto try them again: crawlsock retry --state failed {clean(chosen)}")


@click.command(short_help="Show what the server found worth telling somebody.")
@click.option("--open/--closed", "is_open", default=None, help="Only those that are, or are not, still so.")
@click.option("--account", help="Only of this account.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@pass_invocation
def incidents(invocation: Invocation, is_open: bool | None, account: str | None, limit: int) -> None:
    """Show what the server found worth telling somebody, newest first."""

    async def work(manager: JobManager) -> list[Row]:
        return await _pages(
            lambda size, cursor: manager.incidents(open=is_open, account=account, limit=size, cursor=cursor), limit
        )

    found = invocation.ask(work)
    if invocation.as_json:
        for each in found:
            print_json(each)
        return
    print_table(
        ("opened", "over", "severity", "what", "account", "times", "next step"),
        (
            (
                moment(each["opened_at"]),
                moment(each.get("closed_at")) or "no",
                each["severity"],
                each["title"],
                each.get("account"),
                number(each.get("count")),
                each.get("next_step"),
            )
            for each in found
        ),
        "no incidents",
    )


async def _pages(ask: Callable[[int, str | None], Awaitable[tuple[list[Row], str | None]]], limit: int) -> list[Row]:
    """Read pages until there are as many as wanted."""
    found: list[Row] = []
    cursor: str | None = None
    while True:
        page, cursor = await ask(min(_PAGE, limit - len(found)), cursor)
        found += page
        if cursor is None or len(found) >= limit:
            if cursor is not None:
                say(f"there are more than these {len(found)}; --limit shows them")
            return found
