"""
Whole life cycles of jobs through the socket, beside PgQueuer on the same PostgreSQL.

Ours: a job is submitted, assigned, started and completed, each acknowledged after its commit, between a server process
made by twistd and one client process. PgQueuer's workers sit on the database: enqueued, picked, logged as successful,
one process. The two take turns; the figure is the median of the rounds.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stage
from benchmarks.meter import machine
from benchmarks.stage import say

COUNT = 20_000
WARM_UP = 2_000
ROUNDS = 3
SUBMIT_SIZE = 500
SLOTS = 1000
BATCH_SIZE = 100


def measure(profile: Path | None = None, count: int = COUNT, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure; with `profile`, only our own server under the profiler."""
    common: dict[str, Any] = {"count": count, "warm_up": WARM_UP, "submit_size": SUBMIT_SIZE}
    with stage.directory() as home, stage.postgres(home) as postgres:
        dsn = postgres.dsn("crawlsock_bench")
        where = machine(dsn)
        with stage.server(home, dsn, profile=profile) as server:

            def ours(mode: str) -> dict[str, Any]:
                return stage.client(
                    "benchmarks.lifecycle_client",
                    mode=mode,
                    socket=server.socket,
                    crawler_token=server.token("crawler"),
                    webapp_token=server.token("webapp"),
                    slots=SLOTS,
                    pids={"server": server.pid, "postgres": postgres.pid},
                    **common,
                )

            def theirs(mode: str) -> dict[str, Any]:
                return stage.client(
                    "benchmarks.pgqueuer_client",
                    mode=mode,
                    dsn=postgres.dsn("pgqueuer_bench"),
                    driver="connection",
                    batch_size=BATCH_SIZE,
                    pids={"postgres": postgres.pid},
                    **common,
                )

            our_rounds: list[dict[str, Any]] = []
            their_rounds: list[dict[str, Any]] = []
            if profile is not None:
                our_rounds.append(ours("whole"))
                return {"benchmark": "lifecycle", "profiled": True, **summary(our_rounds, "whole", count)}
            for number in range(rounds):
                our_rounds.append(ours("whole"))
                their_rounds.append(theirs("whole"))
                say(
                    f"lifecycle {number + 1}/{rounds}: crawlsock {rate(our_rounds[-1], 'whole', count):.0f} jobs/s, "
                    f"PgQueuer {rate(their_rounds[-1], 'whole', count):.0f} jobs/s"
                )
            our_phases, their_phases = ours("phases"), theirs("phases")
    our_figure, their_figure = summary(our_rounds, "whole", count), summary(their_rounds, "whole", count)
    return {
        "benchmark": "lifecycle",
        "unit": "durable whole life cycles a second",
        "crawlsock": {**our_figure, "phases": phases(our_phases, count)},
        "pgqueuer": {**their_figure, "phases": phases(their_phases, count)},
        "ratio": round(our_figure["jobs_per_second"] / their_figure["jobs_per_second"], 3),
        "ratio_of_work_alone": round(rate(our_phases, "work", count) / rate(their_phases, "work", count), 3),
        "how": {
            "jobs": count,
            "warm_up": WARM_UP,
            "rounds": rounds,
            "submitted_at_once": SUBMIT_SIZE,
            "slots": SLOTS,
            "pgqueuer_batch_size": BATCH_SIZE,
            "counted": "from the first submit to the last acknowledged completion; jobs worked on while submitted",
        },
        "machine": where,
    }


def rate(figures: dict[str, Any], part: str, count: int) -> float:
    """Return jobs a second in one part of one run."""
    return count / float(figures[part]["seconds"])


def summary(rounds: list[dict[str, Any]], part: str, count: int) -> dict[str, Any]:
    """Return the median rate of the rounds, each of them, and the CPU by process in microseconds a job."""
    rates = [rate(figures, part, count) for figures in rounds]
    names = rounds[0][part]["cpu"]
    return {
        "jobs_per_second": round(median(rates)),
        "each_round": [round(each) for each in rates],
        "cpu_microseconds_per_job": {
            name: round(median(figures[part]["cpu"][name] for figures in rounds) / count * 1e6, 1) for name in names
        },
    }


def phases(figures: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the rates of a run in phases."""
    return {part: summary([figures], part, count) for part in ("submit", "work")}
