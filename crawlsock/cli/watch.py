"""``crawlsock watch``: a crawl until it has ended.

The law: events only wake, the state is read; so a server that restarts, or an event that is lost, changes nothing but
the moment at which the end is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.cli.tree import HELD, Pace, Snapshot, branch

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager, JobView

_LIVE: Final = ("queued", "assigned", "running", "paused", "waiting_credential")
_TICK: Final = 0.25
_LOOK: Final = 0.5
_MOST_COUNTED: Final = 1000
"""Jobs up to which the whole tree is read; of larger ones only what is in hand."""
_PAGE: Final = 500


@click.command(short_help="Watch a crawl until it has ended, and exit with its result.")
@click.argument("job", required=False)
@click.option("--timeout", type=float, metavar="SECONDS", help="Give up after so long, with exit code 6.")
@pass_invocation
def watch(invocation: Invocation, job: str | None, timeout: float | None) -> int:
    """Watch JOB and all below it until it has ended, and exit with its result: 0 when all of it is completed.

    Without JOB: the newest crawl that is under way. A server that restarts meanwhile is waited for.
    """

    async def work(manager: JobManager) -> int:
        return await follow(invocation, manager, job or await _newest(manager), timeout)

    return invocation.ask(work)


async def _newest(manager: JobManager) -> str:
    """Return the top of the tree of the newest job that has not ended."""
    found, _ = await manager.list(states=_LIVE, limit=1)
    if not found:
        raise CommandError(Exit.USAGE, "nothing is under way; name the job to watch (crawlsock jobs lists them)")
    return found[0]["root_id"]


async def follow(
    invocation: Invocation,
    manager: JobManager,
    job_id: str,
    timeout: float | None = None,
    footer: Callable[[], str] = str,
) -> int:
    """Show a job and all below it until all of it has ended; return the exit code.

    :raises CommandError: it had not ended after `timeout` seconds.
    """
    from twisted.internet.defer import Deferred, TimeoutError
    from twisted.internet.task import LoopingCall

    from crawlsock.cli.display import choose

    clock = manager.clock
    display = choose(invocation.as_json, clock.seconds, footer)
    ticking = LoopingCall(lambda: display.tick(manager.connection.connected))
    ticking.clock = clock

    def show(snapshot: Snapshot) -> None:
        display.tick(True)
        display.show(snapshot)

    with display:
        ticks = ticking.start(_TICK, now=False)
        watching = Deferred.fromCoroutine(_until_over(manager, job_id, show))
        if timeout is not None:
            watching.addTimeout(timeout, clock)
        try:
            last = await watching
        except TimeoutError:
            raise CommandError(
                Exit.TIMED_OUT,
                f"job {job_id} has not ended after {timeout:g} seconds; it goes on: crawlsock watch {job_id}",
            ) from None
        finally:
            ticking.stop()
            await ticks
    if last.result is not Exit.DONE:
        raise CommandError(last.result, _what_ended_badly(last))
    return last.result


def _what_ended_badly(last: Snapshot) -> str:
    job_id, state = last.job["job_id"], last.job["state"]
    if state != "completed":
        return f"job {job_id} is {state}; crawlsock show {job_id} tells why"
    bad = next(state for state in ("failed", "cancelled") if last.states.get(state))
    root = last.job.get("root_id", job_id)
    return f"{last.states[bad]} of the jobs below {job_id} {bad}; crawlsock jobs --root {root} --state {bad} lists them"


async def _until_over(manager: JobManager, job_id: str, show: Callable[[Snapshot], None]) -> Snapshot:
    from twisted.internet.task import deferLater

    from crawlsock.sdk import NotAnswered, Refused
    from crawlsock.sdk.requests import NOT_NOW

    pace = Pace()
    while True:
        try:
            snapshot = await look(manager, job_id)
        except NotAnswered:
            # The server is away. The connection comes back by itself; so do we.
            continue
        except Refused as refused:
            if refused.code not in NOT_NOW:
                raise
            continue  # its database is away, and has been for as long as a request waits
        rate = pace.rate(manager.clock.seconds(), snapshot.progress["processed"])
        show(attrs.evolve(snapshot, rate=rate))
        if snapshot.over:
            return snapshot
        await deferLater(manager.clock, _LOOK)


async def look(manager: JobManager, job_id: str) -> Snapshot:
    """Read how a job and the tree below it are now."""
    # The job before the sums: a job that has ended made all its children before, so the sums have them.
    job = await manager.get(job_id)
    progress: Any = await manager.progress(job_id, scope="tree")
    complete = sum(progress.get("jobs", {}).values()) <= _MOST_COUNTED
    found: Sequence[Any] = await _jobs(manager, job.get("root_id", job_id), () if complete else tuple(HELD), complete)
    if job.get("root_id", job_id) != job_id:
        # What is in hand hangs on jobs that are not, and then its place in the tree is unknown.
        found = branch(found, job_id) if complete else []
    return Snapshot(job, progress, found, complete)


async def _jobs(manager: JobManager, root: str, states: Sequence[str], everything: bool) -> list[JobView]:
    found: list[JobView] = []
    cursor: str | None = None
    while True:
        page, cursor = await manager.list(root_id=root, states=states, limit=_PAGE, cursor=cursor)
        found += page
        if cursor is None or not everything:
            return found
