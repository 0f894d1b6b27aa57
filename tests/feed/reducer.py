"""What a viewer knows, from what it was shown: the rules of ``docs/events.md`` in a few lines.

The law: these are the documented rules and nothing else, so that a proof about them is one about any client that keeps
to the page. `view` makes the same of what the API tells, for comparing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

Event = Mapping[str, Any]
Jobs = dict[str, dict[str, Any]]

FACTS: Final = ("type", "account", "root_id", "state", "attempt")
PROGRESS: Final = ("seq", "stage", "entities", "percent", "rate", "time_left", "message")
_HELD: Final = ("assigned", "running")
_COUNTS: Final = {"discovered": 0, "processed": 0, "failed": 0}


def apply(jobs: Jobs, event: Event) -> None:
    """Change what is known of a job as an event says."""
    job_id = event.get("job_id")
    if job_id is None:
        return
    if event["kind"] == "job_snapshot":
        jobs[job_id] = view(event)
        return
    job = jobs.setdefault(job_id, {})
    job.update((name, event[name]) for name in FACTS if name in event)
    if "entities" in event:
        job["progress"] = {name: event[name] for name in PROGRESS if name in event}


def deliver(jobs: Jobs, delivery: Mapping[str, Any]) -> None:
    """Take a delivery: a snapshot takes the place of all that was known."""
    if delivery.get("snapshot"):
        jobs.clear()
    for event in delivery["events"]:
        apply(jobs, event)


def view(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a job from its view, as the API and a snapshot have it."""
    known = {name: job[name] for name in FACTS if name in job}
    if "progress" in job:
        known["progress"] = {name: job["progress"][name] for name in PROGRESS if name in job["progress"]}
    return known


def shown(jobs: Jobs, among: Iterable[str]) -> Jobs:
    """Return what a person is shown of these jobs: rate and time left only while somebody works on them."""
    return {job_id: _shown(jobs[job_id]) for job_id in among if job_id in jobs}


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    progress = dict(job.get("progress", {}))
    if job.get("state") not in _HELD:
        progress.pop("rate", None)
        progress.pop("time_left", None)
    if "entities" in progress:
        progress["entities"] = {kind: {**_COUNTS, **counts} for kind, counts in progress["entities"].items()}
    return {**job, "progress": progress}
