"""Reach the database from the store: named queries, functions, and one translation of what can go wrong.

The law of this module: every statement of the store that is not part of a group commit passes through `Base.read` or
`Base.write`, and every failure of the database leaves the store as a `Refusal`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from re import compile as pattern
from typing import Any, Final, TypeVar

import orjson
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from crawlsock.store.database import Database
from crawlsock.store.errors import CommitUnknown, DatabaseAway, Refused, Retryable
from crawlsock.store.pool import Row
from crawlsock.store.queries import load_queries
from crawlsock.wire.errors import ErrorCode, Refusal

T = TypeVar("T")

_UUID: Final = pattern(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_TRIES: Final = 5
COUNT_SECONDS: Final = 60.0
"""How long a count of all jobs may take; what the queries set for themselves is the same."""


def is_uuid(text: str) -> bool:
    """Tell whether the database would take the text as a UUID."""
    return _UUID.match(text) is not None


def may_be_uuid(text: str) -> bool:
    """Tell cheaply whether the text can be a UUID, where a schema has looked already and a mistake costs one item."""
    return len(text) == 36 and text.count("-") == 4


def unknown_job(job_id: str) -> Refusal:
    """Return the refusal of an id that no job has."""
    return Refusal(ErrorCode.UNKNOWN_JOB, f"there is no job {job_id[:64]}", "/job_id")


def dumps(value: Any) -> str:
    """Write a value as the JSON text that a jsonb parameter takes."""
    return orjson.dumps(value).decode()


def loads(text: str | None) -> Any:
    """Read the JSON text of a jsonb column; an absent one is an empty list."""
    return [] if text is None else orjson.loads(text)


class Base:
    """Hold what all parts of the PostgreSQL store share."""

    log = Logger(namespace="crawlsock.store")

    def __init__(self, database: Database) -> None:
        self.database = database
        self.queries = load_queries()

    def read(self, name: str, parameters: Mapping[str, Any] | None = None, **parts: str) -> Deferred[list[Row]]:
        """Run a named query that changes nothing; `parts` fill its {placeholders} with SQL of the store's own."""
        return Deferred.fromCoroutine(self._call(self._text(name, parts), parameters, writes=False))

    def count(self, name: str) -> Deferred[list[Row]]:
        """Run a named query that looks at every job: with many jobs it may take longer than others are given."""
        return Deferred.fromCoroutine(self._call(self.queries[name], None, writes=False, deadline=COUNT_SECONDS))

    def write(self, name: str, parameters: Mapping[str, Any] | None = None) -> Deferred[list[Row]]:
        """Run a named query that changes rows, again if the outcome of the commit was unknown: all are idempotent."""
        return Deferred.fromCoroutine(self._call(self.queries[name], parameters, writes=True))

    def function(self, call: str, *parameters: Any) -> Deferred[list[Row]]:
        """Call a function of the schema: `call` is its name, or its name with typed placeholders."""
        if "(" not in call:
            call = f"{call}({', '.join(['%s'] * len(parameters))})"
        return Deferred.fromCoroutine(self._call(f"SELECT * FROM crawlsock.{call}", parameters, writes=True))

    def _text(self, name: str, parts: Mapping[str, str]) -> str:
        text = self.queries[name]
        return text.format(**parts) if parts else text

    async def _call(self, sql: str, parameters: Any, *, writes: bool, deadline: float | None = None) -> list[Row]:
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                return await self.database.call(sql, parameters or (), deadline=deadline, writes=writes)
            except Retryable as error:
                if last:
                    raise Refusal(
                        ErrorCode.UNAVAILABLE, f"the database is contended: {error}", retry_after=1.0
                    ) from None
            except CommitUnknown as error:
                if last or self.database.state != "up":
                    raise _away(error) from None
            except DatabaseAway as error:
                raise _away(error) from None
            except Refused as error:
                self.log.error("The database refused a statement: {error}", error=str(error), sql=sql.split("\n", 1)[0])
                raise Refusal(
                    ErrorCode.INTERNAL,
                    "the database refused this request; the failure is in the server's log",
                ) from None
        raise AssertionError("the loop returns or raises")


def _away(error: DatabaseAway) -> Refusal:
    return Refusal(ErrorCode.UNAVAILABLE, f"the database is away: {error.reason}", retry_after=error.retry_after)


def deferred(method: Callable[..., Awaitable[T]]) -> Callable[..., Deferred[T]]:
    """Offer a coroutine method as one that returns a Deferred, which is what the store promises."""

    def call(*args: Any, **kwargs: Any) -> Deferred[T]:
        return Deferred.fromCoroutine(method(*args, **kwargs))  # type: ignore[arg-type]

    call.__name__ = method.__name__
    call.__doc__ = method.__doc__
    return call
