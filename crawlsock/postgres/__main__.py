"""`python -m crawlsock.postgres`: start, stop and look at an embedded PostgreSQL by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from crawlsock.postgres.embedded import EmbeddedPostgres
from crawlsock.postgres.errors import EmbeddedPostgresError

_NOT_REACHABLE = 3
_IN_USE = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 3 not running, 4 in use by others, 7 unusable."""
    parser = argparse.ArgumentParser(prog="python -m crawlsock.postgres", description=__doc__)
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument("--data-dir", type=Path, required=True, help="the directory of the cluster")
    parser.add_argument("--prefer", choices=("machine", "wheel"), help="use programs of this origin only")
    parser.add_argument("--bin-dir", type=Path, help="use exactly these programs")
    parser.add_argument("--force", action="store_true", help="stop: also when other processes use it")
    options = parser.parse_args(arguments)
    embedded = EmbeddedPostgres(options.data_dir, prefer=options.prefer, bin_dir=options.bin_dir)
    try:
        return _COMMANDS[options.command](embedded, options)
    except EmbeddedPostgresError as error:
        _complain(str(error))
        return 7


def _start(embedded: EmbeddedPostgres, options: argparse.Namespace) -> int:
    cluster = embedded.start()
    _say(f"PostgreSQL {cluster.version} runs, pid {embedded.pid()}, socket directory {cluster.socket_dir}")
    return 0


def _stop(embedded: EmbeddedPostgres, options: argparse.Namespace) -> int:
    if embedded.stop(force=options.force):
        _say("PostgreSQL is stopped")
        return 0
    _complain("other processes use this cluster; --force stops it all the same")
    return _IN_USE


def _status(embedded: EmbeddedPostgres, options: argparse.Namespace) -> int:
    cluster = embedded.running_cluster()
    if cluster is None:
        _say("PostgreSQL does not run")
        return _NOT_REACHABLE
    _say(f"PostgreSQL {cluster.version} runs, socket directory {cluster.socket_dir}")
    return 0


def _dsn(embedded: EmbeddedPostgres, options: argparse.Namespace) -> int:
    cluster = embedded.running_cluster()
    if cluster is None:
        _complain("PostgreSQL does not run; start it first")
        return _NOT_REACHABLE
    _say(cluster.dsn())
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"crawlsock: {text}\n")


_COMMANDS: dict[str, Callable[[EmbeddedPostgres, argparse.Namespace], int]] = {
    "start": _start,
    "stop": _stop,
    "status": _status,
    "dsn": _dsn,
}

if __name__ == "__main__":
    raise SystemExit(main())
