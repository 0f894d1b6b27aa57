"""The output of one attempt at one area: parts while it runs, files when it is done.

Law: an attempt writes into its own parts and into nothing else, so that a crawler that wakes up after its
job went elsewhere disturbs nobody. A part becomes a file by one rename, after the server has confirmed that
the lease is still ours. Only bytes that a resume state names count; what lies behind them is cut off by
copying up to there and no further.

Parts lie in `.parts` under the root, by area id (a path may change between two attempts, an id does not)
and attempt. All calls block; the crawler makes them in a thread, except `write`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from attrs import define, field, frozen

from crawlsock.gitlab.disk import PARTS, Disk, Found
from crawlsock.gitlab.names import area_folder, encode
from crawlsock.sdk import OutputFile

SUFFIX = ".jsonl"
_CHUNK = 1 << 20


@frozen
class Part:
    """What a resume state says about one stream's part: durable bytes, and the inode they were in."""

    size: int
    inode: int


@define
class OutputRoot:
    """The folder that all output of a crawler process goes below."""

    path: str
    disk: Disk = field(factory=Disk)
    _descriptor: int = -1

    def open(self) -> None:
        """Open the root, making it when it is missing. Raises `OSError`."""
        if self._descriptor < 0:
            self._descriptor = self.disk.open_root(self.path)

    @property
    def descriptor(self) -> int:
        """The open root; opened now if nobody did."""
        self.open()
        return self._descriptor

    def close(self) -> None:
        """Let go of the root."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@define
class AreaOutput:
    """What one attempt writes about one area.

    `attempt` names the attempt among all attempts of all jobs; `folder` are the components of the final
    folder.
    """

    root: OutputRoot
    folder: Sequence[str]
    home: Sequence[str]
    attempt: str
    _parts: int = -1
    _files: dict[str, int] = field(factory=dict)
    _unsynced: set[str] = field(factory=set)
    _others: list[str] = field(factory=list)

    @classmethod
    def of(
        cls,
        root: OutputRoot,
        *,
        account: str,
        host: str,
        folder: str,
        path: str,
        entity_id: str,
        attempt: str,
    ) -> AreaOutput:
        """Name the places of an area's output; nothing is made on disk yet."""
        home = [PARTS, *encode(account), *encode(host), folder, *encode(entity_id)]
        return cls(root, area_folder(account, host, folder, path, entity_id), home, attempt)

    @property
    def disk(self) -> Disk:
        return self.root.disk

    def begin(self) -> None:
        """Make this attempt's folder for parts, empty."""
        home = self.disk.open_folder(self.root.descriptor, self.home, create=True)
        try:
            self._clear(home, self.attempt)
            # Only what is there now may be cleared later: what comes after us is not ours to touch.
            self._others = os.listdir(home)
            self.disk.make_folder(self.attempt, home)
            self._parts = self.disk.open_folder(home, [self.attempt], create=False)
        finally:
            os.close(home)

    def take_over(self, earlier: str, parts: Mapping[str, Part]) -> set[str]:
        """Copy the durable bytes of an earlier attempt's parts into our own; return the streams that were
        there whole.

        A part that was published already (the earlier attempt died between its renames and the word that it
        was done) is copied from the file it became, which is known by its inode.
        """
        taken = set()
        for stream, part in parts.items():
            if part.size == 0 or self._copy_part(earlier, stream, part):
                taken.add(stream)
        return taken

    def _copy_part(self, earlier: str, stream: str, part: Part) -> bool:
        name = stream + SUFFIX
        for components in ([*self.home, earlier], self.folder):
            try:
                folder = self.disk.open_folder(self.root.descriptor, components, create=False)
            except OSError:
                continue
            try:
                source = self.disk.open_file(name, folder)
            except OSError:
                continue
            finally:
                os.close(folder)
            try:
                found = self.disk.found(source)
                published = components is self.folder
                if (found == Found(part.size, part.inode)) if published else (found.size >= part.size):
                    self.disk.copy(source, self._file(stream), part.size)
                    self._unsynced.add(stream)
                    return True
            finally:
                os.close(source)
        return False

    def _file(self, stream: str) -> int:
        if stream not in self._files:
            self._files[stream] = self.disk.create(stream + SUFFIX, self._parts)
        return self._files[stream]

    def write(self, stream: str, data: bytes, place: int) -> None:
        """Write to a stream's part, at the byte where it ends so far."""
        if data:
            self._unsynced.add(stream)
            self.disk.write(self._file(stream), data, place)

    def drop(self, stream: str) -> None:
        """Let a stream's part begin anew."""
        if stream in self._files:
            os.close(self._files.pop(stream))
            self._unsynced.discard(stream)
            self.disk.remove(stream + SUFFIX, self._parts)

    def lines(self, stream: str, start: int, end: int) -> Iterator[tuple[bytes, int]]:
        """Read back the lines between two places of a stream's part, each with the place behind it."""
        file, rest = self._files.get(stream), b""
        while file is not None and start < end:
            chunk = os.pread(file, min(end - start, _CHUNK), start)
            if not chunk:
                return
            place = start - len(rest)
            start += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                place += len(line) + 1
                yield line, place

    def unsynced(self) -> Callable[[], None]:
        """Return what makes everything written up to now durable; to be run anywhere, once."""
        files = [self._files[stream] for stream in self._unsynced]
        self._unsynced.clear()
        return partial(self._sync, [*files, self._parts])

    def _sync(self, files: Sequence[int]) -> None:
        for file in files:
            self.disk.sync(file)

    def inode(self, stream: str) -> int:
        """The inode of a stream's part, 0 while there is none."""
        return self.disk.found(self._files[stream]).inode if stream in self._files else 0

    def publish(self, streams: Mapping[str, Part], counts: Mapping[str, int]) -> list[OutputFile]:
        """Turn parts into files, each in one step, and return them. Everything must be durable before.

        A stream without items becomes an empty file: it says that there is nothing, and replaces what an
        earlier crawl found. Raises `OSError` when our parts are gone: somebody else has taken the job over
        and cleared them away.
        """
        final = self.disk.open_folder(self.root.descriptor, self.folder, create=True)
        try:
            files = []
            for stream, part in streams.items():
                name = stream + SUFFIX
                self._file(stream)
                self.disk.rename(name, self._parts, name, final)
                files.append(OutputFile("/".join([*self.folder, name]), counts[stream], part.size))
            self.disk.sync(final)
            return files
        finally:
            os.close(final)

    def clear_others(self) -> None:
        """Remove the parts of the attempts before this one: they are dead, or have lost their lease.

        Whoever wakes up later finds nothing left to publish.
        """
        home = self.disk.open_folder(self.root.descriptor, self.home, create=False)
        try:
            for name in self._others:
                self._clear(home, name)
        finally:
            os.close(home)

    def clear_own(self) -> None:
        """Remove this attempt's parts and the folder of parts of the area, when that is empty then."""
        above, name = self.home[:-1], self.home[-1]
        home = self.disk.open_folder(self.root.descriptor, self.home, create=False)
        try:
            self._clear(home, self.attempt)
        finally:
            os.close(home)
        parent = self.disk.open_folder(self.root.descriptor, above, create=False)
        try:
            self.disk.remove_folder(name, parent)
        finally:
            os.close(parent)

    def _clear(self, home: int, name: str) -> None:
        try:
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=home)
        except OSError:
            # Gone already, or not a folder and then not ours.
            return
        try:
            for entry in os.listdir(folder):
                self.disk.remove(entry, folder)
        finally:
            os.close(folder)
        # Stays when its owner, who has lost the lease, put something there just now; the next attempt
        # clears it.
        self.disk.remove_folder(name, home)

    def close(self) -> None:
        """Close all files. Parts stay for the next attempt."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        if self._parts >= 0:
            os.close(self._parts)
            self._parts = -1
