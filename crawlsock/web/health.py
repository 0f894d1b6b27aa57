"""Whether this server lives, and whether it should get traffic: for load balancers, service managers and people.

The law: an answer is made from what is known already, at once and at no cost, because everybody may ask. Only an
operator is told more than yes or no.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from crawlsock.server.checks import BAD, Checks, Line
from crawlsock.web.resource import TEXT, Answer, WebResource
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.server.calls import Caller
    from crawlsock.web.gate import Gate
    from crawlsock.web.site import WebRequest

_MARKS: Final = {"ok": "+", "warn": "!", "bad": "-"}
_OPERATORS: Final = frozenset({"monitor", "admin"})
_NO_STORE: Final = {"Cache-Control": "no-store"}


class Doorkeeper:
    """Let operators in, also while the database is away: that is when they need to know what it is.

    :param away: tells whether the database is, so that nobody waits for it in vain.
    """

    def __init__(self, gate: Gate, away: Callable[[], bool]) -> None:
        self._gate = gate
        self._away = away

    async def identify(self, request: WebRequest) -> Caller:
        """Return who asks: somebody with the whole server in view, which a token bound to accounts has not.

        While the database is away it is who it was when they were last asked about. Raises `Refusal`.
        """
        caller = self._gate.remembered(request) if self._away() else None
        if caller is None:
            try:
                caller = await self._gate.identify(request)
            except Refusal as refusal:
                caller = self._gate.remembered(request) if refusal.code is ErrorCode.UNAVAILABLE else None
                if caller is None:
                    raise
        if caller.role not in _OPERATORS or caller.accounts is not None:
            raise Refusal(
                ErrorCode.FORBIDDEN, "this is for monitor and admin, with a token that is not bound to accounts"
            )
        return caller


class Live(WebResource):
    """Answer that the process runs its reactor; nothing else is looked at."""

    isLeaf = True

    async def get(self, request: WebRequest) -> Answer:
        """Answer."""
        return Answer(b"ok\n", TEXT, headers=_NO_STORE)


class Ready(WebResource):
    """Answer 200 when the server should get traffic, else 503; with ``?verbose`` a line for each thing looked at.

    The lines are for operators; everybody else gets the bare word, ``?verbose`` or not.
    """

    isLeaf = True

    def __init__(self, checks: Checks, doorkeeper: Doorkeeper) -> None:
        super().__init__()
        self._checks = checks
        self._doorkeeper = doorkeeper

    async def get(self, request: WebRequest) -> Answer:
        """Answer."""
        lines = self._checks.lines()
        ready = not any(line.needed and line.state == BAD for line in lines)
        body = "ready\n" if ready else "not ready\n"
        if _asked_for(request, b"verbose") and await self._is_known(request):
            body = "".join(_text(line) for line in lines) + body
        return Answer(body.encode(), TEXT, 200 if ready else 503, _NO_STORE)

    async def _is_known(self, request: WebRequest) -> bool:
        try:
            await self._doorkeeper.identify(request)
        except Refusal:
            return False
        return True


def _asked_for(request: WebRequest, name: bytes) -> bool:
    """Tell whether the query has the name, with or without a value; Twisted drops those without."""
    query: bytes = request.uri.partition(b"?")[2]
    return any(part.partition(b"=")[0] == name for part in query.split(b"&"))


def _text(line: Line) -> str:
    """Return a line as text: a mark, the name, what was found, and what to do."""
    needed = "" if line.needed or line.state != BAD else " (the server is ready without it)"
    remedy = "" if line.remedy is None else f"\n      {line.remedy}"
    return f"[{_MARKS[line.state]}] {line.check}: {line.summary}{needed}{remedy}\n"
