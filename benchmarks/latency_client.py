"""
The client of the latency measurement: one process with a web application's and a crawler's connection.

The clock runs from just before `job_submit` is written until `job_assignment` has been read. Between the samples the
job is done, and the physical floor is measured: one row inserted and committed over one connection.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg2

from benchmarks.meter import Meter
from benchmarks.raw import RawClient
from benchmarks.stage import client_config, client_result

HEARTBEAT_EVERY = 3.0


def measure(config: dict[str, Any]) -> dict[str, Any]:
    """Return the samples of both, in milliseconds."""
    webapp, crawler = RawClient(config["socket"]), RawClient(config["socket"])
    webapp.hello("webapp", config["webapp_token"])
    crawler.hello("crawler", config["crawler_token"], crawler_id="bench", slots=10, job_types=["bench_latency"])
    if crawler.request("job_request", {"slots": 10})["jobs"]:
        raise RuntimeError("there were jobs already")
    database = psycopg2.connect(config["dsn"])
    cursor = database.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS one_commit (id bigserial PRIMARY KEY, at timestamptz, payload text)")
    database.commit()
    ours: list[float] = []
    floor: list[float] = []
    warm_up, pause = config["warm_up"], config["pause"]
    meter = Meter(config["pids"])
    beat = due = time.perf_counter()
    for number in range(warm_up + config["samples"]):
        if number == warm_up:
            meter.start()
        due = max(due + pause, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
        ours.append(one_job(webapp, crawler))
        began = time.perf_counter()
        cursor.execute("INSERT INTO one_commit (at, payload) VALUES (now(), %s)", ("x" * 200,))
        database.commit()
        floor.append((time.perf_counter() - began) * 1e3)
        if began - beat > HEARTBEAT_EVERY:
            crawler.request("heartbeat", {"status": "idle", "active_jobs": []})
            beat = began
    figures = meter.stop()
    database.close()
    return {"ours": ours[warm_up:], "floor": floor[warm_up:], **figures}


def one_job(webapp: RawClient, crawler: RawClient) -> float:
    """Have one job made and done; return the milliseconds until it was assigned."""
    job = webapp.frame("job_submit", {"jobs": [{"type": "bench_latency"}]})
    began = time.perf_counter()
    webapp.send(job)
    assigned = crawler.push("job_assignment")
    seconds = time.perf_counter() - began
    (item,) = webapp.answer()["items"]
    if item.get("job_id") != assigned["job_id"]:
        raise RuntimeError("another job was assigned than was submitted")
    lease = {"job_id": assigned["job_id"], "lease": assigned["lease"]}
    crawler.request("job_started", **lease)
    crawler.request("job_completed", **lease)
    crawler.request("job_request", {"slots": 1})
    return seconds * 1e3


if __name__ == "__main__":
    client_result(measure(client_config()))
