"""From the text of a path and a query to the fields of a message.

The law: text becomes the type that the schema names, or is refused with the name of the parameter; nothing is guessed
and nothing unknown is passed over. Bounds are the schema's own and are checked with the whole message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from crawlsock.web.problems import Problem
from crawlsock.wire.schema import Schema

MOST_PARAMETERS: Final = 100
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}


def parse_query(query: bytes) -> dict[str, list[str]]:
    """Return the values of a query by name, in their order."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=MOST_PARAMETERS,
        )
    except ValueError:
        raise Problem(
            "invalid_parameter",
            f"the query is not at most {MOST_PARAMETERS} pairs of name=value in UTF-8, joined by &",
        ) from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def read_query(query: bytes, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """Return the fields that a query carries; a name that is not among `schemas` is refused."""
    values = parse_query(query)
    unknown = sorted(values.keys() - schemas.keys())
    if unknown:
        shown = ", ".join(name[:64] for name in unknown[:5])
        known = ", ".join(sorted(schemas)) or "none"
        raise Problem(
            "invalid_parameter",
            f"there is no parameter {shown}; known here: {known}",
            extra={"parameter": unknown[0][:64]},
        )
    return {name: read_value(name, given, schemas[name]) for name, given in values.items()}


def read_value(name: str, values: list[str], schema: Schema) -> Any:
    """Return one field from the texts given for it."""
    if schema["type"] == "array":
        items = schema["items"]
        if _may_split(items):
            values = [part for value in values for part in value.split(",")]
        return [_read_scalar(name, value, items) for value in values]
    if len(values) > 1:
        raise Problem("invalid_parameter", f"{name} is given more than once", extra={"parameter": name})
    return _read_scalar(name, values[0], schema)


def _may_split(items: Schema) -> bool:
    """Tell whether a comma can only separate: not where an item may hold one."""
    pattern = items.get("pattern")
    return items["type"] != "string" or "enum" in items or (pattern is not None and not re.match(pattern, "a,b"))


def _read_scalar(name: str, text: str, schema: Schema) -> Any:
    try:
        return _READERS[schema["type"]](text)
    except ValueError as error:
        raise Problem("invalid_parameter", f"{name} {error}", extra={"parameter": name}) from None


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError("must be a whole number in digits")
    return int(text)


def _number(text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("must be a number such as 2.5")
    return float(text)


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError("must be true or false")
    return _BOOLEANS[text]


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "string": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}
