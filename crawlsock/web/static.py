"""The files of the dashboard: scripts, styles, an icon.

The law: every file is read and compressed once, at start, and served from memory; nothing is looked up on disk by what
a request says. The address of a file holds the hash of all of them, so a browser may keep it for ever, and a page never
meets files of another version. There is nothing secret here: it is what everybody can install.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from posixpath import dirname, normpath
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from attrs import frozen

from crawlsock.web.problems import Problem
from crawlsock.web.resource import Answer, WebResource

if TYPE_CHECKING:
    from importlib.abc import Traversable

    from crawlsock.web.site import WebRequest

PREFIX: Final = "/static"
CONTENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
    }
)
_ENTRY: Final = "js/app.js"
_IMPORT: Final = re.compile(rb'^(?:import|export|\}) .*?"(\.[^"]+)";$', re.MULTILINE)
"""A static import; those of screens are dynamic, and come when the screen does."""
_OTHERS: Final = "vendor/"
_LICENCE: Final = "LICENSE"
_FOREVER: Final = "public, max-age=31536000, immutable"
_SMALLEST: Final = 256
"""Bytes below which compressing is not worth a header."""


@frozen
class StaticFile:
    """Hold a file, whole and compressed. `packed` is None where compressing does not make it smaller."""

    body: bytes
    packed: bytes | None
    content_type: str
    tag: str

    @property
    def weight(self) -> int:
        """Bytes that go over the wire to a browser."""
        return len(self.body if self.packed is None else self.packed)


def walk(folder: Traversable, before: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file that may be served, in the order of their paths."""
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = before + each.name
        if each.is_dir():
            yield from walk(each, f"{path}/")
        elif _content_type(each.name) is not None:
            yield path, each.read_bytes()


def _content_type(name: str) -> str | None:
    if name.startswith(_LICENCE):
        return CONTENT_TYPES[".txt"]
    return CONTENT_TYPES.get(name[name.rfind(".") :])


def pack(body: bytes) -> bytes | None:
    """Compress, the same way each time; None where it does not help."""
    if len(body) < _SMALLEST:
        return None
    packed = gzip.compress(body, 9, mtime=0)
    return packed if len(packed) < len(body) else None


@frozen
class Library:
    """Hold all files of one version.

    :ivar version: the hash of all names and contents.
    :ivar files: by path.
    """

    version: str
    files: Mapping[str, StaticFile]

    @property
    def base(self) -> str:
        """What stands before a file's path in its address."""
        return f"{PREFIX}/{self.version}"

    @property
    def modules(self) -> list[str]:
        """Scripts that every page needs, for the browser to fetch at once: what the first one imports, and so on."""
        found: list[str] = []
        waiting = [_ENTRY] if _ENTRY in self.files else []
        while waiting:
            path = waiting.pop()
            if path in found or path not in self.files:
                continue
            found.append(path)
            waiting += [normpath(f"{dirname(path)}/{each}") for each in _imports(self.files[path].body)]
        return sorted(found)


def _imports(script: bytes) -> list[str]:
    return [each.decode() for each in _IMPORT.findall(script)]


def without_comments(body: bytes) -> bytes:
    """Blank the lines that hold nothing but a comment. Lines keep their numbers, so what a browser's console says about
    a line is true of the source.
    """
    shown: list[bytes] = []
    inside = False
    for line in body.split(b"\n"):
        bare = line.strip()
        opens = bare.startswith(b"/*")
        is_comment = inside or opens or bare.startswith(b"//")
        inside = (inside or opens) and not bare.endswith(b"*/")
        shown.append(b"" if is_comment else line)
    return b"\n".join(shown)


def load(folder: Traversable) -> Library:
    """Read and compress what may be served of a folder. What is of others is served as they made it."""
    whole = sha256()
    found: dict[str, StaticFile] = {}
    for path, source in walk(folder):
        commented = path.endswith((".js", ".css")) and not path.startswith(_OTHERS)
        body = without_comments(source) if commented else source
        digest = sha256(body).digest()
        whole.update(path.encode() + b"\0" + digest)
        content_type = _content_type(path.rpartition("/")[2]) or ""
        found[path] = StaticFile(body, pack(body), content_type, digest.hex()[:32])
    return Library(whole.hexdigest()[:16], MappingProxyType(found))


@cache
def own() -> Library:
    """Return the files of the dashboard. They cannot change while the process lives, so they are read once."""
    return load(files("crawlsock.web").joinpath("static"))


class StaticFiles(WebResource):
    """Serve the files below ``/static/<version>/``."""

    isLeaf = True
    has_rest = True

    def __init__(self, library: Library) -> None:
        super().__init__()
        self._library = library

    async def get(self, request: WebRequest) -> Answer:
        """Send a file, compressed where the browser takes that, or say that it has not changed."""
        version, *parts = (part.decode("utf-8", "replace") for part in request.postpath or [b""])
        file = self._library.files.get("/".join(parts))
        if file is None or version != self._library.version:
            raise Problem("not_found", "there is no such file in this version; load the page again")
        packed = file.packed if takes_gzip(request.getHeader("Accept-Encoding")) else None
        tag = f'"{file.tag}"' if packed is None else f'"{file.tag}-gz"'
        headers = {"Cache-Control": _FOREVER, "ETag": tag, "Vary": "Accept-Encoding"}
        if _has(request.getHeader("If-None-Match"), tag):
            return Answer(status=304, headers=headers)
        if packed is None:
            return Answer(file.body, file.content_type, headers=headers)
        return Answer(packed, file.content_type, headers={**headers, "Content-Encoding": "gzip"})


def takes_gzip(header: str | None) -> bool:
    """Tell whether an ``Accept-Encoding`` header lets gzip through."""
    for each in (header or "").split(","):
        name, _, weight = each.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)
    return False


def _has(header: str | None, tag: str) -> bool:
    tags = [each.strip() for each in (header or "").split(",")]
    return "*" in tags or any(each.removeprefix("W/") == tag for each in tags)
