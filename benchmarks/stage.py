"""
Stage: the real things that are measured. A PostgreSQL that survives a power cut, a server process made by twistd,
client processes.

The law: every process is started here and ended here, on a directory that is gone afterwards.
"""

from __future__ import annotations

import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from attrs import frozen

from crawlsock.postgres import EmbeddedPostgres

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0
CLIENT_PATIENCE = 300.0
PROFILE_ROWS = 40

OPEN_LIMITS = {
    "CRAWLSOCK_RATE_LIMIT_REQUESTS": "10000000",
    "CRAWLSOCK_RATE_LIMIT_BURST": "10000000",
}
"""Rate limits that no peer meets; everything else stays as it is shipped, unless a measurement says so."""


def say(text: str) -> None:
    """Tell the person who waits; stdout is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@frozen
class Postgres:
    """A running cluster."""

    pid: int
    _dsn: str

    def dsn(self, name: str) -> str:
        """Return the address of a database of this name, made when it is not there."""
        connection = psycopg2.connect(self._dsn)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{name}"')
        finally:
            connection.close()
        parts = urlsplit(self._dsn)
        return urlunsplit(parts._replace(path=f"/{name}"))


@frozen
class ServerProcess:
    """A running server."""

    pid: int
    socket: str
    tokens: Path

    def token(self, role: str) -> str:
        """Return the role's token."""
        return (self.tokens / role).read_text(encoding="utf-8").strip()


@contextmanager
def directory() -> Iterator[Path]:
    """Give a new directory for everything; its path is short, because sockets live in it."""
    with tempfile.TemporaryDirectory(prefix="csbench-") as name:
        yield Path(name)


@contextmanager
def postgres(home: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL with fsync, as crawlsock itself would start it."""
    embedded = EmbeddedPostgres(home / "pg")
    cluster = embedded.start()
    try:
        pid = embedded.pid()
        if pid is None:
            raise RuntimeError("PostgreSQL ended at once")
        yield Postgres(pid, cluster.dsn())
    finally:
        embedded.destroy()


@contextmanager
def server(
    home: Path, dsn: str, settings: Mapping[str, str] | None = None, profile: Path | None = None
) -> Iterator[ServerProcess]:
    """Run `twistd -n crawlsock` on a given database.

    :param settings: environment variables besides the open rate limits.
    :param profile: run under cProfile, and leave its statistics in this file.
    """
    data = home / "server"
    data.mkdir(exist_ok=True)
    command = [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile="]
    if profile is not None:
        command += [f"--profile={profile}", "--savestats", "--profiler=cprofile"]
    command += ["crawlsock", f"--data-dir={data}"]
    environment = {
        **os.environ,
        **OPEN_LIMITS,
        "CRAWLSOCK_DRAIN_TIMEOUT": "1s",
        "CRAWLSOCK_HTTP_ENDPOINT": "none",
        **(settings or {}),
        "CRAWLSOCK_DATABASE_URL": dsn,
        "PYTHONPATH": str(ROOT),
    }
    log_path = home / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=data, env=environment, stdout=log, stderr=subprocess.STDOUT)
    running = ServerProcess(process.pid, str(data / "run" / "crawlsock.sock"), data / "tokens")
    try:
        until = time.monotonic() + PATIENCE
        while b"is ready" not in log_path.read_bytes():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server did not start: {log_path.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if profile is not None:
        say(profile_text(profile))


@contextmanager
def helper(module: str, *arguments: str, ready: Path) -> Iterator[int]:
    """Run another process of ours until the end of the block; give its pid when the path `ready` exists."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT)
    try:
        until = time.monotonic() + PATIENCE
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{module} did not start")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)


def client(module: str, **config: Any) -> dict[str, Any]:
    """Run a client process to its end: its configuration goes in as JSON, its figures come out as JSON."""
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        input=json.dumps(config).encode(),
        stdout=subprocess.PIPE,
        timeout=CLIENT_PATIENCE,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{module} ended with {ended.returncode}")
    figures: dict[str, Any] = json.loads(ended.stdout)
    return figures


def client_config() -> dict[str, Any]:
    """Read, in a client process, what `client()` sent."""
    config: dict[str, Any] = json.load(sys.stdin)
    return config


def client_result(figures: Mapping[str, Any]) -> None:
    """Send the figures back."""
    json.dump(figures, sys.stdout)
    sys.stdout.flush()


def profile_text(path: Path) -> str:
    """Return the statistics in a file as text: by own time, then by time with everything called."""
    text = path.with_suffix(".txt")
    with text.open("w", encoding="utf-8") as stream:
        statistics = pstats.Stats(str(path), stream=stream)
        for order in ("tottime", "cumulative"):
            statistics.sort_stats(order).print_stats(PROFILE_ROWS)
    return text.read_text(encoding="utf-8")
