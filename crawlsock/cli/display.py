"""How a crawl under way looks: bars on a terminal, lines in a log, JSON for programs.

The law: what is under way goes to stderr (JSON to stdout), and nothing here decides anything about a crawl. A display
is shown snapshots; `tick` keeps it lively between them and says when the server is away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from crawlsock.cli.jobs import what
from crawlsock.cli.screen import clean, console, duration, number, print_json, styled
from crawlsock.cli.tree import Row, Snapshot, by_type, rows

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

LINE_EVERY: Final = 2.0
"""Seconds between two lines where there is no terminal."""
_BAR: Final = 30
_SMALL_BAR: Final = 20
_NAME: Final = 30
_MOST_ROWS: Final = 12
_AWAY: Final = "the server is away; waiting for it"


class Display(Protocol):
    """What a crawl is watched with."""

    def __enter__(self) -> Display:
        """Begin."""

    def __exit__(self, *exception: object) -> None:
        """Leave the screen as it is then."""

    def show(self, snapshot: Snapshot) -> None:
        """Show how things are now."""

    def tick(self, here: bool) -> None:
        """Let a moment pass; `here`: the server is."""


def choose(as_json: bool, clock: Callable[[], float], footer: Callable[[], str] = str) -> Display:
    """Choose the display for where the output goes. `footer` gives one more line for people."""
    if as_json:
        return JsonLines()
    screen = console(error=True)
    if screen.is_terminal:
        return Bars(clock, footer)
    return Lines(clock, footer)


def numbers(snapshot: Snapshot) -> list[str]:
    """Return percent, items, rate and time left, as far as they mean something."""
    progress = snapshot.progress
    parts = []
    if progress.get("percent") is not None:
        parts.append(f"{progress['percent']:.1f} %")
    parts.append(f"{number(progress.get('processed', 0))} items")
    if progress.get("failed"):
        parts.append(f"{number(progress['failed'])} failed")
    if snapshot.rate and not snapshot.over:
        parts.append(f"{number(snapshot.rate)}/s")
    if progress.get("time_left") and not snapshot.over:
        parts.append(f"about {duration(progress['time_left'])} left")
    return parts


def states(snapshot: Snapshot) -> str:
    """Return how many jobs are in each state."""
    found = [f"{number(count)} {state}" for state, count in sorted(snapshot.states.items())]
    return f"jobs: {', '.join(found)}" if found else "no jobs"


class JsonLines:
    """One JSON object on stdout whenever something has changed; the last one holds the job."""

    def __init__(self) -> None:
        self._last: object = None

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        """Print what changed."""
        line = {"job_id": snapshot.job["job_id"], "state": snapshot.job["state"], "progress": snapshot.progress}
        if snapshot.over:
            print_json({**line, "over": True, "job": snapshot.job})
        elif line != self._last:
            self._last = line
            print_json({**line, "over": False})

    def tick(self, here: bool) -> None:
        """Say nothing: programs have the exit code."""


class Lines:
    """A line on stderr now and then, for logs."""

    def __init__(self, clock: Callable[[], float], footer: Callable[[], str]) -> None:
        self._clock = clock
        self._footer = footer
        self._console = console(error=True)
        self._next = 0.0
        self._last = ""
        self._here = True

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        """Print a line if it is time for one, and at the end in any case."""
        if not snapshot.over and self._clock() < self._next:
            return
        line = "  ".join([*numbers(snapshot), states(snapshot)])
        if footer := self._footer():
            line = f"{line}  {footer}"
        if line != self._last:
            self._last = line
            self._next = self._clock() + LINE_EVERY
            self._console.out(line)

    def tick(self, here: bool) -> None:
        """Say once that the server is away, and once that it is back."""
        if here is not self._here:
            self._here = here
            self._console.out("the server is back" if here else _AWAY)


class Bars:
    """Bars, rates and the tree on a terminal, drawn again in place."""

    def __init__(self, clock: Callable[[], float], footer: Callable[[], str]) -> None:
        self._clock = clock
        self._footer = footer
        self._console = console(error=True)
        self._began = clock()
        self._snapshot: Snapshot | None = None
        self._here = True
        self._live: Live | None = None

    def __enter__(self) -> Bars:
        from rich.live import Live

        # Not refreshed by a thread of rich's: the reactor calls `tick`.
        self._live = Live(console=self._console, auto_refresh=False, transient=False, redirect_stdout=False)
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Draw this."""
        self._snapshot = snapshot
        self._draw()

    def tick(self, here: bool) -> None:
        """Draw again: time has passed."""
        self._here = here
        self._draw()

    def _draw(self) -> None:
        if self._live is not None and self._snapshot is not None:
            self._live.update(self.picture(self._snapshot), refresh=True)

    def picture(self, snapshot: Snapshot) -> RenderableType:
        """Return all that is drawn of a snapshot."""
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [self._head(snapshot), _overall(snapshot)]
        if snapshot.complete and len(snapshot.jobs) > 1:
            parts.append(_types(snapshot))
        else:
            parts.append(Text(states(snapshot), "dim"))
        if not snapshot.over:
            shown, left_out = rows(snapshot.jobs, _room(self._console.size.height))
            if shown:
                parts.append(_tree(shown))
            if left_out:
                parts.append(Text(f"and {left_out} more in hand", "dim"))
        if footer := self._footer():
            parts.append(Text(clean(footer), "dim"))
        if not self._here:
            parts.append(Text(_AWAY, "bold yellow"))
        return Group(*parts)

    def _head(self, snapshot: Snapshot) -> Text:
        from rich.text import Text

        job = snapshot.job
        head = Text()
        head.append(clean(job["type"]), "bold")
        about = what(job)
        head.append(f" {about}  " if about else "  ")
        state = job["state"] if snapshot.over or job["state"] not in ("completed",) else "running"
        head.append_text(styled(state))
        head.append(f"  {duration(self._clock() - self._began)}", "dim")
        return head


def _room(height: int) -> int:
    return max(2, min(_MOST_ROWS, height - 12))


def _grid() -> Table:
    from rich.table import Table

    return Table.grid(padding=(0, 1))


def _bar(completed: float, total: float, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar

    # Colours that a terminal with sixteen of them has, too.
    return ProgressBar(
        total=max(total, 1), completed=completed, width=width, complete_style="cyan", finished_style="green"
    )


def _overall(snapshot: Snapshot) -> Table:
    from rich.text import Text

    percent = 100.0 if snapshot.over else snapshot.progress.get("percent")
    grid = _grid()
    grid.add_row(_bar(percent or 0.0, 100, _BAR), Text("  ".join(numbers(snapshot)), no_wrap=True))
    return grid


def _types(snapshot: Snapshot) -> Table:
    from rich.text import Text

    grid = _grid()
    for each in by_type(snapshot.jobs):
        grid.add_row(
            clean(each.type),
            _bar(each.ended, each.jobs, _SMALL_BAR),
            Text(f"{number(each.ended)}/{number(each.jobs)}"),
            Text(f"{each.failed} failed" if each.failed else "", "red"),
        )
    return grid


def _tree(lines: Sequence[Row]) -> Table:
    from rich.text import Text

    grid = _grid()
    for row in lines:
        progress = row.job.get("progress") or {}
        name = Text(_guides(row.guides), "dim", no_wrap=True)
        name.append(_short(what(row.job) or clean(row.job["type"])), "not dim" if row.active else "dim")
        if not row.active:
            grid.add_row(name)
            continue
        percent = progress.get("percent")
        grid.add_row(
            name,
            _bar(percent or 0.0, 100, _SMALL_BAR),
            Text("" if percent is None else f"{percent:.0f} %"),
            Text(f"{number(progress.get('processed', 0))} items"),
            Text(clean(row.job.get("crawler_id", "")), "dim", no_wrap=True),
        )
    return grid


def _short(path: str) -> str:
    """Cut a long path at its front: the end of it tells projects apart."""
    return path if len(path) <= _NAME else f"…{path[1 - _NAME :]}"


def _guides(guides: Sequence[bool]) -> str:
    if not guides:
        return ""
    return "".join("│ " if more else "  " for more in guides[:-1]) + ("├ " if guides[-1] else "└ ")
