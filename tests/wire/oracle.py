"""A second opinion on every message: the pure-Python ``jsonschema``, reading the schema files as they are."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator, validators
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from crawlsock.wire.schema import packaged_schemas, read_folder


def python_patterns(schema: Any) -> Any:
    """Say in Python what a schema's patterns say in ECMA-262, where ``$`` is the end of the text.

    Python's ``$`` also matches before a final newline; the schemas mean the other thing.
    """
    if isinstance(schema, list):
        return [python_patterns(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    translated = {key: python_patterns(value) for key, value in schema.items()}
    if isinstance(schema.get("pattern"), str):
        translated["pattern"] = re.sub(r"\$$", r"\\Z", schema["pattern"])
    if "patternProperties" in schema:
        named = translated["patternProperties"].items()
        translated["patternProperties"] = {re.sub(r"\$$", r"\\Z", name): child for name, child in named}
    return translated


def _is_whole(checker: Any, instance: Any) -> bool:
    return isinstance(instance, int) and not isinstance(instance, bool)


Oracle = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole),
)


def oracles() -> dict[str, Any]:
    """Return one validator for each packaged message type; ``$ref`` is followed, not replaced."""
    schemas = python_patterns(read_folder(packaged_schemas()))
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], DRAFT202012.create_resource(schema)) for schema in schemas.values()
    )
    return {name: Oracle(schema, registry=registry) for name, schema in schemas.items() if "x-crawlsock" in schema}
