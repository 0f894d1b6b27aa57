"""Whether the server is well, as lines that a person can act on.

The law: a check looks at what is known already, and costs nothing; each that is not ``ok`` says what to do. Here is
what a line is and how lines are collected; what is looked at stands in `symptoms` and `database_symptoms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import frozen
from twisted.logger import Logger

OK: Final = "ok"
WARN: Final = "warn"
BAD: Final = "bad"
_ORDER: Final = (OK, WARN, BAD)


@frozen
class Line:
    """One thing that was looked at.

    :ivar check: its name, a word; the same for ever, so that programs may look for it.
    :ivar state: `OK`, `WARN` (it works, and will not for long, or not well) or `BAD`.
    :ivar summary: what was found, as a sentence without an end.
    :ivar remedy: what to do about it, when it is not ok.
    :ivar needed: whether a server on which this is bad should get no traffic.
    """

    check: str
    state: str
    summary: str
    remedy: str | None = None
    needed: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        shown = {"check": self.check, "state": self.state, "summary": self.summary}
        return shown if self.remedy is None else {**shown, "remedy": self.remedy}


def graded(value: float, warn: float, bad: float) -> str:
    """Return the state of a value that should be small."""
    return BAD if value >= bad else WARN if value >= warn else OK


Source = Callable[[], Iterable[Line]]


class Checks:
    """Collect lines from whoever has some."""

    _log = Logger()

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def use(self, source: Source) -> None:
        """Show the lines of `source` behind those of the others."""
        self._sources.append(source)

    def lines(self) -> list[Line]:
        """Return what there is to say now. A source that fails is a line of its own: blindness is no health."""
        found: list[Line] = []
        for source in self._sources:
            try:
                found += source()
            except Exception:
                self._log.failure("A check failed")
                found.append(Line("checks", BAD, "a check itself failed", "look into the server's log, and report it"))
        return found

    @property
    def ready(self) -> bool:
        """Whether this server should get traffic."""
        return not any(line.needed and line.state == BAD for line in self.lines())

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines as the API shows them."""
        return [line.as_json() for line in self.lines()]


def worst(lines: Iterable[Line]) -> str:
    """Return the worst state of some lines."""
    return max((line.state for line in lines), key=_ORDER.index, default=OK)
