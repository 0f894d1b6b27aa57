"""Numbers about the web side: connections, responses, what was given up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client.core import Metric

from crawlsock.metrics.families import counters, gauge


class Site(Protocol):
    """What this needs of `crawlsock.web.site.WebSite`."""

    @property
    def responses(self) -> Mapping[int, int]:
        """Responses by status."""

    @property
    def refused(self) -> Mapping[str, int]:
        """What was given up, by why."""

    @property
    def connections(self) -> int:
        """How many connections there are."""


class WebMetrics:
    """Tell about the web side."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        yield gauge("http_connections", "Connections to the web side.", self._site.connections)
        yield counters(
            "http_responses",
            "Responses of the web side, by status.",
            ("code",),
            {(str(code),): count for code, count in self._site.responses.items()},
        )
        yield counters(
            "http_given_up",
            "Requests and connections that were given up, by why: too large, too slow, too many.",
            ("reason",),
            {(reason,): count for reason, count in self._site.refused.items()},
        )
