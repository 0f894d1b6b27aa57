"""What is written from the catalog: the tables of the protocol document, and the AsyncAPI document."""

from __future__ import annotations

import contextlib
import copy
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire import reference
from crawlsock.wire.asyncapi import document
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import ErrorCode
from crawlsock.wire.message import Message
from crawlsock.wire.netstring import NetstringParser
from crawlsock.wire.session import ClientSession, ServerSession

HERE = Path(__file__).parent
PROTOCOL = HERE.parents[1] / "docs" / "protocol.md"
CATALOG = Catalog.load()


class ProtocolTests(SynchronousTestCase):
    """docs/protocol.md."""

    def run_main(self, *arguments: str) -> int:
        """Run the command, and keep its words away from the test report."""
        with contextlib.redirect_stderr(io.StringIO()):
            return reference.main(arguments)

    def test_up_to_date(self) -> None:
        """The generated parts of the document equal what the schemas give."""
        self.assertEqual(self.run_main("--check", str(PROTOCOL)), 0)

    def test_complete(self) -> None:
        """Every message type has a section, every error code a row."""
        text = PROTOCOL.read_text(encoding="utf-8")
        for name in CATALOG.types:
            self.assertIn(f"### `{name}`", text)
        for code in ErrorCode:
            self.assertIn(f"| `{code.value}` |", text)

    def test_links_lead_somewhere(self) -> None:
        """Every link inside the document has its target."""
        text = PROTOCOL.read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        anchors |= set(re.findall(r'<a id="(\w+)">', text))
        self.assertEqual(set(re.findall(r"\]\(#([^)]*)\)", text)) - anchors, set())

    def test_rewriting_and_checking(self) -> None:
        """A stale document fails the check, is mended by the command, and then passes."""
        stale = PROTOCOL.read_text(encoding="utf-8").replace("| `lease_lost` |", "| `lease_mislaid` |")
        path = Path(self.mktemp())
        path.write_text(stale, encoding="utf-8")
        self.assertEqual(self.run_main("--check", str(path)), 1)
        self.assertEqual(path.read_text(encoding="utf-8"), stale)
        self.assertEqual(self.run_main(str(path)), 0)
        self.assertEqual(path.read_text(encoding="utf-8"), PROTOCOL.read_text(encoding="utf-8"))

    def test_missing_markers(self) -> None:
        """A document without its markers is refused."""
        self.assertRaises(ValueError, reference.render, "# nothing", CATALOG)

    def test_the_examples_are_frames(self) -> None:
        """Every line of every netstring block is exactly one valid frame, in both directions."""
        lines = list(spoken(PROTOCOL.read_text(encoding="utf-8")))
        self.assertGreater(len(lines), 20)

    def test_the_worked_example_keeps_the_rules(self) -> None:
        """The conversation of the worked example is one that both ends accept."""
        text = PROTOCOL.read_text(encoding="utf-8")
        example = text[text.index("## A whole job") : text.index("## All messages")]
        server, client = ServerSession(CATALOG), ClientSession(CATALOG, "crawler")
        answered: list[int] = []
        asked: list[int | None] = []
        for who, message in spoken(example):
            if who == "C":
                server.received(message)
                if message.re is None:
                    asked.append(message.id)
                    self.assertEqual(client.requests.opened(message.type), message.id)
            else:
                answered.extend(client.received(message))
                if message.type == "welcome":
                    server.welcomed("crawler")
        self.assertEqual(sorted(answered), asked)


def spoken(text: str) -> Iterator[tuple[str, Message]]:
    """Iterate over the frames of all netstring blocks as (speaker, message)."""
    codec = Codec(CATALOG)
    for block in re.findall(r"^```netstring\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            who, frame = line[:1], line[3:].encode()
            parser = NetstringParser(4096)
            parser.feed(frame)
            (payload,) = parser.frames()
            assert parser.buffered == 0, line
            yield who, codec.decode(payload)


class AsyncApiTests(SynchronousTestCase):
    """The AsyncAPI document."""

    def setUp(self) -> None:
        """Load the official schema of AsyncAPI 3.0."""
        schema = orjson.loads((HERE / "data" / "asyncapi-3.0.0.json").read_bytes())
        self.official = jsonschema_rs.Draft7Validator(schema)
        self.document = document()

    def test_valid(self) -> None:
        """The document is valid AsyncAPI 3.0.0 by the official schema."""
        self.official.validate(self.document)

    def test_the_official_schema_bites(self) -> None:
        """The official schema refuses the document with a fault in it."""
        broken = copy.deepcopy(self.document)
        broken["operations"]["receive_ping_from_crawler"]["action"] = "shout"
        self.assertFalse(self.official.is_valid(broken))

    def test_references_resolve(self) -> None:
        """Every reference in the document leads to something in it."""
        count = 0
        for target in references(self.document):
            value: Any = self.document
            for step in target.removeprefix("#/").split("/"):
                value = value[step]
            count += 1
        self.assertGreater(count, 500)

    def test_payloads_keep_their_checks(self) -> None:
        """A payload schema of the document takes every example and refuses what the catalog refuses."""
        components = {"components": self.document["components"]}
        for kind in CATALOG.types.values():
            payload = self.document["components"]["messages"][kind.name]["payload"]
            check = jsonschema_rs.Draft7Validator({**payload, **components})
            for example in kind.examples:
                self.assertTrue(check.is_valid(example), kind.name)
            self.assertFalse(check.is_valid({**kind.examples[0], "type": "other"}), kind.name)
            self.assertFalse(check.is_valid({**kind.examples[0], "timestamp": "now"}), kind.name)

    def test_operations(self) -> None:
        """There is one operation for each role and type, with the replies of the catalog."""
        operation = self.document["operations"]["receive_job_submit_from_webapp"]
        replies = [reply["$ref"].rsplit("/", 1)[1] for reply in operation["reply"]["messages"]]
        self.assertEqual(replies, ["job_submit_response", "error"])
        self.assertEqual(self.document["operations"]["send_job_assignment_to_crawler"]["action"], "send")
        self.assertNotIn("reply", self.document["operations"]["send_job_assignment_to_crawler"])
        wanted = sum(len(kind.requests_from) + len(kind.pushed_to) for kind in CATALOG.types.values())
        self.assertEqual(len(self.document["operations"]), wanted)


def references(value: Any) -> Iterator[str]:
    """Iterate over the targets of all references inside a JSON value."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
