"""Which directories the embedded PostgreSQL uses.

The law of this module: it makes directories of our own and changes the owner and mode of those only. A
directory that was there before is used as it is, or not used.

In the data directory the user names there are, at most:

=============  ============================================================================
`cluster/`     PostgreSQL's own directory, unless its account cannot reach it here
`id`           then this: the name of its place below `/var/lib/crawlsock`
`location`     and this, once it exists: one line, the absolute path of the directory that holds it instead
`socket.place` one line: the directory of the Unix socket (short, mode 0700)
`password`     the password of the role `crawlsock`, mode 0600
`lock`         held while the cluster is made, started or stopped
`users`        held, shared, by every process that uses the cluster
`postgres.log` what the server says
=============  ============================================================================
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from attrs import frozen

from crawlsock.postgres.account import Account
from crawlsock.postgres.errors import ClusterLost, StartFailed

# sun_path has 108 bytes on Linux and 104 on macOS, a NUL included; the socket's own name takes 17 of them.
LONGEST_SOCKET_DIR: Final = 103 - len("/.s.PGSQL.5432")

_SYSTEM_STATE: Final = Path("/var/lib")
_CLUSTER: Final = "cluster"


@frozen
class Layout:
    """Where things are. `home` is the user's data directory; `place` holds the cluster, often the same."""

    home: Path
    place: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory (its PGDATA)."""
        return self.place / _CLUSTER

    @property
    def password_file(self) -> Path:
        """The password of the role `crawlsock`, one line."""
        return self.home / "password"

    @property
    def lock_file(self) -> Path:
        """Held exclusively while the cluster is made, started or stopped."""
        return self.home / "lock"

    @property
    def users_file(self) -> Path:
        """Held shared by everybody who uses the running cluster."""
        return self.home / "users"

    @property
    def log_file(self) -> Path:
        """Where the server's own messages go."""
        return self.home / "postgres.log"

    @property
    def copies(self) -> Path:
        """Where programs are copied that the account cannot read in their place."""
        return self.place / "programs"

    def socket_dir(self) -> Path:
        """Return the directory of the socket; made when it is not there, mode 0700, of the account.

        Recorded, so that a restart, by whichever process, gives the same address and open pools find it
        again.
        """
        recorded = _read_line(self.home / "socket.place")
        if recorded is not None and _is_private(Path(recorded), self.account):
            return Path(recorded)
        near = self.place / "socket"
        if len(os.fsencode(near)) <= LONGEST_SOCKET_DIR:
            own_directory(near, self.account)
            chosen = near
        else:
            chosen = _temporary_directory("crawlsock-", self.account)
        write_private(self.home / "socket.place", f"{chosen}\n")
        return chosen


def make_layout(home: Path, account: Account) -> Layout:
    """Return the layout for the data directory `home`, making what is missing.

    Under root the server's account must be able to reach the cluster. Where it cannot (below `/root`, or in
    a private directory of the user), the cluster lives below `/var/lib/crawlsock`, or in a private
    directory for temporary files where even that is not possible, and `home` keeps a pointer to it.

    :raise ClusterLost: `home` points to a place that is gone.
    """
    home = home.absolute()
    if not home.exists():
        home.mkdir(parents=True, exist_ok=True)
        # Root's own new directory lets the account through to its cluster, and lets nobody list it.
        home.chmod(0o711 if account.switch else 0o700)
    if not home.is_dir():
        raise StartFailed(f"the data directory {home} is not a directory: name another one")
    recorded = _read_line(home / "location")
    if recorded is not None:
        place = Path(recorded)
        if not (place / _CLUSTER / "PG_VERSION").is_file():
            raise ClusterLost(
                f"{home}/location names {place}, but there is no cluster any more. Restore it, "
                f"or remove {home}/location to begin with an empty database"
            )
    else:
        place = home if account.can_enter(home) else _other_place(home, account)
    return Layout(home=home, place=place, account=account)


def record_location(layout: Layout) -> None:
    """Write down where the cluster is when it is not in `home`, once it exists: the pointer never lies."""
    if layout.place != layout.home:
        write_private(layout.home / "location", f"{layout.place}\n")


def _other_place(home: Path, account: Account) -> Path:
    # The name belongs to this very directory, not to its path: whoever removes it and begins anew, begins
    # empty.
    name = _read_line(home / "id")
    if name is None:
        name = secrets.token_hex(8)
        write_private(home / "id", f"{name}\n")
    shared = _SYSTEM_STATE / "crawlsock"
    try:
        if not shared.exists():
            shared.mkdir(mode=0o711)
            shared.chmod(0o711)
        place = shared / name
        if not place.exists():
            place.mkdir()
            place.chmod(0o711)
        if account.can_enter(place):
            return place
    except OSError:
        pass  # a read-only /var/lib: fall through to the directory for temporary files
    place = Path(tempfile.mkdtemp(prefix="crawlsock-"))
    place.chmod(0o711)
    if not account.can_enter(place):
        raise StartFailed(
            f"the account {account.name} can enter neither {home}, {shared} nor {place.parent}: "
            "name a data directory that it can reach, or set DATABASE_URL"
        )
    return place


def remove(layout: Layout) -> None:
    """Delete everything that was ever made for this cluster, wherever it is, and the data directory once empty.

    The server must not run. What somebody else put into the data directory stays, and the directory with it.
    """
    recorded = _read_line(layout.home / "socket.place")
    if recorded is not None and _is_private(Path(recorded), layout.account):
        shutil.rmtree(recorded, ignore_errors=True)
    for name in (_CLUSTER, "cluster.unfinished", "cluster.secret", "programs", "socket"):
        shutil.rmtree(layout.place / name, ignore_errors=True)
    for name in ("password", "location", "id", "socket.place", "postgres.log", "postgres.log.1", "users", "lock"):
        (layout.home / name).unlink(missing_ok=True)
    for directory in {layout.place, layout.home}:
        try:
            directory.rmdir()
        except OSError:
            pass  # not empty: there is something in it that is not ours


def own_directory(path: Path, account: Account) -> None:
    """Make `path`, mode 0700, of the account; one that exists must be just that already."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_private(path, account):
            raise StartFailed(f"{path} exists and is not private to {account.name}: move it away") from None
        return
    if account.switch:
        os.chown(path, account.uid, account.gid)


def write_private(path: Path, text: str) -> None:
    """Write `text` into `path` with mode 0600, whole or not at all, and durably."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _temporary_directory(prefix: str, account: Account) -> Path:
    path = Path(tempfile.mkdtemp(prefix=prefix))
    if len(os.fsencode(path)) > LONGEST_SOCKET_DIR:
        path.rmdir()
        # A deep TMPDIR (macOS, build systems) is as bad as a deep data directory.
        path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    if account.switch:
        os.chown(path, account.uid, account.gid)
    return path


def _is_private(path: Path, account: Account) -> bool:
    try:
        state = path.lstat()
    except OSError:
        return False
    private = stat.S_IMODE(state.st_mode) == 0o700 and state.st_uid == account.uid
    return private and stat.S_ISDIR(state.st_mode)


def _read_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
