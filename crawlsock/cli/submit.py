"""``crawlsock submit``: one job from options, or many from JSON Lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.cli.screen import print_json, say

if TYPE_CHECKING:
    from crawlsock.sdk import ItemStatus, JobManager, NewJob


@click.command(short_help="Submit a job, or many.")
@click.argument("job_type", metavar="[TYPE]", required=False)
@click.option("--from", "source", metavar="FILE", help="Many jobs: JSON Lines, one job a line; - reads stdin.")
@click.option("--host", metavar="HOST", help="The GitLab: a name, a name and port, or a URL.")
@click.option("--entity-id", metavar="ID", help="Id of the group, project or user there.")
@click.option("--path", "namespace_path", metavar="PATH", help="Its full path.")
@click.option("--name", metavar="TEXT", help="What people call it.")
@click.option("--account", metavar="NAME", help="Whose credential is used. Default: default.")
@click.option("--priority", type=int, metavar="N", help="Higher goes first; 0 is usual.")
@click.option("--run-at", metavar="TIME", help="Not before this RFC 3339 time.")
@click.option("--max-attempts", type=int, metavar="N", help="Failures that it may have.")
@click.option("--label", "labels", multiple=True, metavar="TEXT", help="Only for crawlers with this label; repeatable.")
@click.option("--job-key", metavar="KEY", help="Two live jobs of an account never share one.")
@click.option("--job-id", metavar="UUID", help="The job's id, chosen here: submitting it again makes nothing new.")
@click.option("--payload", metavar="JSON|@FILE", help="A JSON object for the crawler; @- reads stdin.")
@click.option("--wait", is_flag=True, help="Watch until all is done, and exit with the result.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --wait: give up after so long.")
@pass_invocation
def submit(
    invocation: Invocation,
    job_type: str | None,
    source: str | None,
    payload: str | None,
    wait: bool,
    timeout: float | None,
    **fields: Any,
) -> int:
    """Submit a job of TYPE, or with --from many jobs.

    The id of each job is printed. A job that is there already (the same key, or the same group, project or user of a
    live job) is a duplicate: its id is printed, and the exit code is 4.

    \b
    crawlsock submit discover_namespaces --host gitlab.example.com --account team --wait
    crawlsock submit crawl_project --host gitlab.example.com --path group/project
    crawlsock submit --from jobs.jsonl
    """
    if (job_type is None) == (source is None):
        raise click.UsageError("name either the TYPE of one job, or --from FILE with many")
    if source is not None:
        jobs = [_new_job(fields, place) for place, fields in _lines(source)]
        if wait and len(jobs) > 1:
            raise click.UsageError("--wait waits for one job; leave it out, and use crawlsock watch")
    else:
        given = {name: value for name, value in fields.items() if value not in (None, ())}
        if payload is not None:
            given["payload"] = _object(_read_payload(payload), "--payload")
        jobs = [_new_job({"type": job_type, **given}, "options")]

    async def work(manager: JobManager) -> int:
        statuses = await manager.submit(jobs)
        code = _report(invocation, jobs, statuses)
        if not wait or code == Exit.USAGE or not statuses:
            return code
        from crawlsock.cli.watch import follow

        return await follow(invocation, manager, str(statuses[0].job_id), timeout)

    return invocation.ask(work)


def _read_payload(text: str) -> bytes:
    return _read(text[1:]) if text.startswith("@") else text.encode("utf-8", "surrogateescape")


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CommandError(Exit.USAGE, f"cannot read {name} ({error.strerror}); name a file that exists") from None


def _object(text: bytes, place: str) -> dict[str, Any]:
    import orjson

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError(Exit.USAGE, f"{place}: is not JSON ({error}); write an object such as {{}}") from None
    if not isinstance(value, dict):
        raise CommandError(Exit.USAGE, f"{place}: is JSON, but no object; write an object such as {{}}")
    return value


def _lines(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for count, line in enumerate(_read(source).splitlines(), 1):
        if line.strip():
            place = f"{'stdin' if source == '-' else source}:{count}"
            yield place, _object(line, place)


def _new_job(fields: dict[str, Any], place: str) -> NewJob:
    import attrs

    from crawlsock.config.errors import suggestion
    from crawlsock.sdk import NewJob

    known = [each.name for each in attrs.fields(NewJob)]
    for name in fields:
        if name not in known:
            raise CommandError(Exit.USAGE, f"{place}: a job has no field {name!r}{suggestion(name, known)}")
    if not isinstance(fields.get("type"), str):
        raise CommandError(Exit.USAGE, f'{place}: a job needs a type; write for example "type": "crawl_project"')
    if not isinstance(fields.get("labels", ()), (list, tuple)):
        raise CommandError(Exit.USAGE, f"{place}: labels are a list of texts")
    return NewJob(**fields)


def _report(invocation: Invocation, jobs: list[NewJob], statuses: list[ItemStatus]) -> int:
    """Print what became of each job; return the exit code: invalid ones go before duplicates."""
    for job, status in zip(jobs, statuses, strict=True):
        if invocation.as_json:
            import attrs

            print_json({name: value for name, value in attrs.asdict(status).items() if value is not None})
        elif status.status == "invalid":
            say(f"{job.type} was not taken: {status.message} ({status.code} at {status.pointer or 'the job'})")
        else:
            click.echo(f"{status.job_id}{'  duplicate' if status.status == 'duplicate' else ''}")
    found = {status.status for status in statuses}
    if "invalid" in found:
        return Exit.USAGE
    return Exit.CONFLICT if "duplicate" in found else Exit.DONE
