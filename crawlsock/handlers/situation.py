"""Put what is known of a job before the rule that explains it, and the answer into words of the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from crawlsock.jobs.explain import Crawler, Explanation, JobSituation, Pause
from crawlsock.jobs.states import State
from crawlsock.store.listing_values import MOST_AHEAD, Standing
from crawlsock.store.values import rfc3339


def situation(standing: Standing, crawlers: Sequence[Mapping[str, Any]]) -> JobSituation:
    """Return what `crawlsock.jobs.explain` looks at; `crawlers` are the objects of a ``crawler_list_response``."""
    job = standing.job
    error = standing.error or {}
    return JobSituation(
        now=standing.at,
        state=State(job.state),
        type=job.type,
        account=job.account,
        labels=frozenset(job.labels),
        run_at=job.run_at,
        attempt=job.attempt,
        failures=job.failures,
        max_attempts=job.max_attempts,
        losses=job.losses,
        reason=job.reason,
        crawler_id=job.crawler_id,
        cancel_requested=job.cancel_requested,
        pause_requested=job.pause_requested,
        assigned_at=job.assigned_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        ahead=standing.ahead,
        most_ahead=MOST_AHEAD,
        held_by=standing.held_by,
        held_at=standing.held_at,
        credential_reason=standing.account.reason,
        error_type=error.get("error_type"),
        error_message=error.get("message"),
        recoverable=error.get("recoverable", True),
        pauses=[Pause(each.job_type, each.reason, each.actor, each.at) for each in standing.queues],
        crawlers=[_crawler(each) for each in crawlers],
    )


def _crawler(view: Mapping[str, Any]) -> Crawler:
    types = view.get("job_types")
    return Crawler(
        view["crawler_id"],
        view["state"],
        frozenset(view["labels"]),
        None if types is None else frozenset(types),
        view["slots"],
        view["jobs"],
    )


def explained(answer: Explanation) -> dict[str, Any]:
    """Return the data of a ``job_explain_response``."""
    reasons = []
    for reason in answer.reasons:
        shown = attrs.asdict(reason, filter=lambda _, value: value is not None)
        for name in ("since", "until"):
            if name in shown:
                shown[name] = rfc3339(shown[name])
        for name in ("message", "remedy"):
            if name in shown:
                shown[name] = shown[name][:4096]
        reasons.append(shown)
    return {"state": answer.state.value, "runs": answer.runs, "reasons": reasons}
