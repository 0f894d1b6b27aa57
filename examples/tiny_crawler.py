"""A crawler in twenty lines: fetch the page named in each job's payload, and keep it in a file."""

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.web.client import Agent, readBody

from crawlsock.sdk import Job, JobExecutor, JobResult, OutputFile

executor = JobExecutor(os.environ["CRAWLSOCK_CONNECT"], os.environ.get("CRAWLSOCK_TOKEN"), slots=8)
agent = Agent(reactor)


@executor.job("fetch_page")
async def fetch_page(job: Job) -> JobResult:
    response = await agent.request(b"GET", job.payload["url"].encode())
    page = await readBody(response)
    Path(f"{job.id}.html").write_bytes(page)
    job.report.count("page", processed=1)
    return JobResult([OutputFile(f"{job.id}.html", 1, len(page))], {"status": response.code})


executor.run()
