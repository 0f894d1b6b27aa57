"""What a check found.

Law: a value. What is wrong comes with what to do about it, always; and with the exit code that it would end a command
with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

from attrs import frozen

from crawlsock.cli.exits import Exit, verdict

State = Literal["ok", "warn", "bad", "skipped"]


@frozen
class Finding:
    """One check: its name, how it is, in words, and what to do. `exit` is Exit.DONE unless it is bad."""

    check: str
    state: State
    summary: str
    remedy: str = ""
    exit: Exit = Exit.DONE

    def as_json(self) -> dict[str, Any]:
        """Return it as one object."""
        found: dict[str, Any] = {"check": self.check, "state": self.state, "summary": self.summary}
        if self.remedy:
            found["remedy"] = self.remedy
        return found


def ok(check: str, summary: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", summary)


def skipped(check: str, summary: str) -> Finding:
    """It could not, or need not, be looked at."""
    return Finding(check, "skipped", summary)


def warn(check: str, summary: str, remedy: str) -> Finding:
    """It works, and will not for ever."""
    return Finding(check, "warn", summary, remedy)


def bad(check: str, summary: str, remedy: str, exit: Exit = Exit.FAILED) -> Finding:
    """It does not work."""
    return Finding(check, "bad", summary, remedy, exit)


def failure(check: str, error: BaseException) -> Finding:
    """Say what an exception of ours says: our messages are `what; what to do`."""
    told = verdict(error)
    summary, _, remedy = told.line.partition("; ")
    return bad(check, summary, remedy or "look at the server's log", Exit(told.code))


def guarded(check: str, look: Callable[[], Finding]) -> Finding:
    """Look; what cannot be looked at, for want of a package say, is a finding of its own."""
    try:
        return look()
    except Exception as error:
        return failure(check, error)


def exit_code(findings: Iterable[Finding]) -> Exit:
    """Return the code of the first that is bad: the checks stand in the order in which things depend on each other."""
    return next((each.exit for each in findings if each.state == "bad"), Exit.DONE)


_WORDS: Final = {"bad": "to mend", "warn": "to look at"}


def summed_up(findings: Sequence[Finding]) -> str:
    """Return the last line for people."""
    parts = [
        f"{count} {words}"
        for state, words in _WORDS.items()
        if (count := sum(each.state == state for each in findings))
    ]
    return ", ".join(parts) or "all is well"
