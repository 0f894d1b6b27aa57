"""What every resource of the web side is: coroutines by method, one way out.

The law: a resource answers by returning an `Answer` or raising; it never writes to a request unless it streams, and
then it returns None. Which methods there are follows from the coroutines: ``get``, ``post``, ``put``, ``delete``.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from crawlsock.web.problems import Problem

if TYPE_CHECKING:
    from crawlsock.web.site import WebRequest

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
_METHODS: Final = ("GET", "POST", "PUT", "DELETE")


@frozen
class Answer:
    """A whole response; `headers` replace those that every answer has."""

    body: bytes = b""
    content_type: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON; integers keep all their digits."""
    return Answer(orjson.dumps(data), JSON, status, headers or {})


def redirect(location: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer: look there, with GET."""
    return Answer(status=303, headers={"Location": location, **(headers or {})})


class WebResource(Resource):
    """Answer requests by coroutines named like the methods; a Twisted resource like any other.

    Subclasses define ``async def get(self, request)`` and so on. HEAD is GET without the body; OPTIONS is answered
    here.

    :cvar has_rest: whether a leaf makes something of the words after its address; otherwise nothing is there.
    """

    has_rest = False

    def __init__(self) -> None:
        super().__init__()

    def methods(self, request: WebRequest) -> tuple[str, ...]:
        """Return the methods that the resource knows for this request."""
        return tuple(each for each in _METHODS if hasattr(self, each.lower()))

    def answer(self, request: WebRequest, method: str) -> Coroutine[Any, Any, Answer | None]:
        """Return the coroutine that answers a request of a known method."""
        coroutine: Coroutine[Any, Any, Answer | None] = getattr(self, method.lower())(request)
        return coroutine

    def render(self, request: WebRequest) -> int:
        """Begin to answer."""
        Deferred.fromCoroutine(self._render(request)).addErrback(request.processingFailed)
        return NOT_DONE_YET

    async def _render(self, request: WebRequest) -> None:
        try:
            if request.postpath and self.isLeaf and not self.has_rest:
                raise Problem("not_found", "there is nothing at this address")
            method = request.method.decode("ascii", "replace")
            known = self.methods(request)
            if method == "HEAD" and "GET" in known:
                method = "GET"
            if method == "OPTIONS":
                request.answer(Answer(status=204, headers={"Allow": allow(known)}))
                return
            if method not in known:
                raise method_not_allowed(method, known)
            answer = await self.answer(request, method)
        except Exception as error:
            request.fail(error)
            return
        if answer is not None:
            request.answer(answer)


def allow(known: tuple[str, ...]) -> str:
    """Return the ``Allow`` header for what a resource knows."""
    more = ("HEAD",) if "GET" in known else ()
    return ", ".join((*known, *more, "OPTIONS"))


def method_not_allowed(method: str, known: tuple[str, ...]) -> Problem:
    """Return the problem of a method that is not known here."""
    return Problem(
        "method_not_allowed",
        f"{method[:16]} is not known here; allowed are: {allow(known)}",
        headers={"Allow": allow(known)},
    )


class NotFound(WebResource):
    """What is not there, for every method."""

    isLeaf = True
    has_rest = True

    def methods(self, request: WebRequest) -> tuple[str, ...]:
        """Return every method: none of them finds anything."""
        return _METHODS

    async def answer(self, request: WebRequest, method: str) -> Answer | None:
        """Say that nothing is here."""
        raise Problem("not_found", "there is nothing at this address")
