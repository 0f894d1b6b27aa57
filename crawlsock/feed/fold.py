"""Collect events until they may be shown: of each job, in one delivery, only its last progress.

The law: order and position. What is taken at once holds everything up to its position, in the order in which it
happened, without progress that later progress of the same job has replaced. Nothing is shown past something that waits.

It owns no timer; it is told what time it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from crawlsock.feed.sheet import Item


class Fold:
    """What waits to be delivered to one group of viewers.

    :param interval: seconds between two reports of one job's progress, at least.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._number = 0
        # By job for progress, by number for everything else: later progress of a job replaces the earlier, and stands
        # where it happened.
        self._waiting: dict[str | int, Item] = {}
        self._shown: dict[str, float] = {}
        self.not_before = 0.0
        """When what waits may be shown: no progress sooner than `interval` after that job's last."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, items: Iterable[Item]) -> None:
        """Take events that follow those that wait."""
        waiting = self._waiting
        for item in items:
            job = item.progress_of
            if job is None:
                self._number += 1
                waiting[self._number] = item
                continue
            if waiting.pop(job, None) is None:
                shown = self._shown.get(job)
                if shown is not None and shown + self._interval > self.not_before:
                    self.not_before = shown + self._interval
            waiting[job] = item

    def take(self, now: float) -> list[Item]:
        """Hand over what waits, and remember whose progress was shown `now`."""
        items = list(self._waiting.values())
        self._waiting.clear()
        self._number = 0
        self.not_before = 0.0
        shown = self._shown
        for item in items:
            if item.progress_of is not None:
                # Taken out first: the oldest stand first, so that forgetting them needs no search.
                shown.pop(item.progress_of, None)
                shown[item.progress_of] = now
        while shown:
            job = next(iter(shown))
            if shown[job] > now - self._interval:
                break
            del shown[job]
        return items
