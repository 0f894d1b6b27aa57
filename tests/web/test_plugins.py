"""Somebody else's messages are reached over HTTP as ours are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial import unittest

from crawlsock.testing.harness import WireHarness
from tests.server.test_router import PROBE, Plugin

BOUND = PROBE.replace("ORDERING", "job").replace(
    '"since": 1', '"since": 1, "http": {"method": "GET", "path": "/probes/{word}"}'
)


class PluginTests(unittest.TestCase):
    """A plugin whose schema says how HTTP reaches it."""

    def serve(self, handler: Any, middleware: Any = ()) -> WireHarness:
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "probe.json").write_text(BOUND)
        harness = WireHarness(plugins=[Plugin(directory, handler, middleware)])
        self.addCleanup(harness.stop)
        return harness

    async def test_a_plugins_message_has_an_address(self) -> None:
        """Its handler answers, its schema refuses, its middleware runs, and the OpenAPI document has it."""
        seen: list[str] = []

        class Guard:
            def before(self, role: str | None, message_type: Any) -> Any:
                return (
                    (lambda context, message: seen.append(context.peer.name)) if message_type.name == "probe" else None
                )

            def after(self, role: str | None, message_type: Any) -> Any:
                return None

        async def probe(context: Any, *, word: str) -> dict[str, Any]:
            return {"word": word.upper()}

        harness = self.serve(probe, [Guard()])
        token = harness.token("webapp")
        answer = await harness.http("GET", "/api/v1/probes/yes", token=token)
        self.assertEqual((answer.json(), seen), ({"word": "YES"}, ["webapp:test webapp"]))
        refused = await harness.http("GET", "/api/v1/probes/No", token=token)
        self.assertEqual((refused.status, refused.json()["parameter"]), (400, "word"))
        self.assertEqual((await harness.http("GET", "/api/v1/probes/yes", token=harness.token("admin"))).status, 403)
        document = (await harness.http("GET", "/api/v1/openapi.json", token=token)).json()
        self.assertEqual(document["paths"]["/api/v1/probes/{word}"]["get"]["operationId"], "probe")

    async def test_a_plugins_bug_is_bland(self) -> None:
        """A handler that fails, or answers with what its schema does not allow, is logged and answered with 500."""

        async def probe(context: Any, *, word: str) -> dict[str, Any]:
            if word == "fail":
                raise RuntimeError("a secret")
            return {"when": object()}

        harness = self.serve(probe)
        for word, kind in (("fail", RuntimeError), ("odd", TypeError)):
            answer = await harness.http("GET", f"/api/v1/probes/{word}", token=harness.token("webapp"))
            self.assertEqual((answer.status, answer.json()["code"]), (500, "internal"))
            self.assertNotIn("secret", answer.text)
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
