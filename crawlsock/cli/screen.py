"""Words on the screen: tables, pairs, JSON, numbers as people read them.

The law: results go to stdout, and whatever a server or a GitLab named something passes `clean` before a terminal sees
it. On a terminal tables have colours; elsewhere they are plain text that is cut nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STATE_STYLES: Final[Mapping[str, str]] = {
    "completed": "green",
    "valid": "green",
    "connected": "green",
    "up": "green",
    "running": "cyan",
    "assigned": "cyan",
    "failed": "red",
    "refused": "red",
    "down": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "away": "yellow",
    "draining": "yellow",
    "waiting_credential": "magenta",
}
"""The colour of a word wherever it stands."""

_UNLIMITED: Final = 1_000_000
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def console(stream: TextIO | None = None, *, error: bool = False) -> Console:
    """Make a console for stdout, or for stderr; off a terminal its lines have no end."""
    from rich.console import Console

    target = stream or (sys.stderr if error else sys.stdout)
    made = Console(file=target, highlight=False, emoji=False, markup=False, soft_wrap=not target.isatty())
    if not made.is_terminal:
        made.width = _UNLIMITED
    return made


def clean(value: object) -> str:
    """Return text that cannot steer a terminal: every control and formatting character becomes a mark."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value))


def styled(value: object) -> Text:
    """Return a word of ours or theirs in its colour."""
    from rich.text import Text

    text = clean(value)
    return Text(text, STATE_STYLES.get(text, ""))


def print_json(value: Any) -> None:
    """Print one JSON object on one line of stdout."""
    import orjson

    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table on stdout; when there are no rows, say `empty` on stderr instead."""
    from rich.table import Table

    lines = [[styled("" if cell is None else cell) for cell in row] for row in rows]
    if not lines:
        say(empty)
        return
    out = console()
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", collapse_padding=True)
    for head in heads:
        # Ids are for copying: never cut, never wrapped.
        table.add_column(head, no_wrap=head in ("id", "token id") or not out.is_terminal, overflow="fold")
    for line in lines:
        table.add_row(*line)
    out.print(table)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values under one another on stdout; a value that is None is left out."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        if value is not None and value != "":
            table.add_row(f"{name}", styled(value))
    console().print(table)


def print_heading(text: str) -> None:
    """Print a heading on stdout."""
    from rich.text import Text

    console().print(Text(f"\n{text}", "bold"))


def say(text: str) -> None:
    """Say something to the person on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def size(count: float | None) -> str:
    """Return bytes as people say them."""
    if count is None:
        return ""
    power = 0
    while count >= 1024 and power < len(_UNITS) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.0f} {_UNITS[power]}" if power < 2 else f"{count:.1f} {_UNITS[power]}"


def number(count: float | None) -> str:
    """Return a count with its thousands apart."""
    return "" if count is None else f"{count:,.0f}"


def many(count: int, word: str, plural: str | None = None) -> str:
    """Return a count with its word: `1 job`, `2 jobs`, `3 token refreshes`."""
    return f"{number(count)} {word if count == 1 else plural or word + 's'}"


def moment(text: str | None) -> str:
    """Return an RFC 3339 time in the time zone of whoever looks, to the second."""
    found = parse_moment(text)
    return "" if found is None else found.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def parse_moment(text: str | None) -> datetime | None:
    """Read an RFC 3339 time; None for none."""
    if not text:
        return None
    # Python before 3.11 reads no Z.
    read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return read if read.tzinfo is not None else read.replace(tzinfo=timezone.utc)


def elapsed(begin: str | None, end: str | None) -> float | None:
    """Return the seconds between two times, if both are there."""
    first, last = parse_moment(begin), parse_moment(end)
    return None if first is None or last is None else max(0.0, (last - first).total_seconds())


class Here:
    """Say on stderr once that the server is away, and once that it is back."""

    def __init__(self) -> None:
        self._here = True

    def look(self, here: bool) -> None:
        """Note how it is now."""
        if here is not self._here:
            self._here = here
            say("the server is back" if here else "the server is away; waiting for it")
