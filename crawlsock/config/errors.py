"""The one way in which configuration is refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

BAD_CONFIGURATION = 7
"""The exit code of every command that was refused its configuration."""


class ConfigError(Exception):
    """Refuse a configuration in one line that names the place and the remedy.

    `exit_code` is what the process ends with when nobody can go on without it.
    """

    exit_code = BAD_CONFIGURATION


class UnknownSetting(ConfigError):
    """Refuse to change a setting that does not exist."""


class NotReloadable(ConfigError):
    """Refuse to change a setting that is read at start only."""


def suggestion(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return ``"; did you mean X?"`` for the known name nearest to `name`, or nothing when none is near.

    A `prefix` that all names share does not count towards nearness.
    """
    bare = {each.removeprefix(prefix): each for each in known}
    near = difflib.get_close_matches(name.removeprefix(prefix), bare, n=1, cutoff=0.6)
    return f"; did you mean {bare[near[0]]}?" if near else ""
