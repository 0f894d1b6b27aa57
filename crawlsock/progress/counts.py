"""Count what crawlers report: merge reports, sum them, turn them into a percentage, find milestones.

The rule that everything here keeps: within an attempt nothing goes back, and nobody says 100 % who may
still find more.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any, Final, NamedTuple

Entities = Mapping[str, Mapping[str, Any]]

MILESTONES: Final = (25, 50, 75, 90, 100)
"""Percentages that are recorded, once a job, when they are first reached."""

ALMOST: Final = 99.0
"""The most that unfinished work shows."""

_MAY_SHRINK: Final = frozenset({"total", "page"})


class Counts(NamedTuple):
    """Hold the sums of a report.

    `known` is the sum of the totals that are known, `done` how much of those totals is processed or failed;
    `open` tells that some entity type has no total.
    """

    processed: int
    failed: int
    known: int
    done: int
    open: bool

    @property
    def total(self) -> int | None:
        """Return the number of items in all, None while some type's is unknown or there are no types."""
        return None if self.open else self.known


def count(entities: Entities) -> Counts:
    """Sum a report over its entity types. A report without types is open: nobody knows what is to come."""
    processed = failed = known = done = 0
    open_types = not entities
    for counts in entities.values():
        get = counts.get
        processed_here = get("processed", 0)
        failed_here = get("failed", 0)
        total = get("total")
        processed += processed_here
        failed += failed_here
        if total is None:
            open_types = True
        else:
            known += total
            done += min(processed_here + failed_here, total)
    return Counts(processed, failed, known, done, open_types)


def merge(before: Entities, after: Entities) -> dict[str, dict[str, Any]]:
    """Merge a later report of the same attempt into an earlier one: counts only grow.

    A ``total`` may be corrected either way, a ``page`` starts again with every collection; everything else
    that is not a number takes the later value. Types and fields that the later report leaves out stay.
    """
    merged = {kind: dict(counts) for kind, counts in before.items()}
    for kind, counts in after.items():
        known = merged.setdefault(kind, {})
        for name, value in counts.items():
            earlier = known.get(name)
            if isinstance(earlier, int) and isinstance(value, int) and name not in _MAY_SHRINK:
                value = max(earlier, value)
            known[name] = value
    return merged


def percent(counts: Counts, stage: str) -> float | None:
    """Return how far a job is, 0 to 100 rounded down to a hundredth; None while no total says what 100
    would be.

    Types without a total count for nothing, but as long as there is one, or the job still discovers, the
    answer stays at 99. A job whose stage is ``completed`` is at 100.
    """
    if stage == "completed":
        return 100.0
    if counts.known <= 0:
        return None
    value = floor(counts.done * 10000 / counts.known) / 100
    if counts.open or stage == "discovering":
        return min(value, ALMOST)
    return value


def milestones_crossed(before: float | None, after: float | None) -> tuple[int, ...]:
    """Return the milestones above `before` that `after` reaches, lowest first."""
    if after is None:
        return ()
    floor_ = -1.0 if before is None else before
    return tuple(mark for mark in MILESTONES if floor_ < mark <= after)
