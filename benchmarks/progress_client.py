"""The client of the progress measurement: jobs are taken on, then reported on as fast as the window allows."""

from __future__ import annotations

from typing import Any

from benchmarks.meter import Meter
from benchmarks.raw import RawClient
from benchmarks.stage import client_config, client_result

Held = list[tuple[str, str]]
"""Job ids and leases."""


def take_on(config: dict[str, Any], crawler: RawClient) -> Held:
    """Submit jobs, have them assigned to `crawler`, and start them."""
    count = config["jobs"]
    webapp = RawClient(config["socket"])
    webapp.hello("webapp", config["webapp_token"])
    webapp.request("job_submit", {"jobs": [{"type": "bench_progress"}] * count})
    webapp.close()
    crawler.hello("crawler", config["crawler_token"], crawler_id="bench", slots=count, job_types=["bench_progress"])
    jobs = crawler.request("job_request", {"slots": count})["jobs"]
    while len(jobs) < count:
        push = crawler.push("job_assignment")
        jobs.append(push)
    held = [(job["job_id"], job["lease"]) for job in jobs]
    for job_id, lease in held:
        crawler.request("job_started", job_id=job_id, lease=lease)
    return held


def reports(client: RawClient, held: Held, first_round: int, count: int) -> list[bytes]:
    """Make progress messages of all jobs in turn, of some 270 bytes each."""
    frames = []
    for number in range(count):
        job_id, lease = held[number % len(held)]
        seq = first_round + number // len(held) + 1
        data = {
            "seq": seq,
            "stage": "fetching",
            "entities": {"issues": {"discovered": 90_000, "processed": seq, "total": 90_000}},
            "resume_state": {"issues": {"page": seq}},
        }
        frames.append(client.frame("job_progress", data, job_id=job_id, lease=lease))
    return frames


def measure(config: dict[str, Any]) -> dict[str, Any]:
    """Warm up, then send `count` messages on the clock; to the floor, as if jobs had been taken on."""
    client = RawClient(config["socket"])
    count, warm_up = config["count"], config["warm_up"]
    real = config["what"] == "crawlsock"
    example = ("0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11", "70d378d2-ab87-43c9-ba6e-7134bd124503")
    held = take_on(config, client) if real else [example] * config["jobs"]
    first = reports(client, held, 0, warm_up)
    rest = reports(client, held, warm_up // len(held), count)
    meter = Meter(config["pids"])
    client.flood(first, config["window"])
    meter.start()
    client.flood(rest, config["window"])
    figures = meter.stop()
    if real:
        for job_id, lease in held:
            client.request("job_completed", job_id=job_id, lease=lease)
    client.close()
    return {"flood": figures, "bytes": sum(map(len, rest)) / count}


if __name__ == "__main__":
    client_result(measure(client_config()))
