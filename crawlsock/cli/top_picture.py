"""How `crawlsock top` looks.

Law: values in, a picture out. Every word of a server or a GitLab passes `clean`; nothing here depends on colour alone,
and no duration is negative, whatever clocks say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from crawlsock.cli.jobs import what
from crawlsock.cli.screen import STATE_STYLES, clean, duration, elapsed, moment, number, size, styled

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

Row = Mapping[str, Any]

STATES: Final = (
    "queued",
    "running",
    "assigned",
    "waiting_credential",
    "paused",
    "completed",
    "failed",
    "cancelled",
)
_SIGNS: Final = {"ok": ("●", "green"), "warn": ("▲", "yellow"), "bad": ("✖", "red")}
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_BAR: Final = 20
_FIXED: Final = 10
"""Lines of a full screen that are always there: heads, sums, headings, the last line."""
_WIDE: Final = 116
_NARROW: Final = 84
_LONGEST_JOB: Final = 34
_LONGEST_CRAWLER: Final = 18
_LATE: Final = 3.0
"""Seconds after which a picture is so old that it is said."""


@frozen
class Glance:
    """Everything at one moment.

    :ivar server: who answered. :ivar overview: as the dashboard has it.
    :ivar running: what crawlers have in hand, the longest first. :ivar crawlers: who is there.
    """

    server: Row
    overview: Row
    running: Sequence[Row] = ()
    crawlers: Sequence[Row] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as one object."""
        return {
            "server": dict(self.server),
            "overview": self.overview,
            "running": list(self.running),
            "crawlers": list(self.crawlers),
        }


def line(glance: Glance) -> str:
    """Return it in one line, for logs."""
    overview = glance.overview
    parts = [moment(overview["at"]), _states(overview) or "no jobs", f"{number(_items(overview))} items"]
    parts.append(f"{number(overview.get('rate'))}/s")
    parts.append(f"{number(overview['crawlers'].get('connected'))} crawlers")
    wrong = [f"{each['check']} {each['state']}" for each in overview.get("health", ()) if each["state"] != "ok"]
    if "health" in overview:
        parts.append(f"health: {', '.join(wrong) or 'ok'}")
    return clean("  ".join(parts))


def picture(
    glance: Glance, height: int | None = None, age: float = 0.0, here: bool = True, width: int | None = None
) -> RenderableType:
    """Return all that is drawn.

    :param height: lines there are; None: as many as it takes. `width`: columns there are; None: as above.
    :param age: seconds since it was read. `here`: the server is.
    """
    from rich.console import Group

    overview = glance.overview
    parts: list[RenderableType] = [_head(glance, age, here), _jobs(overview), _pace(overview)]
    few = None if height is None else max(1, height // 8)
    notes = [*_health(overview, few), *_oldest(overview)]
    hosts = _hosts(overview, few)
    incidents = _incidents(overview, few)
    parts += notes
    parts += hosts
    room = None if height is None else max(2, height - _FIXED - len(notes) - len(hosts) - len(incidents))
    crawlers_room = None if room is None else max(1, min(len(glance.crawlers), room // 3))
    running_room = None if room is None or crawlers_room is None else max(1, room - crawlers_room)
    parts += _crawlers(glance, crawlers_room)
    parts += _running(glance, running_room, width or _WIDE)
    parts += incidents
    if height is not None:
        parts.append(_text("q quits", "dim"))
    return Group(*parts)


def _head(glance: Glance, age: float, here: bool) -> Text:
    server = glance.server
    head = _text("crawlsock", "bold")
    head.append(f" {clean(server.get('version', ''))}  {clean(server.get('name', ''))}  ")
    if not here:
        head.append(f"✖ the server is away; waiting for it. This is {duration(age)} old", "bold yellow")
    elif age > _LATE:
        head.append(f"▲ no answer for {duration(age)}", "bold yellow")
    else:
        head.append("● live", "green")
    head.append(f"  {moment(glance.overview['at'])}", "dim")
    return head


def _jobs(overview: Row) -> Text:
    found = _label("jobs")
    jobs = overview["jobs"]
    for state in STATES:
        if jobs.get(state) or state in ("queued", "running", "completed", "failed"):
            found.append(f"{number(jobs.get(state, 0))} ", "bold" if jobs.get(state) else "dim")
            found.append(f"{state}  ", STATE_STYLES.get(state, "") if jobs.get(state) else "dim")
    return found


def _states(overview: Row) -> str:
    jobs = overview["jobs"]
    return "  ".join(f"{number(jobs[state])} {state}" for state in STATES if jobs.get(state))


def _items(overview: Row) -> int:
    processed: int = overview["items"]["processed"]
    return processed


def _pace(overview: Row) -> Text:
    found = _label("items")
    found.append(f"{number(_items(overview))} ", "bold")
    if overview["items"].get("failed"):
        found.append(f"{number(overview['items']['failed'])} failed ", "red")
    found.append(f" {number(overview.get('rate', 0))} a second", "cyan")
    activity = overview.get("activity") or []
    if len(activity) > 1:
        # The minute that is under way is not full yet.
        last = activity[-2]
        ended = last["completed"] + last["failed"]
        found.append(f"   {number(ended)} jobs, {number(last['items'])} items in the last minute   ")
        found.append(_spark([each["items"] for each in activity[-30:]]), "cyan")
    return found


def _spark(values: Sequence[float]) -> str:
    most = max(values, default=0)
    if most <= 0:
        return _SPARKS[0] * len(values)
    return "".join(_SPARKS[min(7, int(value / most * 7.999))] for value in values)


def _oldest(overview: Row) -> list[Text]:
    oldest = overview.get("oldest_queued")
    if not oldest:
        return []
    found = _label("waiting")
    found.append(f"{clean(oldest['type'])} {clean(oldest.get('name') or oldest['job_id'])}")
    found.append(f"  the longest, for {duration(max(0.0, oldest['waited']))}", "dim")
    return [found]


def _health(overview: Row, few: int | None) -> list[Text]:
    checks = overview.get("health")
    if checks is None:
        return []
    wrong = [each for each in checks if each["state"] != "ok"]
    if not wrong:
        found = _label("health")
        found.append("● all well", "green")
        found.append(f"  {', '.join(clean(each['check']) for each in checks)}", "dim")
        return [found]
    lines: list[Text] = []
    for each in wrong[:few]:
        sign, style = _SIGNS.get(each["state"], ("?", ""))
        found = _label("health" if not lines else "")
        found.append(f"{sign} {clean(each['check'])}: {clean(each['summary'])}", style)
        if each.get("remedy"):
            found.append(f"  → {clean(each['remedy'])}")
        lines.append(found)
    return lines


def _hosts(overview: Row, few: int | None) -> list[RenderableType]:
    hosts = sorted(overview.get("hosts") or (), key=_ease)[:few]
    if not hosts:
        return []
    grid = _grid()
    for place, each in enumerate(hosts):
        left, limit = each.get("remaining"), each.get("limit")
        share = _bar(left, limit) if left is not None and limit else ""
        said = f"{number(left)} of {number(limit)} requests" if left is not None else "no count now"
        name = _short(clean(each["host"]), _LONGEST_JOB)
        label = _text(f"{'' if place else 'hosts':<8}", "dim")
        grid.add_row(label, _text(name), share, _text(said), _until(each, overview["at"]))
    return [grid]


def _ease(host: Row) -> tuple[bool, float]:
    limit = host.get("limit") or 0
    return "blocked_until" not in host, host.get("remaining", limit) / limit if limit else 1.0


def _until(host: Row, now: str) -> Text:
    if "blocked_until" in host:
        return _text(f"blocked for {duration(elapsed(now, host['blocked_until']))}", "bold yellow")
    if "resets_at" in host:
        return _text(f"anew in {duration(elapsed(now, host['resets_at']))}", "dim")
    return _text("")


def _crawlers(glance: Glance, room: int | None) -> list[RenderableType]:
    sums = glance.overview["crawlers"]
    head = _text("Crawlers  ", "bold")
    states = [
        f"{number(sums[state])} {state}" for state in ("connected", "away", "paused", "draining") if sums.get(state)
    ]
    head.append(", ".join(states) or "none; start one with crawlsock crawl", "" if states else "yellow")
    if sums.get("slots"):
        head.append(f"  {number(sums.get('jobs', 0))} of {number(sums['slots'])} slots busy", "dim")
    shown, more = _cut(glance.crawlers, room)
    if not shown:
        return [head]
    table = _table("crawler", "state", "does", ">jobs", ">items/s", ">memory", ">cpu", "heard")
    for each in shown:
        cpu = each.get("cpu_percent")
        table.add_row(
            _short(clean(each["crawler_id"]), _LONGEST_JOB),
            styled(each["state"]),
            clean(each.get("status", "")),
            f"{number(each['jobs'])}/{number(each['slots'])}",
            number(each.get("rate")),
            size(each.get("memory_bytes")),
            "" if cpu is None else f"{cpu:.0f} %",
            f"{duration(each['heartbeat_age'])} ago",
        )
    return [head, table, *_more(more)]


def _running(glance: Glance, room: int | None, width: int) -> list[RenderableType]:
    held = sum(glance.overview["jobs"].get(state, 0) for state in ("running", "assigned"))
    head = _text("In hand  ", "bold")
    head.append(number(held), "" if held else "dim")
    shown, more = _cut(glance.running, room)
    more = max(0, held - len(shown)) if more or held > len(glance.running) else more
    if not shown:
        return [head]
    # What a narrow terminal has no room for is left out whole, rather than all of it cut.
    wide, narrow = width >= _WIDE, width < _NARROW
    heads = [
        "job",
        *(["type"] if wide else []),
        *([] if narrow else [""]),
        ">%",
        ">items",
        ">items/s",
        ">left",
        "crawler",
    ]
    table = _table(*heads)
    for each in shown:
        progress = each.get("progress") or {}
        percent = progress.get("percent")
        cells: list[RenderableType] = [_short(what(each) or clean(each["job_id"]), _LONGEST_JOB)]
        if wide:
            cells.append(clean(each["type"]))
        if not narrow:
            cells.append("" if percent is None else _bar(percent, 100))
        cells += [
            "" if percent is None else f"{percent:.0f}",
            number(progress.get("processed", 0)),
            number(progress["rate"]) if progress.get("rate") else "",
            duration(progress["time_left"]) if progress.get("time_left") else "",
            _short(clean(each.get("crawler_id", "")), _LONGEST_CRAWLER),
        ]
        table.add_row(*cells)
    return [head, table, *_more(more)]


def _incidents(overview: Row, few: int | None) -> list[Text]:
    lines: list[Text] = []
    for each in (overview.get("incidents") or ())[:few]:
        found = _text("" if lines else "Incidents  ", "bold")
        if lines:
            found.append(" " * 11)
        over = bool(each.get("closed_at"))
        style = {"critical": "red", "warning": "yellow"}.get(each["severity"], "")
        found.append(f"{clean(each['severity'])}: {clean(each['title'])}", "dim" if over else style)
        found.append(f"  {moment(each['opened_at'])}{', over' if over else ''}", "dim")
        lines.append(found)
    return lines


# Parts.


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    made = Text(no_wrap=True, overflow="ellipsis")
    made.append(text, style)
    return made


def _label(word: str) -> Text:
    return _text(f"{word:<9}", "dim")


def _grid() -> Table:
    from rich.table import Table

    return Table.grid(padding=(0, 1))


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim", collapse_padding=True)
    for head in heads:
        table.add_column(
            head.lstrip(">"),
            justify="right" if head.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


def _bar(completed: float, total: float) -> RenderableType:
    from rich.progress_bar import ProgressBar

    return ProgressBar(
        total=max(total, 1), completed=min(completed, total), width=_BAR, complete_style="cyan", finished_style="green"
    )


def _short(text: str, longest: int) -> str:
    """Cut what is long at its front: the end tells projects and crawlers apart."""
    return text if len(text) <= longest else f"…{text[1 - longest :]}"


def _cut(rows: Sequence[Row], room: int | None) -> tuple[Sequence[Row], int]:
    shown = rows[:room]
    return shown, len(rows) - len(shown)


def _more(count: int) -> list[Text]:
    return [_text(f"and {number(count)} more", "dim")] if count else []
