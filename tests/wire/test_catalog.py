"""The catalog: what the schema files say, and which files it refuses."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.wire.catalog import ROLES, Catalog, CatalogError
from crawlsock.wire.errors import ErrorCode, FrameError, InvalidMessage, Refusal
from crawlsock.wire.schema import packaged_schemas, read_folder, shared_definitions

CATALOG = Catalog.load()
JOB = "0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11"
GOOD: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:example:message:job_note",
    "title": "job_note",
    "description": "A note about a job.",
    "x-crawlsock": {
        "from": ["crawler"], "pushed_to": [], "answers": ["ack"], "about_job": "lease", "ordering": "job",
        "cost": 1, "since": 1,
    },
    "type": "object",
    "required": ["type", "id", "job_id", "lease", "data"],
    "properties": {
        "type": {"const": "job_note"},
        "id": {"$ref": "urn:crawlsock:common#/$defs/message_id"},
        "job_id": {"$ref": "urn:crawlsock:common#/$defs/uuid"},
        "lease": {"$ref": "urn:crawlsock:common#/$defs/lease"},
        "data": {
            "type": "object",
            "required": ["note"],
            "properties": {"note": {"type": "string", "maxLength": 100}},
        },
    },
    "examples": [
        {"type": "job_note", "id": 1, "job_id": JOB, "lease": "a", "data": {"note": ""}},
        {"type": "job_note", "id": 2, "job_id": JOB, "lease": "a", "data": {"note": "x"}},
    ],
}  # fmt: skip


class PackagedTests(SynchronousTestCase):
    """The types that ship with crawlsock."""

    def test_two_examples(self) -> None:
        """Every type has two examples or more, all different, and a description."""
        for kind in CATALOG.types.values():
            texts = {json.dumps(example, sort_keys=True) for example in kind.examples}
            self.assertGreaterEqual(len(texts), 2, kind.name)
            self.assertTrue(kind.description.endswith("."), kind.name)

    def test_roles(self) -> None:
        """An admin may send whatever a webapp and a monitor may, and a crawler no control request."""
        self.assertLessEqual(CATALOG.may_send("webapp") | CATALOG.may_send("monitor"), CATALOG.may_send("admin"))
        self.assertEqual(CATALOG.may_send("crawler") & CATALOG.may_send("admin"), {"hello", "ping"})
        about_the_server = {"config_get", "audit_list"}
        self.assertLess(CATALOG.may_send("monitor") - about_the_server, CATALOG.may_send("webapp"))

    def test_answers(self) -> None:
        """Every request has an answer, every reply answers something, and error stands apart."""
        answered = {reply for kind in CATALOG.types.values() for reply in kind.replies}
        for kind in CATALOG.types.values():
            if kind.requests_from:
                self.assertEqual(len(kind.replies), 1, kind.name)
                self.assertFalse(kind.is_reply)
        self.assertEqual({k.name for k in CATALOG.types.values() if k.is_reply} - answered, {"error"})

    def test_leases(self) -> None:
        """Whatever a crawler says about one job carries its lease."""
        for name in CATALOG.may_send("crawler"):
            self.assertIn(CATALOG.types[name].about_job, ("lease", None))

    def test_parameters(self) -> None:
        """A request's parameters are the fields of its data that are not for pushes alone."""
        self.assertEqual(CATALOG.types["job_cancel"].parameters, {"tree", "reason"})
        self.assertIn("deadline", CATALOG.types["job_cancel"].resolved["properties"]["data"]["properties"])
        self.assertEqual(CATALOG.types["job_progress"].required, {"seq", "stage"})
        self.assertEqual(CATALOG.types["ping"].parameters, frozenset())

    def test_error_codes(self) -> None:
        """The schema of error lists exactly the closed list, and every code says what it means."""
        data = CATALOG.types["error"].resolved["properties"]["data"]["properties"]
        self.assertEqual(data["code"]["enum"], [code.value for code in ErrorCode])
        self.assertTrue(all(code.meaning and code.remedy for code in ErrorCode))

    def test_unknown_name(self) -> None:
        """Asking for a type that is not there gives None, and the catalog cannot be changed."""
        self.assertIsNone(CATALOG.get("nothing"))
        with self.assertRaises(TypeError):
            CATALOG.types["x"] = CATALOG.types["ack"]  # type: ignore[index]
        self.assertEqual(set(ROLES), {"crawler", "webapp", "monitor", "admin"})


class PluginTests(SynchronousTestCase):
    """Schemas that third parties bring."""

    def folder(self, **schemas: Any) -> str:
        """Return a folder that holds these schema files."""
        path: str = self.mktemp()
        os.makedirs(path)
        for name, schema in schemas.items():
            with open(os.path.join(path, f"{name}.json"), "w", encoding="utf-8") as file:
                json.dump(schema, file)
        return path

    def changed(self, **paths: Any) -> str:
        """Return a folder with the good schema, changed at paths written as ``a__b``."""
        schema = copy.deepcopy(GOOD)
        for path, value in paths.items():
            *steps, last = path.replace("META", "x-crawlsock").split("__")
            inside = schema
            for step in steps:
                inside = inside[step]
            inside[last] = value
        return self.folder(job_note=schema)

    def test_a_new_type(self) -> None:
        """A folder adds its types, which may use the shared definitions; the catalog before is unchanged."""
        extended = CATALOG.extend(self.folder(job_note=GOOD))
        self.assertIn("job_note", extended.may_send("crawler"))
        self.assertIsNone(CATALOG.get("job_note"))
        self.assertEqual(extended.types["job_note"].parameters, {"note"})
        self.assertEqual(len(Catalog.load(self.folder(job_note=GOOD)).types), len(CATALOG.types) + 1)

    def test_its_own_shared_definitions(self) -> None:
        """A folder may bring shared definitions of its own."""
        shared = {"$id": "urn:example:shared", "$defs": {"note": {"type": "string", "maxLength": 3}}}
        schema = copy.deepcopy(GOOD)
        schema["properties"]["data"]["properties"]["note"] = {"$ref": "urn:example:shared#/$defs/note"}
        kind = CATALOG.extend(self.folder(job_note=schema, shared=shared)).types["job_note"]
        self.assertFalse(kind.is_valid({**kind.examples[0], "data": {"note": "long"}}))

    def test_refused_files(self) -> None:
        """A schema that breaks a rule is refused with a sentence that names the file and the place."""
        note = "properties__data__properties__note"
        cases: dict[str, str] = {
            self.changed(type="objekt"): "no valid JSON Schema",
            self.changed(**{"$schema": "http://json-schema.org/draft-07/schema#"}): "2020-12",
            self.changed(properties__type={"const": "other"}): "/properties/type",
            self.changed(META__from=["robot"]): "roles",
            self.changed(META__answers=["nothing"]): "no known reply",
            self.changed(META__about_job=None): "about_job",
            self.changed(META__about_job="both"): "about_job",
            self.changed(META__ordering="none"): "ordering",
            self.changed(META__cost=0): "cost",
            self.changed(required=["type", "job_id", "lease"]): "must require id",
            self.changed(examples=[]): "examples",
            self.changed(examples=[{"type": "job_note"}] * 2): "examples",
            self.changed(**{note: {"type": "string"}}): "maxLength",
            self.changed(**{note: {"type": "integer", "minimum": 1}}): "maximum",
            self.changed(**{note: {"type": "array", "items": {"type": "boolean"}}}): "maxItems",
            self.changed(**{note: {"type": "object"}}): "needs properties",
            self.changed(**{note: {"type": "object", "x-crawlsock-opaque": True}}): "maxProperties",
            self.changed(**{note: {"type": "object", "properties": {}, "required": ["a"]}}): "no schema",
            self.changed(**{note: {"type": "object", "properties": {}, "additionalProperties": False}}): "ignored",
            self.changed(**{note: {"type": "object", "patternProperties": {"^a$": {"type": "boolean"}}}}): "false",
            self.changed(**{note: {"type": ["string", "null"], "maxLength": 1}}): "type must be one of",
            self.changed(**{note: {"type": "string", "maxLength": 9, "format": "date"}}): "keyword format",
            self.changed(**{note: {"type": "string", "maxLength": 9, "pattern": "a"}}): "anchored",
            self.changed(**{note: {"type": "string", "maxLength": 9, "pattern": "^\\d$"}}): "anchored",
            self.changed(**{note: {"type": "string", "maxLength": 9, "pattern": "^(?=a)$"}}): "anchored",
            self.changed(**{note: {"const": 1}}): "write enum",
            self.changed(**{note: {"$ref": "urn:crawlsock:common#/$defs/nothing"}}): "$ref",
            self.changed(**{note: {"$ref": "urn:crawlsock:common#/$defs/uuid", "maxLength": 1}}): "annotations",
            self.folder(ping=GOOD): "already defined",
            self.folder(job_note=[]): "one JSON object",
            self.folder(): "no *.json",
            "/nonexistent": "cannot be read",
        }
        for folder, word in cases.items():
            with self.assertRaises(CatalogError) as caught:
                CATALOG.extend(folder)
            self.assertIn(word, str(caught.exception))

    def test_a_circle_of_references(self) -> None:
        """Definitions that refer to themselves are refused."""
        shared = {"$id": "urn:example:s", "$defs": {"note": {"$ref": "urn:example:s#/$defs/note"}}}
        schema = copy.deepcopy(GOOD)
        schema["properties"]["data"]["properties"]["note"] = {"$ref": "urn:example:s#/$defs/note"}
        self.assertRaises(CatalogError, CATALOG.extend, self.folder(job_note=schema, shared=shared))

    def test_broken_json(self) -> None:
        """A file that is no JSON is refused by name."""
        folder = self.folder(job_note=GOOD)
        with open(os.path.join(folder, "broken.json"), "w", encoding="utf-8") as file:
            file.write("{")
        with self.assertRaisesRegex(CatalogError, "broken.json"):
            CATALOG.extend(folder)

    def test_shared_definitions_are_found_by_reference(self) -> None:
        """Definitions are known by the address that a $ref gives."""
        definitions = shared_definitions(read_folder(packaged_schemas()))
        self.assertIn("urn:crawlsock:common#/$defs/uuid", definitions)


class RefusalTests(SynchronousTestCase):
    """The exceptions that carry error codes."""

    def test_to_and_from_the_wire(self) -> None:
        """A refusal becomes the data of an error and comes back the same."""
        refusal = Refusal("unavailable", "the database is away", retry_after=2.0)
        self.assertEqual(refusal.data(), {"code": "unavailable", "message": "the database is away", "retry_after": 2.0})
        again = Refusal.from_data(refusal.data())
        self.assertEqual((again.code, again.message, again.retry_after), (refusal.code, refusal.message, 2.0))
        refusal = Refusal(ErrorCode.DUPLICATE, "m" * 5000, "/data", details={"job_id": "x"})
        self.assertEqual(len(refusal.data()["message"]), 4096)
        self.assertEqual(Refusal.from_data(refusal.data()).details, {"job_id": "x"})

    def test_reads_well(self) -> None:
        """Printed, a refusal names its code and place, a frame error its byte."""
        self.assertEqual(str(InvalidMessage("invalid_json", "no", "/a", 3)), "invalid_json at /a: no")
        self.assertIn("byte 7", str(FrameError("broken", 7)))
        self.assertRaises(KeyError, Refusal, "no_such_code", "x")
