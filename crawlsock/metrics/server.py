"""Numbers about the server itself: reactor, duties, feed, database as it answers, checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

from crawlsock.metrics.families import by_one, counter, counters, gauge, gauges, histograms
from crawlsock.server.checks import BAD, OK, WARN

if TYPE_CHECKING:
    from crawlsock.server.assembly import Server

_STATES: Final = {OK: 0, WARN: 1, BAD: 2}


class ServerMetrics:
    """Tell about everything that every server has, whatever its store is."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        lag = self._server.lag
        yield histograms("reactor_lag_seconds", "By how much timers were late.", (), [((), lag.lags)])
        yield gauge("reactor_lag_recent_seconds", "The longest lag of the last half minute.", lag.recent)
        yield from self._checks()
        yield from self._duties()
        yield from self._feed()
        yield from self._pulse()

    def _checks(self) -> Iterator[Metric]:
        lines = self._server.checks.lines()
        yield gauges(
            "check_state",
            "What each check of the server's health says: 0 well, 1 a warning, 2 bad.",
            ("check",),
            {(line.check,): _STATES[line.state] for line in lines},
        )
        ready = not any(line.needed and line.state == BAD for line in lines)
        yield gauge("ready", "Whether the server should get traffic, as /readyz says.", float(ready))

    def _duties(self) -> Iterator[Metric]:
        duties = {name: duty.statistics for name, duty in self._server.duties.items()}
        yield counters(
            "duty_runs", "Runs of duties that ended.", ("duty",), by_one({name: d.runs for name, d in duties.items()})
        )
        yield counters(
            "duty_failures",
            "Runs of duties that failed.",
            ("duty",),
            by_one({name: d.failures for name, d in duties.items()}),
        )
        yield gauges(
            "duty_failures_in_a_row",
            "Runs of a duty that failed since the last that did not.",
            ("duty",),
            by_one({name: d.failures_in_a_row for name, d in duties.items()}),
        )
        yield gauges(
            "duty_last_success_timestamp_seconds",
            "When a duty last ended well.",
            ("duty",),
            by_one({name: d.last_success for name, d in duties.items() if d.last_success is not None}),
        )
        yield gauges(
            "duty_last_run_seconds",
            "How long the last run of a duty took.",
            ("duty",),
            by_one({name: d.last_duration for name, d in duties.items() if d.last_duration is not None}),
        )

    def _feed(self) -> Iterator[Metric]:
        figures = self._server.hub.statistics()
        yield gauge("feed_lag_seconds", "For how long no read of the feed has succeeded.", figures["lag"])
        yield gauge("feed_readers", "Places in the feed that are read from.", figures["readers"])
        yield counter("feed_reads", "Reads of the feed.", figures["reads"])
        yield gauge("viewers", "Who follows the event stream over HTTP.", figures["viewers"])
        yield gauge("viewers_waiting", "Viewers that take no more at this moment.", figures["waiting"])
        yield counter("viewer_deliveries", "Deliveries made for viewers, each encoded once.", figures["deliveries"])
        yield counter("viewer_shows", "Deliveries handed to viewers, each to one.", figures["shows"])
        yield counter("viewer_snapshots", "Snapshots taken for viewers.", figures["snapshots"])

    def _pulse(self) -> Iterator[Metric]:
        pulse = self._server.pulse
        yield gauge("database_up", "Whether the database answered the last probe.", float(pulse.beats))
        yield gauge("database_round_trip_seconds", "How long the database took for the last probe.", pulse.round_trip)
        if pulse.disk is not None:
            yield gauge("data_disk_free_bytes", "Free bytes where the data directory is.", pulse.disk.free)
            yield gauge("data_disk_size_bytes", "Bytes of the file system of the data directory.", pulse.disk.size)
        vitals = pulse.vitals
        if vitals is None:
            return
        yield gauge(
            "feed_held_back_seconds",
            "For how long the oldest committed event has been waiting for an older transaction to end.",
            vitals.held_back,
        )
        yield gauge(
            "queue_overdue_seconds",
            "For how long the first job in line has been due; 0 when none is.",
            vitals.overdue or 0.0,
        )
        yield gauge("queue_paused", "Whether all queues are paused.", float(bool(vitals.paused_by)))
        yield gauge("accounts_refused", "Accounts whose credential GitLab refuses.", vitals.refused)
        yield gauge("database_connections", "Connections to the whole database server.", vitals.connections)
        yield gauge("database_connections_limit", "Connections it allows.", vitals.max_connections)
