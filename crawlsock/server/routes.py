"""Which handler answers which message, decided once at start.

The law: everything about a message type that can be decided without a message is decided here, so that the router
does nothing per message but look it up. A schema without a handler, a handler without a schema, and a handler whose
parameters are not its schema's fields stop the server with one sentence that names both files.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from attrs import frozen

from crawlsock.interfaces import After, Before, Handler, IMiddleware
from crawlsock.store.values import JobRef
from crawlsock.wire.catalog import Catalog, MessageType
from crawlsock.wire.errors import ErrorCode, Refusal
from crawlsock.wire.message import Message

ROLES = (None, "crawler", "webapp", "monitor", "admin")
"""Everybody who may send something; None is a peer that has not said hello."""


class RouteError(Exception):
    """Schemas and handlers do not fit together; the message is one sentence that names both files."""


@frozen(eq=False)
class Route:
    """What happens to one message type from one role."""

    handler: Handler
    fields: frozenset[str]
    before: tuple[Before, ...]
    after: tuple[After, ...]
    leased: bool
    """The handler's second argument is a `JobRef`."""
    about_job: bool
    """The handler's second argument is a job id, which every message has."""
    maybe_job: bool
    """The handler's second argument is a job id, or None for a message without one."""
    barrier: bool
    """Earlier requests of the connection are finished first, and later ones wait."""


def begin(route: Route, context: Any, message: Message) -> Coroutine[Any, Any, Any]:
    """Run what comes before the handler, and return the handler's coroutine, not started.

    Both doors use this, the socket and HTTP. Raises `Refusal` when the message must not reach its handler.
    """
    for before in route.before:
        before(context, message)
    data = message.data
    if not data.keys() <= route.fields:
        # What only pushes carry means nothing in a request.
        data = {name: value for name, value in data.items() if name in route.fields}
    if route.leased:
        job_id, lease = message.job_id, message.lease
        if job_id is None or lease is None:
            raise _no_job(message)
        return route.handler(context, JobRef(job_id, lease, context.peer.session_id), **data)
    if route.about_job:
        if message.job_id is None:
            raise _no_job(message)
        return route.handler(context, message.job_id, **data)
    if route.maybe_job:
        return route.handler(context, message.job_id, **data)
    return route.handler(context, **data)


def find_handlers(*modules: ModuleType) -> dict[str, Handler]:
    """Return the public coroutine functions that these modules define, by name: the name is the message type."""
    return {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if inspect.iscoroutinefunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }


def requests_of(catalog: Catalog) -> dict[str, MessageType]:
    """Return the message types that somebody may send to a server as a request."""
    return {name: each for name, each in catalog.types.items() if each.requests_from}


def check(catalog: Catalog, handlers: Mapping[str, Handler]) -> None:
    """Hold handlers and schemas against each other; raise `RouteError` for the first that do not fit."""
    requests = requests_of(catalog)
    for name in requests:
        if name not in handlers:
            raise RouteError(
                f"{_schema_file(requests[name])} has no handler: write `async def {name}` in crawlsock/handlers/"
            )
    for name, handler in handlers.items():
        if name not in requests:
            raise RouteError(
                f"{_source_file(handler)} handles {name}, which no schema describes as a request: "
                f"write schemas/{name}.json or remove the handler"
            )
        fault = _parameters_fault(requests[name], handler)
        if fault:
            raise RouteError(
                f"{_source_file(handler)}: {name}() {fault}, unlike its schema {_schema_file(requests[name])}"
            )


def build(
    catalog: Catalog, handlers: Mapping[str, Handler], middleware: Sequence[IMiddleware]
) -> dict[str | None, dict[str, Route]]:
    """Return the routes for each role."""
    check(catalog, handlers)
    requests = requests_of(catalog)
    return {
        role: {name: _route(role, requests[name], handlers[name], middleware) for name in requests} for role in ROLES
    }


def _route(role: str | None, message_type: MessageType, handler: Handler, middleware: Iterable[IMiddleware]) -> Route:
    befores: list[Before] = []
    afters: list[After] = []
    for each in middleware:
        before = each.before(role, message_type)
        after = each.after(role, message_type)
        if before is not None:
            befores.append(before)
        if after is not None:
            # Innermost first on the way out.
            afters.insert(0, after)
    about = message_type.about_job
    return Route(
        handler=handler,
        fields=frozenset(data_fields(message_type)),
        before=tuple(befores),
        after=tuple(afters),
        leased=about == "lease",
        about_job=about == "job",
        maybe_job=about is None and "job_id" in message_type.resolved["properties"],
        barrier=message_type.ordering == "connection",
    )


def data_fields(message_type: MessageType) -> dict[str, bool]:
    """Return the fields of the message's data, and whether each is required."""
    required = message_type.required
    return {name: name in required for name in sorted(message_type.parameters)}


def _parameters_fault(message_type: MessageType, handler: Handler) -> str | None:
    """Say what is wrong with the parameters of a handler, as the second half of a sentence."""
    parameters = list(inspect.signature(handler).parameters.values())
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.POSITIONAL_ONLY)]
    keywords = {each.name: each for each in parameters if each.kind is each.KEYWORD_ONLY}
    expected = ["context", *_second_parameter(message_type)]
    # A parameter that is positional only may have any name: one schema has a field called context.
    fits = len(positional) == len(expected) and all(
        given.kind is given.POSITIONAL_ONLY or given.name == name
        for given, name in zip(positional, expected, strict=True)
    )
    if not fits:
        names = ", ".join(each.name for each in positional)
        return f"takes ({names}) before the keyword parameters instead of ({', '.join(expected)})"
    fields = data_fields(message_type)
    missing = sorted(set(fields) - set(keywords))
    if missing:
        return f"does not take {', '.join(missing)}"
    unknown = sorted(set(keywords) - set(fields))
    if unknown:
        return f"takes {', '.join(unknown)}"
    for name, required in fields.items():
        optional = keywords[name].default is not inspect.Parameter.empty
        if optional and required:
            return f"has a default for {name}, which is required"
        if not optional and not required:
            return f"has no default for {name}, which is optional"
    return None


def _second_parameter(message_type: MessageType) -> list[str]:
    if message_type.about_job == "lease":
        return ["job"]
    return ["job_id"] if "job_id" in message_type.resolved["properties"] else []


def _schema_file(message_type: MessageType) -> str:
    return f"schemas/{message_type.name}.json"


def _source_file(handler: Any) -> str:
    module = inspect.getmodule(handler)
    return f"{(module.__name__ if module else '?').replace('.', '/')}.py"


def _no_job(message: Message) -> Refusal:
    field = "job_id" if message.job_id is None else "lease"
    return Refusal(ErrorCode.INVALID_MESSAGE, f"{message.type} needs {field}", f"/{field}")
