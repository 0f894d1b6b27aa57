"""What the server's door checks beyond the schema: unknown fields, opaque objects, NUL.

What lives here: what is done to a request's ``data`` once its schema has found it valid. What must never
come here: anything a schema can say. JSON Schema cannot say "at most 64 KiB encoded" or "8 levels deep", and
PostgreSQL refuses what every JSON parser takes: NUL in text, integers out of range. A row refused there
would cost the whole batch its commit, so it is refused here, with the pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from crawlsock.wire.schema import OPAQUE, Schema

#: Takes a value, and whether the frame is long enough that an opaque object in it might be too large.
Guard = Callable[[Any, bool], None]

MAX_OPAQUE_BYTES = 65536
MAX_OPAQUE_DEPTH = 8
MAX_INTEGER = 2**63 - 1


class GuardError(Exception):
    """Say what is wrong and where; ``path`` grows from the inside outwards as the error rises."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.path: list[str | int] = []


def build_guard(schema: Schema) -> Guard | None:
    """Return the check of every opaque object that a resolved schema allows; ``None`` when it allows none.

    A guard raises :class:`GuardError` for an object out of bounds.
    """
    if schema.get(OPAQUE):
        return check_opaque
    builder = _BUILDERS.get(schema.get("type", ""))
    return None if builder is None else builder(schema)


def _object_guard(schema: Schema) -> Guard | None:
    candidates = ((name, build_guard(child)) for name, child in schema.get("properties", {}).items())
    children = tuple((name, guard) for name, guard in candidates if guard is not None)

    def each(value: dict[str, Any], long: bool) -> None:
        for name, guard in children:
            if name in value:
                try:
                    guard(value[name], long)
                except GuardError as error:
                    error.path.append(name)
                    raise

    return each if children else None


def _array_guard(schema: Schema) -> Guard | None:
    guard = build_guard(schema["items"])
    if guard is None:
        return None

    def each(value: list[Any], long: bool) -> None:
        for index, item in enumerate(value):
            try:
                guard(item, long)
            except GuardError as error:
                error.path.append(index)
                raise

    return each


_BUILDERS: dict[str, Callable[[Schema], Guard | None]] = {"object": _object_guard, "array": _array_guard}


def prune(schema: Schema, value: Any) -> None:
    """Remove, in place, the fields of a valid value that its resolved schema does not know.

    What reaches a handler is then exactly what it declared, whatever a newer client sends along.
    """
    if schema.get(OPAQUE):
        return
    if value.__class__ is list:
        for item in value:
            prune(schema["items"], item)
    elif value.__class__ is dict:
        (child,) = schema.get("patternProperties", {"": None}).values()
        known = schema.get("properties", {})
        for name in list(value):
            if child is not None:
                prune(child, value[name])
            elif name in known:
                prune(known[name], value[name])
            else:
                del value[name]


def check_opaque(value: dict[str, Any], long: bool) -> None:
    """Refuse an object that is too large, too deep, or holds a number PostgreSQL or a peer cannot take.

    :param long: whether its frame exceeds the size limit; when not, neither can the object.
    :raises GuardError: with the path to the fault inside the object.
    """
    if long and len(orjson.dumps(value)) > MAX_OPAQUE_BYTES:
        raise GuardError(f"is too large: it may have at most {MAX_OPAQUE_BYTES} bytes as JSON")
    if _fits(value, MAX_OPAQUE_DEPTH):
        return
    for path, item in walk(value):
        if len(path) > MAX_OPAQUE_DEPTH:
            fault = GuardError(f"is nested too deeply: {MAX_OPAQUE_DEPTH} levels are allowed")
        elif isinstance(item, (int, float)) and not -MAX_INTEGER <= item <= MAX_INTEGER:
            fault = GuardError("is a number out of range: send it as a string")
        else:
            continue
        fault.path = list(reversed(path[: MAX_OPAQUE_DEPTH + 1]))
        raise fault


def _fits(value: Any, depth: int) -> bool:
    """Tell whether numbers and nesting are within bounds: as `walk` would find, faster, without the place."""
    if depth == 0:
        return not value
    for item in value.values() if value.__class__ is dict else value:
        kind = item.__class__
        if kind is str:
            continue
        if kind is int or kind is float:
            if not -MAX_INTEGER <= item <= MAX_INTEGER:
                return False
        elif (kind is dict or kind is list) and not _fits(item, depth - 1):
            return False
    return True


def find_nul(document: Any) -> tuple[str | int, ...] | None:
    """Return the path of the first string, or field name, that holds NUL; ``None`` when there is none."""
    for path, item in walk(document):
        if item.__class__ is str and "\0" in item:
            return path
        if path and path[-1].__class__ is str and "\0" in str(path[-1]):
            return path[:-1]
    return None


def walk(document: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Iterate over everything below a JSON value as (path, value), without recursion."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while pending:
        path, value = pending.pop()
        items: Any = ()
        if value.__class__ is dict:
            items = value.items()
        elif value.__class__ is list:
            items = enumerate(value)
        for key, item in items:
            place = (*path, key)
            yield place, item
            if item.__class__ is dict or item.__class__ is list:
                pending.append((place, item))
