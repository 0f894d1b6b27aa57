"""A crawler in a process of its own, written with the SDK, whose jobs last as long as the test wants.

``python -m tests.integration.holding_crawler ENDPOINT TOKEN_FILE CRAWLER_ID``. A job of the type ``hold`` reports once,
and ends when the file that its payload names as ``until`` is there, or when it is cancelled.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater

from crawlsock.sdk import Job, JobExecutor

_LOOK_SECONDS = 0.05


async def hold(job: Job) -> None:
    """Hold the job."""
    job.report.count("item", discovered=2, processed=1)
    await job.report.flush()
    until = Path(job.payload["until"])
    while not until.exists():
        await deferLater(reactor, _LOOK_SECONDS)
        await job.checkpoint()
    job.report.count("item", processed=1)


def main(endpoint: str, token_file: str, crawler_id: str) -> None:
    """Run until SIGTERM."""
    executor = JobExecutor(endpoint, Path(token_file).read_text().strip(), crawler_id, slots=4)
    executor.job("hold")(hold)
    executor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
