"""Say how a store in memory is, in the words in which a database does."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from crawlsock.store.vitals import FIRST_IN_LINE, Vitals
from crawlsock.testing.memory_presence import Presence
from crawlsock.testing.memory_rows import World


def vitals(world: World) -> Vitals:
    """Return how it is: always well, but for what its rows say."""
    now = world.now()
    everything = world.pauses.get(None)
    in_line = sorted(
        (world.jobs[job_id] for job_id in world.queued), key=lambda job: (-job.priority, job.run_at, job.number)
    )[:FIRST_IN_LINE]
    due = [] if everything else [job for job in in_line if job.run_at <= now and job.type not in world.pauses]
    return Vitals(
        version="memory",
        schema=0,
        held_back=0.0,
        overdue=(now - due[0].run_at).total_seconds() if due else None,
        paused_by="" if everything is None else everything.actor or "somebody",
        refused=sum(account.refused for account in world.accounts.values()),
        connections=1,
        max_connections=100,
    )


class MemoryVitals(Presence):
    """The part of `MemoryStore` that says how it is."""

    def pulse(self) -> Deferred[None]:
        """Answer."""
        return self._do(lambda world: None)

    def vitals(self) -> Deferred[Vitals]:
        """Say how the store is."""
        return self._do(vitals)
