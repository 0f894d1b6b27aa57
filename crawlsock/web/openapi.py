"""The HTTP API as an OpenAPI 3.1 document, for generators, documentation tools and tests.

What lives here: a translation. What must never come here: anything about an operation that its schema file does not
say. The few addresses that are no message are described in `BESIDE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from crawlsock import __version__
from crawlsock.web.problems import STATUS, WEB_CODES
from crawlsock.wire.catalog import Catalog, MessageType
from crawlsock.wire.http import JOB_ID, HttpBinding
from crawlsock.wire.schema import META, OPAQUE, PUSH_ONLY, Schema

PREFIX: Final = "/api/v1"
_PROBLEM_MEDIA: Final = "application/problem+json"
_ANNOTATIONS: Final = frozenset({OPAQUE, PUSH_ONLY, META})


def document(catalog: Catalog | None = None) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a catalog, by default the packaged one."""
    catalog = Catalog.load() if catalog is None else catalog
    kinds = sorted(
        (kind for kind in catalog.types.values() if kind.http is not None),
        key=lambda kind: (kind.http.path, kind.http.method) if kind.http else ("", ""),
    )
    paths: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        binding = kind.http
        assert binding is not None
        paths.setdefault(PREFIX + binding.path, {})[binding.method.lower()] = _operation(catalog, kind, binding)
    for path, methods in BESIDE.items():
        paths.setdefault(PREFIX + path, {}).update(methods)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crawlsock",
            "version": __version__,
            "description": (
                "The messages of the socket, over HTTP. Every operation is one message type and reaches the same "
                "handler; docs/http-api.md has the rules of signing in and of errors."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The server that gave you this document."}],
        "security": [{"token": []}, {"session": []}],
        "tags": [{"name": name} for name in sorted({_tag(path) for path in paths})],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {
                **{
                    reference.rsplit("/", 1)[1]: _translate(definition)
                    for reference, definition in catalog.definitions.items()
                },
                "problem": _PROBLEM,
            },
            "responses": {
                "problem": {
                    "description": "It was not done; `code` says why, and `detail` what to do about it.",
                    "content": {_PROBLEM_MEDIA: {"schema": {"$ref": "#/components/schemas/problem"}}},
                },
                "later": {
                    "description": "Not now: send the same request again after `Retry-After` seconds.",
                    "headers": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}},
                    "content": {_PROBLEM_MEDIA: {"schema": {"$ref": "#/components/schemas/problem"}}},
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the role webapp, monitor or admin.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-crawlsock_session",
                    "description": "The cookie of a browser that is signed in; without TLS it has another name.",
                },
            },
        },
    }


def _tag(path: str) -> str:
    return path.removeprefix(PREFIX).split("/")[1]


def _operation(catalog: Catalog, kind: MessageType, binding: HttpBinding) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": kind.name,
        "summary": kind.description.split(". ")[0].rstrip("."),
        "description": f"{kind.description} Roles: {', '.join(sorted(kind.requests_from - {'crawler'}))}.",
        "tags": [_tag(binding.path)],
        "responses": {**_responses(catalog, kind), **_REFUSALS},
    }
    parameters = list(_parameters(kind, binding))
    if parameters:
        operation["parameters"] = parameters
    if binding.in_body:
        operation["requestBody"] = _body(kind, binding)
    return operation


def _parameters(kind: MessageType, binding: HttpBinding) -> Iterator[dict[str, Any]]:
    for place, names in (("path", binding.in_path), ("query", binding.in_query)):
        for name in names:
            schema = _field(kind, name)
            parameter: dict[str, Any] = {
                "name": name,
                "in": place,
                "required": name in binding.required or place == "path",
                "schema": _translate(schema),
            }
            if "description" in schema:
                parameter["description"] = schema["description"]
            if names[name].get("type") == "array":
                parameter.update(style="form", explode=True)
            yield parameter


def _field(kind: MessageType, name: str) -> Schema:
    """Return the schema of a field as its file has it, with its references."""
    properties = kind.schema["properties"]
    fields = properties.get("data", {}).get("properties", {})
    schema: Schema = fields[name] if name in fields else properties[JOB_ID]
    return schema


def _body(kind: MessageType, binding: HttpBinding) -> dict[str, Any]:
    fields = {name: _translate(_field(kind, name)) for name in sorted(binding.in_body)}
    required = sorted(binding.in_body & binding.required)
    schema: dict[str, Any] = {"type": "object", "properties": fields}
    if required:
        schema["required"] = required
    examples = {
        f"example_{number}": {"value": {name: value for name, value in data.items() if name in binding.in_body}}
        for number, data in enumerate((example.get("data", {}) for example in kind.examples), 1)
    }
    return {
        "required": bool(required),
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _responses(catalog: Catalog, kind: MessageType) -> dict[str, Any]:
    (reply,) = kind.replies
    data = catalog.types[reply].schema["properties"].get("data", {"type": "object"})
    done = {
        "description": catalog.types[reply].description,
        "content": {"application/json": {"schema": _translate(data)}},
    }
    if reply != "ack":
        return {"200": done}
    return {
        "200": {**done, "description": "Done, and durable; there is something to say about it."},
        "204": {"description": "Done, and durable."},
    }


def _translate(schema: Any) -> Any:
    """Point every reference to a shared definition at its copy among the components; drop what is only for us."""
    if isinstance(schema, list):
        return [_translate(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
        return {**rest, "$ref": "#/components/schemas/" + schema["$ref"].rsplit("/", 1)[1]}
    return {key: _translate(value) for key, value in schema.items() if key not in _ANNOTATIONS}


_PROBLEM: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "Problem details, RFC 9457.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:crawlsock:error:[a-z_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "One sentence that a person can act on."},
        "code": {"type": "string", "enum": [*(code.value for code in STATUS), *WEB_CODES]},
        "pointer": {"type": "string", "description": "JSON pointer of the faulty field in the body."},
        "parameter": {"type": "string", "description": "The faulty parameter of the path or the query."},
        "retry_after": {"type": "number", "description": "Seconds after which the same request may succeed."},
    },
}

_REFUSALS: Final[Mapping[str, Any]] = {
    **{
        status: {"$ref": "#/components/responses/problem"}
        for status in ("400", "401", "403", "404", "406", "409", "413", "415", "500")
    },
    **{status: {"$ref": "#/components/responses/later"} for status in ("429", "503")},
}

_EVENT_PARAMETERS: Final = (
    ("job_id", {"$ref": "#/components/schemas/uuid"}, "Only events about this job."),
    ("root_id", {"$ref": "#/components/schemas/uuid"}, "Only events about jobs of this tree."),
    ("account", {"$ref": "#/components/schemas/identity"}, "Only events of this account."),
    ("kinds", {"type": "array", "items": {"type": "string"}}, "Only events of these kinds, separated by commas."),
    ("position", {"type": "string"}, "After this position; without it from now on. `Last-Event-ID` goes before it."),
)

BESIDE: Final[Mapping[str, Mapping[str, Any]]] = {
    "/session": {
        "get": {
            "operationId": "session_get",
            "summary": "Who the server takes the caller for",
            "tags": ["session"],
            "responses": {
                "200": {
                    "description": "Who that is.",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["role", "name", "by", "server"],
                                "properties": {
                                    "role": {"type": "string", "enum": ["webapp", "monitor", "admin"]},
                                    "name": {"type": "string"},
                                    "accounts": {"type": "array", "items": {"type": "string"}},
                                    "by": {"type": "string", "enum": ["cookie", "bearer"]},
                                    "expires_at": {"$ref": "#/components/schemas/timestamp"},
                                    "server": {
                                        "type": "object",
                                        "required": ["name", "version", "server_id"],
                                        "properties": {
                                            "name": {"type": "string"},
                                            "version": {"type": "string"},
                                            "server_id": {"$ref": "#/components/schemas/uuid"},
                                        },
                                    },
                                },
                            }
                        }
                    },
                },
                **_REFUSALS,
            },
        },
        "delete": {
            "operationId": "session_delete",
            "summary": "Sign out",
            "description": "End the session of the cookie. A token is not ended this way; see `token_revoke`.",
            "tags": ["session"],
            "responses": {"204": {"description": "Signed out."}, **_REFUSALS},
        },
    },
    "/events": {
        "get": {
            "operationId": "events",
            "summary": "Everything that happens, as server-sent events",
            "description": (
                "A stream that does not end: `hello` with a position, then `events`, each one delivery with the "
                "position after it as its id; `end` before the server closes."
            ),
            "tags": ["events"],
            "parameters": [
                {
                    "name": name,
                    "in": "query",
                    "required": False,
                    "schema": schema,
                    "description": description,
                    **({"style": "form", "explode": False} if name == "kinds" else {}),
                }
                for name, schema, description in _EVENT_PARAMETERS
            ],
            "responses": {
                "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
                "410": {"$ref": "#/components/responses/problem"},
                **_REFUSALS,
            },
        }
    },
    "/openapi.json": {
        "get": {
            "operationId": "openapi",
            "summary": "This document",
            "tags": ["openapi.json"],
            "responses": {
                "200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}},
                **_REFUSALS,
            },
        }
    },
}
"""What is served below the prefix and is no message."""
