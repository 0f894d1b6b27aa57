"""What a value can be: how it is read from text, and how it is shown again.

Every source (option, variable, file) is turned into text first and read by the same parser, so ``30``, ``"30
s"`` and ``0.5 min`` mean the same wherever they stand. A parser raises `ValueError` with the second half of a
sentence ("is not a duration; ..."): the loader puts the place in front of it. Nothing here knows a setting by
name.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar, cast

from attrs import frozen

T = TypeVar("T")
N = TypeVar("N", int, float)

NONE = "none"
"""The word that turns an optional setting off or empties a list, in every source."""


@frozen
class Kind(Generic[T]):
    """A type of value: its name and an example for the documentation, its reader and its writer.

    `native` lists the TOML types that a file may use beside a string.
    """

    name: str
    example: str
    parse: Callable[[str], T]
    show: Callable[[T], str]
    native: tuple[type, ...] = (str,)


_DURATIONS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_QUANTITY = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


def _quantity(text: str, units: dict[str, N], what: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units:
        names = ", ".join(unit for unit in units if unit)
        raise ValueError(f"is not {what}; write a number and one of {names}")
    return float(match[1].replace("_", "")) * units[match[2]]


def _parse_duration(text: str) -> float:
    return _quantity(text, _DURATIONS, "a duration")


def _show_duration(seconds: float) -> str:
    for unit in ("d", "h", "min"):
        if seconds and seconds % _DURATIONS[unit] == 0:
            return f"{seconds / _DURATIONS[unit]:g} {unit}"
    return f"{seconds * 1000:g} ms" if 0 < seconds < 1 else f"{seconds:g} s"


def _parse_size(text: str) -> int:
    size = _quantity(text, _SIZES, "a size")
    if size != int(size):
        raise ValueError("is not a whole number of bytes; write, for example, 1 MiB")
    return int(size)


def _show_size(size: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]} {unit}"
    return str(size)


def _parse_count(text: str) -> int:
    if re.fullmatch(r"\d[\d_]*", text.strip(), re.ASCII) is None:
        raise ValueError("is not a whole number; write digits, for example 1000")
    return int(text)


def _parse_path(text: str) -> Path:
    # Absolute at once: a daemon may change its directory after the configuration was read.
    return Path(os.path.abspath(Path(text).expanduser()))


def _parse_endpoint(text: str) -> str:
    # Imported late: reading a setting of another kind must not cost Twisted's endpoint plugins.
    from twisted.internet.endpoints import serverFromString
    from twisted.internet.interfaces import IReactorCore

    try:
        # The endpoint only keeps the reactor for its listen(), which nobody calls here.
        serverFromString(cast(IReactorCore, None), text)  # type: ignore[no-untyped-call]
    except Exception as error:
        # Endpoint plugins are other people's code; whatever they raise is about the text they were given.
        raise ValueError(
            f"is not a server endpoint ({str(error) or type(error).__name__}); "
            "write, for example, unix:/run/crawlsock/crawlsock.sock:mode=660 or tcp:8421:interface=127.0.0.1"
        ) from None
    return text


def _parse_uid(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise ValueError(f"names {text!r}, which is no user of this machine; write a user name or a uid") from None


_HOST = re.compile(
    r"(?=.{1,253}(?::|$))(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*(?::\d{1,5})?",
    re.ASCII,
)


def _parse_host(text: str) -> str:
    if _HOST.fullmatch(text.lower()) is None:
        raise ValueError(f"holds {text!r}, which is no host name; write it without scheme or path: gitlab.example.com")
    return text.lower()


_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", re.ASCII)


def _parse_origin(text: str) -> str:
    origin = text.lower().rstrip("/")
    if _ORIGIN.fullmatch(origin) is None:
        raise ValueError("is no address of a site; write it without a path: https://crawl.example.com")
    return origin


def _parse_dsn(text: str) -> str:
    if text.startswith(("postgresql://", "postgres://")) or re.match(r"\s*\w+\s*=", text):
        return text
    raise ValueError(
        "is not a PostgreSQL address; write postgresql://user:password@host/database or host=... dbname=..."
    )


def _parse_text(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("is empty or holds control characters; write a word")
    return text


DURATION: Kind[float] = Kind("duration", "30 s", _parse_duration, _show_duration, (str, int, float))
SIZE: Kind[int] = Kind("size", "1 MiB", _parse_size, _show_size, (str, int))
COUNT: Kind[int] = Kind("number", "1000", _parse_count, str, (str, int))
PATH: Kind[Path] = Kind("path", "/var/lib/crawlsock", _parse_path, str)
ENDPOINT: Kind[str] = Kind("endpoint", "tcp:8420:interface=127.0.0.1", _parse_endpoint, str)
UID: Kind[int] = Kind("user", "www-data", _parse_uid, str, (str, int))
HOST: Kind[str] = Kind("host", "gitlab.example.com", _parse_host, str)
DSN: Kind[str] = Kind("database address", "postgresql://user@host/database", _parse_dsn, str)
ORIGIN: Kind[str] = Kind("site", "https://crawl.example.com", _parse_origin, str)
TEXT: Kind[str] = Kind("text", "north", _parse_text, str)


def choice(*words: str) -> Kind[str]:
    """Return the kind whose value is one of `words`."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return text

    return Kind(" or ".join((", ".join(words[:-1]), words[-1])), words[0], parse, str)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Return `kind`, or nothing when the text is ``none``."""

    def parse(text: str) -> T | None:
        return None if text == NONE else kind.parse(text)

    def show(value: T | None) -> str:
        return NONE if value is None else kind.show(value)

    return Kind(f"{kind.name} or {NONE}", kind.example, parse, show, kind.native)


def listing(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """Return a list of `kind`: text separated by commas, or a file's array; ``none`` is the empty list."""

    def parse(text: str) -> tuple[T, ...]:
        words = [] if text == NONE else [word.strip() for word in text.split(",")]
        if not all(words):
            raise ValueError(f"has an empty item; separate items by one comma, or write {NONE}")
        return tuple(dict.fromkeys(kind.parse(word) for word in words))

    def show(values: tuple[T, ...]) -> str:
        return ", ".join(map(kind.show, values)) or NONE

    return Kind(f"list of {kind.name}s", kind.example, parse, show, (*kind.native, list))
