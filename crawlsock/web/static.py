"""The files of the dashboard: scripts, styles, an icon.

The law: every file is read and compressed once, at start, and served from memory; nothing is looked up on disk by what
a request says. The address of a file holds the hash of all of them, so a browser may keep it for ever, and a page never
meets files of another version. There is nothing secret here: it is what everybody can install.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
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


class StaticFiles(WebResource):
    """Serve the files below ``/static/<version>/``.

    :ivar version: the hash of all names and contents.
    :ivar files: by path.
    """

    isLeaf = True
    has_rest = True

    def __init__(self, folder: Traversable | None = None) -> None:
        super().__init__()
        folder = files("crawlsock.web").joinpath("static") if folder is None else folder
        whole = sha256()
        self.files: dict[str, StaticFile] = {}
        for path, body in walk(folder):
            digest = sha256(body).digest()
            whole.update(path.encode() + b"\0" + digest)
            self.files[path] = StaticFile(
                body, pack(body), _content_type(path.rpartition("/")[2]) or "", digest.hex()[:32]
            )
        self.version = whole.hexdigest()[:16]

    @property
    def base(self) -> str:
        """What stands before a file's path in its address."""
        return f"{PREFIX}/{self.version}"

    @property
    def modules(self) -> list[str]:
        """Scripts that every page needs, for the browser to fetch at once: all but those that come with a screen."""
        return [
            path
            for path in self.files
            if (path.startswith("js/") and not path.startswith("js/screens/") and path != "js/theme.js")
            or path == "vendor/standalone.module.js"
        ]

    async def get(self, request: WebRequest) -> Answer:
        """Send a file, compressed where the browser takes that, or say that it has not changed."""
        version, *parts = (part.decode("utf-8", "replace") for part in request.postpath or [b""])
        file = self.files.get("/".join(parts))
        if file is None or version != self.version:
            raise Problem("not_found", "there is no such file in this version; load the page again")
        packed = file.packed if _takes_gzip(request.getHeader("Accept-Encoding")) else None
        tag = f'"{file.tag}"' if packed is None else f'"{file.tag}-gz"'
        headers = {"Cache-Control": _FOREVER, "ETag": tag, "Vary": "Accept-Encoding"}
        if _has(request.getHeader("If-None-Match"), tag):
            return Answer(status=304, headers=headers)
        if packed is None:
            return Answer(file.body, file.content_type, headers=headers)
        return Answer(packed, file.content_type, headers={**headers, "Content-Encoding": "gzip"})


def _takes_gzip(header: str | None) -> bool:
    for each in (header or "").split(","):
        name, _, weight = each.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)
    return False


def _has(header: str | None, tag: str) -> bool:
    tags = [each.strip() for each in (header or "").split(",")]
    return "*" in tags or any(each.removeprefix("W/") == tag for each in tags)
