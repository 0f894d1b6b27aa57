"""Words for a refused message: where the fault is, what it is, and what would be right.

What lives here: sentences. What must never come here: a verdict of its own; the compiled schema has refused
already. No value is ever quoted, because a value may be a secret, and everything is bounded, because the
peer chose the names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

import jsonschema_rs

from crawlsock.wire.catalog import MessageType
from crawlsock.wire.schema import Schema

_FAULTS = {
    "type": "has the wrong type",
    "minimum": "is too small",
    "maximum": "is too large",
    "minLength": "is too short",
    "maxLength": "is too long",
    "minItems": "has too few items",
    "maxItems": "has too many items",
    "maxProperties": "has too many fields",
    "pattern": "has a form that is not allowed",
    "enum": "is none of the allowed values",
    "additionalProperties": "has a field name that is not allowed",
}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def explain(kind: MessageType, document: dict[str, Any]) -> tuple[str, str]:
    """Return the JSON pointer of the first fault in a refused message, and a sentence about it."""
    try:
        kind.check.validate(document)
    except jsonschema_rs.ValidationError as error:
        path, places = list(error.instance_path), list(error.schema_path)
    else:  # refused a moment ago: only a document that changed meanwhile gets here
        return "", "the message breaks the schema of its type"
    keyword = str(places[-1])
    schema = follow(kind.resolved, places[:-1])
    if keyword == "required":
        present = follow(document, path)
        missing = next(name for name in schema["required"] if name not in present)
        path.append(missing)
        wanted = describe(schema["properties"][missing])
        return pointer(path), f"{spoken(path)} is missing; it must be {wanted}"
    if "oneOf" in places:
        schema = follow(kind.resolved, places[: places.index("oneOf")])
        keyword = "type"
    if follow(document, path) is None:
        return pointer(path), f"{spoken(path)} is null; leave it out, or send {describe(schema)}"
    return pointer(path), f"{spoken(path)} {_FAULTS[keyword]}; it must be {describe(schema)}"


def follow(value: Any, path: Iterable[str | int]) -> Any:
    """Return what lies at a path inside nested dictionaries and lists."""
    for step in path:
        value = value[step]
    return value


def pointer(path: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path, its names shortened to 64 characters each."""
    return "".join("/" + str(step)[:64].replace("~", "~0").replace("/", "~1") for step in path)


def spoken(path: list[str | int]) -> str:
    """Return a path as a person writes it, e.g. ``data.jobs[3].priority``; odd names become ``?``."""
    words = ""
    for step in path:
        if isinstance(step, int):
            words += f"[{step}]"
        else:
            words += ("." if words else "") + (step if _PLAIN_NAME.match(step) else "?")
    return words or "the message"


def describe(schema: Schema) -> str:
    """Return what a resolved schema asks for, in words without a full stop."""
    if "oneOf" in schema:
        return " or ".join(map(describe, schema["oneOf"]))
    if "const" in schema:
        return f'"{schema["const"]}"'
    if "enum" in schema:
        return "one of " + ", ".join(f'"{value}"' for value in schema["enum"])
    return _DESCRIPTIONS[schema["type"]](schema)


def _describe_string(schema: Schema) -> str:
    low, high = schema.get("minLength", 0), schema["maxLength"]
    words = f"a string of {low} characters" if low == high else f"a string of {low} to {high} characters"
    pattern = schema.get("pattern", "")
    if len(pattern) > 80:
        return "a date and time such as 2026-11-23T10:15:30Z" if "T(" in pattern else words
    return f"{words} matching {pattern}" if pattern else words


_DESCRIPTIONS: dict[str, Callable[[Schema], str]] = {
    "string": _describe_string,
    "integer": lambda schema: f"a whole number from {schema['minimum']} to {schema['maximum']} in digits",
    "number": lambda schema: f"a number from {schema['minimum']} to {schema['maximum']}",
    "boolean": lambda schema: "true or false",
    "array": lambda schema: f"a list of {schema.get('minItems', 0)} to {schema['maxItems']} items",
    "object": lambda schema: (
        "an object"
        + (f" of at most {schema['maxProperties']} fields" if "maxProperties" in schema else "")
        + "".join(f" with names matching {pattern}" for pattern in schema.get("patternProperties", ()))
    ),
}


def unknown_type(name: str, known: Iterable[str]) -> str:
    """Return the sentence about a type that nobody knows, with a suggestion when a known one is close."""
    if not _PLAIN_NAME.match(name):
        return "the type is unknown; a type is lower-case letters, digits and underscores"
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f'the type "{name}" is unknown here' + (f'; did you mean "{close[0]}"?' if close else "")
