"""
Durable progress messages through the socket, beside the floor: a bare Twisted server that only parses, checks and acks.

One client process sends to both with the same code, keeping as many messages unacknowledged as the server allows;
ours acknowledges each after its commit, the floor stores nothing. The two take turns.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stage
from benchmarks.meter import machine
from benchmarks.stage import say

COUNT = 100_000
WARM_UP = 20_000
ROUNDS = 3
JOBS = 100
WINDOW = 4000
"""`max_in_flight` as it is shipped."""


def measure(
    profile: Path | None = None, count: int = COUNT, rounds: int = ROUNDS, window: int = WINDOW
) -> dict[str, Any]:
    """Measure; with `profile`, only our own server under the profiler."""
    common: dict[str, Any] = {"count": count, "warm_up": WARM_UP, "jobs": JOBS, "window": window}
    settings = {"CRAWLSOCK_MAX_IN_FLIGHT": str(window)}
    with stage.directory() as home, stage.postgres(home) as postgres:
        dsn = postgres.dsn("crawlsock_bench")
        where = machine(dsn)
        floor_socket = home / "floor.sock"
        with (
            stage.helper("benchmarks.floor_server", str(floor_socket), ready=floor_socket) as floor_pid,
            stage.server(home, dsn, settings, profile) as server,
        ):

            def ours() -> dict[str, Any]:
                return stage.client(
                    "benchmarks.progress_client",
                    what="crawlsock",
                    socket=server.socket,
                    crawler_token=server.token("crawler"),
                    webapp_token=server.token("webapp"),
                    pids={"server": server.pid, "postgres": postgres.pid},
                    **common,
                )

            def floor() -> dict[str, Any]:
                return stage.client(
                    "benchmarks.progress_client",
                    what="floor",
                    socket=str(floor_socket),
                    pids={"server": floor_pid},
                    **common,
                )

            if profile is not None:
                return {"benchmark": "progress", "profiled": True, **summary([ours()], count)}
            our_rounds: list[dict[str, Any]] = []
            floor_rounds: list[dict[str, Any]] = []
            for number in range(rounds):
                our_rounds.append(ours())
                floor_rounds.append(floor())
                say(
                    f"progress {number + 1}/{rounds}: crawlsock {rate(our_rounds[-1], count):.0f} messages/s, "
                    f"floor {rate(floor_rounds[-1], count):.0f} messages/s"
                )
    our_figure, floor_figure = summary(our_rounds, count), summary(floor_rounds, count)
    return {
        "benchmark": "progress",
        "unit": "progress messages a second, each acknowledged (ours: after its commit)",
        "crawlsock": our_figure,
        "floor": floor_figure,
        "ratio": round(our_figure["messages_per_second"] / floor_figure["messages_per_second"], 3),
        "how": {
            "messages": count,
            "warm_up": WARM_UP,
            "rounds": rounds,
            "running_jobs": JOBS,
            "unacknowledged_at_most": window,
            "bytes_per_message": round(our_rounds[0]["bytes"]),
            "floor": "stock NetstringReceiver, orjson, compiled jsonschema-rs check, one ack a frame, Unix socket",
        },
        "machine": where,
    }


def rate(figures: dict[str, Any], count: int) -> float:
    """Return messages a second of one round."""
    return count / float(figures["flood"]["seconds"])


def summary(rounds: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """Return the median rate of the rounds, each of them, and the CPU by process in microseconds a message."""
    rates = [rate(figures, count) for figures in rounds]
    names = rounds[0]["flood"]["cpu"]
    return {
        "messages_per_second": round(median(rates)),
        "each_round": [round(each) for each in rates],
        "cpu_microseconds_per_message": {
            name: round(median(figures["flood"]["cpu"][name] for figures in rounds) / count * 1e6, 2) for name in names
        },
    }
