"""``crawlsock cancel``, ``retry``, ``pause`` and ``resume``: one job, or a job and all below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import print_json

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager

_NO_ONE = {
    "cancel": "it had ended already",
    "retry": "it had not failed",
    "pause": "there was nothing left to pause",
    "resume": "it was not paused",
}


def _command(verb: str, done: str, sentence: str, more: str) -> click.Command:
    @click.argument("job")
    @click.option("--tree", is_flag=True, help="The job and all below it.")
    @click.option("--reason", metavar="TEXT", help="Why; kept with the job.")
    @pass_invocation
    def command(invocation: Invocation, job: str, tree: bool, reason: str | None) -> None:
        async def work(manager: JobManager) -> int:
            affected: int = await getattr(manager, verb)(job, tree=tree, reason=reason)
            return affected

        affected = invocation.ask(work)
        if invocation.as_json:
            print_json({"job_id": job, "affected": affected})
        elif affected:
            click.echo(f"{done} {affected} job{'' if affected == 1 else 's'}")
        else:
            click.echo(f"nothing to do: {_NO_ONE[verb]}")

    return click.command(verb, short_help=sentence, help=f"{sentence}\n\n{more}")(command)


cancel = _command(
    "cancel",
    "cancelled",
    "Cancel a job, or a job and all below it.",
    "A crawler that works on it is told at once, and carries it out at its next checkpoint.",
)
retry = _command(
    "retry",
    "queued again",
    "Queue a failed or cancelled job again.",
    "It goes on from what its last attempt has saved, with fresh attempts.",
)
pause = _command(
    "pause",
    "paused",
    "Pause a job: it holds at its next checkpoint.",
    "Its crawler keeps it meanwhile. `resume` lets it go on.",
)
resume = _command("resume", "resumed", "Let a paused job go on.", "With --tree, all below it too.")
