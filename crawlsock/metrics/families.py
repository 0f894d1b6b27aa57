"""Metric families from plain values.

The law: the one place that knows prometheus-client's families; every metric of ours begins with ``crawlsock_``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Protocol, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

Labels: TypeAlias = tuple[str, ...]
PREFIX = "crawlsock_"


class Counts(Protocol):
    """A histogram, as `crawlsock.tally.Histogram` is one."""

    @property
    def total(self) -> float:
        """The sum of all observations."""

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield bounds, infinity last, and how many observations were not above each."""


def gauge(name: str, help: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(PREFIX + name, help, value=value)


def gauges(name: str, help: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    """Return a gauge with labels."""
    family = GaugeMetricFamily(PREFIX + name, help, labels=labels)
    for each, value in values.items():
        family.add_metric(each, value)
    return family


def counter(name: str, help: str, value: float) -> Metric:
    """Return a counter without labels; `name` is without ``_total``."""
    return CounterMetricFamily(PREFIX + name, help, value=value)


def counters(name: str, help: str, labels: Labels, values: Mapping[Labels, float]) -> Metric:
    """Return a counter with labels; `name` is without ``_total``."""
    family = CounterMetricFamily(PREFIX + name, help, labels=labels)
    for each, value in values.items():
        family.add_metric(each, value)
    return family


def histograms(name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, Counts]]) -> Metric:
    """Return a histogram, with labels or with none."""
    family = HistogramMetricFamily(PREFIX + name, help, labels=labels)
    for each, counts in values:
        buckets = [("+Inf" if bound == inf else repr(bound), count) for bound, count in counts.cumulative()]
        family.add_metric(each, buckets, counts.total)
    return family


def by_one(values: Mapping[str, float]) -> dict[Labels, float]:
    """Return values under one label as `gauges` and `counters` take them."""
    return {(name,): value for name, value in values.items()}
