"""``crawlsock jobs`` and ``crawlsock show``: what jobs there are, and all about one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.filters import chosen, filter_options
from crawlsock.cli.screen import (
    clean,
    duration,
    elapsed,
    moment,
    number,
    print_heading,
    print_json,
    print_pairs,
    print_table,
    say,
)

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager, JobView

_PAGE: Final = 500
_HEADS: Final = ("id", "type", "what", "account", "state", "progress", "items", "attempt", "created")


def what(job: Mapping[str, Any]) -> str:
    """Return what a job is about, in a few words."""
    name = job.get("namespace_path") or job.get("name") or job.get("entity_id") or job.get("host") or ""
    return clean(name)


def percent(job: Mapping[str, Any]) -> str:
    """Return how far a job is, if it means something."""
    share = (job.get("progress") or {}).get("percent")
    return "" if share is None else f"{share:.0f} %"


@click.command(short_help="List jobs, newest first.")
@filter_options
@click.option(
    "--sort", type=click.Choice(["newest", "oldest", "queue"]), help="Newest first, oldest first, or as they will run."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@pass_invocation
def jobs(invocation: Invocation, limit: int, everything: bool, sort: str | None, **given: Any) -> None:
    """List jobs, newest first."""
    wanted = attrs.asdict(chosen(given))
    most = None if everything else limit

    async def work(manager: JobManager) -> list[JobView]:
        found: list[JobView] = []
        cursor: str | None = None
        while True:
            room = _PAGE if most is None else min(_PAGE, most - len(found))
            page, cursor = await manager.list(**wanted, sort=sort, limit=room, cursor=cursor)
            found += page
            if cursor is None or (most is not None and len(found) >= most):
                if cursor is not None:
                    say(f"there are more than these {len(found)}; --limit or --all shows them")
                return found

    found = invocation.ask(work)
    if invocation.as_json:
        for job in found:
            print_json(job)
        return
    print_table(
        _HEADS,
        (
            (
                job["job_id"],
                job["type"],
                what(job),
                job["account"],
                job["state"],
                percent(job),
                number((job.get("progress") or {}).get("processed")),
                f"{job['attempt']}/{job['max_attempts']}" if job["attempt"] else "",
                moment(job["created_at"]),
            )
            for job in found
        ),
        "no jobs",
    )


@click.command(short_help="Show a job: attempts, errors, milestones, children.")
@click.argument("job")
@pass_invocation
def show(invocation: Invocation, job: str) -> None:
    """Show JOB with its attempts, errors, milestones and children."""

    async def work(manager: JobManager) -> JobView:
        return await manager.get(job, include=("errors", "assignments", "milestones", "children"))

    found = invocation.ask(work)
    if invocation.as_json:
        print_json(found)
        return
    print_pairs(_pairs(found))
    for section in (_entities, _children, _assignments, _errors, _milestones, _files):
        section(found)


def _pairs(job: JobView) -> list[tuple[str, object]]:
    progress = job.get("progress") or {}
    asked = [name for name in ("cancel_requested", "pause_requested") if job.get(name)]
    return [
        ("job", job["job_id"]),
        ("type", job["type"]),
        ("state", job["state"]),
        ("reason", job.get("reason")),
        ("asked for", ", ".join(each.replace("_requested", "") for each in asked)),
        ("account", job["account"]),
        ("host", job.get("host")),
        ("path", job.get("namespace_path")),
        ("name", job.get("name")),
        ("entity", job.get("entity_id")),
        ("priority", job["priority"]),
        ("key", job.get("job_key")),
        ("labels", ", ".join(job.get("labels") or ())),
        ("attempts", f"{job['attempt']} ({job['failures']} of {job['max_attempts']} failures, "
                     f"{job['losses']} lost, {job['releases']} handed back)"),
        ("crawler", job.get("crawler_id")),
        ("parent", job.get("parent_id")),
        ("root", job["root_id"] if job["root_id"] != job["job_id"] else None),
        ("created", moment(job["created_at"])),
        ("not before", moment(job.get("run_at")) if job["state"] == "queued" else None),
        ("started", moment(job.get("started_at"))),
        ("finished", moment(job.get("finished_at"))),
        ("took", duration(elapsed(job.get("started_at"), job.get("finished_at")))),
        ("progress", _progress_line(progress)),
        ("message", progress.get("message")),
        ("payload", _compact(job.get("payload"))),
        ("summary", _compact(job.get("summary"))),
    ]  # fmt: skip


def _progress_line(progress: Mapping[str, Any]) -> str:
    parts = [
        f"{progress['percent']:.1f} %" if "percent" in progress else "",
        str(progress.get("stage", "")),
        f"{number(progress['processed'])} items" if progress.get("processed") else "",
        f"{number(progress['failed'])} failed" if progress.get("failed") else "",
        f"{progress['rate']:.0f}/s" if progress.get("rate") else "",
        f"about {duration(progress['time_left'])} left" if progress.get("time_left") else "",
    ]
    return ", ".join(part for part in parts if part)


def _compact(value: Mapping[str, Any] | None) -> str | None:
    if not value:
        return None
    import orjson

    return orjson.dumps(value).decode()


def _entities(job: JobView) -> None:
    entities = (job.get("progress") or {}).get("entities") or {}
    if entities:
        print_heading("Items")
        print_table(
            ("entity", "discovered", "processed", "failed", "total"),
            (
                (name, *(number(counts.get(each)) for each in ("discovered", "processed", "failed", "total")))
                for name, counts in entities.items()
                if any(counts.values())
            ),
            "",
        )


def _children(job: JobView) -> None:
    children = {state: count for state, count in (job.get("children") or {}).items() if count}
    if children:
        print_heading("Children")
        print_table(("state", "jobs"), ((state, number(count)) for state, count in children.items()), "")


def _assignments(job: JobView) -> None:
    rows = job.get("assignments") or []
    if rows:
        print_heading("Attempts")
        print_table(
            ("attempt", "crawler", "from", "took", "ended"),
            (
                (
                    each.get("attempt"),
                    each.get("crawler_id"),
                    moment(each.get("assigned_at")),
                    duration(elapsed(each.get("assigned_at"), each.get("ended_at"))),
                    each.get("outcome") or "holds it",
                )
                for each in rows
            ),
            "",
        )


def _errors(job: JobView) -> None:
    rows = job.get("errors") or []
    if rows:
        print_heading("Errors")
        print_table(
            ("at", "attempt", "type", "group", "message"),
            (
                (
                    moment(each.get("at")),
                    each.get("attempt"),
                    each.get("error_type"),
                    each.get("fingerprint"),
                    each.get("message"),
                )
                for each in rows
            ),
            "",
        )
        last = max(rows, key=lambda each: str(each.get("at")))
        if job["state"] == "failed":
            print_pairs([("means", last.get("explanation")), ("next step", last.get("next_step"))])


def _milestones(job: JobView) -> None:
    rows = job.get("milestones") or (job.get("progress") or {}).get("milestones") or []
    if rows:
        print_heading("Milestones")
        print_table(("percent", "at"), ((f"{each['percent']} %", moment(each.get("at"))) for each in rows), "")


def _files(job: JobView) -> None:
    rows = job.get("files") or []
    if rows:
        print_heading("Files")
        print_table(
            ("items", "bytes", "path"),
            ((number(each["items"]), number(each["bytes"]), each["path"]) for each in rows),
            "",
        )
