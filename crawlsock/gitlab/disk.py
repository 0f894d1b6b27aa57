"""What is done to the file system, step by step.

Law: every change on disk goes through one method here, so that tests can end a crawler between any two of
them. Folders are walked component by component from an open descriptor, without following links: a name
cannot lead out of the root.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from attrs import frozen

from crawlsock.gitlab.names import is_safe

PARTS = ".parts"
"""The one hidden folder, for output that is not finished; no name from outside can be this."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSUPPORTED = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
_CHUNK = 1024 * 1024


@frozen
class Found:
    """A file that is there: its size in bytes and its inode."""

    size: int
    inode: int


class Disk:
    """The file system as the crawler uses it. All calls block; folders are descriptors."""

    def open_root(self, path: str) -> int:
        """Open the output root, making it when it is not there."""
        os.makedirs(path, mode=0o750, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open_folder(self, root: int, components: Sequence[str], *, create: bool) -> int:
        """Open a folder below the root, making what is missing when asked to; the caller closes it.

        Raises `OSError` when something on the way is no folder or a link, `ValueError` for a component that
        `names` would never have made.
        """
        here = os.dup(root)
        try:
            for component in components:
                if component != PARTS and not is_safe(component):
                    raise ValueError(f"not a component of an output path: {component!r}")
                if create:
                    self.make_folder(component, here)
                below = os.open(component, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            return here
        except BaseException:
            os.close(here)
            raise

    def make_folder(self, name: str, folder: int) -> None:
        """Make a folder unless it is there."""
        try:
            os.mkdir(name, 0o750, dir_fd=folder)
        except FileExistsError:
            return
        self.sync(folder)

    def create(self, name: str, folder: int) -> int:
        """Create a file that must not exist yet."""
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640, dir_fd=folder)

    def open_file(self, name: str, folder: int) -> int:
        """Open a regular file for reading; raises `OSError` for anything else."""
        found = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise OSError(errno.EINVAL, "not a regular file", name)
        return found

    def found(self, file: int) -> Found:
        """Look at an open file."""
        status = os.fstat(file)
        return Found(status.st_size, status.st_ino)

    def write(self, file: int, data: bytes, place: int) -> None:
        """Write all of these bytes at this place."""
        view = memoryview(data)
        while view:
            written = os.pwrite(file, view, place)
            view, place = view[written:], place + written

    def copy(self, source: int, target: int, size: int) -> None:
        """Copy the first `size` bytes of a file to the start of another; `OSError` when they are not there."""
        done = 0
        while done < size:
            moved = self._copy_some(source, target, size - done, done)
            if not moved:
                raise OSError(errno.EIO, "the file ended before its size")
            done += moved

    def _copy_some(self, source: int, target: int, size: int, offset: int) -> int:
        try:
            return os.copy_file_range(source, target, min(size, 1 << 30), offset, offset)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        except AttributeError:
            # Not Linux.
            pass
        data = os.pread(source, min(size, _CHUNK), offset)
        self.write(target, data, offset)
        return len(data)

    def sync(self, file: int) -> None:
        """Return when what was written to this file, or the names in this folder, would survive a power
        cut.
        """
        os.fsync(file)

    def rename(self, name: str, folder: int, new_name: str, new_folder: int) -> None:
        """Move a file, replacing what is there, in one step."""
        os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def remove(self, name: str, folder: int) -> None:
        """Remove a file, unless it is gone."""
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return

    def remove_folder(self, name: str, folder: int) -> None:
        """Remove a folder, unless something is in it."""
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
