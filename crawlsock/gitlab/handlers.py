"""From job types to crawls: which host, which client, which plan.

Law: the composition of the crawler. What one process shares among its jobs (connections, rate budgets, the
output root) is made here once; each job gets a client and a crawl of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime

from crawlsock.gitlab.api import ClientSettings, GitLabClient, Loads
from crawlsock.gitlab.crawl import Crawl, CrawlSettings
from crawlsock.gitlab.hosts import AllowedHosts, HostRefused
from crawlsock.gitlab.lists import unless
from crawlsock.gitlab.output import OutputRoot
from crawlsock.gitlab.plan import AREAS
from crawlsock.gitlab.saving import InThread
from crawlsock.gitlab.transport import Transport
from crawlsock.sdk import HostBudget, Job, JobFailed, JobResult

DISCOVER = "discover_namespaces"
JOB_TYPES = (DISCOVER, *AREAS)
"""The job types that this crawler does."""


@frozen
class Settings:
    """Everything that can be set about the crawler."""

    client: ClientSettings = field(factory=ClientSettings)
    crawl: CrawlSettings = field(factory=CrawlSettings)


@define
class GitLabCrawler:
    """Do the jobs of GitLab crawls. `handle` is the coroutine to register for each of `JOB_TYPES`."""

    transport: Transport
    root: OutputRoot
    clock: IReactorTime
    in_thread: InThread
    allowed: AllowedHosts
    settings: Settings
    wall_clock: Callable[[], float] = time.time
    _loads: Loads = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loads = Loads(self.settings.client.requests_per_host)

    @classmethod
    def of(
        cls,
        transport: Transport,
        output_root: str,
        clock: IReactorTime,
        in_thread: InThread,
        allowed_hosts: Iterable[str],
        settings: Settings | None = None,
    ) -> GitLabCrawler:
        """Build a crawler. Raises `HostRefused` for an allowed host that is none."""
        allowed = AllowedHosts.of(allowed_hosts)
        return cls(transport, OutputRoot(output_root), clock, in_thread, allowed, settings or Settings())

    def host_budgets(self) -> list[HostBudget]:
        """Say what the hosts allow, for `JobExecutor.report_hosts`."""
        return self._loads.host_budgets(self.clock.seconds(), self.wall_clock())

    async def handle(self, job: Job) -> JobResult:
        """Do a job. Ends early with the job's own reason when it is cancelled, handed back or lost."""
        try:
            origin = self.allowed.origin(job.host)
        except HostRefused as refused:
            raise JobFailed("host_not_allowed", str(refused), False) from refused
        client = GitLabClient(
            job,
            origin,
            self.transport,
            self._loads.of(origin),
            self.clock,
            self.settings.client,
            wall_clock=self.wall_clock,
        )
        crawl = Crawl(job, client, self.clock, self.in_thread, self.settings.crawl)
        plan = AREAS.get(job.type)
        work = crawl.discover_namespaces() if plan is None else crawl.area(plan, self.root)
        # Whatever the work waits for, be it a rate limit for an hour, is dropped when the job is to stop.
        return await unless(job.when_cancelled(), work)
