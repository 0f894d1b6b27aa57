"""Requests that come by another door than a socket: HTTP, and the pages that the server makes itself.

The law: such a request meets what a socket peer's meets, in the same order: the schema of its type, the middleware
(role, rate limit, draining, timing), the handler. Nothing here knows how it came or how the answer leaves. Only types
whose schema says how HTTP reaches them can be called: what a connection is needed for stays on the socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from time import perf_counter
from typing import Any

import orjson
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.handlers.context import Context, Reply
from crawlsock.server.router import MessageRouter
from crawlsock.server.routes import begin
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import ErrorCode, Refusal
from crawlsock.wire.message import Message

_LONG_AGO = -1e9


@define(eq=False, kw_only=True)
class Caller:
    """Somebody who is known and has no connection of their own: the peer that handlers see.

    :ivar by: ``bearer`` (the request carried a token) or ``cookie`` (a session that a token made).
    :ivar accounts: the accounts that the token is bound to; None is all of them.
    :ivar key: names the token or the session among callers, and is not secret.
    """

    role: str
    token_id: str
    token_name: str
    accounts: frozenset[str] | None = None
    by: str = "bearer"
    key: str = ""
    expires_at: datetime | None = None
    session_id: str = ""
    crawler_id: str = ""
    # The bucket of the rate limit, as every peer has one.
    allowance: float = field(default=0.0, repr=False)
    allowance_at: float = field(default=_LONG_AGO, repr=False)
    now: float = field(default=0.0, repr=False)
    last_id: int = field(default=0, repr=False)
    context: Context | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Who this is, for the audit and the log; never a token."""
        return f"{self.role}:{self.token_name}"


class Calls:
    """Run one request for a caller.

    :param context_for: makes the context of a caller; its peer is the caller.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, router: MessageRouter, context_for: Callable[[Any], Context]) -> None:
        self.catalog = router.catalog
        self._clock = clock
        self._router = router
        self._codec: Codec = router.codec
        self._context_for = context_for

    def call(
        self, caller: Caller, type: str, data: Mapping[str, Any] | None = None, job_id: str | None = None
    ) -> Deferred[Reply | dict[str, Any] | None]:
        """Fire with what the handler returned.

        Fails with `Refusal`, and with nothing else: a bug of ours is logged here, and refused as ``internal``.
        """
        return Deferred.fromCoroutine(self._call(caller, type, data, job_id))

    async def _call(
        self, caller: Caller, type: str, data: Mapping[str, Any] | None, job_id: str | None
    ) -> Reply | dict[str, Any] | None:
        message = self._message(caller, type, data, job_id)
        route = self._router.routes_for(caller.role)[type]
        context = caller.context
        if context is None:
            context = caller.context = self._context_for(caller)
        began = perf_counter()
        caller.now = self._clock.seconds()
        refusal: Refusal | None = None
        try:
            outcome: Reply | dict[str, Any] | None = await begin(route, context, message)
            self._verify(outcome)
            return outcome
        except Refusal as error:
            refusal = error
            raise
        except Exception:
            self._log.failure("The handler of {type} failed for {peer}", type=type, peer=caller.name)
            refusal = Refusal(ErrorCode.INTERNAL, "the server failed to do this; its log says why")
            raise refusal from None
        finally:
            seconds = perf_counter() - began
            for after in route.after:
                after(context, message, refusal, seconds)

    def _message(self, caller: Caller, type: str, data: Mapping[str, Any] | None, job_id: str | None) -> Message:
        """Make a message of what was asked, through the codec: the one door through which values come in."""
        kind = self.catalog.get(type)
        if kind is None or kind.http is None:
            raise Refusal(ErrorCode.UNSUPPORTED, f"{type} cannot be asked over HTTP")
        caller.last_id += 1
        document: dict[str, Any] = {"type": type, "id": caller.last_id, "data": dict(data or {})}
        if job_id is not None:
            document["job_id"] = job_id
        try:
            frame = orjson.dumps(document)
        except (TypeError, ValueError) as error:
            raise Refusal(ErrorCode.INVALID_JSON, f"this is no JSON: {error}") from None
        return self._codec.decode(frame)

    def _verify(self, outcome: Reply | dict[str, Any] | None) -> None:
        if self._codec.verifies:
            type, data = outcome if isinstance(outcome, Reply) else ("ack", outcome)
            self._codec.encode(type, data, re=1)
