"""Read the two kinds of file that settings may stand in, keeping for each value the place where it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from crawlsock.config.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@frozen
class Entry:
    """A value as text, the place where it was said, and what type it had there."""

    text: str
    place: str
    native: type = str


def _read(path: str, what: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the {what} ({error.strerror}); name a file that exists") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the {what} is not UTF-8 text; save it as UTF-8") from None


def read_toml(path: str) -> dict[str, Entry]:
    """Return the top-level keys of a TOML file; values become text, arrays are joined by commas."""
    content = _read(path, "configuration file")
    try:
        document: dict[str, Any] = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f'{path}: is not TOML: {error}; write lines such as: log_level = "debug"') from None
    return {
        name: Entry(_as_text(value), f"{path}:{_line_of(name, content)}: {name}", _native(value))
        for name, value in document.items()
    }


def _native(value: object) -> type:
    known = (str, int, float, bool, list, dict)
    return type(value) if type(value) in known else object


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_as_text, value)) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _line_of(name: str, content: str) -> int:
    """Return the line on which a top-level key (or table) stands; 1 when it is written unusually."""
    match = re.search(rf"""^[ \t]*\[*[ \t]*["']?{re.escape(name)}["']?[ \t]*[=.\]]""", content, re.MULTILINE)
    return content.count("\n", 0, match.start()) + 1 if match else 1


_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read_env_file(path: str) -> dict[str, Entry]:
    """Return the ``NAME=value`` lines of a file; a value may stand in quotes, ``#`` begins a comment line."""
    found: dict[str, Entry] = {}
    for number, line in enumerate(_read(path, "environment file").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            # The line is not shown: it may be half of a secret.
            raise ConfigError(f"{path}:{number}: is not an assignment; write NAME=value")
        value = match[2].strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[match[1]] = Entry(value, f"{path}:{number}: {match[1]}")
    return found
