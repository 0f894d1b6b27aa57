"""``crawlsock explain``: why a job is not running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import clean, moment, print_json, print_pairs

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
    click.echo(f"{clean(found['state'])}: {'it runs' if found['runs'] else 'it does not run'}")
    for each in found["reasons"]:
        click.echo(f"- {clean(each.get('message') or each['code'])}")
        print_pairs(
            [
                ("  what to do", each.get("remedy")),
                ("  since", moment(each.get("since"))),
                ("  until", moment(each.get("until"))),
                ("  by", each.get("actor")),
            ]
        )
    if not found["reasons"] and not found["runs"]:
        click.echo("- nothing is in its way: it will be given out at once")
