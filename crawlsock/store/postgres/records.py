"""Show failures, incidents, the audit, areas and notifications, page by page.

The law of this module: nothing here changes a row. Every page begins at an index that has the order of the list. A
cursor is the last row's place in that order, as JSON in base64; what is not one is refused.
"""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from crawlsock.store.pool import Row
from crawlsock.store.postgres.base import Base, deferred, loads
from crawlsock.store.records_values import (
    AreaFilter,
    AreaPage,
    AreaView,
    AuditEntry,
    AuditFilter,
    AuditPage,
    ErrorDetail,
    ErrorFilter,
    ErrorGroup,
    ErrorPage,
    IncidentPage,
    IncidentView,
    NotificationPage,
    NotificationView,
    Occurrence,
)
from crawlsock.wire.errors import ErrorCode, Refusal

_MOST_AREAS: Final = 20_000
"""Areas that a search looks at for one page."""
_ORDERS: Final = {
    "recent": ("last_seen", "g.last_seen DESC, g.group_id DESC"),
    "frequent": ("count", "g.count DESC, g.group_id DESC"),
}


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError(value)
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(value)
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment


_READERS: Final[Mapping[type, Callable[[Any], Any]]] = {
    str: _text,
    int: _number,
    datetime: _moment,
    uuid.UUID: lambda value: str(uuid.UUID(_text(value))),
}


def _cursor(text: str, *kinds: type) -> list[Any]:
    """Read a cursor that `_place` wrote: one value of each kind."""
    try:
        values = orjson.loads(urlsafe_b64decode(text.encode()))
        if not isinstance(values, list) or len(values) != len(kinds):
            raise ValueError(text)
        return [_READERS[kind](value) for value, kind in zip(values, kinds, strict=True)]
    except (ValueError, TypeError):
        raise Refusal(
            ErrorCode.INVALID_MESSAGE,
            "the cursor is none that was given out: leave it out to start anew",
            "/data/cursor",
        ) from None


def _place(*values: Any) -> str:
    plain = [v.isoformat() if isinstance(v, datetime) else v for v in values]
    return urlsafe_b64encode(orjson.dumps(plain)).decode()


class _Where:
    """Collect conditions, joined by AND, and their parameters."""

    def __init__(self, limit: int) -> None:
        self.conditions = ["true"]
        self.parameters: dict[str, Any] = {"limit": limit + 1}

    def add(self, condition: str, **values: Any) -> None:
        self.conditions.append(condition)
        self.parameters.update(values)

    def equal(self, table: str, **values: Any) -> None:
        for name, value in values.items():
            if value is not None:
                self.add(f"{table}.{name} = %({name})s", **{name: value})

    def among(self, table: str, accounts: frozenset[str] | None) -> None:
        if accounts is not None:
            self.add(f"{table}.account = ANY (%(accounts)s)", accounts=sorted(accounts))

    @property
    def text(self) -> str:
        return " AND ".join(self.conditions)


def _cut(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], bool]:
    """Return the rows of the page, and whether there are more."""
    return rows[:limit], len(rows) > limit


class Records(Base):
    """The part of the store that shows what happened."""

    @deferred
    async def errors(self, filter: ErrorFilter) -> ErrorPage:
        column, order = _ORDERS[filter.sort]
        where = _Where(filter.limit)
        where.equal("g", account=filter.account, error_type=filter.error_type, category=filter.category)
        where.among("g", filter.accounts)
        if filter.cursor is not None:
            place, number = _cursor(filter.cursor, datetime if filter.sort == "recent" else int, int)
            where.add(f"(g.{column}, g.group_id) < (%(place)s, %(after)s)", place=place, after=number)
        found = await self.read("error_groups", where.parameters, conditions=where.text, order=order)
        rows, more = _cut(found, filter.limit)
        groups = [ErrorGroup(*row[:12]) for row in rows]
        return ErrorPage(groups, _place(getattr(groups[-1], column), rows[-1][12]) if more else None)

    @deferred
    async def error(
        self,
        fingerprint: str,
        account: str | None = None,
        *,
        accounts: frozenset[str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ErrorDetail:
        where = _Where(0)
        where.equal("g", fingerprint=fingerprint, account=account)
        where.among("g", accounts)
        found = await self.read("error_groups", where.parameters, conditions=where.text, order=_ORDERS["recent"][1])
        if not found:
            raise unknown_error(fingerprint)
        group = ErrorGroup(*found[0][:12])
        where = _Where(limit)
        if cursor is not None:
            at, error_id = _cursor(cursor, datetime, int)
            where.add("(e.at, e.error_id) < (%(place)s, %(after)s)", place=at, after=error_id)
        parameters = {**where.parameters, "account": group.account, "fingerprint": fingerprint}
        rows, more = _cut(await self.read("error_occurrences", parameters, conditions=where.text), limit)
        return ErrorDetail(
            group,
            [Occurrence(*row[:9]) for row in rows],
            _place(rows[-1][6], rows[-1][9]) if more else None,
        )

    @deferred
    async def incidents(
        self,
        accounts: frozenset[str] | None = None,
        open_only: bool = False,
        limit: int = 50,
        cursor: str | None = None,
        account: str | None = None,
    ) -> IncidentPage:
        where = _Where(limit)
        where.equal("i", account=account)
        where.among("i", accounts)
        if open_only:
            where.add("i.closed_at IS NULL")
        if cursor is not None:
            at, last = _cursor(cursor, datetime, uuid.UUID)
            where.add("(i.opened_at, i.incident_id) < (%(place)s, %(after)s::uuid)", place=at, after=last)
        rows, more = _cut(await self.read("incidents", where.parameters, conditions=where.text), limit)
        views = [IncidentView(*row) for row in rows]
        return IncidentPage(views, _place(views[-1].opened_at, views[-1].incident_id) if more else None)

    @deferred
    async def audit_entries(self, filter: AuditFilter) -> AuditPage:
        where = _Where(filter.limit)
        where.equal("a", actor=filter.actor, action=filter.action, target=filter.target)
        if filter.cursor is not None:
            where.add("a.audit_id < %(place)s", place=_cursor(filter.cursor, int)[0])
        rows, more = _cut(await self.read("audits", where.parameters, conditions=where.text), filter.limit)
        entries = [_entry(row) for row in rows]
        return AuditPage(entries, _place(rows[-1][5]) if more else None)

    @deferred
    async def seen_areas(self, filter: AreaFilter) -> AreaPage:
        where = _Where(filter.limit)
        where.equal("a", account=filter.account)
        where.among("a", filter.accounts)
        matches = _Where(filter.limit)
        matches.equal("a", host=filter.host, kind=filter.kind)
        if filter.search is not None:
            matches.add(
                "position(lower(%(search)s) IN lower(concat_ws(' ', a.path, a.name))) > 0", search=filter.search
            )
        if filter.cursor is not None:
            where.add("a.area_id < %(place)s", place=_cursor(filter.cursor, int)[0])
        narrow = len(matches.conditions) > 1
        parameters = {**matches.parameters, **where.parameters, "most": _MOST_AREAS if narrow else filter.limit + 1}
        found = await self.read("areas", parameters, conditions=where.text, matches=matches.text)
        rows, more = _cut([row for row in found if row[2] is not None], filter.limit)
        areas = [AreaView(*row[3:]) for row in rows]
        if more:
            return AreaPage(areas, _place(rows[-1][2]))
        # The end of what was looked at is not the end of the list when as many were looked at as may be.
        looked_at, last = found[0][:2]
        return AreaPage(areas, _place(last) if narrow and looked_at >= _MOST_AREAS else None)

    @deferred
    async def notifications(
        self, accounts: frozenset[str] | None = None, limit: int = 50, cursor: str | None = None
    ) -> NotificationPage:
        where = _Where(limit)
        where.among("n", accounts)
        if cursor is not None:
            at, last = _cursor(cursor, datetime, uuid.UUID)
            where.add("(n.created_at, n.notification_id) < (%(place)s, %(after)s::uuid)", place=at, after=last)
        rows, more = _cut(await self.read("notifications", where.parameters, conditions=where.text), limit)
        views = [NotificationView(*row) for row in rows]
        return NotificationPage(views, _place(views[-1].created_at, views[-1].notification_id) if more else None)


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(row[0], row[1], row[2], row[3], None if row[4] is None else loads(row[4]))


def unknown_error(fingerprint: str) -> Refusal:
    """Return the refusal of a fingerprint that no group has."""
    return Refusal(ErrorCode.UNKNOWN_ERROR, f"there is no group of errors {fingerprint[:64]}", "/data/fingerprint")
