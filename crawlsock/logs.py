"""Turn what the program says into lines: for people on a terminal, as JSON elsewhere, never with a secret in
them.

The law: every line that leaves the process goes through one `Masker`, after formatting, so that nothing a
message, a field, an exception or a foreign library puts into an event can carry a registered secret out.
Fields are masked by their names before formatting. An event that cannot be formatted becomes a line that says
so, not a lost one.
"""

from __future__ import annotations

import os
import syslog
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from string import Formatter
from typing import Any, TextIO

import orjson
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

from crawlsock.masking import HIDDEN, Masker, is_secret_name

Write = Callable[[str, LogEvent], None]
"""Takes a finished line (without its newline) and the event that it tells of."""

_COLOURS: Mapping[str, str] = {
    "debug": "\x1b[2m",
    "warn": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_RESET = "\x1b[0m"
_SYSLOG: Mapping[str, int] = {
    "debug": syslog.LOG_DEBUG,
    "info": syslog.LOG_INFO,
    "warn": syslog.LOG_WARNING,
    "error": syslog.LOG_ERR,
    "critical": syslog.LOG_CRIT,
}
# What the logger itself puts into an event; everything else are the fields of whoever logged.
_OWN_FIELDS = frozenset({"message", "isError", "time", "format", "why", "failure", "printed", "logLevel", "system"})
_DEEPEST = 6


def _hide_by_name(event: LogEvent) -> LogEvent:
    """Return the event with secret fields replaced, however the format string reaches into them."""
    hidden = {name: HIDDEN for name, value in event.items() if is_secret_name(name) and _is_text(value)}
    text = event.get("log_format")
    if isinstance(text, str) and "{" in text:
        try:
            # {request.token} and {headers[token]} reach a secret through a field with an innocent name.
            pieces = [
                literal.replace("{", "{{").replace("}", "}}")
                + ("" if field is None else HIDDEN if _reaches_secret(field) else _rebuild(field, spec, conversion))
                for literal, field, spec, conversion in Formatter().parse(text)
            ]
            hidden["log_format"] = "".join(pieces)
        except ValueError:
            pass  # formatEvent says what is wrong with it
    return {**event, **hidden} if hidden else event


def _is_text(value: object) -> bool:
    # Numbers and flags called "tokens" count something.
    return not isinstance(value, (bool, int, float, type(None)))


def _reaches_secret(field: str) -> bool:
    path = field.replace("[", ".").replace("]", "").replace("(", "").replace(")", "").split(".")
    return any(is_secret_name(step) for step in path[1:])


def _rebuild(field: str, spec: str | None, conversion: str | None) -> str:
    return "{" + field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"


def _message(event: LogEvent) -> str:
    """Return the text of an event without its traceback; never raise."""
    if "log_format" not in event and "log_text" in event:
        return str(event["log_text"])
    return formatEvent(_hide_by_name(event))


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    if not isinstance(failure, Failure):
        return ""
    try:
        return failure.getTraceback().rstrip()
    except Exception as error:
        return f"(the traceback cannot be shown: {type(error).__name__})"


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return str(level.name) if level is not None else "info"


def _time(event: LogEvent) -> datetime:
    return datetime.fromtimestamp(event.get("log_time", 0.0), timezone.utc)


def text_line(event: LogEvent, masker: Masker, colour: bool = False) -> str:
    """Return what a person reads, one line unless there is a traceback: time, level, namespace, message."""
    level, shown = _level(event), _message(event)
    traceback = _traceback(event)
    # A line break in a message could forge a line of log.
    shown = masker.mask(shown).replace("\r", "\\r").replace("\n", "\n    ")
    if traceback:
        shown += "\n    " + masker.mask(traceback).replace("\n", "\n    ")
    moment = _time(event).astimezone().strftime("%H:%M:%S.%f")[:-3]
    begin, end = (_COLOURS.get(level, ""), _RESET) if colour and level in _COLOURS else ("", "")
    return f"{moment} {begin}{level:<8}{end} [{event.get('log_namespace') or '-'}] {begin}{shown}{end}"


def json_line(event: LogEvent, masker: Masker) -> str:
    """Return one JSON object: time, level, namespace, message, the traceback if any, and the fields."""
    fields = {
        name: _plain(name, value, masker, 0)
        for name, value in event.items()
        if not name.startswith(("log_", "_")) and name not in _OWN_FIELDS
    }
    document: dict[str, Any] = {
        "time": _time(event).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": _level(event),
        "namespace": str(event.get("log_namespace") or "-"),
        "message": masker.mask(_message(event)),
    }
    traceback = _traceback(event)
    if traceback:
        document["traceback"] = masker.mask(traceback)
    if fields:
        document["fields"] = fields
    try:
        return orjson.dumps(document).decode()
    except (TypeError, ValueError):
        # Lone surrogates: a name from a file system, or from a hostile peer.
        return orjson.dumps(_encodable(document)).decode()


def _plain(name: str, value: object, masker: Masker, depth: int) -> object:
    """Return `value` as JSON may hold it, masked by its name and by its text."""
    if isinstance(value, (bool, type(None), float)) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if is_secret_name(name):
        return HIDDEN
    if isinstance(value, str):
        return masker.mask(value)
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {masker.mask(str(key)): _plain(str(key), item, masker, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(name, item, masker, depth + 1) for item in value]
    try:
        return masker.mask(repr(value))
    except Exception as error:
        return f"(cannot be shown: {type(error).__name__})"


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value


@implementer(ILogObserver)
class LineObserver:
    """Format and mask each event and hand it on as a line."""

    def __init__(self, line: Callable[[LogEvent], str], write: Write) -> None:
        self._line = line
        self._write = write

    def __call__(self, event: LogEvent) -> None:
        try:
            line = self._line(event)
        except Exception as error:
            # Only the type: the text of the error may hold what the mask did not get to see.
            line = f"(an event of {event.get('log_namespace')} cannot be shown: {type(error).__name__})"
        self._write(line, event)


class Logs:
    """The log of one process: its masker, its level, and the observer for Twisted to use.

    `masker.register(value)` hides a secret from now on; `set_level` takes effect with the next event.
    """

    def __init__(self, level: str, masker: Masker, line: Callable[[LogEvent], str], write: Write) -> None:
        self.masker = masker
        self._predicate = LogLevelFilterPredicate()
        self.set_level(level)
        self.observer = FilteringLogObserver(LineObserver(line, write), [self._predicate])

    def set_level(self, level: str) -> None:
        """Log events of `level` (debug, info, warn, error, critical) and above."""
        self._predicate.setLogLevelForNamespace("", LogLevel.levelWithName(level))


def to_stream(stream: TextIO) -> Write:
    """Return a writer of lines to `stream`, each flushed; a reader that has gone away costs the line only."""

    def write(line: str, event: LogEvent) -> None:
        try:
            stream.write(line + "\n")
            stream.flush()
        except UnicodeEncodeError:
            stream.write(line.encode("ascii", "backslashreplace").decode() + "\n")
        except (OSError, ValueError):
            pass  # nobody is left to tell

    return write


def to_file(path: str) -> Write:
    """Return a writer of lines to `path` (mode 0600), opened with the first line and again when it was moved
    away.

    The file is rotated by Twisted's `LogFile` at 64 MiB, the old ones numbered; logrotate needs no signal.
    """
    full = os.path.abspath(path)
    opened: list[tuple[LogFile, tuple[int, int]]] = []

    def identity() -> tuple[int, int] | None:
        try:
            found = os.stat(full)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def write(line: str, event: LogEvent) -> None:
        try:
            if not opened or opened[0][1] != identity():
                file = LogFile.fromFullPath(full, rotateLength=64 * 1024**2, defaultMode=0o600)  # type: ignore[no-untyped-call]
                opened[:] = [(file, identity() or (0, 0))]
            opened[0][0].write((line + "\n").encode("utf-8", "backslashreplace"))  # type: ignore[no-untyped-call]
            opened[0][0].flush()  # type: ignore[no-untyped-call]
        except OSError:
            opened.clear()  # a full disk; the next line tries again

    return write


def to_syslog(prefix: str) -> Write:
    """Return a writer of lines to the machine's system log."""
    syslog.openlog(prefix, syslog.LOG_PID)

    def write(line: str, event: LogEvent) -> None:
        for part in line.splitlines():
            syslog.syslog(_SYSLOG.get(_level(event), syslog.LOG_INFO), part.replace("\0", "\\0"))

    return write
