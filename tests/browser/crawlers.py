"""What the crawlers of the browser's tests do with a job: what its payload says.

The law: a job ends as its payload wants, by the SDK, as it does in life; one that is held goes on when the tests say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred

from crawlsock.sdk import Area, ChildJob, Credential, Job, JobFailed, JobResult

PROJECTS: Final = 600
"""Projects below each group of the large tree."""
ELSEWHERE: Final = ("gpu",)
"""A label that no crawler has: jobs that want it stay queued."""


@define(eq=False)
class Hands:
    """The jobs that are held, and all that can be done with a job."""

    held: dict[str, tuple[Job, Deferred[None]]] = field(factory=dict)

    async def crawl(self, job: Job) -> JobResult | None:
        """Do what the job's payload says."""
        deeds: dict[str, Callable[[Job], Awaitable[JobResult | None]]] = {
            "complete": self._complete,
            "hold": self._hold,
            "fail": self._fail,
            "refuse": self._refuse,
            "tree": self._tree,
            "group": self._group,
        }
        return await deeds[job.payload.get("do", "complete")](job)

    async def _complete(self, job: Job) -> JobResult:
        items = int(job.payload.get("items", 3))
        job.report.total("issue", items)
        job.report.count("issue", discovered=items, processed=items)
        return JobResult(summary={"items": items})

    async def _hold(self, job: Job) -> JobResult | None:
        job.report.message(f"reading {job.name}")
        job.report.total("issue", 200)
        job.report.count("issue", discovered=200, processed=50, failed=1)
        job.report.count("merge_request", discovered=12, processed=3)
        job.report.page("issue", 3, "opened")
        job.report.save({"page": 3})
        await job.report.flush()
        go_on: Deferred[None] = Deferred()
        job.when_cancelled().addCallback(lambda reason: None if go_on.called else go_on.errback(reason))
        self.held[job.id] = (job, go_on)
        try:
            await go_on
            await job.checkpoint()
        finally:
            del self.held[job.id]
        return JobResult(summary={"held": True})

    async def _fail(self, job: Job) -> JobResult | None:
        error = job.payload["error"]
        raise JobFailed(
            error.get("type", "gitlab_error"),
            error["message"],
            recoverable=error.get("recoverable", False),
            retry_after=error.get("retry_after"),
        )

    async def _refuse(self, job: Job) -> JobResult | None:
        credential = job.credential
        assert isinstance(credential, Credential)
        await job.refresh_credential(credential)
        return None

    async def _tree(self, job: Job) -> JobResult | None:
        job.report.stage("discovering")
        await job.areas(Area(**each) for each in job.payload.get("areas", ()))
        for start in range(0, len(job.payload["children"]), 500):
            await job.discovered(ChildJob(**each) for each in job.payload["children"][start : start + 500])
        return JobResult()

    async def _group(self, job: Job) -> JobResult | None:
        """Find many projects: some are crawled at once, one fails, one is held, the others wait for a label."""
        number = int(job.payload["group"])
        deeds: dict[int, dict[str, Any]] = {
            **{index: {"do": "complete", "items": 1000 + index} for index in range(20)},
            20: {"do": "fail", "error": {"message": f"500 for /projects/{number}20/issues?page=3"}},
            21: {"do": "hold"},
        }
        await job.discovered(
            ChildJob(
                "crawl_project",
                entity_id=f"{number}{index:04}",
                namespace_path=f"planets/group-{number}/project-{index:04}",
                name=f"Project {index:04} of group {number}",
                payload=deeds.get(index),
                labels=() if index in deeds else ELSEWHERE,
                estimated_size=1000 + index,
            )
            for index in range(PROJECTS)
        )
        return JobResult()
