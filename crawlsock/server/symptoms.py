"""What can be wrong with a running server, told from what its parts know.

The law: looks, and never touches. Every limit is named here, with what a person should do beyond it. The remedies name
the commands and the settings; `docs/runbook.md` says more about each.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from crawlsock.server.checks import BAD, OK, WARN, Line, graded

if TYPE_CHECKING:
    from crawlsock.server.assembly import Server

LAG_WARN, LAG_BAD = 0.25, 1.0
HELD_BACK_WARN, HELD_BACK_BAD = 5.0, 60.0
BEHIND_WARN, BEHIND_BAD = 5.0, 30.0
OVERDUE: Final = 60.0
"""Seconds after which it is strange that the first job in line has not been given to a crawler that asks."""
OVERDUE_BUSY: Final = 600.0
FAILURES_BAD: Final = 5
FREE_WARN, FREE_BAD = 0.10, 0.03
_FULL: Final = 0.9
_MEGABYTE: Final = 1024 * 1024


class Symptoms:
    """Look at a server's parts; `lines` is a source of `Checks`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def lines(self) -> Iterator[Line]:
        """Yield a line for each thing, the needed ones first."""
        yield self._database()
        yield self._draining()
        yield self._reactor()
        yield self._feed()
        yield self._duties()
        yield self._crawlers()
        yield self._queue()
        yield self._credentials()
        yield self._connections()
        yield from self._machine()

    def _database(self) -> Line:
        pulse = self._server.pulse
        if not pulse.beats:
            reason = pulse.reason or f"nothing heard for {pulse.age:.1f} s"
            return Line(
                "database",
                BAD,
                f"the database does not answer: {reason}",
                "start PostgreSQL, or correct database_url; the server connects again by itself",
                needed=True,
            )
        version = "" if pulse.vitals is None else f" {pulse.vitals.version}"
        return Line("database", OK, f"PostgreSQL{version} answers within {pulse.round_trip * 1000:.0f} ms", needed=True)

    def _draining(self) -> Line:
        if self._server.factory.draining is not None:
            return Line(
                "draining", BAD, "the server is stopping", "wait for its next start, or ask another server", needed=True
            )
        return Line("draining", OK, "the server takes whoever comes", needed=True)

    def _reactor(self) -> Line:
        lag = self._server.lag.recent
        state = graded(lag, LAG_WARN, LAG_BAD)
        return Line(
            "reactor",
            state,
            f"the longest wait of the last half minute was {lag * 1000:.0f} ms",
            None if state == OK else "give the server a core of its own; if it has one, look for plugins that block",
        )

    def _feed(self) -> Line:
        vitals, feed = self._server.pulse.vitals, self._server.hub.statistics()
        held = 0.0 if vitals is None else vitals.held_back
        if held >= HELD_BACK_WARN:
            return Line(
                "feed",
                graded(held, HELD_BACK_WARN, HELD_BACK_BAD),
                f"events wait for a transaction that has been open for {held:.0f} s or more",
                "end the oldest transaction that writes: SELECT pid, xact_start, query FROM pg_stat_activity "
                "WHERE backend_xid IS NOT NULL ORDER BY xact_start",
            )
        behind = feed["lag"]
        state = graded(behind, BEHIND_WARN, BEHIND_BAD)
        if state != OK:
            return Line(
                "feed", state, f"events could not be read for {behind:.0f} s", "see what the database check says"
            )
        return Line("feed", OK, f"who follows the feed is up to date: {feed['readers']:.0f}")

    def _duties(self) -> Line:
        failing = {
            name: duty.statistics for name, duty in self._server.duties.items() if duty.statistics.failures_in_a_row
        }
        if not failing:
            return Line("duties", OK, f"{len(self._server.duties)} duties run")
        bad = any(each.failures_in_a_row >= FAILURES_BAD for each in failing.values())
        words = ", ".join(f"{name} ({each.last_error})" for name, each in sorted(failing.items()))
        return Line(
            "duties",
            BAD if bad else WARN,
            f"failed at the last run: {words}",
            "they are tried again by themselves; the server's log says what went wrong",
        )

    def _crawlers(self) -> Line:
        crawlers = self._server.pool.by_role("crawler")
        if not crawlers:
            return Line(
                "crawlers",
                WARN,
                "no crawler is connected to this server",
                "start one: crawlsock crawl; the crawler's own log says why it cannot connect",
            )
        idle = sum(peer.wants_jobs for peer in crawlers)
        return Line("crawlers", OK, f"{len(crawlers)} connected, {idle} of them ask for jobs")

    def _queue(self) -> Line:
        vitals = self._server.pulse.vitals
        if vitals is None:
            return Line("queue", OK, "not looked at yet")
        if vitals.paused_by:
            return Line(
                "queue",
                WARN,
                f"all queues are paused by {vitals.paused_by}",
                "resume them when the reason is gone: crawlsock queue resume",
            )
        overdue = vitals.overdue or 0.0
        if overdue < OVERDUE:
            return Line("queue", OK, "no job is overdue" if vitals.overdue is None else "due jobs are given out")
        ask = sum(peer.wants_jobs for peer in self._server.pool.by_role("crawler"))
        if ask:
            return Line(
                "queue",
                BAD,
                f"the first job in line has been due for {overdue:.0f} s, and {ask} crawlers ask for jobs",
                "ask why it does not run: crawlsock explain JOB_ID; most often no crawler has its labels or its type",
            )
        return Line(
            "queue",
            WARN if overdue >= OVERDUE_BUSY else OK,
            f"the first job in line has been due for {overdue:.0f} s; no crawler here asks for jobs",
            "start more crawlers, or give them more slots; look whether some are paused"
            if overdue >= OVERDUE_BUSY
            else None,
        )

    def _credentials(self) -> Line:
        vitals = self._server.pulse.vitals
        refused = 0 if vitals is None else vitals.refused
        if not refused:
            return Line("credentials", OK, "no account's credential is refused")
        whose = "one account" if refused == 1 else f"{refused} accounts"
        return Line(
            "credentials",
            WARN,
            f"GitLab refuses the credentials of {whose}; their jobs wait",
            "see which: crawlsock account list; then store new ones: crawlsock account put",
        )

    def _connections(self) -> Line:
        used, most = len(self._server.pool), self._server.settings.current.max_connections
        state = graded(used, most * _FULL, most)
        return Line(
            "connections",
            state,
            f"{used} of {most} connections are taken",
            None if state == OK else "raise max_connections, or add a server",
        )

    def _machine(self) -> Iterator[Line]:
        disk = self._server.pulse.disk
        if disk is None:
            return
        share = disk.free / disk.size if disk.size else 1.0
        state = BAD if share <= FREE_BAD else WARN if share <= FREE_WARN else OK
        yield Line(
            "disk",
            state,
            f"{disk.free // _MEGABYTE} MB of the data directory's file system are free, {share:.0%}",
            None
            if state == OK
            else "make room: shorten retention_jobs and retention_events, or enlarge the file system",
        )
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = self._server.pulse.descriptors
        state = OK if soft == resource.RLIM_INFINITY else graded(used, soft * _FULL, soft * 0.98)
        yield Line(
            "descriptors",
            state,
            f"{used} of {'any number of' if soft == resource.RLIM_INFINITY else soft} files are open",
            None if state == OK else "raise the limit of open files (LimitNOFILE in the unit)",
        )
