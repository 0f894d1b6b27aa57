"""Schema files: reading them, resolving what they share, and the rules that every one of them keeps.

What lives here: everything between a folder of JSON files and a compiled check. What must never come here:
any particular message. The rules are those that make a schema mean the same to every validator and leave
nothing unbounded; a schema that breaks one is refused when it is loaded, not when a peer finds out.

Validation on the hot path is compiled from the resolved schema with the integer of JSON Schema draft 4, the
one that refuses ``1.0``: a number that is a float in Python and an integer in the schema would otherwise
reach SQL casts that expect digits. All other keywords in use mean the same in draft 4 and in 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson

if TYPE_CHECKING:
    from importlib.abc import Traversable  # its home moved in 3.11; only the type checker looks here

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Marks an object whose fields the protocol does not know; the codec bounds its size, depth and numbers.
OPAQUE = "x-crawlsock-opaque"
#: Marks a field that only pushes carry, in a type that peers may send as a request, too.
PUSH_ONLY = "x-crawlsock-push-only"
META = "x-crawlsock"

_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$schema", "$id", OPAQUE, PUSH_ONLY, META})
_CHECKS = frozenset(
    {"type", "const", "enum", "oneOf", "properties", "required", "patternProperties"}
    | {"additionalProperties", "maxProperties", "items", "minItems", "maxItems"}
    | {"minLength", "maxLength", "pattern", "minimum", "maximum"}
)
#: What a pattern may not contain, because regular expression engines disagree about it.
_DIALECT = re.compile(r"\\[^x.\\/+*?\[\]()-]|\(\?|\\x(?![0-9a-f]{2})")
_MAX_DEPTH = 12
_MAX_STRING = 65536


class CatalogError(Exception):
    """A schema file cannot be used; the sentence names the file, the place and the remedy."""


def packaged_schemas() -> Traversable:
    """Return the folder of schemas that ships with crawlsock."""
    return files("crawlsock").joinpath("schemas")


def read_folder(folder: Traversable) -> dict[str, Schema]:
    """Read every ``*.json`` of a folder, keyed by stem, in alphabetical order.

    :raises CatalogError: the folder is missing or empty, or a file is no JSON object.
    """
    try:
        entries = [entry for entry in folder.iterdir() if entry.name.endswith(".json")]
    except OSError as error:
        raise CatalogError(f"the schema folder {folder} cannot be read: {error}") from error
    if not entries:
        raise CatalogError(f"the schema folder {folder} holds no *.json file; mend the path, or install again")
    schemas: dict[str, Schema] = {}
    for entry in sorted(entries, key=lambda entry: entry.name):
        try:
            schema = orjson.loads(entry.read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            raise CatalogError(f"{entry.name} cannot be read: {error}") from error
        if not isinstance(schema, dict):
            raise CatalogError(f"{entry.name} must hold one JSON object")
        schemas[entry.name.removesuffix(".json")] = schema
    return schemas


def shared_definitions(schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """Collect the ``$defs`` of the files that are no message, keyed by the ``$ref`` that reaches each."""
    return {
        f"{schema['$id']}#/$defs/{name}": definition
        for schema in schemas.values()
        if META not in schema
        for name, definition in schema.get("$defs", {}).items()
    }


def resolve(schema: Any, definitions: Mapping[str, Schema], trail: tuple[str, ...] = ()) -> Any:
    """Return the schema with every ``$ref`` replaced by its target; annotations beside a ``$ref`` win.

    :raises CatalogError: a target is unknown, refers to itself, or has checks beside its ``$ref``.
    """
    if isinstance(schema, list):
        return [resolve(item, definitions, trail) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if reference is None:
        return {
            key: value if key in ("examples", META, "enum", "const") else resolve(value, definitions, trail)
            for key, value in schema.items()
        }
    if reference not in definitions or reference in trail:
        raise CatalogError(f"$ref {reference!r} must name a definition of a shared file, and never itself")
    beside = schema.keys() - _ANNOTATIONS - {"$ref"}
    if beside:
        raise CatalogError(f"beside $ref {reference!r} only annotations may stand, not {sorted(beside)}")
    target = resolve(definitions[reference], definitions, (*trail, reference))
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def faults(schema: Any, pointer: str = "", depth: int = 0) -> Iterator[str]:
    """Name every place of a resolved schema that is unbounded or that two validators may read differently."""
    if not isinstance(schema, dict):
        yield f"{pointer}: must be an object"
        return
    for keyword in sorted(schema.keys() - _CHECKS - _ANNOTATIONS):
        yield f"{pointer}: the keyword {keyword} is not used in this catalog"
    if depth > _MAX_DEPTH:
        yield f"{pointer}: nested deeper than {_MAX_DEPTH}"
        return
    if "const" in schema:
        if pointer != "/properties/type":
            yield f"{pointer}: const is for /properties/type alone; write enum"
        return
    if "oneOf" in schema:
        for index, choice in enumerate(schema["oneOf"]):
            yield from faults(choice, f"{pointer}/oneOf/{index}", depth)
        return
    kind = schema.get("type")
    check = _BOUNDS.get(kind) if isinstance(kind, str) else None
    if check is None:
        yield f"{pointer}: type must be one of {sorted(_BOUNDS)}"
        return
    yield from check(schema, pointer, depth)


def _string_faults(schema: Schema, pointer: str, depth: int) -> Iterator[str]:
    if "enum" in schema:
        return
    if not 0 <= schema.get("maxLength", -1) <= _MAX_STRING:
        yield f"{pointer}: a string needs maxLength of at most {_MAX_STRING}"
    pattern = schema.get("pattern")
    if pattern is not None and not _portable(pattern):
        yield f"{pointer}: the pattern must be anchored by ^ and $ and use only classes, groups and counts"


def _number_faults(schema: Schema, pointer: str, depth: int) -> Iterator[str]:
    if not {"minimum", "maximum"} <= schema.keys():
        yield f"{pointer}: a number needs minimum and maximum"


def _array_faults(schema: Schema, pointer: str, depth: int) -> Iterator[str]:
    if "maxItems" not in schema or "items" not in schema:
        yield f"{pointer}: an array needs maxItems and items"
    yield from faults(schema.get("items", {"type": "null"}), f"{pointer}/items", depth + 1)


def _object_faults(schema: Schema, pointer: str, depth: int) -> Iterator[str]:
    named = schema.get("patternProperties", {})
    if named and not ("maxProperties" in schema and schema.get("additionalProperties") is False):
        yield f"{pointer}: patternProperties needs maxProperties and additionalProperties false"
    if not named and "additionalProperties" in schema:
        yield f"{pointer}: unknown fields are ignored, so additionalProperties must not be given"
    if schema.get(OPAQUE) and "maxProperties" not in schema:
        yield f"{pointer}: an opaque object needs maxProperties"
    if not named and "properties" not in schema and not schema.get(OPAQUE):
        yield f"{pointer}: an object needs properties, patternProperties or {OPAQUE}"
    for name in sorted(set(schema.get("required", ())) - schema.get("properties", {}).keys()):
        yield f"{pointer}: {name} is required but has no schema"
    for name, child in schema.get("properties", {}).items():
        yield from faults(child, f"{pointer}/properties/{name}", depth + 1)
    for pattern, child in named.items():
        if not _portable(pattern):
            yield f"{pointer}/patternProperties: {pattern} must be anchored by ^ and $"
        yield from faults(child, f"{pointer}/patternProperties/{pattern}", depth + 1)


def _portable(pattern: str) -> bool:
    return pattern.startswith("^") and pattern.endswith("$") and not _DIALECT.search(pattern)


def _no_faults(schema: Schema, pointer: str, depth: int) -> Iterator[str]:
    return iter(())


_BOUNDS = {
    "string": _string_faults,
    "integer": _number_faults,
    "number": _number_faults,
    "array": _array_faults,
    "object": _object_faults,
    "boolean": _no_faults,
}


def compile_check(resolved: Schema, closed: bool = False) -> jsonschema_rs.Draft4Validator:
    """Compile a resolved message schema; its ``is_valid`` decides about a message within a microsecond.

    :param closed: also refuse fields that the schema does not know, everywhere outside opaque objects.
    """
    return jsonschema_rs.Draft4Validator(_checks_only(resolved, closed))


def _checks_only(schema: Schema, closed: bool) -> Schema:
    """Drop annotations, and the ``const`` of ``type``, which choosing this schema has already decided."""
    checks = {key: value for key, value in schema.items() if key in _CHECKS and key != "const"}
    for key in {"properties", "patternProperties"} & checks.keys():
        checks[key] = {name: _checks_only(child, closed) for name, child in checks[key].items()}
    if "items" in checks:
        checks["items"] = _checks_only(checks["items"], closed)
    if "oneOf" in checks:
        checks["oneOf"] = [_checks_only(choice, closed) for choice in checks["oneOf"]]
    if closed and "properties" in checks and not schema.get(OPAQUE):
        checks["additionalProperties"] = False
    return checks
