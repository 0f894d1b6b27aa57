"""Write ``docs/configuration.md`` from the declarations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from crawlsock.config.declare import Declaration
from crawlsock.config.load import OTHER_VARIABLES
from crawlsock.config.settings import DECLARATIONS, PROFILES

_OPENING = """\
# Configuration

<!-- Made by `python -m crawlsock.config docs`; edit crawlsock/config/settings_*.py instead. -->

Nothing has to be configured to try it. Every setting can be said in four places, and the first of them that
speaks wins:

1. an option: `twistd -n crawlsock --log-level=debug`
2. the environment: `CRAWLSOCK_LOG_LEVEL=debug`
3. a TOML file, named by `--config` or `CRAWLSOCK_CONFIG`: `log_level = "debug"`
4. a profile, chosen by `profile`, which changes a few defaults (see Profiles below)

The option is the setting's name with dashes; the variable is its name in capitals after `CRAWLSOCK_`. An
unknown name, in the file or in a variable, is an error. `.env` is read only when `--env-file` names it, and
the environment goes before it. Bad configuration is refused in one line that names the place, with exit
code 7. `crawlsock config` shows what holds, and where each value came from.

Durations are numbers with `ms`, `s`, `min`, `h` or `d` (seconds without a unit), sizes are numbers with
`KiB`, `MiB` or `GiB`. Lists are separated by commas, or arrays in the file. `none` turns an optional
setting off and empties a list.

**Secrets** are never options, because every user of a machine can read the command lines of others. They
come from the environment, or from a file that `--<name>-file`, `CRAWLSOCK_<NAME>_FILE` or the key
`<name>_file` names. `--database` takes an address without a password.

Settings marked *live* change while the server runs: send SIGHUP after editing the file, or let an admin send
`config_set`, which holds until the next start. Others are read at start.
"""


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _setting_row(each: Declaration[Any]) -> tuple[str, ...]:
    plain = "`" in each.default_text or "'" in each.default_text
    notes = [word for word, holds in (("*live*", each.reloadable), ("*secret*", each.secret)) if holds]
    also = [f"Also `{name}`" for name in each.variables[1:]]
    return (
        f"`{each.name}`",
        each.kind.name,
        each.default_text if plain else f"`{each.default_text}`",
        ". ".join((each.help.rstrip("."), *also, *notes)),
    )


def _profile_row(each: Declaration[Any]) -> tuple[str, ...]:
    return (f"`{each.name}`", *(f"`{each.profiles[p]}`" if p in each.profiles else "" for p in PROFILES))


def _lines() -> Iterator[str]:
    yield _OPENING
    for group, members in groupby(DECLARATIONS.values(), lambda each: each.group):
        yield f"## {group}\n"
        yield from _table(("setting", "value", "default", "meaning"), map(_setting_row, members))
        yield ""
    yield "## Profiles\n"
    profiled = (each for each in DECLARATIONS.values() if each.profiles)
    yield from _table(("setting", *PROFILES), map(_profile_row, profiled))
    yield "\n## Other variables\n"
    others = ((f"`{name}`", text) for name, text in OTHER_VARIABLES.items())
    yield from _table(("variable", "meaning"), others)


def document() -> str:
    """Return the whole of ``docs/configuration.md``."""
    return "\n".join(_lines()) + "\n"
