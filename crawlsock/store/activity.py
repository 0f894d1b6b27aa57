"""Count what happens, minute by minute and account by account, where it passes through the store anyway.

The law of this module: plain additions, no clock and no database. It is in the way of every message and costs a few
tenths of a microsecond; whoever keeps the numbers takes them away every few seconds. They are for charts: what was not
taken when the process dies is lost, and a job whose lease nobody here has seen begin counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from crawlsock.store.listing_values import Minute

MOST_LEASES: Final = 100_000
"""Leases that are remembered; the one given out first goes first. Those that end here go by themselves."""

_COMPLETED, _FAILED, _ITEMS = range(3)


class Activity:
    """Collect the minutes of one store."""

    def __init__(self) -> None:
        # For each lease: the account, and how many items are counted, None as long as nobody knows what came before.
        self._leases: dict[str, list[Any]] = {}
        self._minutes: dict[tuple[int, str], list[int]] = {}

    def given(self, lease: str, account: str, items: int | None) -> None:
        """Learn of a lease. `items` are those that the job had when it was given: 0, or None for nobody knows."""
        leases = self._leases
        if len(leases) >= MOST_LEASES and lease not in leases:
            del leases[next(iter(leases))]
        leases[lease] = [account, items]

    def reported(self, lease: str, entities: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Count the items by which a report is ahead of the last one; `entities` are cumulative."""
        known = self._leases.get(lease)
        if known is None:
            return
        items = 0
        for counts in entities.values():
            items += counts.get("processed", 0) + counts.get("failed", 0)
        before = known[1]
        if before is None:
            known[1] = items
        elif items > before:
            known[1] = items
            self._minute(now, known[0])[_ITEMS] += items - before

    def ended(self, lease: str, state: str | None, entities: Mapping[str, Any] | None, now: float) -> None:
        """Count the end of an attempt: the job, if its `state` is now completed or failed, and the last items."""
        if entities:
            self.reported(lease, entities, now)
        known = self._leases.pop(lease, None)
        if known is not None and state in ("completed", "failed"):
            self._minute(now, known[0])[_COMPLETED if state == "completed" else _FAILED] += 1

    def take(self) -> list[Minute]:
        """Return what was counted since the last time, and begin anew."""
        minutes, self._minutes = self._minutes, {}
        return [
            Minute(datetime.fromtimestamp(number * 60, timezone.utc), account, *counts)
            for (number, account), counts in minutes.items()
        ]

    def put_back(self, minutes: Iterable[Minute]) -> None:
        """Take back what could not be kept."""
        for minute, account, *counts in minutes:
            there = self._minute(minute.timestamp(), account)
            for place, count in enumerate(counts):
                there[place] += count

    def _minute(self, now: float, account: str) -> list[int]:
        key = (int(now // 60), account)
        counts = self._minutes.get(key)
        if counts is None:
            counts = self._minutes[key] = [0, 0, 0]
        return counts
