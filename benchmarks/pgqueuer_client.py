"""
The client of the life cycle measurement for PgQueuer: enqueueing and working in one process, on uvloop and asyncpg.

A connection for each side, a batch size of 100, and jobs enqueued many at a time, as its own benchmark does it. A job
counts as finished when the transaction that logs it as successful has committed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import uvloop
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job

from benchmarks.meter import Meter
from benchmarks.stage import client_config, client_result


class CountingQueries(Queries):
    """Tell when `target` jobs were logged."""

    logged = 0
    target = 0
    reached: asyncio.Event

    async def log_jobs(self, job_status: Any) -> None:
        await super().log_jobs(job_status)
        self.logged += len(job_status)
        if self.logged >= self.target:
            self.reached.set()

    def expect(self, count: int) -> None:
        """Count from zero up to `count`."""
        self.logged, self.target, self.reached = 0, count, asyncio.Event()


async def enqueue(queries: Queries, count: int, size: int) -> None:
    """Enqueue jobs with a small payload."""
    for start in range(0, count, size):
        numbers = range(start, min(count, start + size))
        payloads: list[bytes | None] = [b'{"number":%d}' % number for number in numbers]
        await queries.enqueue(["bench"] * len(payloads), payloads, [0] * len(payloads))


def working(queries: CountingQueries, batch_size: int) -> tuple[QueueManager, asyncio.Task[None]]:
    """Start a worker whose jobs do nothing."""
    manager = QueueManager(queries)

    @manager.entrypoint("bench")
    async def nothing(job: Job) -> None:
        pass

    return manager, asyncio.create_task(manager.run(batch_size=batch_size))


async def finished(queries: CountingQueries, worker: asyncio.Task[None]) -> None:
    """Wait for the last expected job; a worker that fails ends the wait."""
    reached = asyncio.create_task(queries.reached.wait())
    await asyncio.wait((reached, worker), return_when=asyncio.FIRST_COMPLETED)
    if not reached.done():
        reached.cancel()
        await worker
        raise RuntimeError("the worker ended early")


async def driver(config: dict[str, Any]) -> Any:
    """Connect as the configuration says: `connection` or `pool`."""
    if config["driver"] == "pool":
        return AsyncpgPoolDriver(await asyncpg.create_pool(config["dsn"], min_size=4, max_size=4))
    return AsyncpgDriver(await asyncpg.connect(config["dsn"]))


async def measure(config: dict[str, Any]) -> dict[str, Any]:
    """Warm up, then do `count` jobs on the clock."""
    count, size, batch_size = config["count"], config["submit_size"], config["batch_size"]
    submitting = Queries(AsyncpgDriver(await asyncpg.connect(config["dsn"])))
    if not await submitting.has_table(submitting.qbe.settings.queue_table):
        await submitting.install()
        await submitting.optimize_autovacuum()
    queries = CountingQueries(await driver(config))
    queries.expect(config["warm_up"])
    manager, worker = working(queries, batch_size)
    await enqueue(submitting, config["warm_up"], size)
    await finished(queries, worker)
    figures: dict[str, Any] = {}
    meter = Meter(config["pids"])
    queries.expect(count)
    if config["mode"] == "whole":
        meter.start()
        submitted = asyncio.create_task(enqueue(submitting, count, size))
        await finished(queries, worker)
        figures["whole"] = meter.stop()
        await submitted
    else:
        manager.shutdown.set()
        await worker
        meter.start()
        await enqueue(submitting, count, size)
        figures["submit"] = meter.stop()
        queries = CountingQueries(await driver(config))
        queries.expect(count)
        meter.start()
        manager, worker = working(queries, batch_size)
        await finished(queries, worker)
        figures["work"] = meter.stop()
    manager.shutdown.set()
    await worker
    return figures


if __name__ == "__main__":
    client_result(uvloop.run(measure(client_config())))
