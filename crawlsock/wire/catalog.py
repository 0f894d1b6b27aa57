"""The catalog: every message type there is, read from the schema files.

What lives here: what a schema says about its type, as values. What must never come here: a list of types,
roles or limits of its own. Whoever needs to know something about a message type asks the catalog, so a new
type is a new file and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs
from attrs import field, frozen

from crawlsock.wire.http import HttpBinding, check_distinct, read_binding
from crawlsock.wire.schema import (
    DRAFT,
    META,
    PUSH_ONLY,
    CatalogError,
    Schema,
    compile_check,
    faults,
    packaged_schemas,
    read_folder,
    resolve,
    shared_definitions,
)

ROLES = ("crawler", "webapp", "monitor", "admin")

__all__ = ["ROLES", "Catalog", "CatalogError", "MessageType"]


@frozen(eq=False)
class MessageType:
    """Say everything that is known about one message type.

    :ivar name: the ``type`` on the wire.
    :ivar description: what it says, one or two sentences.
    :ivar requests_from: roles whose peers may send it as a request.
    :ivar pushed_to: roles whose peers the server pushes it to.
    :ivar replies: types that may answer it; ``error`` always may. Empty: it is not answered.
    :ivar about_job: ``"lease"``: the envelope must carry ``job_id`` and ``lease``; ``"job"``: ``job_id``.
    :ivar ordering: ``"connection"``: handled after every earlier request of its peer and before every later
        one; ``"job"``: handled concurrently with its neighbours, where only one job's order counts.
    :ivar cost: how many requests it counts for in the rate limit.
    :ivar since: protocol version that brought it.
    :ivar http: how HTTP reaches it; ``None``: not at all.
    :ivar schema: the schema file as it is.
    :ivar resolved: the same with every ``$ref`` replaced.
    :ivar examples: whole messages.
    :ivar check: the compiled schema.
    """

    name: str
    description: str
    requests_from: frozenset[str]
    pushed_to: frozenset[str]
    replies: tuple[str, ...]
    about_job: str | None
    ordering: str
    cost: int
    since: int
    http: HttpBinding | None
    schema: Schema = field(repr=False)
    resolved: Schema = field(repr=False)
    examples: tuple[dict[str, Any], ...] = field(repr=False)
    check: jsonschema_rs.Draft4Validator = field(repr=False)

    @property
    def is_reply(self) -> bool:
        """Tell whether the type only ever answers another message."""
        return not self.requests_from and not self.pushed_to

    @property
    def is_valid(self) -> Callable[[Any], bool]:
        """Return the compiled verdict on a whole decoded message of this type."""
        return self.check.is_valid

    @property
    def parameters(self) -> frozenset[str]:
        """Return the fields of ``data`` that a request may carry: the keyword parameters of its handler."""
        fields = self.resolved["properties"].get("data", {}).get("properties", {})
        return frozenset(name for name, schema in fields.items() if not schema.get(PUSH_ONLY))

    @property
    def required(self) -> frozenset[str]:
        """Return the fields of ``data`` that are never absent."""
        return frozenset(self.resolved["properties"].get("data", {}).get("required", ()))


class Catalog:
    """Hold every message type by name; never changes once made.

    :ivar types: message types by name.
    :ivar definitions: what the schemas share, by the ``$ref`` that reaches it; unresolved.
    """

    def __init__(self, types: Mapping[str, MessageType], definitions: Mapping[str, Schema]) -> None:
        self.types: Mapping[str, MessageType] = MappingProxyType(dict(types))
        self.definitions: Mapping[str, Schema] = MappingProxyType(dict(definitions))

    @classmethod
    def load(cls, *directories: str | os.PathLike[str]) -> Catalog:
        """Read the schemas that ship with crawlsock, then those of further folders.

        :raises CatalogError: a file breaks JSON Schema or a rule of the catalog, or two define one type.
        """
        catalog = cls({}, {})._with(read_folder(packaged_schemas()))
        for directory in directories:
            catalog = catalog.extend(directory)
        return catalog

    def extend(self, directory: str | os.PathLike[str]) -> Catalog:
        """Return a catalog that also holds the types of a folder; its schemas may refer to ours.

        :raises CatalogError: as for :meth:`load`.
        """
        return self._with(read_folder(Path(directory)))

    def get(self, name: str) -> MessageType | None:
        """Return the type of this name, or ``None``."""
        return self.types.get(name)

    def may_send(self, role: str) -> frozenset[str]:
        """Return the names of the requests that a peer of this role may send."""
        return frozenset(name for name, kind in self.types.items() if role in kind.requests_from)

    def _with(self, schemas: Mapping[str, Schema]) -> Catalog:
        definitions = {**self.definitions, **shared_definitions(schemas)}
        types = dict(self.types)
        for name, schema in schemas.items():
            if META not in schema:
                continue
            if name in types:
                raise CatalogError(f"{name}.json defines a type that is already defined; rename one of them")
            types[name] = _message_type(name, schema, definitions)
        for kind in types.values():
            for reply in kind.replies:
                if reply not in types or not types[reply].is_reply:
                    raise CatalogError(f"{kind.name}.json is answered by {reply!r}, which is no known reply")
        check_distinct(types.values())
        return Catalog(types, definitions)


def _message_type(name: str, schema: Schema, definitions: Mapping[str, Schema]) -> MessageType:
    """Check one schema file against draft 2020-12 and the rules of the catalog, and read what it says."""
    if schema.get("$schema") != DRAFT:
        raise CatalogError(f"{name}.json must declare $schema {DRAFT}")
    try:
        jsonschema_rs.meta.validate(schema)
        resolved = resolve(schema, definitions)
    except jsonschema_rs.ValidationError as error:
        raise CatalogError(f"{name}.json is no valid JSON Schema: {error.message}") from error
    except CatalogError as error:
        raise CatalogError(f"{name}.json: {error}") from None
    fault = next(faults(resolved), None)
    if fault is None and resolved.get("properties", {}).get("type", {}).get("const") != name:
        fault = f"/properties/type: must be the const {name!r}, the name of the file"
    if fault is not None:
        raise CatalogError(f"{name}.json{fault}")
    return _read_meta(name, schema, resolved)


def _read_meta(name: str, schema: Schema, resolved: Schema) -> MessageType:
    meta = schema[META]
    complaint = next((sentence for sentence, holds in _META_RULES.items() if not holds(meta, resolved)), None)
    if complaint is not None:
        raise CatalogError(f"{name}.json/{META}: {complaint}")
    try:
        http = read_binding(meta, resolved)
    except CatalogError as error:
        raise CatalogError(f"{name}.json/{META}: {error}") from None
    kind = MessageType(
        name=name,
        description=schema.get("description", ""),
        requests_from=frozenset(meta["from"]),
        pushed_to=frozenset(meta["pushed_to"]),
        replies=tuple(meta["answers"]),
        about_job=meta["about_job"],
        ordering=meta["ordering"],
        cost=meta["cost"],
        since=meta["since"],
        http=http,
        schema=schema,
        resolved=resolved,
        examples=tuple(schema.get("examples", ())),
        check=compile_check(resolved),
    )
    if len(kind.examples) < 2 or not all(map(kind.is_valid, kind.examples)):
        raise CatalogError(f"{name}.json/examples: two examples or more are needed, and each must be valid")
    return kind


def _roles(value: Any) -> bool:
    return isinstance(value, list) and set(value) <= set(ROLES)


_META_RULES: Mapping[str, Callable[[Schema, Schema], bool]] = MappingProxyType(
    {
        f"from and pushed_to must list roles of {', '.join(ROLES)}": lambda meta, schema: (
            _roles(meta.get("from")) and _roles(meta.get("pushed_to"))
        ),
        "answers must list the types that answer it": lambda meta, schema: isinstance(meta.get("answers"), list),
        "about_job must be lease, job or null": lambda meta, schema: (
            meta.get("about_job", "") in ("lease", "job", None)
        ),
        "ordering must be job or connection": lambda meta, schema: meta.get("ordering") in ("job", "connection"),
        "cost and since must be whole numbers of 1 or more": lambda meta, schema: all(
            type(meta.get(key)) is int and meta[key] >= 1 for key in ("cost", "since")
        ),
        "a request must require id": lambda meta, schema: not meta["from"] or "id" in schema["required"],
        "about_job must agree with the required job_id and lease": lambda meta, schema: (
            (meta["about_job"] is not None) == ("job_id" in schema["required"])
            and (meta["about_job"] == "lease") == ("lease" in schema["required"])
        ),
    }
)
