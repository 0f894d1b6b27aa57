"""From a frame to its answer, and the checks at start."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from crawlsock import handlers
from crawlsock.handlers.context import Reply
from crawlsock.interfaces import IMessagePlugin, IMiddleware
from crawlsock.server import middleware, routes
from crawlsock.server.routes import RouteError
from crawlsock.testing.harness import WireHarness
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.errors import Refusal
from tests.server.base import HarnessCase

CATALOG = Catalog.load()
HANDLERS = routes.find_handlers(*handlers.modules())

PROBE = """{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:example:probe",
  "title": "probe", "description": "Asks a plugin.",
  "x-crawlsock": {"from": ["crawler", "webapp"], "pushed_to": [], "answers": ["ack"], "about_job": null,
                  "ordering": "ORDERING", "cost": 1, "since": 1},
  "type": "object", "required": ["type", "id", "data"],
  "properties": {
    "type": {"const": "probe"}, "id": {"$ref": "urn:crawlsock:common#/$defs/message_id"},
    "timestamp": {"$ref": "urn:crawlsock:common#/$defs/timestamp"},
    "traceparent": {"$ref": "urn:crawlsock:common#/$defs/traceparent"},
    "data": {"type": "object", "required": ["word"], "properties": {
      "word": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^[a-z]+$"}}}
  },
  "examples": [{"type": "probe", "id": 1, "data": {"word": "a"}}, {"type": "probe", "id": 2, "data": {"word": "b"}}]
}"""


class CheckTests(unittest.TestCase):
    def test_ours_fit(self) -> None:
        """Every request has a handler whose parameters are its schema's fields."""
        routes.check(CATALOG, HANDLERS)

    def test_no_handler(self) -> None:
        """A schema without a handler is refused in one sentence that names both files."""
        without = {name: handler for name, handler in HANDLERS.items() if name != "job_started"}
        error = self.assertRaises(RouteError, routes.check, CATALOG, without)
        self.assertIn("schemas/job_started.json", str(error))
        self.assertIn("crawlsock/handlers/", str(error))

    def test_no_schema(self) -> None:
        """A handler without a schema is refused in one sentence that names both files."""

        async def job_juggled(context: Any) -> None: ...

        error = self.assertRaises(RouteError, routes.check, CATALOG, {**HANDLERS, "job_juggled": job_juggled})
        self.assertIn("schemas/job_juggled.json", str(error))
        self.assertIn("tests/server/test_router.py", str(error))

    def refused(self, handler: Any) -> str:
        error = self.assertRaises(RouteError, routes.check, CATALOG, {**HANDLERS, "job_request": handler})
        self.assertIn("schemas/job_request.json", str(error))
        self.assertIn("tests/server/test_router.py", str(error))
        return str(error)

    def test_missing_parameter(self) -> None:
        """A handler that does not take a field of its schema is refused."""

        async def job_request(context: Any) -> None: ...

        self.assertIn("does not take slots", self.refused(job_request))

    def test_extra_parameter(self) -> None:
        """A handler that takes what its schema does not have is refused."""

        async def job_request(context: Any, *, slots: int, speed: int = 1) -> None: ...

        self.assertIn("takes speed", self.refused(job_request))

    def test_default_of_required(self) -> None:
        """A handler with a default for a required field is refused: it would hide a broken schema."""

        async def job_request(context: Any, *, slots: int = 1) -> None: ...

        self.assertIn("has a default for slots", self.refused(job_request))

    def test_job_parameter(self) -> None:
        """A handler whose positional parameters are not those of its kind of message is refused."""

        async def job_request(context: Any, job: Any, *, slots: int) -> None: ...

        self.assertIn("instead of (context)", self.refused(job_request))

    def test_private_functions_are_no_handlers(self) -> None:
        """Only public coroutine functions of the module itself are handlers."""
        module = ModuleType("example")

        async def ping(context: Any) -> None: ...

        ping.__module__ = "example"
        module.__dict__.update(ping=ping, _hidden=ping, Reply=Reply, other=HANDLERS["hello"])
        self.assertEqual(routes.find_handlers(module), {"ping": ping})

    def test_middleware_interface(self) -> None:
        """The server's middleware provides the interface that plugins' middleware does."""
        for each in (
            middleware.Timing(),
            middleware.RequestLog(),
            middleware.Authentication(),
            middleware.Roles(),
            middleware.Draining(lambda: None),
        ):
            verifyObject(IMiddleware, each)


class Plugin:
    """A plugin as somebody else would write it."""

    name = "example"

    def __init__(self, schemas: Path, handler: Any, middleware: Any = ()) -> None:
        self.schemas = schemas
        self._handler = handler
        self._middleware = list(middleware)

    def handlers(self) -> dict[str, Any]:
        return {"probe": self._handler}

    def middleware(self) -> list[Any]:
        return self._middleware


class PluginTests(unittest.TestCase):
    def harness(self, handler: Any, ordering: str = "job", middleware: Any = ()) -> WireHarness:
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "probe.json").write_text(PROBE.replace("ORDERING", ordering))
        plugin = Plugin(directory, handler, middleware)
        harness = WireHarness(plugins=[plugin])
        self.addCleanup(harness.stop)
        return harness

    async def test_plugin(self) -> None:
        """A plugin brings a message type, its handler and its middleware."""
        seen: list[tuple[str, str]] = []

        class Guard:
            def before(self, role: str | None, message_type: Any) -> Any:
                if message_type.name != "probe":
                    return None
                return lambda context, message: seen.append(("before", str(role)))

            def after(self, role: str | None, message_type: Any) -> Any:
                if message_type.name != "probe":
                    return None
                return lambda context, message, refusal, seconds: seen.append(("after", str(role)))

        async def probe(context: Any, *, word: str) -> dict[str, Any]:
            return {"word": word.upper()}

        peer = self.harness(probe, middleware=[Guard()]).connect("webapp")
        reply = await peer.request("probe", {"word": "yes"})
        self.assertEqual((reply.data, seen), ({"word": "YES"}, [("before", "webapp"), ("after", "webapp")]))

    async def test_bug(self) -> None:
        """A handler that fails is logged with its traceback and answered with a bland error."""

        async def probe(context: Any, *, word: str) -> None:
            raise ZeroDivisionError("the secret of " + word)

        peer = self.harness(probe).connect("webapp")
        refusal = self.failureResultOf(peer.request("probe", {"word": "x"}), Refusal).value
        self.assertEqual(refusal.code.value, "internal")
        self.assertNotIn("secret", refusal.message)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await peer.request("ping")

    async def test_unencodable(self) -> None:
        """A handler that returns what JSON has no form for is our failure, and answered as one."""

        async def probe(context: Any, *, word: str) -> dict[str, Any]:
            return {"word": object()}

        peer = self.harness(probe).connect("webapp")
        refusal = self.failureResultOf(peer.request("probe", {"word": "x"}), Refusal).value
        self.assertEqual((refusal.code.value, len(self.flushLoggedErrors(TypeError))), ("internal", 1))

    async def test_awaits_twice(self) -> None:
        """A handler may wait more than once, for results and for failures."""
        gates: list[Deferred[str]] = [Deferred(), Deferred()]

        async def probe(context: Any, *, word: str) -> dict[str, Any]:
            first = await gates[0]
            try:
                await gates[1]
            except ValueError as error:
                return {"got": [first, str(error)]}
            return {}

        harness = self.harness(probe)
        reply = harness.connect("webapp").request("probe", {"word": "x"})
        gates[0].callback("one")
        gates[1].errback(ValueError("two"))
        harness.settle()
        self.assertEqual(self.successResultOf(reply).data, {"got": ["one", "two"]})

    async def test_barrier(self) -> None:
        """A request ordered by connection waits for those before it and holds those behind it."""
        order: list[str] = []
        gate: Deferred[None] = Deferred()

        async def probe(context: Any, *, word: str) -> None:
            order.append(f"begin {word}")
            if word == "a":
                await gate
            order.append(f"end {word}")

        harness = self.harness(probe, "connection")
        peer = harness.connect("webapp")
        first, second, third = (peer.request("probe", {"word": word}) for word in "abc")
        self.assertEqual(order, ["begin a"])
        gate.callback(None)
        harness.settle()
        self.assertEqual(order, ["begin a", "end a", "begin b", "end b", "begin c", "end c"])
        for each in (first, second, third):
            self.successResultOf(each)

    async def test_barrier_waits_for_concurrent(self) -> None:
        """Requests that may run side by side do, and one that must not waits until all have ended."""
        gates: dict[str, Deferred[None]] = {"a": Deferred(), "b": Deferred()}

        async def probe(context: Any, *, word: str) -> None:
            await gates[word]

        harness = self.harness(probe)
        peer = harness.connect("webapp")
        first, second = peer.request("probe", {"word": "a"}), peer.request("probe", {"word": "b"})
        listed, pinged = peer.request("account_list"), peer.request("ping")
        gates["b"].callback(None)
        harness.settle()
        self.successResultOf(second)
        self.assertNoResult(listed)
        self.assertNoResult(pinged)
        gates["a"].callback(None)
        harness.settle()
        for each in (first, listed, pinged):
            self.successResultOf(each)


class InFlightTests(HarnessCase):
    settings = {"max_in_flight": "4"}

    def test_back_pressure(self) -> None:
        """A connection with its limit of requests under way is not read until half of them have ended."""
        crawler = self.harness.connect("crawler")
        waiting: list[Deferred[None]] = []

        def slow(*_: Any) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        self.harness.store.heartbeat = slow  # type: ignore[method-assign, assignment]
        beats = [crawler.request("heartbeat", {"status": "idle", "active_jobs": []}) for _ in range(10)]
        self.assertEqual(len(waiting), 4)
        waiting[0].callback(None)
        self.harness.settle()
        self.assertEqual(len(waiting), 4)
        waiting[1].callback(None)
        self.harness.settle()
        self.assertEqual(len(waiting), 6)
        for each in waiting[2:]:
            each.callback(None)
        self.harness.settle()
        for each in waiting[6:]:
            each.callback(None)
        self.harness.settle()
        for beat in beats:
            self.successResultOf(beat)


class AnswerTests(HarnessCase):
    async def test_grouped_acks(self) -> None:
        """Requests that come in one chunk and end in one turn share one ack."""
        peer = self.harness.connect("webapp")
        before = len(peer.replies)
        for id in (10, 11, 12):
            peer.send("ping", id=id)
        self.harness.settle()
        (ack,) = peer.replies[before:]
        self.assertEqual((ack.type, ack.re), ("ack", (10, 11, 12)))

    async def test_ids_must_rise(self) -> None:
        """An id that does not rise is refused, and the connection is kept."""
        peer = self.harness.connect("webapp")
        peer.send("ping", id=50)
        peer.send("ping", id=50)
        self.harness.settle()
        error = peer.replies[-1]
        self.assertEqual((error.type, error.data["code"], error.data["pointer"]), ("error", "invalid_message", "/id"))
        await peer.request("ping")

    async def test_late_answer(self) -> None:
        """An answer to a push that nobody waits for any more is no offence."""
        peer = self.harness.connect("crawler")
        peer.send("ack", re=999)
        await peer.request("ping")

    async def test_unsupported(self) -> None:
        """A type that nobody knows is answered as unsupported, with the id it came with."""
        peer = self.harness.connect("webapp")
        peer.send_frame(b'{"type":"job_juggle","id":77,"data":{}}')
        self.assertEqual((peer.replies[-1].data["code"], peer.replies[-1].re), ("unsupported", 77))
        await self.harness.connect("webapp").request("ping")

    async def test_push_types_are_forbidden(self) -> None:
        """What only a server sends is refused when a peer sends it."""
        peer = self.harness.connect("crawler")
        peer.send("crawler_pause", {}, id=60)
        self.harness.settle()
        self.assertEqual((peer.replies[-1].data["code"], peer.replies[-1].re), ("forbidden", 60))

    async def test_odd_id_of_a_push(self) -> None:
        """What only a server sends is refused whatever its id and re are: no schema has looked at them."""
        peer = self.harness.connect("webapp")
        for name, each in CATALOG.types.items():
            if each.requests_from or each.is_reply:
                continue
            for odd in ("x", -1, [1], 1.5, True):
                peer.send_frame(json.dumps({**each.examples[0], "id": odd, "re": odd}).encode())
                self.assertIn(peer.replies[-1].data["code"], ("forbidden", "invalid_message"), name)
                self.assertIsNone(peer.replies[-1].re)

    async def test_future_fields(self) -> None:
        """Optional fields that this server does not know are ignored."""
        peer = self.harness.connect("crawler")
        await peer.request("job_request", {"slots": 0, "colour": "blue"})

    def test_plugin_interface(self) -> None:
        """The interface for plugins says what the server asks of them."""
        self.assertEqual(sorted(IMessagePlugin), ["handlers", "middleware", "name", "schemas"])
