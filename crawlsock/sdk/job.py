"""
Job: what a crawler's coroutine holds in its hand while it works.

What lives here: the job's facts, its orders (cancel, pause, hand back, lease lost) and its wishes (report,
discover, renew the credential). What must never come here: connections, or how a job is driven; a job
knows its executor only as a `JobLink`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from crawlsock.sdk.batches import batches
from crawlsock.sdk.errors import JobCancelled, JobStopped, LeaseLost
from crawlsock.sdk.progress import RESERVED_KEY, Counts, ProgressReporter
from crawlsock.sdk.values import Area, ChildJob, Credential, ItemStatus


class JobLink(Protocol):
    """What a job needs from whoever runs it."""

    clock: IReactorTime
    progress_interval: float

    def tell(
        self,
        job: Job,
        type: str,
        data: dict[str, Any],
        done: Callable[[Exception | None], None] | None = None,
    ) -> None:
        """Send something about the job, again after a lost link; `done` hears of the answer."""

    def ask(self, job: Job, type: str, data: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Send something about the job and give the body of the answer."""

    def credential_of(self, account: str) -> Credential | None:
        """Return the newest credential known for the account."""

    def refresh(self, job: Job, stale: Credential) -> Deferred[Credential]:
        """Have the credential renewed, once however many ask."""


class Job:
    """
    One job under one lease. All attributes are facts from the server; do not set them.

    :ivar id: the job's UUID. `root_id` and `parent_id` place it in its tree.
    :ivar type: its job type. `attempt`: rises with every assignment.
    :ivar account: whose crawl this is. `host`: the GitLab host, such as `https://gitlab.example.org`.
    :ivar entity_id: what to crawl, with `namespace_path` and `name` for people.
    :ivar payload: whatever was submitted. `resume_state`: what an earlier attempt saved, or `None`.
    :ivar report: the job's `ProgressReporter`.
    :ivar cancelled: whether a cancel has been asked for.
    :ivar paused: whether the job is to hold at its next checkpoint.
    """

    __slots__ = (
        "_counts",
        "_crawler_paused",
        "_fields",
        "_paused",
        "_report",
        "_resumed",
        "_stop_watchers",
        "account",
        "attempt",
        "cancelled",
        "finished",
        "id",
        "lease",
        "link",
        "lost",
        "resume_state",
        "stopping",
        "type",
    )

    def __init__(self, link: JobLink, id: str, lease: str, fields: dict[str, Any]) -> None:
        self.link = link
        self.id = id
        self.lease = lease
        self._fields = fields
        self.type: str = fields["type"]
        self.attempt: int = fields["attempt"]
        self.account: str = fields["account"]
        self.cancelled = False
        self._paused: bool = fields.get("paused", False)
        self._crawler_paused = False
        self.finished = False
        self.stopping: JobStopped | None = None
        self.lost: LeaseLost | None = None
        self._stop_watchers: list[Deferred[JobStopped]] | None = None
        self._resumed: list[Deferred[None]] | None = None
        self._report: ProgressReporter | None = None
        self._counts: Counts | None = None
        state = fields.get("resume_state")
        if state is not None and RESERVED_KEY in state:
            state = dict(state)
            self._counts = {name: dict(counters) for name, counters in state.pop(RESERVED_KEY).items()}
        self.resume_state: dict[str, Any] | None = state

    def __repr__(self) -> str:
        return f"<Job {self.type} {self.id} attempt {self.attempt}>"

    @property
    def host(self) -> str | None:
        return self._fields.get("host")

    @property
    def entity_id(self) -> str | None:
        return self._fields.get("entity_id")

    @property
    def namespace_path(self) -> str | None:
        return self._fields.get("namespace_path")

    @property
    def name(self) -> str | None:
        return self._fields.get("name")

    @property
    def priority(self) -> int:
        return int(self._fields.get("priority", 0))

    @property
    def payload(self) -> dict[str, Any]:
        return self._fields.get("payload") or {}

    @property
    def root_id(self) -> str:
        return str(self._fields.get("root_id", self.id))

    @property
    def parent_id(self) -> str | None:
        return self._fields.get("parent_id")

    @property
    def paused(self) -> bool:
        return self._paused or self._crawler_paused

    @property
    def reported(self) -> bool:
        """Whether there is anything to report: something was, in this attempt or in the one it resumes."""
        return self._report is not None or self._counts is not None

    @property
    def report(self) -> ProgressReporter:
        """The reporter of this job's progress."""
        if self._report is None:
            self._report = ProgressReporter(self, self._counts)
        return self._report

    @property
    def credential(self) -> Credential | None:
        """
        The account's newest credential, or `None` when the account needs none.

        Read it anew for every HTTP request: the server replaces it before it expires.
        """
        return self.link.credential_of(self.account)

    async def refresh_credential(self, stale: Credential) -> Credential:
        """
        Get a working credential instead of one that was just refused (HTTP 401).

        However many coroutines and jobs ask about one generation, the server is asked once; who holds an old
        generation gets the newest at once.

        :raises CredentialRefused: it cannot be renewed. Let it pass: the job then waits for a new one.
        :raises LeaseLost: the job belongs to somebody else by now.
        """
        return await self.link.refresh(self, stale)

    async def checkpoint(self) -> None:
        """
        Mark a place where the job may be paused or stopped; `report.save()` first what should not be redone.

        Returns at once as a rule; while the job or the crawler is paused, it waits.

        :raises JobCancelled: somebody cancelled the job.
        :raises JobReleased: the crawler is leaving, the job goes on elsewhere.
        :raises LeaseLost: the job belongs to somebody else by now.
        """
        while True:
            if self.stopping is not None:
                raise self.stopping
            if not self.paused:
                return
            hold: Deferred[None] = Deferred()
            if self._resumed is None:
                self._resumed = []
            self._resumed.append(hold)
            await hold

    def when_cancelled(self) -> Deferred[JobStopped]:
        """
        Give a Deferred that fires when the job should stop, with the exception that says why.

        It fires at once when that has already happened. It never fails; when the job just ends, it stays silent.
        """
        watcher: Deferred[JobStopped] = Deferred()
        if self.stopping is not None:
            watcher.callback(self.stopping)
        elif self._stop_watchers is None:
            self._stop_watchers = [watcher]
        else:
            self._stop_watchers.append(watcher)
        return watcher

    async def discovered(self, children: Iterable[ChildJob]) -> list[ItemStatus]:
        """
        Make jobs of what was found, below this one; durable when this returns. One status an item, in order.

        Telling the same child twice, by this attempt or another, makes one job (`duplicate` the second time).

        :raises Refused: the whole report was refused, say because its message was invalid.
        :raises LeaseLost: the job belongs to somebody else by now.
        """
        statuses: list[ItemStatus] = []
        for batch in batches([child.fields() for child in children]):
            answer = await self.link.ask(self, "jobs_discovered", {"jobs": batch})
            statuses.extend(map(ItemStatus.of, answer["items"]))
        return statuses

    async def areas(self, areas: Iterable[Area]) -> None:
        """Tell of groups, projects and users seen, without asking for jobs; durable when this returns."""
        for batch in batches([area.fields() for area in areas]):
            await self.link.ask(self, "discovery", {"areas": batch})

    # What follows is for the executor.

    def order_stop(self, reason: JobStopped) -> bool:
        """Tell the job to stop. A lost lease overrides every other reason; otherwise the first one stays."""
        if self.finished or self.lost is not None:
            return False
        if isinstance(reason, LeaseLost):
            self.lost = reason
        elif self.stopping is not None and not isinstance(reason, JobCancelled):
            return False
        self.cancelled = self.cancelled or isinstance(reason, JobCancelled)
        self.stopping = reason
        if self.lost is not None and self._report is not None:
            self._report.stop(reason)
        watchers, self._stop_watchers = self._stop_watchers, None
        for watcher in watchers or ():
            watcher.callback(reason)
        self._wake()
        return True

    def order_pause(self, paused: bool, *, crawler: bool = False) -> None:
        """Hold the job at its next checkpoint, or let it go on. The whole crawler's pause is a second hold."""
        if crawler:
            self._crawler_paused = paused
        else:
            self._paused = paused
        if not self.paused:
            self._wake()

    def _wake(self) -> None:
        resumed, self._resumed = self._resumed, None
        for hold in resumed or ():
            hold.callback(None)

    def finish(self) -> None:
        """Mark the end of the job's work: nothing is sent by itself from here on."""
        self.finished = True
        if self._report is not None:
            self._report.stop(self.stopping or JobStopped("the job has ended"))
