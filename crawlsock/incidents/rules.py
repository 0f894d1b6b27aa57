"""Decide what is an incident, and when it is over.

The law: what the store saw goes in, findings and endings come out. No clock: the store has counted what is recent by
its own. An incident that goes on is found again with a higher count, or not at all when nothing was added; one that is
not found, and does not go on, is over. Each kind has one function here, and that is all there is to a kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs
from attrs import frozen

from crawlsock.incidents.advice import advice
from crawlsock.incidents.classify import Severity
from crawlsock.masking import mask_patterns
from crawlsock.store.records_values import Finding, OpenIncident, Verdict, Watched

_RANKS: Final = {each.value: rank for rank, each in enumerate(Severity)}
_MOST_NAMES: Final = 5
_MOST_TITLE: Final = 300
_MOST_TEXT: Final = 4000

Key = tuple[str, str, "str | None"]
"""Kind, subject and account: what no two open incidents share."""


@frozen
class Limits:
    """From when on something is an incident, as the settings have it. Durations are seconds."""

    window: float
    threshold: int
    feed_behind: float
    notify_from: str = Severity.WARNING.value


@frozen
class _Case:
    """Something that is so: `opens` whether it is reason enough for a new incident."""

    finding: Finding
    opens: bool = True


def examine(seen: Watched, limits: Limits) -> Verdict:
    """Return what is to be opened or counted up, and what is over.

    Findings that would change nothing are left out.
    """
    known: Mapping[Key, OpenIncident] = {(each.kind, each.subject, each.account): each for each in seen.open}
    findings: list[Finding] = []
    going_on: set[Key] = set()
    for judge in _JUDGES.values():
        for case in judge(seen, limits, known):
            finding = case.finding
            key = (finding.kind, finding.subject, finding.account)
            incident = known.get(key)
            if incident is None and not case.opens:
                continue
            going_on.add(key)
            if incident is None or finding.count > incident.counted:
                findings.append(told(finding, limits.notify_from))
    # A kind that is not ours belongs to a newer server beside this one, and is closed by it.
    over = [
        (each.incident_id, each.counted) for key, each in known.items() if key not in going_on and each.kind in _JUDGES
    ]
    return Verdict(findings, over)


def told(finding: Finding, least: str) -> Finding:
    """Bring a finding into bounds, without secrets; mark it as quiet when it is less than people want to be told of."""
    return attrs.evolve(
        finding,
        title=mask_patterns(finding.title)[:_MOST_TITLE],
        detail=None if finding.detail is None else mask_patterns(finding.detail)[:_MOST_TEXT],
        quiet=_RANKS[finding.severity] < _RANKS[least],
    )


def database_lost(seconds: float) -> Finding:
    """Return what to say about a database that was away and is back."""
    return Finding(
        kind="database_lost",
        severity=Severity.CRITICAL.value,
        title=f"The database was away for {_duration(seconds)}",
        detail="Nothing that was acknowledged is lost. Crawlers worked on and reported when it was back.",
        next_step="Look into the log of PostgreSQL for the reason: a restart, no memory, no disk space, the network.",
        away=seconds,
    )


def _thresholds(seen: Watched, limits: Limits, known: Mapping[Key, OpenIncident]) -> Iterable[_Case]:
    for group in seen.groups:
        incident = known.get(("error_threshold", group.fingerprint, group.account))
        opens = group.recent >= limits.threshold
        # It is over below half of the threshold: a rate that sways around it is one incident, not many.
        if not opens and (incident is None or group.recent < max(1, limits.threshold // 2)):
            continue
        base = group.total - group.recent if incident is None else incident.base
        yield _Case(
            Finding(
                kind="error_threshold",
                subject=group.fingerprint,
                account=group.account,
                fingerprint=group.fingerprint,
                severity=group.severity,
                title=f"{group.title}: {max(1, group.total - base)} times",
                detail=f"The last one: {group.last_message}",
                next_step=advice(group.category, group.error_type).next_step,
                count=max(1, group.total - base),
                base=base,
            ),
            opens,
        )


def _losses(seen: Watched, limits: Limits, known: Mapping[Key, OpenIncident]) -> Iterable[_Case]:
    if not any(loss.recent for loss in seen.losses):
        return
    lost = len(seen.losses)
    names = list(dict.fromkeys(loss.crawler_id for loss in seen.losses))
    named = ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )
    yield _Case(
        Finding(
            kind="crawler_lost",
            severity=Severity.WARNING.value,
            title="A crawler was lost" if lost == 1 else f"{lost} crawlers were lost",
            detail=f"Without a goodbye: {named}. Their jobs went back into the queue.",
            next_step="Look at the crawler's log, and whether the kernel ended it for want of memory (journalctl -k).",
            count=lost,
        )
    )


def _poison(seen: Watched, limits: Limits, known: Mapping[Key, OpenIncident]) -> Iterable[_Case]:
    for parked in seen.poison:
        if not parked.recent:
            continue
        jobs = "A job" if parked.total == 1 else f"{parked.total} jobs"
        yield _Case(
            Finding(
                kind="job_poison",
                subject=parked.type,
                account=parked.account,
                severity=Severity.CRITICAL.value,
                title=f"{jobs} of type {parked.type} took crawlers down",
                detail="Each was given to several crawlers, and none of them came back.",
                next_step="Look at the job's attempts and at the logs of the crawlers that had it; "
                "mend the crawler, then retry.",
                count=parked.total,
            )
        )


def _refused(seen: Watched, limits: Limits, known: Mapping[Key, OpenIncident]) -> Iterable[_Case]:
    for account in seen.refused:
        at = "" if account.host is None else f" at {account.host}"
        yield _Case(
            Finding(
                kind="credential_refused",
                subject=account.account,
                account=account.account,
                severity=Severity.CRITICAL.value,
                title=f"The credential of {account.account}{at} no longer works",
                detail=("A job waits" if account.jobs == 1 else f"{account.jobs} jobs wait")
                + " for another one."
                + (f" {account.reason}" if account.reason else ""),
                next_step="Store a new credential for the account (crawlsock account put); "
                "the jobs then go on by themselves.",
                count=max(1, account.jobs),
            )
        )


def _stalled(seen: Watched, limits: Limits, known: Mapping[Key, OpenIncident]) -> Iterable[_Case]:
    for queue in seen.stalled:
        labels = ", ".join(sorted(queue.labels))
        needs = f" and the labels {labels}" if labels else ""
        yield _Case(
            Finding(
                kind="queue_stalled",
                subject=" ".join((queue.type, *sorted(queue.labels)))[:1024],
                severity=Severity.CRITICAL.value,
                title=f"No crawler takes jobs of type {queue.type}{needs}",
                detail=f"{queue.jobs} are due, one for {_duration(queue.waited)}, "
                "and no crawler is there that may take them.",
                next_step=f"Start a crawler for the type {queue.type}{needs}, or pause the queue.",
                count=queue.jobs,
            )
        )


def _feed(seen: Watched, limits: Limits, known: Mapping[Key, OpenIncident]) -> Iterable[_Case]:
    if seen.feed_age is not None and seen.feed_age > limits.feed_behind:
        yield _Case(
            Finding(
                kind="feed_standing_still",
                severity=Severity.CRITICAL.value,
                title="The feed of events stands still",
                detail=f"It is {_duration(seen.feed_age)} behind: "
                "a transaction is open that began before the next event.",
                next_step="End the oldest transaction in this database; docs/operations.md says how to find it.",
            )
        )


_Judge = Callable[[Watched, Limits, Mapping[Key, OpenIncident]], Iterable[_Case]]
_JUDGES: Final[Mapping[str, _Judge]] = {
    "error_threshold": _thresholds,
    "crawler_lost": _losses,
    "job_poison": _poison,
    "credential_refused": _refused,
    "queue_stalled": _stalled,
    "feed_standing_still": _feed,
}


def _duration(seconds: float) -> str:
    """Write a duration for people, in its largest fitting unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
