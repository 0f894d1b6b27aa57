"""The embedded PostgreSQL: find, make, start, adopt, stop.

The law of this module: it blocks (start-up code; `supervisor` brings it to the reactor), never opens TCP,
and never has two postmasters on one cluster. Programs come from a machine or a wheel, everything else
(access, directories, settings, processes) is ours.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
from attrs import frozen

from crawlsock.postgres import processes
from crawlsock.postgres.account import choose_account
from crawlsock.postgres.binaries import Installation, find_installation
from crawlsock.postgres.errors import (
    BinariesNotFound,
    ClusterLost,
    ClusterVersionMismatch,
    StartFailed,
)
from crawlsock.postgres.initialise import DATABASE, ROLE, initialise, reset_password
from crawlsock.postgres.layout import Layout, make_layout, remove
from crawlsock.postgres.locks import Usage, exclusive

PORT: Final = 5432  # no TCP is opened; it is a part of the socket's name

_START_PATIENCE: Final = 60.0
_LARGEST_LOG: Final = 5 * 1024 * 1024


@frozen
class Cluster:
    """A running cluster: how to reach it, and what runs it. Holds no secret, only the place of one."""

    data_dir: Path
    socket_dir: Path
    port: int
    database: str
    user: str
    password_file: Path
    bin_dir: Path
    version: str

    def dsn(self) -> str:
        """Return the libpq URI, password included: for connecting, never for printing."""
        password = quote(self.password_file.read_text(encoding="utf-8").strip(), safe="")
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{self.user}:{password}@/{self.database}?host={host}&port={self.port}"


class EmbeddedPostgres:
    """One PostgreSQL in one data directory.

    Several processes may use the same directory: the first starts the server, the others adopt it, the last
    stops it. A server that outlived its starter is adopted as well, so a restart after `kill -9` finds its
    database at once.

    :param data_dir: where the cluster and what belongs to it live; made when it is not there.
    :param prefer: `machine` or `wheel`, to use programs of that origin only.
    :param bin_dir: use exactly these programs.
    """

    def __init__(self, data_dir: Path, *, prefer: str | None = None, bin_dir: Path | None = None) -> None:
        self._home = Path(data_dir).absolute()
        self._prefer = prefer
        self._bin_dir = bin_dir
        self._process: psutil.Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._usage: Usage | None = None

    def start(self) -> Cluster:
        """Return the cluster, running and ready; made first when it is new, adopted when it already runs.

        :raise EmbeddedPostgresError: one of its kinds, with place and remedy.
        """
        layout = make_layout(self._home, choose_account())
        with exclusive(layout.lock_file, patience=2 * _START_PATIENCE):
            if self._usage is None:
                self._usage = Usage(layout.users_file)
            self._usage.take()
            try:
                return self._start(layout)
            except BaseException:
                if self._process is None:
                    self._usage.release()
                raise

    def stop(self, *, force: bool = False) -> bool:
        """Stop the server in order, and return whether it is down now. Nothing happens when it does not run.

        While other processes use the cluster it stays up for them, unless `force`.
        """
        layout = self._existing_layout()
        if layout is None:
            self._end_homeless()
            return True
        with exclusive(layout.lock_file, patience=2 * _START_PATIENCE):
            usage = self._usage or Usage(layout.users_file)
            running = processes.find_postmaster(layout.cluster)
            leave = running is not None and not force and not usage.is_sole()
            if running is not None and not leave:
                processes.end_postmaster(running)
            usage.release()
            self._usage = None
            self._process = None
            self._reap()
            return not leave

    def destroy(self) -> None:
        """Stop the server, whoever uses it, and delete the cluster with all that belongs to it."""
        self.stop(force=True)
        layout = self._existing_layout()
        if layout is not None:
            with exclusive(layout.lock_file, patience=2 * _START_PATIENCE):
                remove(layout)

    def is_running(self) -> bool:
        """Tell whether the server that we started or adopted lives. Cheap: for asking twice a second."""
        alive = self._process is not None and processes.is_alive(self._process)
        if not alive:
            self._reap()
        return alive

    def pid(self) -> int | None:
        """Return the postmaster's pid, or None when it does not run."""
        return self._process.pid if self._process is not None and self.is_running() else None

    def running_cluster(self) -> Cluster | None:
        """Return the cluster when it runs, ours or not, without starting or adopting anything."""
        layout = self._existing_layout()
        if layout is None or processes.find_postmaster(layout.cluster) is None:
            return None
        return self._cluster(layout, self._installation(layout))

    def _existing_layout(self) -> Layout | None:
        # Looking must not leave traces in a directory that was never ours.
        if not (self._home / "lock").is_file():
            return None
        try:
            return make_layout(self._home, choose_account())
        except ClusterLost:
            return None

    def _end_homeless(self) -> None:
        """End a server whose directory was removed while it ran: no file leads to it any more, we do."""
        if self._process is not None and processes.is_alive(self._process):
            processes.end_postmaster(self._process)
        if self._usage is not None:
            self._usage.release()
        self._usage = self._process = None
        self._reap()

    def _start(self, layout: Layout) -> Cluster:
        installation = self._installation(layout)
        running = processes.find_postmaster(layout.cluster)
        if running is not None and not self._wait_until_ready(layout, running):
            running = None  # it was on its way out when we found it
        if running is None:
            self._clear_away_the_dead(layout)
            if not (layout.cluster / "PG_VERSION").is_file():
                initialise(layout, installation)
            elif not layout.password_file.is_file():
                reset_password(layout, installation)
            running = self._launch(layout, installation)
            if not self._wait_until_ready(layout, running):
                self._reap()
                raise StartFailed(f"PostgreSQL ended while starting: {_last_words(layout.log_file)}")
        self._process = running
        return self._cluster(layout, installation)

    def _installation(self, layout: Layout) -> Installation:
        """Choose the programs; for an existing cluster only those of its version will do."""
        try:
            major = int((layout.cluster / "PG_VERSION").read_text(encoding="utf-8"))
        except FileNotFoundError:
            major = None
        try:
            return find_installation(
                layout.account, layout.copies, prefer=self._prefer, bin_dir=self._bin_dir, major=major
            )
        except BinariesNotFound as error:
            if major is None:
                raise
            raise ClusterVersionMismatch(
                f"the cluster in {layout.cluster} was made by PostgreSQL {major}, and there are no programs "
                f"of that version: install PostgreSQL {major}, or move the cluster to a newer one with "
                f"pg_upgrade, or name another data directory. ({error})"
            ) from None

    def _clear_away_the_dead(self, layout: Layout) -> None:
        processes.end_orphans(layout.cluster)
        # PostgreSQL refuses to start when the pid in an old file lives, whoever has that number today. That
        # nobody runs this cluster has just been established, provided that no user of it sits where we
        # cannot see its processes.
        if self._usage is not None and self._usage.is_sole():
            (layout.cluster / "postmaster.pid").unlink(missing_ok=True)
            for stale in layout.socket_dir().glob(".s.PGSQL.*"):
                stale.unlink(missing_ok=True)

    def _launch(self, layout: Layout, installation: Installation) -> psutil.Process:
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(layout.socket_dir()),
            "unix_socket_permissions": "0700",
            "password_encryption": "scram-sha-256",
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        command = [installation.program("postgres"), "-D", str(layout.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with suppress(FileNotFoundError):
            if layout.log_file.stat().st_size > _LARGEST_LOG:
                layout.log_file.replace(layout.log_file.with_suffix(".log.1"))
        self._reap()
        with layout.log_file.open("ab") as log:
            layout.log_file.chmod(0o600)
            try:
                self._child = layout.account.spawn(command, log=log)
            except OSError as error:
                raise StartFailed(f"{command[0]} cannot be started: {error.strerror}") from None
        return psutil.Process(self._child.pid)

    def _wait_until_ready(self, layout: Layout, process: psutil.Process) -> bool:
        """Wait for the state `ready` in the pid file, written once connections are taken; False: it ended."""
        until = time.monotonic() + _START_PATIENCE
        while True:
            written = processes.read_pid_file(layout.cluster)
            if written is not None and written.pid == process.pid and written.ready:
                return True
            if not processes.is_alive(process):
                return False
            if time.monotonic() > until:
                raise StartFailed(
                    f"PostgreSQL was not ready after {_START_PATIENCE:g} s (a long recovery goes on by "
                    f"itself: try again): {_last_words(layout.log_file)}"
                )
            time.sleep(0.02)

    def _cluster(self, layout: Layout, installation: Installation) -> Cluster:
        written = processes.read_pid_file(layout.cluster)
        socket_dir = written.socket_dir if written is not None and written.socket_dir else layout.socket_dir()
        return Cluster(
            data_dir=layout.home,
            socket_dir=Path(socket_dir),
            port=PORT,
            database=DATABASE,
            user=ROLE,
            password_file=layout.password_file,
            bin_dir=installation.bin_dir,
            version=installation.version,
        )

    def _reap(self) -> None:
        # After a fork (a daemon) the server is not our child; then there is nothing to reap, and poll()
        # says so itself.
        if self._child is not None and self._child.poll() is not None:
            self._child = None


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return " / ".join(line.strip() for line in lines[-4:]) or "it said nothing"
