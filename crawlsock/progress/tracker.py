"""Follow the pace of running jobs, and add to their reports what only a history can tell: rate and time left.

The tracker is a convenience, not a record: it holds a few numbers a live job, may be emptied at any time,
and starts again by itself. What is durable is in the store.
"""

from __future__ import annotations

from math import exp
from typing import Final

from crawlsock.progress.counts import count, percent
from crawlsock.store.values import Progress

_MEMORY: Final = 20.0
"""Seconds after which an old speed weighs a third (the constant of the exponential average)."""

_SHORTEST: Final = 0.2
"""Seconds between samples below which a speed is noise; reports that come faster are taken together."""

_ENOUGH_SAMPLES: Final = 3
_ENOUGH_TIME: Final = 2.0
_LONGEST: Final = 30 * 86400.0


class Pace:
    """Average the speed of one attempt from (moment, items done) samples."""

    __slots__ = ("_at", "_begun", "_items", "_rate", "_samples", "attempt")

    def __init__(self, attempt: int, now: float, items: int) -> None:
        self.attempt = attempt
        self._begun = now
        self._at = now
        self._items = items
        self._rate = 0.0
        self._samples = 0

    def note(self, now: float, items: int) -> None:
        """Take a sample: so many items done in all, `now` in seconds of any clock that does not go back."""
        elapsed = now - self._at
        if elapsed < _SHORTEST:
            return
        speed = max(0, items - self._items) / elapsed
        # The first sample is the average; later ones weigh as much as their share of the memory.
        weight = 1.0 if self._samples == 0 else 1.0 - exp(-elapsed / _MEMORY)
        self._rate += weight * (speed - self._rate)
        self._at = now
        self._items = items
        self._samples += 1

    @property
    def rate(self) -> float | None:
        """Return items a second, None before the second sample."""
        return self._rate if self._samples else None

    def time_left(self, remaining: int | None) -> float | None:
        """Return seconds until `remaining` items are done, None where that would be a guess.

        It needs a known remainder, three samples over two seconds at least, a speed above nothing, and an
        answer of less than thirty days.
        """
        if remaining is None or self._samples < _ENOUGH_SAMPLES or self._at - self._begun < _ENOUGH_TIME:
            return None
        if self._rate <= 0 or remaining > self._rate * _LONGEST:
            return None
        return remaining / self._rate


class ProgressTracker:
    """Keep a `Pace` for each live job, at most `limit` of them: the one unheard of for longest goes first."""

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._paces: dict[str, Pace] = {}

    def __len__(self) -> int:
        return len(self._paces)

    def note(self, job_id: str, attempt: int, progress: Progress, now: float) -> Progress:
        """Return the report with percent, rate and time left added.

        Call it once for a report that will be stored, not for those that a batch folds away: the average
        needs few samples, and this is the hot path. `now` is in seconds of a clock that does not go back.
        """
        counts = count(progress.entities)
        items = counts.processed + counts.failed
        paces = self._paces
        pace = paces.pop(job_id, None)
        if pace is None or pace.attempt != attempt:
            if len(paces) >= self._limit:
                del paces[next(iter(paces))]
            pace = Pace(attempt, now, items)
        else:
            pace.note(now, items)
        # Putting it back at the end keeps the dictionary in the order of the last report.
        paces[job_id] = pace
        stage = progress.stage
        knows_end = not counts.open and stage == "fetching"
        return Progress(
            progress.seq,
            stage,
            progress.entities,
            progress.message,
            progress.resume_state,
            percent(counts, stage),
            pace.rate,
            pace.time_left(counts.known - counts.done if knows_end else None),
        )

    def forget(self, job_id: str) -> None:
        """Drop what is known of a job that is with no crawler any more."""
        self._paces.pop(job_id, None)
