"""Two validators, one verdict; and nothing without a bound."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec
from crawlsock.wire.errors import InvalidMessage
from crawlsock.wire.guard import find_nul
from crawlsock.wire.schema import compile_check, faults
from tests.wire.oracle import oracles

CATALOG = Catalog.load()
ORACLES = oracles()
EXAMPLES = [example for kind in CATALOG.types.values() for example in kind.examples]
Path = tuple[str | int, ...]

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 2**53 - 1, 2**53, 2**63 - 1, 1e19, 1e300,
    "", "x", "x\n", "\n", "X", "é", "a b", "x" * 64, "x" * 65, "x" * 129, "x" * 513, "\x7f", "\t",
    "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11", "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11\n",
    "0D9488C2-7F3E-4A52-9C7E-2B1F0F6F4C11", "２０２６-11-23T10:15:30Z",
    "2026-11-23T10:15:30Z", "2026-11-23T10:15:30Z\n", "2026-02-30T10:15:30Z", "2024-02-29T00:00:00+05:30",
    "2026-02-29T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23 10:15:30Z", "2026-11-23T10:15:30.123456Z",
    [], ["x"], [1], [None], {}, {"x": 1}, {"issues": {}}, {"Issues": {}}, {"issues\n": {}},
    {"issues": {"processed": 1.0}},
]  # fmt: skip


def places(document: Any, path: Path = ()) -> Iterator[Path]:
    """Iterate over the path of everything inside a JSON value."""
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def holder(document: Any, path: Path) -> Any:
    """Return what holds the last step of a path."""
    for step in path[:-1]:
        document = document[step]
    return document


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an example with up to three changes: values replaced, fields removed or added."""
    document: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([place for place in places(document) if place != ("type",)] or [("type",)]))
        if path == ("type",):
            break
        inside = holder(document, path)
        change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
        if change == "replace":
            inside[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif change == "remove":
            del inside[path[-1]]
        elif isinstance(inside, dict):
            name = draw(st.sampled_from(["unknown", "id", "re", "lease", "message"]))
            inside[name] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return document


class VerdictTests(SynchronousTestCase):
    """``jsonschema``, with the files as they are, and the compiled ``jsonschema-rs`` agree."""

    def test_examples(self) -> None:
        """Both find every example of every schema valid."""
        for example in EXAMPLES:
            self.assertTrue(CATALOG.types[example["type"]].is_valid(example), example)
            self.assertTrue(ORACLES[example["type"]].is_valid(example), example)

    @settings(max_examples=1500, deadline=None)
    @given(mutants())
    def test_mutants(self, document: dict[str, Any]) -> None:
        """Both hold the same opinion of examples with up to three faults."""
        name = document["type"]
        self.assertEqual(CATALOG.types[name].is_valid(document), ORACLES[name].is_valid(document), document)

    def test_every_value_everywhere(self) -> None:
        """Both hold the same opinion of every awkward value at every place of a message of each type."""
        for kind in CATALOG.types.values():
            document = copy.deepcopy(kind.examples[-1])
            for path in list(places(document)):
                if path == ("type",):
                    continue
                inside = holder(document, path)
                before = inside[path[-1]]
                for value in VALUES:
                    inside[path[-1]] = value
                    ours = kind.is_valid(document)
                    self.assertEqual(ours, ORACLES[kind.name].is_valid(document), (kind.name, path, value))
                inside[path[-1]] = before

    def test_final_newline(self) -> None:
        """A string that has a pattern is refused by both when a newline follows it."""
        seen = 0
        for kind in CATALOG.types.values():
            for example in kind.examples:
                document = copy.deepcopy(example)
                for path in list(places(document)):
                    inside = holder(document, path)
                    if not isinstance(inside[path[-1]], str) or path == ("type",):
                        continue
                    if "pattern" not in schema_at(kind.resolved, path):
                        continue
                    inside[path[-1]] += "\n"
                    self.assertFalse(kind.is_valid(document), (kind.name, path))
                    self.assertFalse(ORACLES[kind.name].is_valid(document), (kind.name, path))
                    inside[path[-1]] = inside[path[-1]][:-1]
                    seen += 1
        self.assertGreater(seen, 100)

    @settings(max_examples=500, deadline=None)
    @given(mutants())
    def test_decoding_agrees(self, document: dict[str, Any]) -> None:
        """The codec takes a message exactly when the oracle does, apart from what no schema can say."""
        frame = orjson.dumps(document)
        try:
            decoded = CODEC.decode(frame)
        except InvalidMessage as refusal:
            beyond = "out of range" in refusal.message or "nested" in refusal.message
            self.assertTrue(beyond or not ORACLES[document["type"]].is_valid(document), refusal)
        else:
            self.assertTrue(ORACLES[document["type"]].is_valid(document))
            self.assertIsNone(find_nul(decoded.data))


CODEC = Codec(CATALOG)


def schema_at(schema: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the resolved schema of the value at a path, ``{}`` where the schema says nothing."""
    for step in path:
        if isinstance(step, int):
            schema = schema.get("items", {})
        else:
            named = schema.get("patternProperties", {})
            schema = schema.get("properties", {}).get(step) or next(iter(named.values()), {})
    return schema


class BoundTests(SynchronousTestCase):
    """Every known field of every message has a limit."""

    def test_nothing_is_unbounded(self) -> None:
        """The rules of the catalog find no fault in any packaged schema."""
        for kind in CATALOG.types.values():
            self.assertEqual(list(faults(kind.resolved)), [], kind.name)

    def test_the_bounds_bite(self) -> None:
        """A value one beyond its bound is refused at every place where an example has one."""
        refused = 0
        for kind in CATALOG.types.values():
            for example in kind.examples:
                document = copy.deepcopy(example)
                for path in list(places(document)):
                    inside, schema = holder(document, path), schema_at(kind.resolved, path)
                    before = inside[path[-1]]
                    for value in beyond(schema, before):
                        inside[path[-1]] = value
                        self.assertFalse(kind.is_valid(document), (kind.name, path))
                        refused += 1
                    inside[path[-1]] = before
        self.assertGreater(refused, 300)

    def test_the_closed_check_only_adds_unknown_fields(self) -> None:
        """The check that also refuses unknown fields takes every example."""
        for kind in CATALOG.types.values():
            closed = compile_check(kind.resolved, closed=True)
            for example in kind.examples:
                self.assertTrue(closed.is_valid(example), example)


def beyond(schema: dict[str, Any], value: Any) -> Iterator[Any]:
    """Iterate over values just outside the bounds of a resolved schema."""
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield "x" * (schema["minLength"] - 1)
    if "maximum" in schema:
        yield schema["maximum"] + 1
        yield schema["minimum"] - 1
    if "maxItems" in schema and value:
        yield value[:1] * (schema["maxItems"] + 1)
    if "maxProperties" in schema:
        yield {f"k{number}": {} for number in range(schema["maxProperties"] + 1)}
