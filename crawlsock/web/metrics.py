"""``/metrics``: the numbers of this server, for who may see the whole of it.

The law: a token is needed, like everywhere: what runs here, and how much, is nobody else's business.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlsock.metrics import Metrics
from crawlsock.web.resource import Answer, WebResource

if TYPE_CHECKING:
    from crawlsock.web.health import Doorkeeper
    from crawlsock.web.site import WebRequest


class MetricsPage(WebResource):
    """Answer a scrape, in the text format of Prometheus or, where it is asked for, of OpenMetrics.

    Scraped also while the database is away: that is when alerts are made.
    """

    isLeaf = True

    def __init__(self, metrics: Metrics, doorkeeper: Doorkeeper) -> None:
        super().__init__()
        self._metrics = metrics
        self._doorkeeper = doorkeeper

    async def get(self, request: WebRequest) -> Answer:
        """Answer."""
        await self._doorkeeper.identify(request)
        text = await self._metrics.text(request.getHeader("Accept") or "")
        return Answer(text.body, text.content_type)
