"""Say whether people can be told of incidents, as a line among the checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from crawlsock.server.checks import OK, WARN, Line


class Told(Protocol):
    """What this needs of `crawlsock.incidents.notifier.Notifier`."""

    failing: dict[str, str]

    def channels(self) -> list[str]:
        """The channels that are set up."""


def lines(notifier: Told) -> Iterator[Line]:
    """Yield one line: nobody is told, everybody is, or a channel fails."""
    channels = notifier.channels()
    failing = {name: reason for name, reason in notifier.failing.items() if name in channels}
    if failing:
        name, reason = next(iter(failing.items()))
        yield Line(
            "notifications",
            WARN,
            f"the last notification by {name} was not sent: {reason}",
            "it is tried again; look at the receiver, and at notification_list for what waits",
        )
    elif channels:
        yield Line("notifications", OK, f"people are told of incidents by {', '.join(channels)}")
    else:
        yield Line("notifications", OK, "nobody is told of incidents; webhook_secret and webhook_url would change that")
