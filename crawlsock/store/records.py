"""Say what a store promises about records: failures, incidents, the audit, areas, the outbox; a part of `IStore`.

Lists come newest first, in pages: `next_cursor` of one page is the `cursor` of the next. A cursor that the store never
gave is ``invalid_message``. `accounts` is what the asking token may see, None for everything; to such a token nothing
of other accounts exists, nor anything that belongs to no account.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import Interface

from crawlsock.store.records_values import (
    AreaFilter,
    AreaPage,
    AuditFilter,
    AuditPage,
    ErrorDetail,
    ErrorFilter,
    ErrorPage,
    Finding,
    IncidentPage,
    NotificationPage,
    Outgoing,
    Recorded,
    Watched,
)


class IRecords(Interface):
    """Show what happened, and keep what people must be told."""

    # -- what is shown

    def errors(filter: ErrorFilter) -> Deferred[ErrorPage]:
        """Return one page of groups of failures, those seen last, or most often, first.

        `crawlsock.store.interface.IStore.fail` puts each failure into the group of its account that
        `crawlsock.incidents.judge` names, in the transaction that records it.
        """

    def error(
        fingerprint: str,
        account: str | None = ...,
        *,
        accounts: frozenset[str] | None = ...,
        limit: int = ...,
        cursor: str | None = ...,
    ) -> Deferred[ErrorDetail]:
        """Return a group with one page of its occurrences, newest first.

        Without `account` it is the group that was seen last among those of all accounts. Errors: ``unknown_error``.
        """

    def incidents(
        accounts: frozenset[str] | None = ...,
        open_only: bool = ...,
        limit: int = ...,
        cursor: str | None = ...,
        account: str | None = ...,
    ) -> Deferred[IncidentPage]:
        """Return one page of incidents, those opened last first."""

    def audit_entries(filter: AuditFilter) -> Deferred[AuditPage]:
        """Return one page of the audit."""

    def seen_areas(filter: AreaFilter) -> Deferred[AreaPage]:
        """Return one page of areas, those first seen last coming first."""

    def notifications(
        accounts: frozenset[str] | None = ..., limit: int = ..., cursor: str | None = ...
    ) -> Deferred[NotificationPage]:
        """Return one page of notifications, sent and not."""

    # -- incidents

    def watch(window: float, threshold: int, stalled_after: float) -> Deferred[Watched]:
        """Return everything that the rules for incidents look at.

        :param window: seconds; what happened earlier counts for nothing.
        :param threshold: failures of one group are counted up to here.
        :param stalled_after: seconds that a due job may wait before it is asked whether anybody may take it.
        """

    def record_incidents(
        findings: Sequence[Finding], over: Sequence[tuple[str, int]], channels: Sequence[str], cool_down: float
    ) -> Deferred[Recorded]:
        """Open, count up and close incidents, and put into the outbox what people must be told.

        One that is open counts up; it is never opened twice, whoever finds it. One in `over` is closed, unless it
        counted up since it was looked at. People are told, by all `channels`, when one opens, when it goes on to count
        up, and when one that they were told about closes; the first two not again within `cool_down` seconds of the
        last time that they were told about this kind, subject and account.
        """

    # -- the outbox

    def test_notification(channels: Sequence[str], actor: str) -> Deferred[list[tuple[str, str]]]:
        """Put a test into the outbox for each channel; return id and channel of each."""

    def take_notifications(channels: Sequence[str], hold: float, limit: int) -> Deferred[list[Outgoing]]:
        """Give this server notifications that are due, for `hold` seconds; nobody else gets them meanwhile."""

    def settle_notification(
        notification_id: str, attempt: int, outcome: str, error: str | None, again: float
    ) -> Deferred[None]:
        """Say how a try went: ``sent``, ``failed`` for good, or ``waiting`` for another one in `again` seconds.

        A try that is no longer the latest changes nothing.
        """
