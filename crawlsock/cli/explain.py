"""``crawlsock explain``: why a job is not running."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import clean, moment, print_json, print_table

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager


@click.command(short_help="Tell why a job is not running.")
@click.argument("job")
@pass_invocation
def explain(invocation: Invocation, job: str) -> None:
    """Tell why a job is not running.

    Paused and by whom, no crawler for it, waiting for its time or its credential, behind others, or how it ended; and
    what would change that.
    """

    async def work(manager: JobManager) -> dict[str, Any]:
        return await manager.explain(job)

    found = invocation.ask(work)
    if invocation.as_json:
        print_json({"job_id": job, **found})
        return
    reasons = found["reasons"]
    click.echo(f"{clean(found['state'])}: {'it runs' if found['runs'] else 'it does not run'}")
    print_table(
        ("why", "what to do", "since", "until", "by"),
        ((_why(each), each.get("remedy"), moment(each.get("since")), moment(each.get("until")), each.get("actor"))
         for each in reasons),
        "there is nothing in its way" if not found["runs"] else "",
    )  # fmt: skip


def _why(reason: Mapping[str, Any]) -> str:
    return str(reason.get("message") or reason["code"])
