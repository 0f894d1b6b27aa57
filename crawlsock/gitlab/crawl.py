"""Crawl one area, or list what there is to crawl.

Law: the order is always the same. An attempt first takes over what an earlier one had made durable; then
all lists are read at once, each into its own part; files appear at the very end, after the server has
confirmed once more that the lease is ours. Whatever goes wrong on the way leaves the parts where the next
attempt finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
from attrs import define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from crawlsock.gitlab.api import GitLabClient, ResourceRefused, area_path
from crawlsock.gitlab.collect import AreaCollector, Collector, entries
from crawlsock.gitlab.lists import together
from crawlsock.gitlab.output import AreaOutput, OutputRoot, Part
from crawlsock.gitlab.paging import Item
from crawlsock.gitlab.plan import AREAS, NAMESPACES, AreaPlan
from crawlsock.gitlab.saving import Counted, InThread, Saver, Worker
from crawlsock.gitlab.state import CrawlState, Stream, from_json, id_of, path_of, to_json
from crawlsock.sdk import Job, JobFailed, JobResult, OutputFile, RequestDetails

_ERROR_TYPES = {403: "forbidden", 404: "not_found"}


@frozen
class CrawlSettings:
    """How a crawl behaves.

    `ahead`: pages of one list, and lists below one list (the notes of how many issues), on their way at once.
    `save_interval`: seconds between two resume states.
    """

    ahead: int = 16
    save_interval: float = 2.0


@define
class Crawl:
    """What every job of ours needs: the job, a client for its host, and how to behave."""

    job: Job
    client: GitLabClient
    clock: IReactorTime
    in_thread: InThread
    settings: CrawlSettings

    def saver(
        self,
        streams: Mapping[str, Stream],
        counted: Mapping[str, Counted],
        worker: Worker,
        prepare: Callable[[], Callable[[], None]],
        to_state: Callable[[Mapping[str, Stream]], dict[str, Any]],
    ) -> Saver:
        """Make what saves the progress of these streams."""
        return Saver(self.job, self.clock, self.settings.save_interval, worker, streams, counted, prepare, to_state)

    async def discover_namespaces(self) -> JobResult:
        """Make a job of every group, project and user that the account can see.

        What one list refuses is recorded, and the others go on; when all do, the job fails for good.
        """
        names = [each.name for each in NAMESPACES]
        per_page = self.client.settings.per_page
        earlier = from_json(self.job.resume_state, per_page, names)
        streams = {name: Stream() for name in names} if earlier is None else dict(earlier.streams)
        counted = {each.name: Counted(AREAS[each.job_type].entity, True) for each in NAMESPACES}
        to_state = partial(to_json, "", "", "", per_page)
        saver = self.saver(streams, counted, Worker(self.in_thread), lambda: _nothing, to_state)
        self.job.report.stage("discovering")
        collector = Collector(self.job, self.client, "", streams, self.settings.ahead, saver.touched)

        async def work() -> None:
            await together([collector.discover(each) for each in NAMESPACES])
            saver.stop()

        await together([work(), saver.run()])
        await saver.save()
        refused = [stream.refused for stream in streams.values() if stream.refused is not None]
        if len(refused) == len(streams):
            status, reason = refused[0]
            raise JobFailed(_ERROR_TYPES.get(status, "gitlab_refused"), reason, False)
        return JobResult((), summary(streams))

    async def area(self, plan: AreaPlan, root: OutputRoot) -> JobResult:
        """Crawl one group, project or user, and return the files that now hold all of it."""
        return await AreaCrawl(self, plan, root).run()


def _nothing() -> None:
    return None


@define
class AreaCrawl:
    """One attempt at one area."""

    crawl: Crawl
    plan: AreaPlan
    root: OutputRoot
    _worker: Worker = field(init=False)
    _streams: dict[str, Stream] = field(init=False, factory=dict)
    _output: AreaOutput = field(init=False)
    _entity: str = field(init=False, default="")
    _path: str = field(init=False, default="")

    async def run(self) -> JobResult:
        """Crawl everything and publish it; return the files.

        Raises what the SDK knows: `JobFailed`, `JobStopped` and its kinds, `CredentialRefused`.
        """
        self._worker = Worker(self.crawl.in_thread)
        job, client = self.crawl.job, self.crawl.client
        job.report.stage("discovering" if self.plan.discoveries else "fetching")
        names = list(self._counted())
        earlier = from_json(job.resume_state, client.settings.per_page, names)
        if earlier is None:
            details: Item | None = await self._details()
            self._streams = {name: Stream() for name in names}
            self._entity, self._path = self._names_of(details or {})
        else:
            details = None
            self._streams = dict(earlier.streams)
            self._entity, self._path = earlier.entity, earlier.path
        self._output = AreaOutput.of(
            self.root,
            account=job.account,
            host=client.origin.authority,
            folder=self.plan.folder,
            path=self._path,
            entity_id=self._entity,
            attempt=f"{job.id}.{job.attempt}",
        )
        try:
            await self._worker.do(partial(self._take_over, earlier))
            if details is None and not self._streams[self.plan.kind].done:
                details = await self._details()
            return await self._collect(details)
        except OSError as error:
            raise JobFailed("output_failed", f"could not write the output: {error.strerror or error}") from error
        finally:
            # A thread may still be at work on these files although nobody waits for it any more.
            await self._worker.idle()
            self._output.close()

    async def _collect(self, details: Item | None) -> JobResult:
        crawl = self.crawl
        saver = crawl.saver(self._streams, self._counted(), self._worker, self._before_saving, self._to_state)
        collector = AreaCollector(
            crawl.job,
            crawl.client,
            area_path(self._entity),
            self._streams,
            crawl.settings.ahead,
            saver.touched,
            self.plan,
            self._output,
        )
        if details is not None:
            collector.store_details(details)
        unread = await self._worker.do(self._entries)

        async def work() -> None:
            await collector.everything(unread)
            saver.stop()

        try:
            await together([work(), saver.run()])
        except (JobFailed, CancelledError):
            # A job that is handed back or has failed tells where it stopped; its next attempt redoes nothing.
            if crawl.job.lost is None and not crawl.job.cancelled:
                await saver.put_by()
            raise
        crawl.job.report.stage("fetching")
        # The last word before anything becomes visible: it is refused when the job is somebody else's by now.
        await saver.save()
        files: list[OutputFile] = await self._worker.do(self._publish)
        return JobResult(files, summary(self._streams))

    async def _details(self) -> Item:
        """Return the area itself, or fail the job for good when GitLab will not show it."""
        job = self.crawl.job
        wanted = self._entity or job.entity_id or job.namespace_path
        if not wanted:
            raise JobFailed("invalid_job", "the job names neither an entity id nor a namespace path", False)
        try:
            return await self.crawl.client.one(self.plan.details.format(area=area_path(wanted)), self.plan.parameters)
        except ResourceRefused as refused:
            raise JobFailed(
                _ERROR_TYPES.get(refused.status, "gitlab_refused"),
                f"{self.plan.kind} {wanted}: {refused.reason}",
                False,
                request=RequestDetails("GET", refused.url[:1024], refused.status),
            ) from refused

    def _names_of(self, details: Item) -> tuple[str, str]:
        """Return the area's id and path: as they are now, when the job begins. Both stay for all attempts."""
        job = self.crawl.job
        return (
            id_of(details) or job.entity_id or "",
            path_of(details, self.plan.path_field) or job.namespace_path or "",
        )

    def _counted(self) -> dict[str, Counted]:
        return {
            self.plan.kind: Counted(self.plan.entity),
            **{each.name: Counted(each.entity) for each in self.plan.collections},
            **{each.name: Counted(AREAS[each.job_type].entity, True) for each in self.plan.discoveries},
        }

    # What runs in a thread

    def _take_over(self, earlier: CrawlState | None) -> None:
        """Copy what an earlier attempt made durable; what is not there any more starts over."""
        self._output.begin()
        if earlier is None:
            return
        parts = {name: Part(stream.size, stream.inode) for name, stream in self._streams.items()}
        taken = self._output.take_over(earlier.attempt, parts)
        lost = {name for name in self._streams if name not in taken}
        # What was read below a list means nothing once that list is read anew.
        lost |= {each.name for each in self.plan.collections if each.parent in lost}
        for name in lost:
            self._streams[name].restart()
            self._output.drop(name)

    def _entries(self) -> dict[str, list[tuple[str, int]]]:
        """Return, by parent list, the items that were written before and whose own lists are still to be
        read.
        """
        found: dict[str, list[tuple[str, int]]] = {}
        for each in self.plan.collections:
            if each.parent is not None and not self._streams[each.name].done:
                start, end = self._streams[each.name].parent, self._streams[each.parent].size
                lines = self._output.lines(each.parent, start, end)
                found[each.parent] = entries(((orjson.loads(line), place) for line, place in lines), each.parent_field)
        return found

    def _before_saving(self) -> Callable[[], None]:
        for name, stream in self._streams.items():
            stream.inode = self._output.inode(name)
        return self._output.unsynced()

    def _to_state(self, streams: Mapping[str, Stream]) -> dict[str, Any]:
        per_page = self.crawl.client.settings.per_page
        return to_json(self._output.attempt, self._entity, self._path, per_page, streams)

    def _publish(self) -> list[OutputFile]:
        """Turn the parts into files, and remove the parts of attempts that are over."""
        files = {
            name: Part(stream.size, stream.inode)
            for name, stream in self._streams.items()
            if name not in {each.name for each in self.plan.discoveries} and (stream.refused is None or stream.items)
        }
        self._output.clear_others()
        published = self._output.publish(files, {name: self._streams[name].items for name in files})
        self._output.clear_own()
        return published


def summary(streams: Mapping[str, Stream]) -> dict[str, Any]:
    """Say what could not be read: lists refused, and how many items had a list of their own that was."""
    skipped = {
        name: {"status": stream.refused[0], "reason": stream.refused[1]}
        for name, stream in streams.items()
        if stream.refused is not None
    }
    missing = {name: stream.missing for name, stream in streams.items() if stream.missing}
    return {**({"skipped": skipped} if skipped else {}), **({"missing": missing} if missing else {})}
