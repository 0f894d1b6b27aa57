"""
How a stay begins: what `hello` says, what `welcome` promises, and which refusals are final.

No Twisted here: bodies in, values out.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
import orjson

import crawlsock
from crawlsock.wire.message import Message
from crawlsock.wire.session import FEATURES, MAX_FRAME_BEFORE_HELLO, PROTOCOL_VERSIONS

FINAL_REFUSALS = frozenset(
    {
        "authentication_failed",
        "unsupported_version",
        "duplicate_crawler",
        "forbidden",
        "invalid_json",
        "invalid_message",
        "malformed_frame",
        "frame_too_large",
        "unsupported",
    }
)
"""Answers to `hello` that trying again would not change: whoever started the connection is told."""


@attrs.frozen
class Ticket:
    """What brings back a session after a lost link. It is a secret."""

    value: str = attrs.field(repr=False)


@attrs.frozen
class Welcome:
    """
    What the server agreed to.

    :ivar heartbeat_interval: seconds; 0 when none is expected of this peer.
    :ivar lease_length: seconds without a heartbeat after which the jobs are given to others.
    :ivar progress_interval: seconds between two progress messages of one job.
    """

    session_id: str
    version: int
    features: frozenset[str]
    ticket: str | None = attrs.field(repr=False)
    resumed: bool
    leases_kept: frozenset[str]
    leases_lost: frozenset[str]
    heartbeat_interval: float
    lease_length: float
    progress_interval: float
    max_frame: int
    max_in_flight: int
    requests_per_second: float
    server: Mapping[str, Any]

    @property
    def patience(self) -> float:
        """Seconds without a word from the server after which it is asked for a sign of life."""
        return self.heartbeat_interval or 30.0

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Welcome:
        """Build from the body of a `welcome`."""
        limits = data["limits"]
        return cls(
            session_id=data["session_id"],
            version=data["version"],
            features=frozenset(data["features"]),
            ticket=data.get("ticket"),
            resumed=data["resumed"],
            leases_kept=frozenset(data["leases_kept"]),
            leases_lost=frozenset(data["leases_lost"]),
            heartbeat_interval=data["heartbeat_interval"],
            lease_length=data["lease_length"],
            progress_interval=data["progress_interval"],
            max_frame=limits["max_frame"],
            max_in_flight=limits["max_in_flight"],
            requests_per_second=limits["requests_per_second"],
            server=data["server"],
        )


class Peer(Protocol):
    """Who talks over a `Connection`: an executor or a manager."""

    def introduction(self) -> dict[str, Any]:
        """Say role, token and what else belongs into `hello`."""

    def held(self) -> Sequence[str]:
        """Name the leases in hand, for resuming."""

    def welcomed(self, welcome: Welcome) -> None:
        """Hear that a stay began or goes on; what is asked from now on leaves at once."""

    def session_lost(self) -> None:
        """Hear that the old session is over: its leases are lost."""

    def link_lost(self) -> None:
        """Hear that there is no link for the time being."""

    def pushed(self, message: Message) -> None:
        """Hear a push. It has been acknowledged."""

    def turn_ends(self) -> None:
        """Say what is to leave with this turn's write."""

    def refused(self, reason: Exception) -> None:
        """Hear that the server will never have us; the connection has ended."""


def hello_body(peer: Peer, ticket: Ticket | None) -> dict[str, Any]:
    """
    Compose the body of `hello`.

    When the leases in hand do not fit into the 4096 bytes that a server reads before it knows us, none is
    named, which means: all that the session has.
    """
    body = {
        **peer.introduction(),
        "versions": list(PROTOCOL_VERSIONS),
        "client": {"name": "crawlsock-sdk", "version": crawlsock.__version__},
        "features": list(FEATURES),
        "hostname": socket.gethostname()[:255] or "unknown",
        "pid": os.getpid(),
    }
    if ticket is not None:
        body["resume"] = {"ticket": ticket.value, "leases": list(peer.held())}
        if len(orjson.dumps(body)) > MAX_FRAME_BEFORE_HELLO - 200:
            del body["resume"]["leases"]
    return body


def answered_ids(frame: bytes) -> list[int]:
    """Read which ids a reply answers from a frame that is no valid message here; none if it is hopeless."""
    try:
        re = orjson.loads(frame)["re"]
    except (ValueError, KeyError, TypeError):
        return []
    return [id for id in (re if isinstance(re, list) else [re]) if type(id) is int]
