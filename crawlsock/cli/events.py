"""``crawlsock events``: the feed, one line an event.

The law: every event once, in order, whatever happens to the server meanwhile; where some are missing stands a line that
says so. What is not an event goes to stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import Here, clean, console, parse_moment, print_json, say

if TYPE_CHECKING:
    from crawlsock.sdk import Event, JobManager

_TICK: Final = 0.25
QUIET: Final = 1.0
"""Seconds without an event after which what had happened has been told."""
_WIDEST: Final = 22
_STYLES: Final[Mapping[str, str]] = {
    "job_completed": "green",
    "job_failed": "red",
    "job_lost": "red",
    "crawler_lost": "red",
    "incident": "red",
    "job_cancelled": "yellow",
    "job_cancel_requested": "yellow",
    "job_retried": "yellow",
    "job_paused": "yellow",
    "queue_paused": "yellow",
    "job_waiting_credential": "magenta",
    "job_progress": "dim",
    "gap": "bold reverse yellow",
}
_HEADED: Final = frozenset({"kind", "at", "job_id", "crawler_id", "account", "root_id", "session_id", "entities"})
"""What has a place of its own in a line for people, or is of no use to them there."""
_SAID_BY_KIND: Final = frozenset({"state", "stage", "seq"})
_GAP: Final = "events are missing here: look at the present state (crawlsock jobs)"


@click.command(short_help="Print what happens, as it happens.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C, through restarts of the server.")
@click.option("--jsonl", is_flag=True, help="One JSON object a line, as --json.")
@click.option("--since", metavar="POSITION", help="What happened after this; a position is what --jsonl prints.")
@click.option("--job", "job_id", metavar="JOB", help="Only about this job.")
@click.option("--root", "root_id", metavar="JOB", help="Only about the tree of which this job is the top.")
@click.option("--account", help="Only of this account.")
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND", help="Only of this kind, such as job_failed; repeatable."
)
@pass_invocation
def events(
    invocation: Invocation, follow: bool, jsonl: bool, since: str | None, kinds: tuple[str, ...], **given: str | None
) -> None:
    """Print what happens, as it happens: one line an event.

    With --follow: from now on, or from --since, without end; a server that restarts is waited for, and nothing is
    missed or told twice. Without it: what has happened since --since.
    """
    if since is None and not follow:
        raise click.UsageError("say --follow for what happens from now on, or --since POSITION for what happened then")
    show = _json_line if jsonl or invocation.as_json else _Line()

    async def work(manager: JobManager) -> None:
        await _print(manager, follow, show, kinds=kinds, position=since, **given)

    invocation.ask(work, role="monitor")


async def _print(manager: JobManager, follow: bool, show: Callable[[Event], None], **wanted: Any) -> None:
    from twisted.internet.task import LoopingCall

    here = Here()
    ticking = LoopingCall(lambda: here.look(manager.connection.connected))
    ticking.clock = manager.clock
    feed = manager.subscribe(**wanted)
    ticks = ticking.start(_TICK, now=False)
    try:
        # Answered after the subscription: what happens from here on is told, and the quiet waited for is the feed's.
        await manager.request("ping")
        if follow:
            say("following; Ctrl-C ends it")
            async for event in feed:
                show(event)
            return
        while await feed.stirred(manager.clock, QUIET):
            show(await feed.__anext__())
    finally:
        feed.close()
        ticking.stop()
        await ticks


def _json_line(event: Event) -> None:
    line: dict[str, Any] = {**event.data, "position": event.position}
    if event.snapshot:
        line["snapshot"] = True
    print_json(line)


class _Line:
    """Print events for people."""

    def __init__(self) -> None:
        self._console = console()

    def __call__(self, event: Event) -> None:
        """Print one."""
        from rich.text import Text

        data = event.data
        if event.kind == "gap":
            self._console.print(Text(f"-- {_GAP} --", _STYLES["gap"]))
            return
        line = Text(_clock(data.get("at")), "dim")
        line.append(f"  {clean(event.kind):{_WIDEST}} ", _STYLES.get(event.kind, ""))
        line.append(
            clean(data.get("job_id") or data.get("crawler_id") or data.get("account") or data.get("job_type") or "")
        )
        if event.snapshot:
            line.append("  (as it is now)", "dim")
        for name, value in _rest(data):
            line.append(f"  {name} ", "dim")
            line.append(value)
        self._console.print(line, soft_wrap=True)


def _rest(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    about_job = data["kind"].startswith("job_")
    found = []
    for name, value in data.items():
        if name in _HEADED or value in (None, "") or (about_job and name in _SAID_BY_KIND):
            continue
        if name == "attempt" and value in (0, 1):
            continue
        found.append((clean(name), _short(value)))
    counts = [each for each in (data.get("entities") or {}).values() if isinstance(each, dict)]
    if counts:
        found.append(("items", f"{sum(each.get('processed', 0) for each in counts):,}"))
    if data.get("job_id") and data.get("account"):
        found.append(("account", clean(data["account"])))
    return found


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    if isinstance(value, dict | list):
        import orjson

        return clean(orjson.dumps(value).decode())
    return clean(value)


def _clock(text: str | None) -> str:
    at = parse_moment(text)
    return " " * 12 if at is None else at.astimezone().strftime("%H:%M:%S.%f")[:-3]
