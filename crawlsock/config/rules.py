"""What must hold between settings, with the sentence that is shown when it does not.

A bound on one setting alone belongs to its declaration.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from attrs import frozen

from crawlsock.config.settings import Settings

# sun_path of a Unix socket address holds 108 bytes, the last of which is a zero.
_LONGEST_SOCKET_PATH = 107


@frozen
class Rule:
    """What must hold between settings: which ones are named when it does not, and what to do about it."""

    names: tuple[str, ...]
    holds: Callable[[Settings], bool]
    sentence: str


def _socket_path_fits(settings: Settings) -> bool:
    path = settings.socket_path
    return path is None or len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH


RULES = (
    Rule(
        ("webhook_url", "webhook_secret"),
        lambda s: s.webhook_url is None or s.webhook_secret is not None,
        "a receiver must be able to tell our messages from others'; set webhook_secret, then webhook_url",
    ),
    Rule(
        ("lease_length", "heartbeat_interval"),
        lambda s: s.lease_length >= 2 * s.heartbeat_interval,
        "a lease must outlast two heartbeats, or one lost message loses every job; "
        "raise lease_length or lower heartbeat_interval",
    ),
    Rule(
        ("max_frame_before_hello", "max_frame"),
        lambda s: s.max_frame_before_hello <= s.max_frame,
        "a stranger must not be allowed more than a known peer; lower max_frame_before_hello or raise max_frame",
    ),
    Rule(
        ("rate_limit_burst", "rate_limit_requests"),
        lambda s: s.rate_limit_burst >= s.rate_limit_requests,
        "a burst cannot be smaller than the rate; raise rate_limit_burst or lower rate_limit_requests",
    ),
    Rule(
        ("embedded_postgres", "database_url"),
        lambda s: s.embedded_postgres != "off" or s.database_url is not None,
        "without the embedded PostgreSQL there must be another; set DATABASE_URL or embedded_postgres",
    ),
    Rule(
        ("endpoint",),
        _socket_path_fits,
        f"the path of a Unix socket may be {_LONGEST_SOCKET_PATH} bytes long and this one is longer; "
        "set runtime_dir to a shorter directory",
    ),
)
