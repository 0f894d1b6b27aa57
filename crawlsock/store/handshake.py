"""What a session with the server begins with: its settings, and a look at who is there.

One statement does both, so that a connection costs one round trip before its first use. No driver here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crawlsock.store.errors import DatabaseAway, Unsuitable

OLDEST_SERVER: Final = 140000

# What the kernel does about a peer that vanished; of no effect on a Unix socket. A value in the DSN wins.
NETWORK: Final[dict[str, Any]] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
    "client_encoding": "UTF8",
}

_LOOK: Final = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
    " current_setting('transaction_read_only') = 'on', pg_is_in_recovery(), pg_backend_pid()"
)


def greeting(settings: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the first statement of a session and its parameters.

    Its row begins with version number, version, read only, standby, backend pid.
    """
    changes = "".join(", set_config(%s, %s, false)" for _ in settings)
    return _LOOK + changes, [part for setting in settings.items() for part in setting]


def check_server(number: int, version: str, *, read_only: bool, standby: bool) -> None:
    """Refuse a server that we cannot work with.

    :param number: its `server_version_num`.
    :raise Unsuitable: it is too old, and will be tomorrow.
    :raise DatabaseAway: it takes no writes, which a failover may change at any moment.
    """
    if number < OLDEST_SERVER:
        oldest = OLDEST_SERVER // 10000
        raise Unsuitable(f"PostgreSQL {version} is too old: crawlsock needs {oldest} or later")
    if standby:
        raise DatabaseAway("the database server is a standby")
    if read_only:
        raise DatabaseAway("the database server takes no writes (transaction_read_only is on)")
