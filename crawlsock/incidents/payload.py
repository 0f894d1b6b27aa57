"""Say what a notification looks like on the wire, and when a try that failed is repeated.

The law: values in, bytes out, the same bytes for the same notification at every try. Nothing secret has a place in it:
an incident holds none, and everything else is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

import orjson
from standardwebhooks import Webhook

from crawlsock.store.records_values import Outgoing
from crawlsock.store.values import rfc3339

FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 3600.0
_FIELDS: Final = (
    "incident_id", "kind", "severity", "title", "detail", "next_step", "account", "fingerprint", "count",
    "opened_at", "last_at", "closed_at",
)  # fmt: skip
_MOMENTS: Final = frozenset({"opened_at", "last_at", "closed_at"})


def message(outgoing: Outgoing, server: str) -> dict[str, Any]:
    """Return what a receiver gets: ``type``, ``timestamp``, and ``data`` with the incident as it was then.

    :param server: the name of this service, for people with several.
    """
    content = outgoing.content
    data = {name: _plain(name, content[name]) for name in _FIELDS if content.get(name) is not None}
    return {"type": outgoing.event, "timestamp": rfc3339(outgoing.created_at), "data": {**data, "server": server}}


def encode(told: Mapping[str, Any]) -> bytes:
    """Return the body of a webhook."""
    return orjson.dumps(told)


def headers(secret: str, notification_id: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers that identify and sign a body, as https://www.standardwebhooks.com has them.

    :param now: seconds since 1970; a receiver refuses what is too old.
    """
    moment = datetime.fromtimestamp(now, timezone.utc)
    return {
        "Content-Type": "application/json",
        "webhook-id": notification_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": Webhook(secret).sign(notification_id, moment, body.decode()),
    }


def pause(attempt: int, asked_for: float | None, dice: float) -> float:
    """Return how many seconds after a failed try comes the next.

    :param attempt: how many tries there were, from 1.
    :param asked_for: seconds that the receiver asked for.
    :param dice: a random number from 0 up to 1: receivers that come back must not be met by everything at once.
    """
    backoff = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 30)) * (1 + dice / 4)
    return max(backoff, min(asked_for or 0.0, LONGEST_PAUSE))


def _plain(name: str, value: Any) -> Any:
    return rfc3339(datetime.fromisoformat(value.replace("Z", "+00:00"))) if name in _MOMENTS else value
