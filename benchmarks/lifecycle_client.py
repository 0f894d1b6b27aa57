"""
The client of the life cycle measurement: a web application and a crawler in one process, both made with the SDK.

`whole`: jobs are worked on while they are submitted. `phases`: first all are submitted, then all are worked on.
A job counts as finished when the ack of its `job_completed` has come.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

from benchmarks.meter import Meter
from benchmarks.stage import client_config, client_result
from crawlsock.sdk import Job, JobExecutor, JobManager, NewJob

LOOK = 0.002
"""Seconds between looks at whether all is done; the error of a measurement, about a thousandth."""


async def all_done(reactor: Any, executor: JobExecutor, count: int) -> None:
    """Wait until `count` jobs are completed and acknowledged."""
    in_hand = executor.in_hand

    def look() -> None:
        if in_hand.completed >= count and not in_hand.leases:
            looking.stop()

    looking = task.LoopingCall(look)
    looking.clock = reactor
    await looking.start(LOOK)


def executor_for(reactor: Any, config: dict[str, Any], job_type: str) -> JobExecutor:
    """Make a crawler whose jobs do nothing."""
    executor = JobExecutor(config["socket"], config["crawler_token"], slots=config["slots"], reactor=reactor)

    @executor.job(job_type)
    async def nothing(job: Job) -> None:
        pass

    return executor


def jobs(count: int, job_type: str) -> list[NewJob]:
    """Make jobs with a small payload."""
    return [NewJob(job_type, payload={"number": number}) for number in range(count)]


async def submit(manager: JobManager, items: list[NewJob], size: int) -> None:
    """Submit in messages of `size`, a few on their way at once."""
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    limit = task.Cooperator()
    work = (Deferred.fromCoroutine(submit_part(manager, part)) for part in parts)
    try:
        for waiting in [limit.coiterate(work) for _ in range(4)]:
            await waiting
    finally:
        limit.stop()


async def submit_part(manager: JobManager, part: list[NewJob]) -> None:
    """Submit one message's worth, all of which must be new."""
    statuses = await manager.submit(part)
    if any(status.status != "created" for status in statuses):
        raise RuntimeError("a job was not created")


async def measure(reactor: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Warm up, then do `count` jobs on the clock."""
    count, size = config["count"], config["submit_size"]
    manager = JobManager(config["socket"], config["webapp_token"], reactor=reactor)
    await manager.start(30)
    warm = executor_for(reactor, config, "warm_up")
    await warm.start(30)
    await submit(manager, jobs(config["warm_up"], "warm_up"), size)
    await all_done(reactor, warm, config["warm_up"])
    await warm.stop()
    before = (await manager.status())["jobs"].get("completed", 0)
    items = jobs(count, "bench")
    executor = executor_for(reactor, config, "bench")
    figures: dict[str, Any] = {}
    meter = Meter(config["pids"])
    if config["mode"] == "whole":
        await executor.start(30)
        meter.start()
        done = Deferred.fromCoroutine(submit(manager, items, size))
        await all_done(reactor, executor, count)
        figures["whole"] = meter.stop()
        await done
    else:
        meter.start()
        await submit(manager, items, size)
        figures["submit"] = meter.stop()
        meter.start()
        await executor.start(30)
        await all_done(reactor, executor, count)
        figures["work"] = meter.stop()
    completed = (await manager.status())["jobs"]["completed"] - before
    if completed != count:
        raise RuntimeError(f"the server says that {completed} jobs were completed, not {count}")
    await executor.stop()
    await manager.stop()
    return figures


def main(reactor: Any) -> Deferred[None]:
    """Measure once."""

    async def run() -> None:
        client_result(await measure(reactor, client_config()))

    return Deferred.fromCoroutine(run())


if __name__ == "__main__":
    task.react(main)
