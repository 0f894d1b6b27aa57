"""Making a new cluster, so that it exists whole or not at all.

Everything happens in a directory beside the final one, which is renamed at the end. Role and database are
made in PostgreSQL's single-user mode: no socket exists before the passwords do, and no database driver is
needed here.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Final

from crawlsock.postgres.binaries import Installation
from crawlsock.postgres.errors import StartFailed
from crawlsock.postgres.layout import Layout, own_directory, record_location, write_private

DATABASE: Final = "crawlsock"
ROLE: Final = "crawlsock"

_PATIENCE: Final = 120.0

# Appended to postgresql.conf once, so that an operator can change it; addresses and access are not here but
# on the command line, because they are not for changing.
_SETTINGS: Final = """
# --- set by crawlsock when this cluster was made; change what you like ---
max_connections = 50
shared_buffers = 128MB
fsync = on
synchronous_commit = on
wal_compression = on
min_wal_size = 128MB
max_wal_size = 2GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
# A queue turns its rows over quickly: look for dead ones more often than once a minute.
autovacuum_naptime = 10s
jit = off
# Statements carry credentials; the log must not.
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
log_checkpoints = off
log_timezone = 'UTC'
timezone = 'UTC'
"""


def initialise(layout: Layout, installation: Installation) -> None:
    """Make the cluster with its role and database.

    :raise StartFailed: initdb or the first statements failed; their own words are in the message.
    """
    unfinished = layout.place / "cluster.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    own_directory(unfinished, layout.account)
    _initdb(layout, installation, unfinished)
    password = secrets.token_hex(24)
    _single_user(
        layout,
        installation,
        unfinished,
        f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}';\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n",
    )
    with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(_SETTINGS)
    # The password goes first: a cluster without it would be locked for ever, a password without cluster is
    # replaced.
    write_private(layout.password_file, f"{password}\n")
    unfinished.rename(layout.cluster)
    _sync_directory(layout.place)
    record_location(layout)


def reset_password(layout: Layout, installation: Installation) -> None:
    """Give the role of a stopped cluster a new password, because the file with the old one is gone."""
    password = secrets.token_hex(24)
    _single_user(layout, installation, layout.cluster, f"ALTER ROLE {ROLE} PASSWORD '{password}';\n")
    write_private(layout.password_file, f"{password}\n")


def _initdb(layout: Layout, installation: Installation, target: Path) -> None:
    # initdb runs as the account and must read the file, hence a file of the account's in its own empty
    # directory; initdb wants its target empty, hence not in there. The superuser's password is never needed
    # again (root of the machine has single-user mode), so it is kept nowhere.
    secret_dir = layout.place / "cluster.secret"
    shutil.rmtree(secret_dir, ignore_errors=True)
    own_directory(secret_dir, layout.account)
    secret = secret_dir / "password"
    write_private(secret, f"{secrets.token_hex(24)}\n")
    if layout.account.switch:
        os.chown(secret, layout.account.uid, layout.account.gid)
    command = [
        installation.program("initdb"),
        f"--pgdata={target}",
        "--username=postgres",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
        "--no-instructions",
    ]
    try:
        _run(layout, command, "initdb failed")
    finally:
        shutil.rmtree(secret_dir, ignore_errors=True)


def _single_user(layout: Layout, installation: Installation, target: Path, statements: str) -> None:
    # Single-user mode takes one statement a line. It logs errors and goes on, so the outcome is read from
    # its words.
    command = [
        installation.program("postgres"),
        "--single",
        "-D",
        str(target),
        "-c",
        "password_encryption=scram-sha-256",
        "-c",
        "log_min_error_statement=panic",
        "-c",
        "log_checkpoints=off",
        "postgres",
    ]
    said = _run(layout, command, "the first statements failed", stdin=statements)
    if "ERROR:" in said or "FATAL:" in said:
        raise StartFailed(f"the first statements failed: {_last_words(said)}")


def _run(layout: Layout, command: list[str], failure: str, *, stdin: str = "") -> str:
    try:
        done = layout.account.run(command, timeout=_PATIENCE, stdin=stdin)
    except subprocess.TimeoutExpired:
        raise StartFailed(f"{failure}: no end after {_PATIENCE:g} s") from None
    except OSError as error:
        raise StartFailed(f"{failure}: {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise StartFailed(f"{failure}: {_last_words(done.stdout)}")
    return done.stdout


def _last_words(said: str) -> str:
    return " / ".join(line.strip() for line in said.strip().splitlines()[-4:])


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
