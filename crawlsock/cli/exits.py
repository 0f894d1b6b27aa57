"""What the process ends with, and what it says then.

The law: every exit code is decided here, from a refusal's code or an exception's type, by tables. Nobody else writes
a number. A problem is told in one line: what happened, and what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from attrs import frozen


class Exit(IntEnum):
    """The exit codes, design 10. 128 and above are signals, as shells count them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    CONFLICT = 4
    NOT_ALLOWED = 5
    TIMED_OUT = 6
    BAD_CONFIGURATION = 7
    VERSION_MISMATCH = 8


REFUSALS: Final[Mapping[str, Exit]] = {
    "malformed_frame": Exit.VERSION_MISMATCH,
    "frame_too_large": Exit.USAGE,
    "invalid_json": Exit.USAGE,
    "invalid_message": Exit.USAGE,
    "unsupported": Exit.VERSION_MISMATCH,
    "unsupported_version": Exit.VERSION_MISMATCH,
    "not_authenticated": Exit.NOT_ALLOWED,
    "authentication_failed": Exit.NOT_ALLOWED,
    "hello_timeout": Exit.NOT_REACHABLE,
    "forbidden": Exit.NOT_ALLOWED,
    "session_expired": Exit.CONFLICT,
    "duplicate_crawler": Exit.CONFLICT,
    "lease_lost": Exit.CONFLICT,
    "unknown_job": Exit.USAGE,
    "unknown_account": Exit.USAGE,
    "unknown_crawler": Exit.USAGE,
    "unknown_error": Exit.USAGE,
    "unknown_token": Exit.USAGE,
    "invalid_state": Exit.CONFLICT,
    "duplicate": Exit.CONFLICT,
    "queue_full": Exit.CONFLICT,
    "rate_limited": Exit.NOT_REACHABLE,
    "too_many_requests": Exit.NOT_REACHABLE,
    "credential_missing": Exit.CONFLICT,
    "credential_refused": Exit.CONFLICT,
    "unknown_setting": Exit.USAGE,
    "not_reloadable": Exit.CONFLICT,
    "position_too_old": Exit.CONFLICT,
    "unavailable": Exit.NOT_REACHABLE,
    "draining": Exit.NOT_REACHABLE,
    "internal": Exit.FAILED,
}
"""What each refusal of the protocol's closed list ends a command with."""

_EXCEPTIONS: Final[Mapping[str, tuple[Exit, str]]] = {
    "crawlsock.sdk.errors.NotConnected": (
        Exit.NOT_REACHABLE,
        "start the server (twistd -n crawlsock), or say where it is with --endpoint or --data-dir",
    ),
    "crawlsock.sdk.errors.NotAnswered": (Exit.TIMED_OUT, "look at crawlsock status, then ask again"),
    "crawlsock.config.errors.ConfigError": (Exit.BAD_CONFIGURATION, ""),
    "crawlsock.gitlab.hosts.HostRefused": (Exit.USAGE, ""),
    "crawlsock.store.migrate.SchemaTooNew": (Exit.VERSION_MISMATCH, ""),
    "crawlsock.store.migrate.MigrationChanged": (Exit.VERSION_MISMATCH, ""),
    "crawlsock.store.migrate.MigrationError": (Exit.FAILED, "mend what PostgreSQL complains about, then run it again"),
    "crawlsock.store.errors.DatabaseAway": (Exit.NOT_REACHABLE, "see that PostgreSQL runs and takes this login"),
    "crawlsock.store.errors.Unsuitable": (Exit.VERSION_MISMATCH, ""),
    "crawlsock.store.errors.DatabaseError": (Exit.FAILED, "look into PostgreSQL's log"),
    "crawlsock.postgres.errors.EmbeddedPostgresError": (Exit.BAD_CONFIGURATION, ""),
    "builtins.BrokenPipeError": (Exit.DONE, ""),
    "builtins.OSError": (Exit.FAILED, "see to the file or the disk, then run it again"),
}
"""By the name of the type, so that telling about one module does not import them all. An empty remedy: the message
of that exception names its own."""


_EXTRAS: Final[Mapping[str, str]] = {
    "click": "cli",
    "rich": "cli",
    "treq": "gitlab",
    "OpenSSL": "gitlab",
    "txpostgres": "server",
    "psycopg2": "server",
    "cryptography": "server",
}
"""Which extra brings a package that is missing."""


class CommandError(Exception):
    """End the command: `message` says what happened and what to do next, in one line."""

    def __init__(self, exit: Exit, message: str) -> None:
        super().__init__(message)
        self.exit = exit


@frozen
class Verdict:
    """How a command ends: the code, and the line for stderr (empty: nothing to say)."""

    code: int
    line: str


def verdict(error: BaseException) -> Verdict:
    """Return how `error` ends the command. An exception that nobody foresaw is a bug, and is called one."""
    if isinstance(error, CommandError):
        return Verdict(error.exit, _one_line(str(error)))
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _EXTRAS:
        extra = _EXTRAS[(error.name or "").partition(".")[0]]
        return Verdict(
            Exit.BAD_CONFIGURATION,
            f"this command needs {error.name}, which is not installed; pip install 'crawlsock[{extra}]'",
        )
    code = getattr(error, "code", None)
    if isinstance(code, str) and code in REFUSALS:
        return Verdict(REFUSALS[code], _one_line(_with(str(error), _remedy(code))))
    for kind in type(error).__mro__:
        known = _EXCEPTIONS.get(f"{kind.__module__}.{kind.__qualname__}")
        if known is not None:
            if "there is no connection" in str(error):
                known = _EXCEPTIONS["crawlsock.sdk.errors.NotConnected"]
            return Verdict(known[0], _one_line(_with(str(error) or kind.__name__, known[1])))
    return Verdict(
        Exit.FAILED,
        _one_line(f"a bug: {type(error).__name__}: {error}; run it again with --debug and report what it says"),
    )


def _remedy(code: str) -> str:
    from crawlsock.wire.errors import ErrorCode

    return ErrorCode[code.upper()].remedy


def _with(message: str, remedy: str) -> str:
    return f"{message}; {remedy}" if remedy else message


def _one_line(text: str) -> str:
    """Make one printable line: what a server says may come from anywhere."""
    return "".join(each if each.isprintable() else " " for each in " ".join(text.split()))
