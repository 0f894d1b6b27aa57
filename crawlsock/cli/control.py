"""``crawlsock cancel``, ``retry``, ``pause`` and ``resume``: a job, a job and all below it, or all that match."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.filters import chosen, filter_options
from crawlsock.cli.screen import many, print_json, say

if TYPE_CHECKING:
    from crawlsock.sdk import JobFilter, JobManager

_NO_ONE = {
    "cancel": "it had ended already",
    "retry": "it had not failed",
    "pause": "there was nothing left to pause",
    "resume": "it was not paused",
}


def _command(verb: str, done: str, sentence: str, more: str) -> click.Command:
    @click.argument("job", required=False)
    @click.option("--tree", is_flag=True, help="The job and all below it.")
    @click.option(
        "--all", "everything", is_flag=True, help="All that match the filters; without filters, all there are."
    )
    @filter_options
    @click.option("--reason", metavar="TEXT", help="Why; kept with the job.")
    @click.option("--yes", is_flag=True, help="Do not ask again before many are touched.")
    @pass_invocation
    def command(
        invocation: Invocation,
        job: str | None,
        tree: bool,
        everything: bool,
        reason: str | None,
        yes: bool,
        **given: Any,
    ) -> None:
        jobs = chosen(given)
        wanted = everything or bool(jobs.fields())
        if (job is None) is not wanted:
            raise click.UsageError(
                f"{verb} wants either a job, or filters such as --state or --account (or --all) for many"
            )
        if job is None:
            if not yes:
                _ask(verb, jobs)
            affected = _many(invocation, verb, jobs, reason)
        else:
            affected = _one(invocation, verb, job, tree, reason)
        if invocation.as_json:
            print_json({"job_id": job, "affected": affected} if job else {"affected": affected})
        elif affected:
            click.echo(f"{done} {many(affected, 'job')}")
        else:
            click.echo(f"nothing to do: {_NO_ONE[verb] if job else 'no job matches whose state allows it'}")

    return click.command(verb, short_help=sentence, help=f"{sentence}\n\n{more}")(command)


def _one(invocation: Invocation, verb: str, job: str, tree: bool, reason: str | None) -> int:
    async def work(manager: JobManager) -> int:
        affected: int = await getattr(manager, verb)(job, tree=tree, reason=reason)
        return affected

    return invocation.ask(work)


def _many(invocation: Invocation, verb: str, jobs: JobFilter, reason: str | None) -> int:
    messages = 0

    def on_way(affected: int) -> None:
        nonlocal messages
        messages += 1
        if messages > 1:
            say(f"{many(affected, 'job')} so far")

    async def work(manager: JobManager) -> int:
        return await manager.control(verb, jobs, reason=reason, on_way=on_way)

    return invocation.ask(work)


def _ask(verb: str, jobs: JobFilter) -> None:
    """Let a person think twice before everything there is is touched, and before much is cancelled."""
    if sys.stdin.isatty() and sys.stderr.isatty() and (verb == "cancel" or not jobs.fields()):
        which = "all jobs that match" if jobs.fields() else "all jobs of this server"
        click.confirm(f"{verb} {which}?", abort=True, err=True)


cancel = _command(
    "cancel",
    "cancelled",
    "Cancel a job, a job and all below it, or all that match.",
    "A crawler that works on one is told at once, and carries it out at its next checkpoint.",
)
retry = _command(
    "retry",
    "queued again",
    "Queue failed or cancelled jobs again.",
    "They go on from what their last attempt has saved, with fresh attempts. Those of one group of errors: "
    "--error FINGERPRINT, from crawlsock errors.",
)
pause = _command(
    "pause",
    "paused",
    "Pause jobs: they hold at their next checkpoint.",
    "Their crawlers keep them meanwhile. `resume` lets them go on.",
)
resume = _command("resume", "resumed", "Let paused jobs go on.", "With --tree, all below it too.")
