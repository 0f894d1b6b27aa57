"""What there is to see of a crawl: a job, the tree below it, how far it all is.

Law: rules only. It is handed what the server said, and asks nobody; how it looks is decided in `display`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from crawlsock.cli.exits import Exit

ENDED: Final = frozenset({"completed", "failed", "cancelled"})
HELD: Final = frozenset({"assigned", "running"})

Job = Mapping[str, Any]


@frozen
class Snapshot:
    """A crawl at one moment.

    :ivar job: the top of what is watched.
    :ivar progress: the sums over it and all below it.
    :ivar jobs: jobs of the tree; all of them if `complete`, else those that a crawler has in hand.
    :ivar rate: items a second, as watched.
    """

    job: Job
    progress: Mapping[str, Any]
    jobs: Sequence[Job] = ()
    complete: bool = False
    rate: float | None = None

    @property
    def states(self) -> Mapping[str, int]:
        """How many jobs are in each state, those without any left out."""
        return {state: count for state, count in self.progress.get("jobs", {}).items() if count}

    @property
    def over(self) -> bool:
        """Whether the job and everything below it have ended."""
        return self.job["state"] in ENDED and all(state in ENDED for state in self.states)

    @property
    def result(self) -> Exit:
        """What a command that waited for this ends with: done only when all of it is."""
        bad = self.job["state"] != "completed" or self.states.get("failed") or self.states.get("cancelled")
        return Exit.FAILED if bad else Exit.DONE


@frozen
class TypeCount:
    """How many jobs of one type there are, and how many of them have ended, and how."""

    type: str
    jobs: int
    ended: int
    failed: int


@frozen
class Row:
    """One line of the tree: a job, and the guides in front of it (which ancestors have more to come)."""

    job: Job
    guides: tuple[bool, ...] = field(default=())

    @property
    def active(self) -> bool:
        """Whether a crawler has it in hand, as opposed to standing here for what is below it."""
        return self.job["state"] in HELD


class Pace:
    """Measure items a second over the last seconds, as somebody who looks on sees them.

    The server adds up what jobs say of themselves; a job that begins or ends lets that sum jump.
    """

    def __init__(self, window: float = 8.0) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, now: float, processed: int) -> float | None:
        """Note how many there are `now`; return the rate, or None while there is nothing to tell."""
        seen = self._seen
        if seen and processed < seen[-1][1]:
            seen.clear()
        seen.append((now, processed))
        while len(seen) > 2 and seen[0][0] < now - self._window:
            seen.popleft()
        begin, before = seen[0]
        return (processed - before) / (now - begin) if now > begin and processed > before else None


def by_type(jobs: Iterable[Job]) -> list[TypeCount]:
    """Count jobs by type, in the order in which the types first came up."""
    found: dict[str, list[int]] = {}
    for job in sorted(jobs, key=lambda each: (str(each["created_at"]), str(each["type"]))):
        counts = found.setdefault(job["type"], [0, 0, 0])
        counts[0] += 1
        counts[1] += job["state"] in ENDED
        counts[2] += job["state"] in ("failed", "cancelled")
    return [TypeCount(name, *counts) for name, counts in found.items()]


def branch(jobs: Iterable[Job], top: str) -> list[Job]:
    """Return the jobs that are `top` or below it."""
    everything = list(jobs)
    parents = {job["job_id"]: job.get("parent_id") for job in everything}

    def below(job_id: str | None) -> bool:
        passed = set()
        while job_id is not None and job_id not in passed:
            if job_id == top:
                return True
            passed.add(job_id)
            job_id = parents.get(job_id)
        return False

    return [job for job in everything if below(job["job_id"])]


def rows(jobs: Iterable[Job], most: int) -> tuple[list[Row], int]:
    """Return the tree of the jobs in hand, with the jobs above them, and how many in hand had no room.

    :param most: how many lines there may be. The oldest jobs in hand get them.
    """
    known = {job["job_id"]: job for job in jobs}
    in_hand = sorted(
        (job for job in known.values() if job["state"] in HELD),
        key=lambda job: (str(job.get("started_at") or job.get("assigned_at") or ""), job["job_id"]),
    )
    wanted: dict[str, Job] = {}
    left_out = 0
    for job in in_hand:
        chain = _chain(job, known)
        new = {each["job_id"]: each for each in chain if each["job_id"] not in wanted}
        if len(wanted) + len(new) > most:
            left_out += 1
        else:
            wanted.update(new)
    children: dict[str | None, list[Job]] = {}
    for job in wanted.values():
        parent = job.get("parent_id")
        children.setdefault(parent if parent in wanted else None, []).append(job)
    return list(_walk(children, None, ())), left_out


def _chain(job: Job, known: Mapping[str, Job]) -> list[Job]:
    """Return the job and those above it that are known."""
    chain = [job]
    while (parent := known.get(chain[-1].get("parent_id") or "")) is not None and parent not in chain:
        chain.append(parent)
    return chain


def _walk(children: Mapping[str | None, Sequence[Job]], parent: str | None, guides: tuple[bool, ...]) -> Iterable[Row]:
    siblings = sorted(children.get(parent, ()), key=lambda job: str(job["job_id"]))
    for place, job in enumerate(siblings, 1):
        own = () if parent is None else (*guides, place < len(siblings))
        yield Row(job, own)
        yield from _walk(children, job["job_id"], own)
