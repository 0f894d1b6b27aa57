"""Settings of incidents, and of telling people about them."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from attrs import frozen

from crawlsock.config.declare import setting
from crawlsock.config.kinds import COUNT, DURATION, Kind, choice, optional
from crawlsock.masking import HIDDEN

_INCIDENTS = "Incidents and notifications"
_SHORTEST_SECRET = 16


def _parse_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("is no address that can be posted to; write https://hooks.example.com/path")
    if "@" in parts.netloc:
        raise ValueError("names a user; a receiver knows us by the signature, so leave it out")
    return text


def _show_url(text: str) -> str:
    """Show where it goes, and not the path, which is a secret with many receivers."""
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc}" + (f"/{HIDDEN}" if parts.path.strip("/") or parts.query else "")


def _parse_secret(text: str) -> str:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST_SECRET:
        raise ValueError(
            f"is no webhook secret; write whsec_ and at least {_SHORTEST_SECRET} random bytes in base64: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return text


_URL: Kind[str] = Kind("address", "https://hooks.example.com/crawlsock", _parse_url, _show_url)
_SECRET: Kind[str] = Kind("webhook secret", "whsec_...", _parse_secret, lambda _: HIDDEN)


@frozen(kw_only=True, slots=False)
class NoticeSettings:
    """When something is an incident, and who is told."""

    incident_interval: float = setting(
        DURATION,
        5.0,
        "How often it is looked whether there is an incident, or one is over.",
        group=_INCIDENTS,
        reloadable=True,
        minimum=0.1,
        maximum=3600,
    )
    incident_window: float = setting(
        DURATION,
        600.0,
        "What happened longer ago opens no incident; an incident without anything new for so long is over.",
        group=_INCIDENTS,
        reloadable=True,
        minimum=1,
        maximum=7 * 86400,
    )
    incident_threshold: int = setting(
        COUNT,
        20,
        "Failures of one group within `incident_window` that make an incident.",
        group=_INCIDENTS,
        reloadable=True,
        minimum=1,
        maximum=100_000,
    )
    incident_cool_down: float = setting(
        DURATION,
        3600.0,
        "People are not told again about the same thing within this time; when it is over they are told at once.",
        group=_INCIDENTS,
        reloadable=True,
        maximum=30 * 86400,
    )
    incident_stalled_after: float = setting(
        DURATION,
        120.0,
        "A due job that waits for so long, with no crawler that may take it, is an incident.",
        group=_INCIDENTS,
        reloadable=True,
        minimum=1,
        maximum=7 * 86400,
    )
    incident_feed_behind: float = setting(
        DURATION,
        30.0,
        "A feed that is so far behind is an incident: a transaction that stays open holds it up.",
        group=_INCIDENTS,
        reloadable=True,
        minimum=1,
        maximum=86400,
    )
    incident_database_away: float = setting(
        DURATION,
        5.0,
        "A database that was away for so long is an incident, told when it is back.",
        group=_INCIDENTS,
        reloadable=True,
        maximum=86400,
    )
    notify_from: str = setting(
        choice("info", "warning", "critical"),
        "warning",
        "The least severity of an incident that people are told about.",
        group=_INCIDENTS,
        reloadable=True,
    )
    notify_attempts: int = setting(
        COUNT,
        12,
        "How often a notification is tried, with pauses from five seconds up to an hour, before it is given up.",
        group=_INCIDENTS,
        reloadable=True,
        minimum=1,
        maximum=100,
    )
    webhook_url: str | None = setting(
        optional(_URL),
        None,
        "Where incidents are posted, signed with `webhook_secret`. Set the secret first.",
        group=_INCIDENTS,
        secret=True,
        reloadable=True,
    )
    webhook_secret: str | None = setting(
        optional(_SECRET),
        None,
        "What signs webhooks: `whsec_` and random bytes in base64, the same at the receiver.",
        group=_INCIDENTS,
        secret=True,
        reloadable=True,
    )
    webhook_timeout: float = setting(
        DURATION,
        10.0,
        "How long a receiver may take to answer.",
        group=_INCIDENTS,
        reloadable=True,
        minimum=0.1,
        maximum=60,
    )
