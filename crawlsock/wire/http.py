"""How HTTP reaches a message type: the optional ``http`` of a schema's ``x-crawlsock``.

What lives here: the binding of a type to a method and a path, and the rules that it keeps. What must never come here:
requests and responses; those are made by :mod:`crawlsock.web` from what stands here.

A path stands below ``/api/v1``. A parameter of the path is ``job_id`` or a field of ``data``. The other fields come
from the query for GET and DELETE, from a JSON body for POST and PUT.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from crawlsock.wire.schema import PUSH_ONLY, CatalogError, Schema

if TYPE_CHECKING:
    from crawlsock.wire.catalog import MessageType

METHODS = ("GET", "POST", "PUT", "DELETE")
WITH_BODY = frozenset({"POST", "PUT"})
JOB_ID = "job_id"

_SEGMENT = re.compile(r"/([a-z][a-z0-9_]*|\{[a-z][a-z0-9_]*\})")
_SCALARS = frozenset({"string", "integer", "number", "boolean"})


@frozen(eq=False)
class HttpBinding:
    """Say how HTTP reaches a message type.

    :ivar segments: the path, cut at its slashes; a parameter stands in braces.
    :ivar in_path: schemas of what the path carries, by name, ``job_id`` among them.
    :ivar in_query: schemas of what the query carries, by name.
    :ivar in_body: names of the fields of the JSON body; empty when there is none.
    :ivar required: which of all these must be there.
    """

    method: str
    path: str
    segments: tuple[str, ...] = field(repr=False)
    in_path: Mapping[str, Schema] = field(repr=False)
    in_query: Mapping[str, Schema] = field(repr=False)
    in_body: frozenset[str] = field(repr=False)
    required: frozenset[str] = field(repr=False)

    @property
    def shape(self) -> tuple[str, ...]:
        """Return what no other binding of the same method may have: the segments without their parameters' names."""
        return tuple("{}" if segment.startswith("{") else segment for segment in self.segments)


def read_binding(meta: Mapping[str, Any], resolved: Schema) -> HttpBinding | None:
    """Read the ``http`` of a type's meta; ``None`` when HTTP does not reach the type.

    :raises CatalogError: with the second half of a sentence, for a binding that breaks a rule.
    """
    given = meta.get("http")
    if given is None:
        return None
    complaint = next(_complaints(given, meta), None)
    if complaint is not None:
        raise CatalogError(complaint)
    method, path = given["method"], given["path"]
    segments = tuple(_SEGMENT.findall(path))
    names = [segment[1:-1] for segment in segments if segment.startswith("{")]
    data = resolved["properties"].get("data", {})
    fields = {name: schema for name, schema in data.get("properties", {}).items() if not schema.get(PUSH_ONLY)}
    required = frozenset(data.get("required", ())) | ({JOB_ID} & frozenset(resolved["required"]))
    reachable = dict(fields)
    if JOB_ID in resolved["properties"]:
        reachable[JOB_ID] = resolved["properties"][JOB_ID]
    unknown = sorted(set(names) - reachable.keys())
    if unknown or len(set(names)) < len(names):
        raise CatalogError(f"the path names {', '.join(unknown) or 'one parameter twice'}; it must be a field, once")
    binding = HttpBinding(
        method=method,
        path=path,
        segments=segments,
        in_path=MappingProxyType({name: reachable[name] for name in names}),
        in_query=MappingProxyType(
            {} if method in WITH_BODY else {name: schema for name, schema in reachable.items() if name not in names}
        ),
        in_body=frozenset(fields) - frozenset(names) if method in WITH_BODY else frozenset(),
        required=required,
    )
    for name, schema in (*binding.in_path.items(), *binding.in_query.items()):
        if not _fits_text(schema, lists=name in binding.in_query):
            raise CatalogError(f"{name} cannot be written into a path or a query; use POST or PUT")
    lost = sorted(reachable.keys() - binding.in_path.keys() - binding.in_query.keys() - binding.in_body)
    if lost:
        raise CatalogError(f"nothing carries {', '.join(lost)}; name it in the path")
    return binding


def check_distinct(types: Iterable[MessageType]) -> None:
    """Refuse two types that one request would reach.

    :raises CatalogError: naming both files.
    """
    seen: dict[tuple[str, tuple[str, ...]], str] = {}
    for kind in types:
        if kind.http is None:
            continue
        key = (kind.http.method, kind.http.shape)
        if key in seen:
            raise CatalogError(
                f"{kind.name}.json and {seen[key]}.json are both reached by {kind.http.method} {kind.http.path}"
            )
        seen[key] = kind.name


def _complaints(given: Any, meta: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(given, dict) or given.keys() != {"method", "path"}:
        yield "http must be an object with method and path"
        return
    if given["method"] not in METHODS:
        yield f"http.method must be one of {', '.join(METHODS)}"
    path = given["path"]
    if not isinstance(path, str) or not path or _SEGMENT.sub("", path):
        yield "http.path must be like /jobs/{job_id}/explain: lower-case words, or a parameter in braces"
    if meta["about_job"] == "lease" or not set(meta["from"]) - {"crawler"}:
        yield "http is for what webapp, monitor or admin may ask; crawlers speak on the socket"


def _fits_text(schema: Schema, *, lists: bool) -> bool:
    if schema.get("type") == "array":
        return lists and _fits_text(schema["items"], lists=False)
    return schema.get("type") in _SCALARS
