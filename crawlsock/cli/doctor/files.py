"""The data directory and what is in it; the disk below it.

The law: looked at, never touched: a server makes what is missing, and what is wrong is for a person to decide.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any, Final

from crawlsock.cli.doctor.findings import Finding, bad, failure, guarded, ok, skipped, warn
from crawlsock.cli.exits import Exit
from crawlsock.cli.screen import size
from crawlsock.config import Settings

ROLES: Final = ("admin", "crawler", "monitor", "webapp")
_LITTLE: Final = 1 << 30
_TOO_LITTLE: Final = 100 << 20
_SEEN: Final = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def check_files(settings: Settings) -> list[Finding]:
    """Look at the data directory, the key, the tokens, the disk."""
    data = settings.data_dir
    found = check_data_dir(data)
    if found.state in ("bad", "skipped"):
        return [found, *([check_disk(data)] if found.state == "skipped" else [])]
    return [
        found,
        guarded("key", lambda: check_key(settings.key_file)),
        guarded("tokens", lambda: check_tokens(settings.tokens_dir)),
        check_disk(data),
    ]


def check_data_dir(data: Path) -> Finding:
    """See that the directory is there, ours and private."""
    check = "data directory"
    try:
        status = data.stat()
    except FileNotFoundError:
        above = next(each for each in data.parents if each.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return bad(
                check,
                f"{data} is not there, and {above} is closed to this user",
                f"as root: install -d -m 700 -o USER {data}; or name another with --data-dir or CRAWLSOCK_DATA_DIR",
                Exit.NOT_ALLOWED,
            )
        return skipped(check, f"{data} is not there yet; the first start makes it")
    except OSError as error:
        return bad(
            check, f"{data} is out of reach ({error.strerror})", "run this as the server's user", Exit.NOT_ALLOWED
        )
    if not stat.S_ISDIR(status.st_mode):
        return bad(check, f"{data} is no directory", "name another with --data-dir", Exit.BAD_CONFIGURATION)
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        return bad(check, f"{data} is closed to this user", "run this as the server's user", Exit.NOT_ALLOWED)
    mode = stat.S_IMODE(status.st_mode)
    if mode & _SEEN:
        return warn(check, f"{data} has mode {mode:04o}: others can look into it", f"chmod 700 {data}")
    if status.st_uid != os.geteuid() and os.geteuid() != 0:
        return warn(check, f"{data} is another user's (uid {status.st_uid})", "run this as the server's user")
    return ok(check, f"{data}, mode {mode:04o}")


def check_key(path: Path) -> Finding:
    """See that the key file can be used."""
    if not path.exists():
        return skipped("key", f"{path} is not there yet; the first start makes it")
    from crawlsock.secrets import Vault

    try:
        Vault.from_file(path)
    except Exception as error:
        return _unusable("key", error)
    return ok("key", f"{path} is private and holds a key")


def check_tokens(directory: Path) -> Finding:
    """See that the tokens of the first start are there and private."""
    if not directory.exists():
        return skipped("tokens", f"{directory} is not there yet; the first start makes it")
    from crawlsock.secrets import read_private

    missing = []
    for role in ROLES:
        path = directory / role
        try:
            if not read_private(path).startswith(f"cs_{role}_"):
                return warn("tokens", f"{path} holds no token of that role", "remove it, and restart the server")
        except FileNotFoundError:
            missing.append(role)
        except Exception as error:
            return _unusable("tokens", error)
    if missing:
        return warn(
            "tokens",
            f"no file for {', '.join(missing)} in {directory}",
            "restart the server, which makes them anew; or let those peers use tokens of 'crawlsock token create'",
        )
    return ok("tokens", f"one for each role in {directory}")


def _unusable(check: str, error: Exception) -> Finding:
    text = failure(check, error)
    summary, _, remedy = str(error).partition("; ")
    return bad(check, summary, remedy or text.remedy, Exit.BAD_CONFIGURATION)


def check_disk(directory: Path, usage: Any = shutil.disk_usage) -> Finding:
    """See that there is room."""
    place = next(each for each in (directory, *directory.parents) if each.exists())
    total, _, free = usage(place)
    summary = f"{size(free)} of {size(total)} free where {place} is"
    if free < _TOO_LITTLE:
        return bad("disk", summary, "free some: PostgreSQL stops when the disk is full")
    if free < _LITTLE or free < total / 50:
        return warn("disk", summary, "free some, or shorten retention_events and retention_jobs")
    return ok("disk", summary)
