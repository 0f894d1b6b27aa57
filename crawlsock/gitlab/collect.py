"""Carry the lists of an area from GitLab to its parts, or to the server as jobs.

Law: a page is written and its stream's numbers move on in one step, without waiting in between. How pages are
fetched (`api`), ordered (`lists`) and made durable (`saving`) is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from attrs import define, field

from crawlsock.gitlab.api import GitLabClient, ResourceRefused, area_path
from crawlsock.gitlab.lists import Feed, PageReader, together
from crawlsock.gitlab.output import AreaOutput
from crawlsock.gitlab.paging import Cursor, Item, Page
from crawlsock.gitlab.plan import AREAS, AreaPlan, Collection, Discovery
from crawlsock.gitlab.state import Stream, clean, id_of, path_of
from crawlsock.sdk import Area, ChildJob, Job

_NAME = 512
_VISIBILITY = 32
_REASON = 200


@define
class Collector:
    """Read everything of one area that its streams do not say is done.

    `area` is the area's place in paths of the API. `touched` is called after every step.
    """

    job: Job
    client: GitLabClient
    area: str
    streams: Mapping[str, Stream]
    ahead: int
    touched: Callable[[], None]

    async def discover(self, discovery: Discovery) -> None:
        """Make jobs of what a list holds, page by page."""
        stream = self.streams[discovery.name]
        if stream.done:
            return
        fetch = partial(self._fetch, discovery.path.format(area=self.area), discovery.parameters, discovery.keyset)
        reader = PageReader(fetch, stream.cursor, self.ahead)
        entity = AREAS[discovery.job_type].entity
        try:
            while (page := await reader.read()) is not None:
                created = await announce(self.job, discovery, page.items)
                stream.items += created
                stream.cursor, stream.done = reader.following, reader.following is None
                self.job.report.page(entity, _page_number(stream.cursor), discovery.name)
                self.touched()
        except ResourceRefused as refused:
            _refuse(stream, refused)
            self.touched()
        finally:
            reader.close()

    def _fetch(self, path: str, parameters: Mapping[str, str], keyset: bool, cursor: Cursor | None) -> Any:
        return self.client.page(path, parameters, cursor, keyset=keyset)


@define
class AreaCollector(Collector):
    """Collect an area's lists into the parts of its output."""

    plan: AreaPlan
    output: AreaOutput
    _feeds: dict[str, Feed] = field(init=False, factory=dict)

    def store_details(self, details: Item) -> None:
        """Write the area itself, the only item of its stream."""
        stream = self.streams[self.plan.kind]
        self._write(self.plan.kind, stream, [details])
        stream.done = True

    async def everything(self, entries: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Read all lists at once.

        `entries` are, by parent list, the items of earlier attempts whose own lists are still to be read.
        """
        parents = {each.parent for each in self.plan.collections if each.parent is not None}
        for name in parents:
            self._feeds[name] = feed = Feed()
            feed.push(entries.get(name, ()))
        fields = {each.parent: each.parent_field for each in self.plan.collections}
        await together(
            [
                *(
                    self._list(each, fields.get(each.name)) if each.parent is None else self._below(each)
                    for each in self.plan.collections
                ),
                *(self.discover(each) for each in self.plan.discoveries),
            ]
        )

    async def _list(self, collection: Collection, below: str | None) -> None:
        """Read one list; `below` is the field that the list below it wants of each item."""
        stream = self.streams[collection.name]
        feed = self._feeds.get(collection.name)
        if not stream.done:
            await self._pages(collection, stream, feed, below)
        # Not when it is left in the middle, cancelled or failed: the list below would take what there is for all.
        if feed is not None:
            feed.finish()

    async def _pages(self, collection: Collection, stream: Stream, feed: Feed | None, below: str | None) -> None:
        path = collection.path.format(area=self.area)
        fetch = partial(self._fetch, path, collection.parameters, collection.keyset)
        reader = PageReader(fetch, stream.cursor, self.ahead)
        report = self.job.report
        seen = self._seen(collection, stream)
        try:
            while (page := await reader.read()) is not None:
                items = _fresh(page, collection.identity, seen)
                ends = self._write(collection.name, stream, items)
                stream.cursor, stream.done = reader.following, reader.following is None
                if feed is not None and below is not None:
                    feed.push(entries(zip(items, ends, strict=True), below))
                if page.total is not None:
                    report.total(collection.entity, max(page.total, stream.items))
                report.page(collection.entity, _page_number(stream.cursor), collection.name)
                self.touched()
        except ResourceRefused as refused:
            _refuse(stream, refused)
            self.touched()
        finally:
            reader.close()

    async def _below(self, collection: Collection) -> None:
        """Read the list below each item of another list, several at once, and write them in that list's
        order.
        """
        stream = self.streams[collection.name]
        feed = self._feeds[str(collection.parent)]
        if stream.done:
            return
        window: deque[tuple[int, PageReader]] = deque()
        cursor = stream.cursor
        try:
            while True:
                while len(window) < self.ahead and (entry := feed.pop()) is not None:
                    path = collection.path.format(area=self.area, parent=entry[0])
                    fetch = partial(self._fetch, path, collection.parameters, collection.keyset)
                    reader = PageReader(fetch, cursor, self.ahead)
                    reader.begin()
                    window.append((entry[1], reader))
                    cursor = None
                if window:
                    await self._parent(collection, stream, *window[0])
                    window.popleft()
                elif not await feed.more():
                    break
        finally:
            for _, reader in window:
                reader.close()
        stream.refused = self.streams[str(collection.parent)].refused
        stream.done = True
        self.touched()

    async def _parent(self, collection: Collection, stream: Stream, end: int, reader: PageReader) -> None:
        try:
            while (page := await reader.read()) is not None:
                self._write(collection.name, stream, page.items)
                stream.cursor = reader.following
                if reader.following is None:
                    stream.parent = end
                self.touched()
        except ResourceRefused:
            # Deleted meanwhile, or hidden: this one is missing, the others are not.
            stream.missing += 1
            stream.cursor, stream.parent = None, end
            self.touched()

    def _write(self, name: str, stream: Stream, items: Sequence[Item]) -> list[int]:
        """Append items to a part; return the byte at which each ends."""
        lines = [orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in items]
        self.output.write(name, b"".join(lines), stream.size)
        ends = []
        for line in lines:
            stream.size += len(line)
            ends.append(stream.size)
        stream.items += len(lines)
        return ends

    def _seen(self, collection: Collection, stream: Stream) -> set[Any]:
        """Return the identities of the items that an earlier attempt read by page numbers.

        Page numbers shift when something is added at the front of a list; then an item comes twice.
        """
        if not isinstance(stream.cursor, int):
            return set()
        lines = self.output.lines(collection.name, 0, stream.size)
        return {orjson.loads(line).get(collection.identity) for line, _ in lines}


def entries(items: Iterable[tuple[Item, int]], below: str) -> list[tuple[str, int]]:
    """Return what a list below needs of each item and the byte at which that item ends; items without it have none."""
    return [(area_path(str(item[below])), end) for item, end in items if item.get(below) is not None]


def _fresh(page: Page, identity: str, seen: set[Any]) -> list[Item]:
    """Return the items not seen before, and remember them."""
    fresh = []
    for item in page.items:
        key = item.get(identity)
        if key is None or key not in seen:
            seen.add(key)
            fresh.append(item)
    return fresh


def _refuse(stream: Stream, refused: ResourceRefused) -> None:
    stream.refused = (refused.status, clean(refused.reason, _REASON) or "")
    stream.cursor, stream.done = None, True


def _page_number(following: Cursor | None) -> int:
    return following - 1 if isinstance(following, int) else 1


async def announce(job: Job, discovery: Discovery, items: Sequence[Item]) -> int:
    """Tell the server of what was found, as areas and as jobs; return how many of them are new."""
    found = [(entity, item) for item in items if (entity := id_of(item)) is not None]
    if not found:
        return 0
    await job.areas([_area(job, discovery, entity, item) for entity, item in found])
    statuses = await job.discovered([_child(job, discovery, entity, item) for entity, item in found])
    return sum(status.status == "created" for status in statuses)


def _child(job: Job, discovery: Discovery, entity: str, item: Item) -> ChildJob:
    return ChildJob(
        discovery.job_type,
        entity,
        host=job.host,
        namespace_path=path_of(item, discovery.path_field),
        name=clean(item.get("name"), _NAME),
    )


def _area(job: Job, discovery: Discovery, entity: str, item: Item) -> Area:
    path = path_of(item, discovery.path_field) or entity
    return Area(
        discovery.kind,
        entity,
        path,
        name=clean(item.get("name"), _NAME),
        parent_path=path.rpartition("/")[0] or None,
        visibility=clean(item.get("visibility"), _VISIBILITY),
        host=job.host,
    )
