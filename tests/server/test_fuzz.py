"""Any bytes at all get a typed error or a closed connection, and leave the server well."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from crawlsock.testing.harness import WireHarness, WirePeer
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.errors import ErrorCode

CATALOG = Catalog.load()
CODES = {code.value for code in ErrorCode}
EXAMPLES = [example for each in CATALOG.types.values() for example in each.examples]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Take a good message and change something in it."""
    message: Any = json.loads(json.dumps(draw(st.sampled_from(EXAMPLES))))
    message["id"] = draw(st.integers(min_value=1, max_value=2**53) | st.just(0) | st.none())
    target = message
    for _ in range(draw(st.integers(min_value=0, max_value=2))):
        inner = [value for value in target.values() if isinstance(value, dict) and value]
        if not inner:
            break
        target = draw(st.sampled_from(inner))
    if target:
        name = draw(st.sampled_from(sorted(target)))
        if draw(st.booleans()):
            target[name] = draw(json_values)
        else:
            del target[name]
    return json.dumps(message).encode()


class FuzzTests(unittest.TestCase):
    def setUp(self) -> None:
        self.harness = WireHarness({"rate_limit_hello": "1000000", "max_connections": "1000000"})
        self.addCleanup(self.harness.stop)

    def unharmed(self, peer: WirePeer) -> None:
        """The peer got typed errors or was closed; the server serves others, and logged no failure."""
        for reply in peer.replies:
            if reply.type == "error":
                self.assertIn(reply.data["code"], CODES)
                self.assertNotEqual(reply.data["code"], "internal")
        self.assertEqual(self.flushLoggedErrors(), [])
        other = self.harness.connect("webapp")
        self.successResultOf(other.request("ping"))
        for each in (other, peer):
            if each.closed is None:
                each.close()
        self.harness.peers.clear()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.binary(max_size=60), max_size=5))
    def test_bytes(self, chunks: list[bytes]) -> None:
        """Bytes that are no protocol at all do no harm."""
        peer = self.harness.dial()
        for chunk in chunks:
            peer.send_bytes(chunk)
        self.unharmed(peer)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.binary(max_size=60) | json_values.map(lambda each: json.dumps(each).encode()), max_size=5))
    def test_frames(self, frames: list[bytes]) -> None:
        """Good frames of nonsense do no harm, before hello and after it."""
        for peer in (self.harness.dial(), self.harness.connect("admin")):
            for frame in frames:
                peer.send_frame(frame)
            self.unharmed(peer)

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(damaged(), min_size=1, max_size=5), st.sampled_from(["crawler", "webapp", "monitor", "admin"]))
    def test_damaged_messages(self, frames: list[bytes], role: str) -> None:
        """Nearly good messages of every type do no harm, whoever sends them."""
        peer = self.harness.connect(role)
        for frame in frames:
            peer.send_frame(frame)
        self.unharmed(peer)

    def test_every_example_from_every_role(self) -> None:
        """Every example of every schema, from every role, is answered or refused with a typed error."""
        for role in ("crawler", "webapp", "monitor", "admin"):
            for example in EXAMPLES:
                if example["type"] == "hello":
                    continue
                peer = self.harness.connect(role)
                peer.send_frame(json.dumps({**example, **({"id": 9} if "id" in example else {})}).encode())
                if "id" in example and "re" not in example:
                    answers = [reply for reply in peer.replies if 9 in reply.answers()]
                    waits = example["type"] == "crawler_command"
                    self.assertEqual(len(answers), 1, f"{role}: {example}") if not waits else None
                self.unharmed(peer)
