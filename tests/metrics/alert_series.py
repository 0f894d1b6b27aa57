"""For each alert, series in which it must fire, and series in which it must not."""

from __future__ import annotations

from typing import Final, NamedTuple

_QUIET = "0+0x180"
_BAD = "0+0x9 1+0x180"


class Case(NamedTuple):
    """Series by name: `loud` makes the alert fire, `quiet` does not."""

    loud: dict[str, str]
    quiet: dict[str, str]


def _s(metric: str, **labels: str) -> str:
    pairs = {"job": "crawlsock", "instance": "one", **labels}
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in pairs.items()) + "}"


def _one(metric: str, loud: str, quiet: str, **labels: str) -> Case:
    return Case({_s(metric, **labels): loud}, {_s(metric, **labels): quiet})


def _above(metric: str, loud: float, quiet: float, **labels: str) -> Case:
    return _one(metric, f"{quiet}+0x9 {loud}+0x180", f"{quiet}+0x190", **labels)


def _slow(metric: str, slow: str = "2.5", **labels: str) -> Case:
    """Return a histogram whose observations lie below 5 ms, or just below `slow`."""
    bounds = ("0.005", "0.25", "1.0", slow, "+Inf")
    fast = {_s(f"{metric}_bucket", le=bound, **labels): "0+60x190" for bound in bounds}
    late = {
        _s(f"{metric}_bucket", le=bound, **labels): "0+0x190" if bound in bounds[:3] else "0+60x190" for bound in bounds
    }
    return Case(late, fast)


def _shares(part: str, whole: str, loud: float, quiet: float) -> Case:
    return Case(
        {_s(part): f"{loud}+0x190", _s(whole): "100+0x190"}, {_s(part): f"{quiet}+0x190", _s(whole): "100+0x190"}
    )


CASES: Final[dict[str, Case]] = {
    "CrawlsockDown": _above("up", 0, 1),
    "CrawlsockNotReady": _above("crawlsock_ready", 0, 1),
    "CrawlsockCheckBad": _above("crawlsock_check_state", 2, 1, check="disk"),
    "CrawlsockRestarts": _one("process_start_time_seconds", "0+100x190", "5+0x190"),
    "CrawlsockReactorLag": _slow("crawlsock_reactor_lag_seconds"),
    "CrawlsockDutyFailing": _above("crawlsock_duty_failures_in_a_row", 5, 1, duty="reap"),
    "CrawlsockDutyOverdue": _one(
        "crawlsock_duty_last_success_timestamp_seconds", "0+60x9 540+0x180", "0+60x190", duty="prune"
    ),
    "CrawlsockBug": _one("crawlsock_requests_refused_total", _BAD, _QUIET, code="internal"),
    "CrawlsockHttpErrors": _one("crawlsock_http_responses_total", "5+0x9 6+0x180", "5+0x190", code="500"),
    "CrawlsockDiskFilling": _shares("crawlsock_data_disk_free_bytes", "crawlsock_data_disk_size_bytes", 9, 11),
    "CrawlsockDiskFull": _shares("crawlsock_data_disk_free_bytes", "crawlsock_data_disk_size_bytes", 2, 5),
    "CrawlsockDescriptorsLow": _shares("process_open_fds", "process_max_fds", 95, 50),
    "CrawlsockDatabaseAway": _above("crawlsock_database_up", 0, 1),
    "CrawlsockListenerDeaf": _above("crawlsock_listener_up", 0, 1),
    "CrawlsockCommitSlow": _slow("crawlsock_group_commit_duration_seconds"),
    "CrawlsockCommitStuck": _above("crawlsock_group_commit_busy_seconds", 30, 0.01),
    "CrawlsockWritesGivenUp": _one("crawlsock_group_commit_given_up_total", _BAD, _QUIET),
    "CrawlsockPoolExhausted": _above("crawlsock_database_pool_oldest_wait_seconds", 2, 0.2),
    "CrawlsockDatabaseConnectionsLow": _shares(
        "crawlsock_database_connections", "crawlsock_database_connections_limit", 95, 50
    ),
    "CrawlsockFeedHeldBack": _above("crawlsock_feed_held_back_seconds", 90, 2),
    "CrawlsockFeedBehind": _above("crawlsock_feed_lag_seconds", 40, 0.25),
    "CrawlsockQueueStalled": Case(
        {_s("crawlsock_queue_overdue_seconds"): "61+60x180", _s("crawlsock_crawler_credits"): "3+0x180"},
        {_s("crawlsock_queue_overdue_seconds"): "61+60x180", _s("crawlsock_crawler_credits"): _QUIET},
    ),
    "CrawlsockQueueSlow": _above("crawlsock_queue_overdue_seconds", 4000, 100),
    "CrawlsockQueuePaused": _above("crawlsock_queue_paused", 1, 0),
    "CrawlsockJobsFailing": Case(
        {
            _s("crawlsock_attempts_total", type="a", outcome="failed"): "0+2x180",
            _s("crawlsock_attempts_total", type="a", outcome="retried"): "0+2x180",
            _s("crawlsock_attempts_total", type="a", outcome="completed"): "0+10x180",
        },
        {
            _s("crawlsock_attempts_total", type="a", outcome="failed"): "0+1x180",
            _s("crawlsock_attempts_total", type="a", outcome="completed"): "0+100x180",
        },
    ),
    "CrawlsockPoison": _one("crawlsock_attempts_total", _BAD, _QUIET, type="a", outcome="poisoned"),
    "CrawlsockLeasesLost": _one("crawlsock_leases_lost_total", "0+0x9 20+0x180", "0+0x9 2+0x180", reason="dead"),
    "CrawlsockJobsStuck": _one("crawlsock_leases_lost_total", _BAD, _QUIET, reason="stuck"),
    "CrawlsockStaleMessages": _one("crawlsock_stale_messages_total", "0+60x180", "0+1x180", type="job_progress"),
    "CrawlsockCredentialsRefused": _above("crawlsock_accounts_refused", 2, 0),
    "CrawlsockNoCrawlers": Case(
        {
            _s("crawlsock_crawlers", standing="connected"): "1+0x9 0+0x180",
            _s("crawlsock_jobs", type="a", state="queued"): "5+0x190",
        },
        {
            _s("crawlsock_crawlers", standing="connected"): _QUIET,
            _s("crawlsock_jobs", type="a", state="queued"): _QUIET,
        },
    ),
    "CrawlsockHeartbeatsLate": _above("crawlsock_heartbeat_age_seconds", 90, 5),
    "CrawlsockConnectionsLow": Case(
        {_s("crawlsock_connections", role="crawler"): "95+0x180", _s("crawlsock_connections_limit"): "100+0x180"},
        {_s("crawlsock_connections", role="crawler"): "50+0x180", _s("crawlsock_connections_limit"): "100+0x180"},
    ),
    "CrawlsockPeersBroken": _one("crawlsock_connection_events_total", "0+0x9 20+0x180", _BAD, event="broken"),
    "CrawlsockPeersRefused": _one(
        "crawlsock_requests_refused_total", "0+120x180", "0+6x180", code="authentication_failed"
    ),
    "CrawlsockRequestsSlow": _slow("crawlsock_request_duration_seconds", type="job_submit"),
    "CrawlsockViewersSlow": _above("crawlsock_viewers_waiting", 20, 2),
}
