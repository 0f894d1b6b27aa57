"""Say how far something is: merging, percent, milestones, pace, time left, sums over many jobs.

Here live rules over numbers that came from crawlers. Here must never come: Twisted, SQL, a clock of its
own; whoever calls says what time it is.
"""

from crawlsock.progress.aggregate import Aggregate, Snapshot, TypeSums, job_view
from crawlsock.progress.counts import MILESTONES, Counts, count, merge, milestones_crossed, percent
from crawlsock.progress.tracker import Pace, ProgressTracker

__all__ = [
    "MILESTONES",
    "Aggregate",
    "Counts",
    "Pace",
    "ProgressTracker",
    "Snapshot",
    "TypeSums",
    "count",
    "job_view",
    "merge",
    "milestones_crossed",
    "percent",
]
