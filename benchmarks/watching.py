"""
From a crawler's report to the browsers that watch, and what browsers that watch cost the server.

Crawlers report over their own connections; viewers hold event streams over HTTP. First few viewers, measured report by
report, in turns with the floor: a row committed and a NOTIFY heard, which is what telling somebody of something durable
costs without any of us. Then the same reports with no viewer and with many, in turns: processor time and memory of the
server.
"""

from __future__ import annotations

import socket
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stage
from benchmarks.latency import percentiles
from benchmarks.meter import machine
from benchmarks.stage import say

CRAWLERS = 50
REPORTS_A_SECOND = 2.0
FEW = 20
MANY = 100
SECONDS = 12.0
ROUNDS = 3


def measure(profile: Path | None = None, seconds: float = SECONDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure; with `profile`, under the profiler."""
    port = free_port()
    settings = {
        "CRAWLSOCK_HTTP_ENDPOINT": f"tcp:{port}:interface=127.0.0.1",
        # One token has all the viewers here.
        "CRAWLSOCK_HTTP_MAX_STREAMS_PER_CALLER": "1000",
    }
    with stage.directory() as home, stage.postgres(home) as postgres:
        dsn = postgres.dsn("crawlsock_bench")
        where = machine(dsn)
        with stage.server(home, dsn, settings, profile) as server:
            figures = stage.client(
                "benchmarks.watching_client",
                socket=server.socket,
                port=port,
                crawler_token=server.token("crawler"),
                webapp_token=server.token("webapp"),
                monitor_token=server.token("monitor"),
                dsn=postgres.dsn("floor_bench"),
                crawlers=CRAWLERS,
                rate=REPORTS_A_SECOND,
                few=FEW,
                many=MANY,
                seconds=seconds,
                rounds=rounds,
                pids={"server": server.pid, "postgres": postgres.pid},
            )
    ours, floor = points(figures["ours"]), points(figures["floor"])
    cost = costs(figures["rounds"], seconds)
    say(
        f"watching: report to browser p50 {ours['p50']} ms, p95 {ours['p95']} ms, p99 {ours['p99']} ms; "
        f"commit and NOTIFY p50 {floor['p50']} ms; {MANY} viewers cost {cost['cores']} cores and {cost['megabytes']} MB"
    )
    return {
        "benchmark": "watching",
        "unit": "milliseconds from a crawler's report to a viewer that has it or a later one of the job",
        "crawlsock": {
            **ours,
            "samples": len(figures["ours"]),
            "cpu_milliseconds_a_second": per_second(figures, seconds),
        },
        "commit_and_notify": {**floor, "samples": len(figures["floor"])},
        "ratio": round(ours["p50"] / floor["p50"], 2),
        "ratio_of_p95": round(ours["p95"] / floor["p95"], 2),
        "many_viewers": {"viewers": MANY, **cost},
        "how": {
            "crawlers": CRAWLERS,
            "reports_a_second_each": REPORTS_A_SECOND,
            "viewers": FEW,
            "seconds": seconds,
            "rounds": rounds,
            "deliveries_a_second": round(figures["deliveries"] / seconds / rounds / FEW, 1),
            "events_a_second": round(figures["events"] / seconds / rounds / FEW, 1),
            "commit_and_notify": "one row inserted, NOTIFY, committed with psycopg2; until another connection hears it",
            "profiled": profile is not None,
        },
        "machine": where,
    }


def points(samples: list[float]) -> dict[str, float]:
    """Return the usual points of a distribution, and p95."""
    ordered = sorted(samples)
    return {**percentiles(samples), "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 3)}


def per_second(figures: dict[str, Any], seconds: float) -> dict[str, float]:
    """Return milliseconds of processor time a second, by process, while few watched."""
    rounds = figures["few"]
    return {name: round(median(each["cpu"][name] for each in rounds) / seconds * 1e3, 1) for name in rounds[0]["cpu"]}


def costs(rounds: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Return what the viewers added: cores and megabytes, medians over the rounds."""
    cores = [(each["with"]["server"] - each["without"]["server"]) / seconds for each in rounds]
    memory = [(each["rss_with"] - each["rss_without"]) / 1e6 for each in rounds]
    return {
        "cores": round(median(cores), 4),
        "megabytes": round(median(memory), 1),
        "each_round": [
            {
                "cores_without": round(each["without"]["server"] / seconds, 4),
                "cores_with": round(each["with"]["server"] / seconds, 4),
                "postgres_without": round(each["without"]["postgres"] / seconds, 4),
                "postgres_with": round(each["with"]["postgres"] / seconds, 4),
                "megabytes_without": round(each["rss_without"] / 1e6, 1),
                "megabytes_with": round(each["rss_with"] / 1e6, 1),
                "streams_that_ended": each["ended"],
                "bytes_a_viewer": round(each["bytes"] / MANY),
            }
            for each in rounds
        ],
    }


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
