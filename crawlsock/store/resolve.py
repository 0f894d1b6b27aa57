"""Look up the database's host without stopping the reactor.

The law of this module: names become addresses in a thread. Libpq would look them up itself, blocking: with a name
service that does not answer, every heartbeat of every crawler would wait with it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.threads import deferToThreadPool

from crawlsock.store.errors import DatabaseAway


async def resolve(reactor: Any, given: Mapping[str, Any], timeout: float) -> dict[str, str]:
    """Return the connection options that spare libpq the look-up: `host` and `hostaddr`, one entry an address.

    :param given: the parsed DSN. With a Unix socket, an address, several hosts or a `hostaddr` of its own there is
        nothing to do (several hosts are looked up by libpq).
    :raise DatabaseAway: the name is unknown, or nobody answers within `timeout` seconds.
    """
    host = str(given.get("host") or "")
    if not host or host.startswith(("/", "@")) or "," in host or given.get("hostaddr") or _is_address(host):
        return {}
    looked_up = deferToThreadPool(
        reactor, reactor.getThreadPool(), socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM
    )
    looked_up.addTimeout(timeout, reactor)
    try:
        found = await looked_up
    except (TimeoutError, CancelledError):
        raise DatabaseAway(f"the name of the database host {host} was not resolved in {timeout:g} s") from None
    except OSError as error:
        raise DatabaseAway(f"the database host {host} is unknown: {error.strerror or error}") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return {"host": ",".join([host] * len(addresses)), "hostaddr": ",".join(addresses)}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
