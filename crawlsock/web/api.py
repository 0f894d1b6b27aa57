"""``/api/v1``: message types by method and path.

The law: an operation of the API is a message type whose schema says how HTTP reaches it; this module takes a request
apart, has the message handled, and writes down the answer. It knows no type by name.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import frozen
from twisted.web.resource import Resource

from crawlsock.handlers.context import Reply
from crawlsock.server.calls import Caller, Calls
from crawlsock.web.gate import Gate, cookie_of
from crawlsock.web.openapi import document
from crawlsock.web.parameters import read_query, read_value
from crawlsock.web.problems import Problem
from crawlsock.web.resource import JSON, Answer, NotFound, WebResource, json_answer
from crawlsock.web.safety import CHANGES_NOTHING, accepts, check_origin, is_json
from crawlsock.web.site import WebRequest
from crawlsock.wire.catalog import Catalog, MessageType
from crawlsock.wire.errors import ErrorCode, Refusal
from crawlsock.wire.http import JOB_ID, WITH_BODY


@frozen(eq=False)
class _Place:
    """One shape of path: its segments, and the types that are reached there by method."""

    segments: tuple[str, ...]
    types: dict[str, MessageType]

    def match(self, words: list[str]) -> bool:
        return all(
            segment == word or (segment.startswith("{") and word != "")
            for segment, word in zip(self.segments, words, strict=True)
        )


class Paths:
    """Find the types for a path: a literal word goes before a parameter."""

    def __init__(self, catalog: Catalog) -> None:
        self._by_length: dict[int, list[_Place]] = {}
        places: dict[tuple[str, ...], _Place] = {}
        for kind in catalog.types.values():
            if kind.http is not None:
                place = places.setdefault(kind.http.shape, _Place(kind.http.segments, {}))
                place.types[kind.http.method] = kind
        for place in sorted(places.values(), key=lambda each: [word.startswith("{") for word in each.segments]):
            self._by_length.setdefault(len(place.segments), []).append(place)

    def find(self, words: list[str]) -> Mapping[str, MessageType]:
        """Return the types at a path, by method; empty when there is no such path."""
        for place in self._by_length.get(len(words), ()):
            if place.match(words):
                return place.types
        return {}


class Api(WebResource):
    """Everything below ``/api/v1`` that is a message; other resources hang beside, by their first word."""

    def __init__(self, calls: Calls, gate: Gate) -> None:
        super().__init__()
        self._calls = calls
        self._gate = gate
        self._paths = Paths(calls.catalog)

    def render(self, request: WebRequest) -> int:
        """Say that nothing is at the root itself."""
        return NotFound().render(request)

    def getChild(self, path: bytes, request: WebRequest) -> Resource:
        """Return itself for the words of a message's path."""
        words: list[bytes] = [path, *(request.postpath or ())]
        request.postpath = []
        try:
            types = self._paths.find([word.decode() for word in words])
        except UnicodeDecodeError:
            types = {}
        if not types:
            return NotFound()
        return _Operation(self._calls, self._gate, types, [word.decode() for word in words])


class _Operation(WebResource):
    """One path of the API, for one request."""

    isLeaf = True

    def __init__(self, calls: Calls, gate: Gate, types: Mapping[str, MessageType], words: list[str]) -> None:
        super().__init__()
        self._calls = calls
        self._gate = gate
        self._types = types
        self._words = words

    def methods(self, request: WebRequest) -> tuple[str, ...]:
        """Return the methods of the types that are reached here."""
        return tuple(self._types)

    async def answer(self, request: WebRequest, method: str) -> Answer:
        """Handle the message that a request is."""
        caller = await admit(self._gate, request)
        kind = self._types[method]
        data, job_id = self._fields(kind, request)
        try:
            outcome = await self._calls.call(caller, kind.name, data, job_id)
        except Refusal as refusal:
            raise _in_words_of_http(refusal, kind) from None
        body = outcome.data if isinstance(outcome, Reply) else outcome
        return Answer(status=204) if body is None else json_answer(body)

    def _fields(self, kind: MessageType, request: WebRequest) -> tuple[dict[str, Any], str | None]:
        binding: Any = kind.http
        query = request.uri.partition(b"?")[2]
        data = read_query(query, binding.in_query)
        if binding.method in WITH_BODY:
            data.update(_read_body(request, binding.in_path))
        for segment, word in zip(binding.segments, self._words, strict=True):
            if segment.startswith("{"):
                name = segment[1:-1]
                data[name] = read_value(name, [word], binding.in_path[name])
        job_id = data.pop(JOB_ID, None) if JOB_ID not in kind.parameters else None
        return data, job_id


class Document(WebResource):
    """``/api/v1/openapi.json``: what the API can do, written once."""

    isLeaf = True

    def __init__(self, catalog: Catalog, gate: Gate) -> None:
        super().__init__()
        self._catalog = catalog
        self._gate = gate
        self._body: bytes | None = None

    async def get(self, request: WebRequest) -> Answer:
        """Show it."""
        await admit(self._gate, request)
        if self._body is None:
            self._body = orjson.dumps(document(self._catalog))
        return Answer(self._body, JSON)


async def admit(gate: Gate, request: WebRequest) -> Caller:
    """Return who asks, or refuse: nobody known, nothing we could answer with, or a request that another site made."""
    caller = await gate.identify(request)
    if not accepts(request.getHeader("Accept"), JSON, "application/problem+json"):
        raise Problem("not_acceptable", f"the answer would be {JSON}, which Accept does not name")
    if request.method in CHANGES_NOTHING:
        return caller
    has_cookie = caller.by == "cookie" or request.getCookie(cookie_of(request).encode()) is not None
    if has_cookie:
        check_origin(request, request.secure, request.site.settings().http_public_url)
    # A browser sends DELETE to another site only after asking it, which is always answered with no.
    needs_type = request.received or (has_cookie and request.method != b"DELETE")
    if needs_type and not is_json(request.getHeader("Content-Type")):
        raise Problem("unsupported_media_type", f"a body must be {JSON} in UTF-8, and say so in Content-Type")
    return caller


def _read_body(request: WebRequest, in_path: Mapping[str, Any]) -> dict[str, Any]:
    body = request.read()
    if not body:
        return {}
    try:
        fields = orjson.loads(body)
    except ValueError as error:
        raise Problem(ErrorCode.INVALID_JSON.value, f"the body is no UTF-8 JSON: {error}", status=400) from None
    if not isinstance(fields, dict):
        raise Problem(ErrorCode.INVALID_JSON.value, "the body must hold one JSON object", status=400)
    # The path has said these; saying them again, perhaps differently, says nothing.
    return {name: value for name, value in fields.items() if name not in in_path}


def _in_words_of_http(refusal: Refusal, kind: MessageType) -> Refusal:
    """Let a refusal name the parameter of the path or the query that it is about, instead of a place in the message."""
    binding = kind.http
    if binding is None or refusal.pointer is None:
        return refusal
    name = refusal.pointer.removeprefix("/data/").removeprefix("/").partition("/")[0]
    if name in binding.in_body or not (name in binding.in_path or name in binding.in_query):
        return refusal
    details = {**(refusal.details or {}), "parameter": name}
    message = refusal.message.removeprefix("data.")
    return Refusal(refusal.code, message, None, refusal.retry_after, details)
