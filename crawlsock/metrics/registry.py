"""The registry of one server: who tells what, and how it is written down for whoever scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import prometheus_client
from attrs import frozen
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

import crawlsock
from crawlsock.metrics.jobs import JobMetrics
from crawlsock.metrics.server import ServerMetrics
from crawlsock.metrics.wire import WireMetrics

if TYPE_CHECKING:
    from crawlsock.server.assembly import Server

Source = Callable[[], Iterable[Metric]]


@frozen
class Text:
    """What a scrape is answered with."""

    body: bytes
    content_type: str


class _Source(Collector):
    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        return self._source()

    def describe(self) -> Iterable[Metric]:
        # Names need not be known before somebody asks.
        return []


class Metrics:
    """Everything that a server tells about itself in numbers.

    :ivar registry: of this server alone; collectors of prometheus-client may be registered in it.
    """

    def __init__(self, server: Server) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._jobs = JobMetrics(server)
        self.use(_build_info)
        self.use(self._jobs.collect)
        self.use(WireMetrics(server).collect)
        self.use(ServerMetrics(server).collect)
        # Memory, processor time, open files, start; the version of Python; what the garbage collector does.
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def use(self, source: Source) -> None:
        """Tell what `source` returns at every scrape, too."""
        self.registry.register(_Source(source))

    async def text(self, accept: str = "") -> Text:
        """Return all metrics as text, in the format of Prometheus or, where it is asked for, of OpenMetrics.

        :param accept: the ``Accept`` header of the request.
        """
        await self._jobs.refresh()
        encode, content_type = prometheus_client.exposition.choose_encoder(accept)
        return Text(encode(self.registry), content_type)


def _build_info() -> Iterable[Metric]:
    # PostgreSQL's version and Python's are told elsewhere: this one is about the program alone.
    return [InfoMetricFamily("crawlsock_build", "The program that runs.", {"version": crawlsock.__version__})]
