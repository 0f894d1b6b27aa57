"""Under which account PostgreSQL runs.

PostgreSQL refuses to run as root, for good reason. An ordinary user runs it as himself; root hands it to an
unprivileged account. Nothing here changes the owner or mode of anything: see `layout`.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from attrs import frozen

from crawlsock.postgres.errors import StartFailed

_UNPRIVILEGED: Final = ("postgres", "nobody")


@frozen
class Account:
    """The account that runs the server. `switch` says whether starting it means giving up root first."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run(self, command: Sequence[str], *, timeout: float, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `command` to its end as this account; return its result, both outputs together in `stdout`.

        :raise subprocess.TimeoutExpired: after `timeout` seconds; the child has been killed by then.
        """
        return subprocess.run(
            list(command),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            **self._common(),
        )

    def spawn(self, command: Sequence[str], *, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start `command` as this account in a session of its own, both outputs appended to `log`.

        A session of its own, because Ctrl-C on our terminal must not reach the server: it is stopped in
        order, last.
        """
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **self._common(),
        )

    def can_enter(self, directory: Path) -> bool:
        """Tell whether this account can reach and list through `directory` and all its parents.

        Asked of the kernel by a child of that account, because modes alone do not tell: there are ACLs and
        mounts.
        """
        if not self.switch:
            return os.access(directory, os.X_OK)
        done = self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)], timeout=20)
        return done.returncode == 0

    def _common(self) -> dict[str, Any]:
        # A clean environment: PGDATA, PGOPTIONS or a locale of the caller must not change what is started.
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}
        identity: dict[str, Any] = {}
        if self.switch:
            identity = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return {"cwd": "/", "env": environment, "umask": 0o077, **identity}


def choose_account() -> Account:
    """Return the account for the server: ourselves, or for root `postgres` if there is one, else `nobody`.

    :raise StartFailed: root on a machine that has neither.
    """
    if os.geteuid() != 0:
        return Account(name=_own_name(), uid=os.geteuid(), gid=os.getegid(), switch=False)
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, switch=True)
    raise StartFailed(
        "PostgreSQL does not run as root and there is neither an account `postgres` nor `nobody`: "
        "create one, or run crawlsock as an ordinary user, or set DATABASE_URL"
    )


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # containers run under numbers that have no name
        return f"uid {os.geteuid()}"
