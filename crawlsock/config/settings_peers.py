"""Settings of what peers may do on a socket: sessions, leases, limits."""

from __future__ import annotations

from attrs import frozen

from crawlsock.config.declare import setting
from crawlsock.config.kinds import COUNT, DURATION, SIZE

_SESSIONS = "Sessions and leases"
_LIMITS = "Limits"


@frozen(kw_only=True, slots=False)
class PeerSettings:
    """How long peers are waited for, and how much they may ask."""

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
