"""From a frame to its answer.

The law: every request gets exactly one answer, and what it costs beyond parsing, validating and the store is paid
for each message, 70,000 times a second. So there is no Deferred and no timer per message: the router drives the
handler's coroutine itself, what can be decided at start was decided in `routes`, and acks leave in groups.

Requests of one peer run concurrently in the order they came (the store keeps that order); a request whose type is
ordered by connection waits for those before it and holds those behind it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from time import perf_counter
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from crawlsock.handlers.context import Reply
from crawlsock.interfaces import Handler, IMiddleware
from crawlsock.server import routes
from crawlsock.server.peer import Peer
from crawlsock.server.protocol import HOLD_FULL, HOLD_ORDER
from crawlsock.server.routes import Route, begin
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import MAX_ID, Codec
from crawlsock.wire.errors import ErrorCode, InvalidMessage, Refusal
from crawlsock.wire.message import Message

_ACK: Final = "ack"


class MessageRouter:
    """Hand messages to handlers, and their outcome to the peer.

    Register handlers and middleware first, then `freeze`, then connect peers.

    :ivar max_in_flight: how many requests of one connection may be under way; it is not read above that.
    """

    _log = Logger()

    def __init__(self, catalog: Catalog, codec: Codec, max_in_flight: int) -> None:
        self.catalog = catalog
        self.codec = codec
        self.max_in_flight = max_in_flight
        self._handlers: dict[str, Handler] = {}
        self._middleware: list[IMiddleware] = []
        self._routes: dict[str | None, dict[str, Route]] = {}
        self._decode = codec.decode

    def register(self, handler: Handler, name: str | None = None) -> None:
        """Let `handler` answer the messages of its name; a second one for the same name is refused."""
        name = name or str(getattr(handler, "__name__", ""))
        if name in self._handlers:
            raise routes.RouteError(f"{name} has two handlers; one message type has one handler")
        self._handlers[name] = handler

    def use(self, middleware: IMiddleware) -> None:
        """Run `middleware` around all handlers, inside what was given before."""
        self._middleware.append(middleware)

    def freeze(self) -> None:
        """Check that schemas and handlers fit, and decide all that can be decided now.

        Raises `RouteError` with one sentence that names both files.
        """
        self._routes = routes.build(self.catalog, self._handlers, self._middleware)

    def routes_for(self, role: str | None) -> Mapping[str, Route]:
        """Return what a peer of this role may meet; None is a peer that has not said hello."""
        return self._routes[role]

    def frame_received(self, peer: Peer, frame: bytes) -> None:
        """Decode a frame and answer it, now or when the store has."""
        peer.received += 1
        try:
            message = self._decode(frame)
        except InvalidMessage as refusal:
            self._refuse_unread(peer, refusal)
            return
        route = peer.routes.get(message.type)
        if route is None:
            self._no_request(peer, message)
            return
        id = message.id
        if id is None or id <= peer.last_id:
            self._refuse_unread(peer, _bad_id(message, peer.last_id))
            return
        peer.last_id = id
        if route.barrier and peer.in_flight:
            peer.parked = message
            peer.link.hold(HOLD_ORDER)
            return
        self._handle(peer, message, route)

    def _handle(self, peer: Peer, message: Message, route: Route) -> None:
        began = perf_counter()
        context: Any = peer.context
        try:
            coroutine = begin(route, context, message)
            awaited = coroutine.send(None)
        except StopIteration as stop:
            self._finish(peer, message, route, began, stop.value, None)
        except Refusal as refusal:
            self._finish(peer, message, route, began, None, refusal)
        except Exception:
            self._finish(peer, message, route, began, None, self._bug(peer, message))
        else:
            peer.in_flight += 1
            if route.barrier:
                peer.link.hold(HOLD_ORDER)
            elif peer.in_flight >= self.max_in_flight:
                peer.link.hold(HOLD_FULL)
            awaited.addBoth(self._resume, peer, message, route, began, coroutine)

    def _resume(
        self,
        result: Any,
        peer: Peer,
        message: Message,
        route: Route,
        began: float,
        coroutine: Coroutine[Any, Any, Any],
    ) -> None:
        """Go on with a handler that waited: the callback of whatever Deferred it waited for."""
        outcome: Any = None
        refusal: Refusal | None = None
        try:
            if isinstance(result, Failure):
                awaited = coroutine.throw(result.value or RuntimeError("a failure without an exception"))
            else:
                awaited = coroutine.send(result)
        except StopIteration as stop:
            outcome = stop.value
        except Refusal as refused:
            refusal = refused
        except Exception:
            refusal = self._bug(peer, message)
        else:
            awaited.addBoth(self._resume, peer, message, route, began, coroutine)
            return
        peer.in_flight -= 1
        self._finish(peer, message, route, began, outcome, refusal)
        if peer.link.held:
            self._unblock(peer, route)

    def _finish(
        self,
        peer: Peer,
        message: Message,
        route: Route,
        began: float,
        outcome: Any,
        refusal: Refusal | None,
    ) -> None:
        """Answer a request. The only place that does."""
        id: Any = message.id
        if refusal is not None:
            if peer.alive:
                peer.refuse(refusal, id)
        elif outcome is None:
            peer.acks.append(id)
            if not peer.dirty:
                peer.dirty = True
                peer.wake(peer)
        else:
            refusal = self._reply(peer, message, id, outcome)
        if route.after:
            seconds = perf_counter() - began
            context: Any = peer.context
            for after in route.after:
                after(context, message, refusal, seconds)
        if refusal is not None and refusal.code.fatal:
            peer.link.close(refusal.message)

    def _reply(self, peer: Peer, message: Message, id: int, outcome: Any) -> Refusal | None:
        """Send a reply with data; return what was sent instead if a handler returned what JSON has no form for."""
        type, data = outcome if isinstance(outcome, Reply) else (_ACK, outcome)
        try:
            peer.reply(type, id, data)
        except Exception:
            refusal = self._bug(peer, message)
            peer.refuse(refusal, id)
            return refusal
        return None

    def _unblock(self, peer: Peer, route: Route) -> None:
        """Go on with what waited for a request that has just ended."""
        if route.barrier:
            peer.link.release(HOLD_ORDER)
        elif peer.parked is not None:
            if peer.in_flight == 0:
                message, peer.parked = peer.parked, None
                self._handle(peer, message, peer.routes[message.type])
                if not peer.in_flight:
                    peer.link.release(HOLD_ORDER)
        # Not at the very mark, or a busy connection would be held and released at every message.
        elif peer.in_flight <= self.max_in_flight // 2:
            peer.link.release(HOLD_FULL)

    def _no_request(self, peer: Peer, message: Message) -> None:
        """Take the answer to a push, or refuse what nobody may send to a server."""
        if self.catalog.types[message.type].is_reply:
            peer.traffic.replies[message.type] += 1
            if not peer.answered(message):
                # It came after its deadline. The peer has done nothing wrong.
                self._log.debug("{peer} answered what nobody waits for any more", peer=peer.name)
            return
        refusal = Refusal(
            ErrorCode.FORBIDDEN if peer.role else ErrorCode.NOT_AUTHENTICATED,
            f"{message.type} is not sent to a server" if peer.role else "say hello first",
            "/type",
        )
        # The schema of what is no request says nothing about an id, so it may be anything.
        id = message.id if type(message.id) is int and 0 < message.id <= MAX_ID else None
        self._refuse_unread(peer, InvalidMessage(refusal.code, refusal.message, refusal.pointer, id))

    def _refuse_unread(self, peer: Peer, refusal: InvalidMessage) -> None:
        """Refuse what did not come as far as a route."""
        peer.traffic.unread += 1
        if peer.role is None and not refusal.code.fatal:
            # A stranger gets one sentence; whoever cannot say hello is not worth a connection.
            peer.refuse(refusal, refusal.re)
            peer.link.close(refusal.message)
            return
        peer.refuse(refusal, refusal.re)
        self._log.debug("{peer} was refused: {refusal}", peer=peer.name, refusal=str(refusal))
        if refusal.code.fatal:
            peer.link.close(refusal.message)

    def _bug(self, peer: Peer, message: Message) -> Refusal:
        """Log a failure that is ours, and make the bland answer for it."""
        self._log.failure("The handler of {type} failed for {peer}", type=message.type, peer=peer.name)
        return Refusal(ErrorCode.INTERNAL, "the server failed to do this; its log says why")


def plugin_handlers(plugins: Sequence[Any]) -> dict[str, Handler]:
    """Collect the handlers of plugins; two for one message type are refused."""
    found: dict[str, Handler] = {}
    for plugin in plugins:
        for name, handler in plugin.handlers().items():
            if name in found:
                raise routes.RouteError(f"{name} has two handlers; the second is of the plugin {plugin.name}")
            found[name] = handler
    return found


def _bad_id(message: Message, last: int) -> InvalidMessage:
    if message.id is None:
        return InvalidMessage(ErrorCode.INVALID_MESSAGE, "a request needs an id", "/id")
    return InvalidMessage(
        ErrorCode.INVALID_MESSAGE,
        f"ids of one connection must rise; the last one was {last}",
        "/id",
        message.id,
    )
