"""The catalog as an AsyncAPI 3.0 document, for generators and documentation tools.

What lives here: a translation. What must never come here: anything about a message that its schema file does
not say. The document is written from the server's side: it *receives* requests and *sends* pushes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crawlsock import __version__
from crawlsock.wire.catalog import ROLES, Catalog, MessageType
from crawlsock.wire.schema import META


def document(catalog: Catalog | None = None) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of a catalog, by default the packaged one.

    One channel a role, because a connection belongs to one role; one operation a role and message type.
    """
    catalog = Catalog.load() if catalog is None else catalog
    types = catalog.types.values()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "crawlsock",
            "version": __version__,
            "description": (
                "Crawlers and web applications speak with crawlsock over a stream socket. Each frame is a "
                "netstring holding one JSON object; docs/protocol.md has the rules of a session."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "localhost",
                "pathname": "/crawlsock.sock",
                "protocol": "unix",
                "description": "A Unix stream socket; its path is a setting of the server.",
            },
            "remote": {
                "host": "{host}:{port}",
                "protocol": "tls",
                "description": "TLS over TCP, the same protocol.",
                "variables": {"host": {"default": "localhost"}, "port": {"default": "8443"}},
            },
        },
        "channels": {role: _channel(role, types) for role in ROLES},
        "operations": dict(_operations(types)),
        "components": {
            "messages": {kind.name: _message(kind) for kind in types},
            "schemas": {
                reference.rsplit("/", 1)[1]: _translate(definition)
                for reference, definition in catalog.definitions.items()
            },
        },
    }


def _channel(role: str, types: Iterable[MessageType]) -> dict[str, Any]:
    """Describe the connection of one role: every message that may pass on it."""
    names = [kind.name for kind in types if role in kind.requests_from | kind.pushed_to or kind.is_reply]
    return {
        "title": f"Connection of a {role}",
        "address": None,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _operations(types: Iterable[MessageType]) -> Iterable[tuple[str, dict[str, Any]]]:
    for kind in types:
        for role in ROLES:
            if role in kind.requests_from:
                yield f"receive_{kind.name}_from_{role}", _operation("receive", kind, role)
            if role in kind.pushed_to:
                yield f"send_{kind.name}_to_{role}", _operation("send", kind, role)


def _operation(action: str, kind: MessageType, role: str) -> dict[str, Any]:
    channel = f"#/channels/{role}"
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": channel},
        "summary": kind.description,
        "messages": [{"$ref": f"{channel}/messages/{kind.name}"}],
    }
    if kind.replies:
        answers = [{"$ref": f"{channel}/messages/{name}"} for name in (*kind.replies, "error")]
        operation["reply"] = {"channel": {"$ref": channel}, "messages": answers}
    return operation


def _message(kind: MessageType) -> dict[str, Any]:
    """Describe one message type; the payload keeps every check of its schema."""
    field = "re" if kind.is_reply else "id"
    return {
        "name": kind.name,
        "title": kind.name,
        "summary": kind.description,
        "contentType": "application/json",
        "correlationId": {"location": f"$message.payload#/{field}"},
        "payload": _translate({key: value for key, value in kind.schema.items() if key not in _FILE_ONLY}),
        "examples": [{"name": f"example_{i}", "payload": payload} for i, payload in enumerate(kind.examples, 1)],
        META: kind.schema[META],
    }


_FILE_ONLY = frozenset({"$schema", "$id", "title", "description", "examples", META})


def _translate(schema: Any) -> Any:
    """Point every reference to a shared definition at its copy among the components."""
    if isinstance(schema, list):
        return [_translate(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):  # beside a $ref AsyncAPI hears nothing, so the annotations go
        return {"$ref": "#/components/schemas/" + reference.rsplit("/", 1)[1]}
    return {key: _translate(value) for key, value in schema.items()}
