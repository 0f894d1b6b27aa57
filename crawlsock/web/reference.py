"""The tables of ``docs/http-api.md``, written from the schemas and the lists of error codes.

What lives here: bindings to Markdown. What must never come here: prose, which stands in the document around the tables.
``python -m crawlsock.web.reference`` rewrites them in place; with ``--check`` it changes nothing and fails when they
differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from crawlsock.web.openapi import BESIDE, PREFIX
from crawlsock.web.problems import STATUS, WEB_CODES
from crawlsock.wire.catalog import Catalog, MessageType
from crawlsock.wire.http import HttpBinding
from crawlsock.wire.reference import Parts
from crawlsock.wire.reference import main as write

WEB_MEANINGS: Final = {
    "not_found": "nothing is at this address",
    "method_not_allowed": "the address does not know the method; `Allow` says which it knows",
    "not_acceptable": "`Accept` names nothing that could be answered",
    "request_timeout": "the request did not come whole in time",
    "content_too_large": "the body has more than 64 KiB",
    "uri_too_long": "the address is too long",
    "unsupported_media_type": "a body must be `application/json` in UTF-8",
    "headers_too_large": "a header is too long",
    "misdirected_request": "the name in `Host` is not this server's; see `http_hosts`",
    "cross_site": "a request with a cookie that another site's page made",
    "bad_request": "this is no HTTP/1.1 request, or it has not exactly one `Host`",
    "invalid_parameter": "a parameter of the query or the path is unknown or has the wrong type; `parameter` names it",
}


def _operations(catalog: Catalog) -> Iterator[str]:
    rows: list[tuple[str, str, str]] = []
    for kind in catalog.types.values():
        if kind.http is not None:
            binding = kind.http
            line = (
                f"| `{binding.method} {binding.path}` | [`{kind.name}`](protocol.md#{kind.name}) | {_roles(kind)} "
                f"| {_names(binding, binding.in_query)} | {_names(binding, binding.in_body)} |"
            )
            rows.append((binding.path, binding.method, line))
    for path, methods in BESIDE.items():
        for method, operation in methods.items():
            named = ", ".join(f"`{each['name']}`" for each in operation.get("parameters", ()))
            line = f"| `{method.upper()} {path}` | {operation['summary']} | webapp, monitor, admin | {named} | |"
            rows.append((path, method.upper(), line))
    yield f"All addresses stand below `{PREFIX}`. **Bold** fields must be there."
    yield ""
    yield "| request | message | roles | query | body |"
    yield "|---|---|---|---|---|"
    yield from (line for _, _, line in sorted(rows))


def _roles(kind: MessageType) -> str:
    return ", ".join(role for role in ("webapp", "monitor", "admin") if role in kind.requests_from)


def _names(binding: HttpBinding, names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(f"**`{name}`**" if name in binding.required else f"`{name}`" for name in found)


def _problems(catalog: Catalog) -> Iterator[str]:
    yield "| status | `code` | what happened |"
    yield "|---|---|---|"
    rows = [(status, code.value, code.meaning) for code, status in STATUS.items()]
    rows += [(status, code, WEB_MEANINGS[code]) for code, status in WEB_CODES.items()]
    for status, code, meaning in sorted(rows):
        yield f"| {status} {HTTPStatus(status).phrase} | `{code}` | {meaning} |"


PARTS: Final[Parts] = {"operations": _operations, "problems": _problems}


if __name__ == "__main__":
    sys.exit(write(module="crawlsock.web.reference", page="docs/http-api.md", parts=PARTS))
