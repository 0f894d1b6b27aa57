"""Numbers that parts keep about what they do: plain counts, added up where it happens, read when somebody asks.

The law: no clock, no lock, no name of a metric. Adding to a tally costs a few tenths of a microsecond and no memory:
the set of labels is bounded, whatever peers send. What the numbers are called, and who sees them, is
`crawlsock.metrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

OTHER: Final = "other"
"""The label of every job type beyond `MOST_TYPES`."""
MOST_TYPES: Final = 32
OWN_TYPES: Final = ("discover_namespaces", "crawl_group", "crawl_project", "crawl_user")
"""The job types of the crawler that comes along: always under their own labels, from the start."""

WAIT_BOUNDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
RUN_BOUNDS: Final = (0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 86400.0)

OUTCOMES: Final = (
    "completed",
    "failed",
    "retried",
    "cancelled",
    "released",
    "lost",
    "stuck",
    "poisoned",
    "credential",
)


class Histogram:
    """Count observations by upper bound; `counts` has one place more than `bounds`, for what is above all of them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield each bound, infinity last, with how many observations were not above it."""
        so_far = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            yield bound, so_far


class JobTally:
    """How the jobs of one server fared, by job type.

    :ivar waited: seconds that jobs were due before they were assigned, one observation an assignment.
    :ivar ran: seconds from a start to the end of the attempt, whatever the end; attempts never started are not there.
    :ivar ended: attempts that ended, by type and outcome, one of `OUTCOMES`.
    :ivar leases_lost: attempts taken back, by why: ``expired`` (the session's deadline), ``dead`` (its process is gone,
        or another took its place) and ``stuck`` (no progress).
    :ivar submitted: what became of submitted and discovered jobs, by status.
    """

    def __init__(self) -> None:
        self.waited: dict[str, Histogram] = {}
        self.ran: dict[str, Histogram] = {}
        self.ended: dict[str, dict[str, int]] = {}
        self.leases_lost = {"expired": 0, "dead": 0, "stuck": 0}
        self.submitted = {"created": 0, "duplicate": 0, "invalid": 0}
        for type in OWN_TYPES:
            self._begin(type)

    def label(self, type: str) -> str:
        """Return the label for a job type: itself for the first ones seen, `OTHER` for the rest."""
        if type in self.ended:
            return type
        label = type if len(self.ended) < MOST_TYPES else OTHER
        if label not in self.ended:
            self._begin(label)
        return label

    def _begin(self, label: str) -> None:
        self.waited[label] = Histogram(WAIT_BOUNDS)
        self.ran[label] = Histogram(RUN_BOUNDS)
        self.ended[label] = dict.fromkeys(OUTCOMES, 0)

    def came(self, statuses: Iterable[str]) -> None:
        """Count jobs that were submitted or discovered, by what became of them."""
        submitted = self.submitted
        for status in statuses:
            submitted[status] += 1

    def assigned(self, type: str, seconds: float | None) -> None:
        """Count an assignment of a job that had been due for so long; None: nobody knows."""
        if seconds is not None:
            # Clocks of two transactions may differ by less than nothing.
            self.waited[self.label(type)].observe(seconds if seconds > 0 else 0.0)

    def completed(self, type: str, seconds: Iterable[float | None]) -> None:
        """Count jobs of one type that ended well, with how long each ran; None: it was never started."""
        label = self.label(type)
        ended, observe = self.ended[label], self.ran[label].observe
        for each in seconds:
            ended["completed"] += 1
            if each is not None:
                observe(each)

    def over(self, type: str, verb: str, state: str, seconds: float | None) -> None:
        """Count the end of an attempt.

        :param verb: how it ended: ``failed``, ``cancelled``, ``released``, ``lost``, ``stuck``, ``credential``.
        :param state: what the job is now.
        :param seconds: how long it ran; None if it was never started.
        """
        label = self.label(type)
        self.ended[label][_outcome(verb, state)] += 1
        if seconds is not None:
            self.ran[label].observe(seconds)

    def taken_back(self, rows: Iterable[Sequence[Any]] | None, why: str | None = None) -> None:
        """Count what ``crawlsock.take_back`` says: rows that end with state, type, verb and seconds.

        :param why: under which of `leases_lost` they count; None for jobs that were given back in order.
        """
        for *_, state, type, verb, seconds in rows or ():
            self.over(type, verb, state, seconds)
            if why is not None:
                self.leases_lost[why] += 1


def _outcome(verb: str, state: str) -> str:
    if state == "cancelled":
        return state
    if state == "failed":
        return "failed" if verb == "failed" else "poisoned"
    return "retried" if verb == "failed" else verb
