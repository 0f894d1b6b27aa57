"""Show failures, incidents, the audit, areas and notifications, over `World`.

Cursors are plain numbers here: how many rows of the list came before. A list that grows meanwhile shows a row twice,
which a fake may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from crawlsock.jobs import State
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
    Finding,
    IncidentPage,
    NotificationPage,
    NotificationView,
    Occurrence,
    Outgoing,
    Recorded,
    Watched,
)
from crawlsock.testing import memory_incidents
from crawlsock.testing.memory_presence import Presence
from crawlsock.testing.memory_rows import OutboxRow, World
from crawlsock.wire.errors import ErrorCode, Refusal

T = TypeVar("T")


def _page(rows: Sequence[T], limit: int, cursor: str | None) -> tuple[list[T], str | None]:
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise Refusal(
            ErrorCode.INVALID_MESSAGE,
            "the cursor is none that was given out: leave it out to start anew",
            "/data/cursor",
        )
    first = int(cursor or 0)
    return list(rows[first : first + limit]), str(first + limit) if len(rows) > first + limit else None


def _visible(account: str | None, accounts: frozenset[str] | None) -> bool:
    return accounts is None or account in accounts


def _fits(row: Any, **wanted: Any) -> bool:
    return all(value is None or getattr(row, name) == value for name, value in wanted.items())


def _shown(world: World, group: ErrorGroup) -> ErrorGroup:
    failed = sum(
        job.state is State.FAILED
        and job.account == group.account
        and job.reason != "poison"
        and bool(job.errors)
        and job.errors[-1]["fingerprint"] == group.fingerprint
        for job in world.jobs.values()
    )
    return attrs.evolve(group, failed_now=failed)


def errors(world: World, wanted: ErrorFilter) -> ErrorPage:
    """List groups of failures."""

    def place(group: ErrorGroup) -> tuple[Any, str, str]:
        return (group.last_seen if wanted.sort == "recent" else group.count, group.fingerprint, group.account)

    found = [
        group
        for group in world.groups.values()
        if _visible(group.account, wanted.accounts)
        and _fits(group, account=wanted.account, error_type=wanted.error_type, category=wanted.category)
    ]
    found.sort(key=place, reverse=True)
    page, cursor = _page(found, wanted.limit, wanted.cursor)
    return ErrorPage([_shown(world, group) for group in page], cursor)


def error(
    world: World,
    fingerprint: str,
    account: str | None,
    accounts: frozenset[str] | None,
    limit: int,
    cursor: str | None,
) -> ErrorDetail:
    """Show a group with its occurrences."""
    groups = [
        group
        for group in world.groups.values()
        if _visible(group.account, accounts) and _fits(group, fingerprint=fingerprint, account=account)
    ]
    if not groups:
        raise Refusal(ErrorCode.UNKNOWN_ERROR, f"there is no group of errors {fingerprint}", "/data/fingerprint")
    group = max(groups, key=lambda group: (group.last_seen, group.account))
    found = [
        (world.failed_at[job.job_id, each["attempt"]], number, job, each)
        for job in world.jobs.values()
        if job.account == group.account
        for number, each in enumerate(job.errors)
        if each["fingerprint"] == fingerprint
    ]
    found.sort(key=lambda row: row[:2], reverse=True)
    page, following = _page(found, limit, cursor)
    occurrences = [
        Occurrence(
            job.job_id,
            job.type,
            job.state.value,
            each["attempt"],
            each["message"],
            each["recoverable"],
            at,
            job.name,
            job.namespace_path,
        )
        for at, _, job, each in page
    ]
    return ErrorDetail(_shown(world, group), occurrences, following)


def audits(world: World, wanted: AuditFilter) -> AuditPage:
    """List what people did."""
    entries = [AuditEntry(**row) for row in reversed(world.audits)]
    found = [each for each in entries if _fits(each, actor=wanted.actor, action=wanted.action, target=wanted.target)]
    return AuditPage(*_page(found, wanted.limit, wanted.cursor))


def seen_areas(world: World, wanted: AreaFilter) -> AreaPage:
    """List areas."""
    found = [
        view
        for view in _areas(world)
        if _visible(view.account, wanted.accounts)
        and _fits(view, account=wanted.account, host=wanted.host, kind=wanted.kind)
        and (wanted.search or "").casefold() in f"{view.path} {view.name or ''}".casefold()
    ]
    found.sort(key=lambda view: (view.first_seen, view.account, view.host, view.kind, view.entity_id), reverse=True)
    return AreaPage(*_page(found, wanted.limit, wanted.cursor))


def _areas(world: World) -> Iterable[AreaView]:
    for key, area in world.areas.items():
        first, last, job_id = world.areas_seen[key]
        account, host, kind, entity_id = key
        yield AreaView(
            account, host, kind, entity_id, area.path, first, last, area.name, area.parent_path, area.visibility,
            job_id if job_id in world.jobs else None,
        )  # fmt: skip


class Records(Presence):
    """The verbs about records, as callers see them."""

    def errors(self, filter: ErrorFilter) -> Deferred[ErrorPage]:
        """List groups of failures."""
        return self._do(errors, filter)

    def error(
        self,
        fingerprint: str,
        account: str | None = None,
        *,
        accounts: frozenset[str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Deferred[ErrorDetail]:
        """Show a group with its occurrences."""
        return self._do(error, fingerprint, account, accounts, limit, cursor)

    def incidents(
        self,
        accounts: frozenset[str] | None = None,
        open_only: bool = False,
        limit: int = 50,
        cursor: str | None = None,
        account: str | None = None,
    ) -> Deferred[IncidentPage]:
        """List incidents."""

        def listed(world: World) -> IncidentPage:
            found = [
                row.view
                for row in reversed(world.incidents)
                if _visible(row.view.account, accounts)
                and _fits(row.view, account=account)
                and not (open_only and row.view.closed_at is not None)
            ]
            return IncidentPage(*_page(found, limit, cursor))

        return self._do(listed)

    def audit_entries(self, filter: AuditFilter) -> Deferred[AuditPage]:
        """List what people did."""
        return self._do(audits, filter)

    def seen_areas(self, filter: AreaFilter) -> Deferred[AreaPage]:
        """List areas."""
        return self._do(seen_areas, filter)

    def notifications(
        self, accounts: frozenset[str] | None = None, limit: int = 50, cursor: str | None = None
    ) -> Deferred[NotificationPage]:
        """List what people were told."""

        def listed(world: World) -> NotificationPage:
            found = [_notification(row) for row in reversed(world.outbox) if _visible(row.account, accounts)]
            return NotificationPage(*_page(found, limit, cursor))

        return self._do(listed)

    def watch(self, window: float, threshold: int, stalled_after: float) -> Deferred[Watched]:
        """Return what the rules look at."""
        return self._do(memory_incidents.watch, window, threshold, stalled_after)

    def record_incidents(
        self, findings: Sequence[Finding], over: Sequence[tuple[str, int]], channels: Sequence[str], cool_down: float
    ) -> Deferred[Recorded]:
        """Open, count up and close incidents."""
        return self._do(memory_incidents.record, findings, over, channels, cool_down)

    def test_notification(self, channels: Sequence[str], actor: str) -> Deferred[list[tuple[str, str]]]:
        """Put a test into the outbox."""
        return self._do(memory_incidents.test, channels, actor)

    def take_notifications(self, channels: Sequence[str], hold: float, limit: int) -> Deferred[list[Outgoing]]:
        """Give out notifications that are due."""
        return self._do(memory_incidents.take, channels, hold, limit)

    def settle_notification(
        self, notification_id: str, attempt: int, outcome: str, error: str | None, again: float
    ) -> Deferred[None]:
        """Note how a try went."""
        return self._do(memory_incidents.settle, notification_id, attempt, outcome, error, again)


def _notification(row: OutboxRow) -> NotificationView:
    return NotificationView(
        notification_id=row.notification_id,
        channel=row.channel,
        event=row.event,
        title=str(row.content.get("title", row.event)),
        state=row.state,
        attempts=row.attempts,
        created_at=row.created_at,
        account=row.account,
        incident_id=row.content.get("incident_id"),
        due_at=row.due_at if row.state == "waiting" else None,
        ended_at=row.ended_at,
        last_error=row.last_error,
    )
