"""
From submit to assignment on an idle server, beside what the disk and PostgreSQL allow: the round trip of one commit.

One job at a time over two connections of one client process; submitting and assigning are a commit each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import stage
from benchmarks.meter import machine
from benchmarks.stage import say

SAMPLES = 500
WARM_UP = 50
PAUSE = 0.02


def measure(profile: Path | None = None, samples: int = SAMPLES) -> dict[str, Any]:
    """Measure; with `profile`, under the profiler."""
    with stage.directory() as home, stage.postgres(home) as postgres:
        dsn = postgres.dsn("crawlsock_bench")
        where = machine(dsn)
        with stage.server(home, dsn, profile=profile) as server:
            figures = stage.client(
                "benchmarks.latency_client",
                socket=server.socket,
                crawler_token=server.token("crawler"),
                webapp_token=server.token("webapp"),
                dsn=postgres.dsn("floor_bench"),
                samples=samples,
                warm_up=WARM_UP,
                pause=PAUSE,
                pids={"server": server.pid, "postgres": postgres.pid},
            )
    ours, floor = percentiles(figures["ours"]), percentiles(figures["floor"])
    say(f"latency: crawlsock p50 {ours['p50']} ms, p99 {ours['p99']} ms; one commit p50 {floor['p50']} ms")
    return {
        "benchmark": "latency",
        "unit": "milliseconds from job_submit to job_assignment, on an idle server",
        "crawlsock": {
            **ours,
            "cpu_milliseconds_per_job": {
                name: round(seconds / samples * 1e3, 2) for name, seconds in figures["cpu"].items()
            },
        },
        "one_commit": floor,
        "ratio": round(ours["p50"] / floor["p50"], 2),
        "ratio_of_p99": round(ours["p99"] / floor["p99"], 2),
        "how": {
            "samples": samples,
            "warm_up": WARM_UP,
            "pause_seconds": PAUSE,
            "commits_on_the_way": 1,
            "one_commit": "one row inserted and committed with psycopg2, between the samples",
            "profiled": profile is not None,
        },
        "machine": where,
    }


def percentiles(samples: list[float]) -> dict[str, float]:
    """Return the usual points of a distribution."""
    ordered = sorted(samples)
    points = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(point * len(ordered)))], 3) for name, point in points.items()}
