"""What a web application does: have pages fetched, watch, and read the result."""

import os
import sys
from typing import Any

from twisted.internet.task import react

from crawlsock.sdk import JobManager, NewJob


async def main(reactor: Any, *urls: str) -> None:
    manager = JobManager(os.environ["CRAWLSOCK_CONNECT"], os.environ.get("CRAWLSOCK_TOKEN"), reactor=reactor)
    await manager.start(deadline=10)
    jobs = [NewJob("fetch_page", payload={"url": url}, job_key=url) for url in urls]
    for job, status in zip(jobs, await manager.submit(jobs), strict=True):
        if status.job_id is None:
            print(f"{job.payload}: {status.message}")  # noqa: T201
            continue
        done = await manager.wait(status.job_id)
        print(f"{job.payload}: {done['state']}, {done.get('summary', {})}")  # noqa: T201
    await manager.stop()


if __name__ == "__main__":
    react(main, sys.argv[1:])
