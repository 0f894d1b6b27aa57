"""What is right is taken: every example of every schema that HTTP reaches gets as far as its handler."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import orjson
from openapi_spec_validator import validate
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.web.openapi import BESIDE, PREFIX, document
from crawlsock.wire.catalog import Catalog, MessageType
from crawlsock.wire.http import WITH_BODY
from tests.web.case import SiteCase

CATALOG = Catalog.load()
BOUND = [kind for kind in CATALOG.types.values() if kind.http is not None]
FROM_A_LIST = "cursor"
"""Examples invent cursors, and a store knows its own."""


def request_of(kind: MessageType, example: dict[str, Any]) -> tuple[str, str, dict[str, Any] | None]:
    """Return method, target and body by which HTTP says a message."""
    binding = kind.http
    assert binding is not None
    fields = {**example.get("data", {}), **({"job_id": example["job_id"]} if "job_id" in example else {})}
    path = binding.path
    for name in binding.in_path:
        path = path.replace(f"{{{name}}}", quote(str(fields.pop(name)), safe=""))
    if binding.method in WITH_BODY:
        return binding.method, PREFIX + path, fields
    pairs = [
        (name, str(each).lower() if isinstance(each, bool) else each)
        for name, value in fields.items()
        for each in (value if isinstance(value, list) else [value])
    ]
    return binding.method, PREFIX + path + ("?" + urlencode(pairs) if pairs else ""), None


class ExampleTests(SiteCase):
    """Every example, over HTTP."""

    async def test_every_example_is_taken(self) -> None:
        """No example is refused for its form; what it names may of course not be there."""
        for kind in BOUND:
            for example in kind.examples:
                if FROM_A_LIST in example.get("data", {}):
                    continue
                method, target, body = request_of(kind, example)
                answer = await self.ask(method, target, json=body)
                where = f"{method} {target} {body}: {answer.text}"
                self.assertNotIn(answer.status, (405, 406, 413, 415, 429), where)
                self.assertLess(answer.status, 504, where)
                if answer.status >= 400:
                    self.assertIn(answer.json()["code"], EXPECTED, where)


EXPECTED = (
    "unknown_job",
    "unknown_account",
    "unknown_crawler",
    "unknown_error",
    "unknown_setting",
    "unknown_token",
    "invalid_state",
    "unavailable",
)
"""Reasons for which a well-formed request may not be done on an empty server."""


class DocumentTests(SynchronousTestCase):
    """The OpenAPI document."""

    def test_it_is_openapi(self) -> None:
        """The document is valid OpenAPI 3.1 and JSON, and every operation has its own id."""
        found = orjson.loads(orjson.dumps(document()))
        validate(found)
        ids = [each["operationId"] for path in found["paths"].values() for each in path.values()]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertLessEqual({kind.name for kind in BOUND}, set(ids))
        self.assertEqual(len(ids), len(BOUND) + sum(len(methods) for methods in BESIDE.values()))

    def test_every_field_is_said(self) -> None:
        """What a message may carry is a parameter or in the body, required where the message requires it."""
        paths = document()["paths"]
        for kind in BOUND:
            binding = kind.http
            assert binding is not None
            operation = paths[PREFIX + binding.path][binding.method.lower()]
            said = {each["name"]: each["required"] for each in operation.get("parameters", ())}
            body = operation.get("requestBody", {"content": {}})["content"].get("application/json", {"schema": {}})
            required = body["schema"].get("required", ())
            said |= {name: name in required for name in body["schema"].get("properties", ())}
            self.assertEqual(set(said) - {"job_id"}, set(kind.parameters) - {"job_id"}, kind.name)
            self.assertEqual({name for name, must in said.items() if must}, set(binding.required), kind.name)

    def test_nothing_of_ours_is_in_it(self) -> None:
        """Marks that only this program reads are left out, and every reference leads somewhere."""
        text = orjson.dumps(document()).decode()
        self.assertNotIn("x-crawlsock", text)
        self.assertNotIn("urn:crawlsock:common", text)
