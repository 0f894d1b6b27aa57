"""Which jobs a command is about: the options by which lists, and orders to many, choose.

The law: one option a filter of the protocol, the same words everywhere. Moments may be given as people think of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from crawlsock.sdk import JobFilter

F = TypeVar("F", bound=Callable[..., Any])

STATES: Final = (
    "queued",
    "assigned",
    "running",
    "completed",
    "failed",
    "cancelled",
    "paused",
    "waiting_credential",
)
FILTERS: Final = (
    "states",
    "account",
    "type",
    "host",
    "root_id",
    "parent_id",
    "crawler_id",
    "error",
    "search",
    "created_after",
    "created_before",
)
_AGO: Final = re.compile(r"(\d{1,6})\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def past(text: str) -> str:
    """Read a moment: RFC 3339, a date, or how long ago (`30m`, `2h`, `7d`); return it as the protocol writes it."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        moment = datetime.now(timezone.utc) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    else:
        try:
            moment = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is no moment; write 2026-01-31T12:00:00Z, 2026-01-31, or 2h for two hours ago"
            ) from None
    # Without a zone it is that of the person who typed it.
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def filter_options(command: F) -> F:
    """Add the options; the command's function gets `FILTERS` as keyword arguments, for `chosen`."""
    for option in reversed(
        (
            click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these states; "
                         "repeatable."),
            click.option("--account", help="Only of this account."),
            click.option("--type", "type", metavar="TYPE", help="Only of this type."),
            click.option("--host", metavar="HOST", help="Only at this GitLab."),
            click.option("--root", "root_id", metavar="JOB", help="Only the tree of which this job is the top."),
            click.option("--parent", "parent_id", metavar="JOB", help="Only what this job has discovered."),
            click.option("--crawler", "crawler_id", metavar="NAME", help="Only with this crawler now."),
            click.option("--error", metavar="FINGERPRINT", help="Only with an error of this group; crawlsock errors "
                         "lists them."),
            click.option("--search", metavar="TEXT", help="Only jobs whose name or path has this text."),
            click.option("--created-after", type=past, metavar="TIME", help="Not older: 2026-01-31T12:00:00Z, or "
                         "2h for two hours ago."),
            click.option("--created-before", type=past, metavar="TIME", help="Older than this."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def chosen(given: dict[str, Any]) -> JobFilter:
    """Take the filters out of a command's keyword arguments."""
    from crawlsock.sdk import JobFilter

    return JobFilter(**{name: given.pop(name) for name in FILTERS})
