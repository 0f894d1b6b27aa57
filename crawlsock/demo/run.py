"""The demo from its first process to its last line.

The law: one coroutine tells the story in order, and whatever ends it (success, a child that died, Ctrl-C at any
moment), everything that was started is stopped and everything that was made is removed before `run` returns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import orjson
from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool

from crawlsock.cli.command import Invocation
from crawlsock.cli.exits import Exit
from crawlsock.cli.screen import duration, many, moment, number, print_json
from crawlsock.cli.watch import follow
from crawlsock.demo.fleet import DemoFailed, Fleet
from crawlsock.demo.harvest import Harvest, count
from crawlsock.demo.place import Place
from crawlsock.demo.plan import ACCOUNT, Plan
from crawlsock.sdk import JobManager, NewJob, NotAnswered, NotConnected, Refused

_LOOK: Final = 0.05
_START_PATIENCE: Final = 90.0
_CENSUS: Final = 1.0
_READY_PATIENCE: Final = 30.0


@frozen
class Outcome:
    """What came of a demo; `line` is its JSON object."""

    code: int
    line: Mapping[str, Any]


class Demo:
    """Run one demo. `say` tells the person something."""

    def __init__(self, reactor: Any, plan: Plan, say: Callable[[str], None], as_json: bool = False) -> None:
        self._reactor = reactor
        self._plan = plan
        self._say = say
        self._invocation = Invocation(as_json=as_json)
        self._trouble: DemoFailed | None = None
        self._story: Deferred[Outcome] | None = None
        self._place = Place.make(plan.data_dir, None if plan.postgres == "auto" else plan.postgres)
        self._fleet = Fleet(reactor, plan, self._place, self._fail)
        self._manager: JobManager | None = None
        self._crawlers = 0
        self._refreshes = 0
        self._began = reactor.seconds()

    async def run(self) -> int:
        """Run it; return the exit code. Raises `DemoFailed` when it could not be run to its end."""
        # The second Ctrl-C stops the reactor: that must wait for the children, too, and be quick.
        shutdown = self._reactor.addSystemEventTrigger("before", "shutdown", self._hurry)
        failed = True
        try:
            self._story = Deferred.fromCoroutine(self._tell())
            try:
                outcome = await self._story
            except CancelledError:
                if self._trouble is not None:
                    raise self._trouble from None
                raise
            failed = outcome.code != Exit.DONE
            return outcome.code
        except DemoFailed as error:
            self._explain(error)
            raise
        finally:
            await self._clean_up(failed)
            self._reactor.removeSystemEventTrigger(shutdown)

    def _fail(self, trouble: DemoFailed) -> None:
        self._trouble = self._trouble or trouble
        if self._story is not None:
            self._story.cancel()

    def _hurry(self) -> Deferred[None]:
        self._fleet.kill()
        return self._fleet.stop().addCallback(lambda _: self._remove(False))

    async def _clean_up(self, failed: bool) -> None:
        manager, self._manager = self._manager, None
        if manager is not None:
            await manager.stop()
        await self._fleet.stop()
        self._remove(failed and self._trouble is not None)

    def _remove(self, keep_logs: bool) -> None:
        if self._plan.keep:
            self._say(f"kept {self._place.data}")
            return
        logs = self._place.remove(keep_logs)
        if keep_logs and logs is not None:
            self._say(f"all logs are in {logs}")

    def _explain(self, error: DemoFailed) -> None:
        if error.child is None:
            return
        for line in error.child.last_words():
            self._say(f"  {line}")
        self._say(f"  (the end of {error.child.log})")

    # The story.

    async def _tell(self) -> Outcome:
        plan = self._plan
        self._say(f"starting PostgreSQL, the server, a sample GitLab of {number(plan.projects)} projects")
        described = self._fleet.start_sample()
        self._fleet.start_server()
        manager = self._manager = await self._connect()
        self._fleet.is_ready("server")
        await self._open_the_door(manager)
        sample = _read(await described)
        host, expected = sample["url"], int(sample["items_expected"])
        self._say(f"the server listens on {self._place.socket}; the sample GitLab on {host}")
        pair = sample["oauth"][0]
        await manager.credential_put(ACCOUNT, host, "oauth", pair["access_token"], refresh_token=pair["refresh_token"])
        self._fleet.start_crawlers(host)
        await self._until_crawlers_are_here(manager)
        self._say(f"{plan.crawlers} crawlers are here; crawling {number(expected)} items\n")
        began = self._reactor.seconds()
        progress = await self._crawl(manager, host)
        crawled = self._reactor.seconds() - began
        authority = host.partition("://")[2]
        pool = self._reactor.getThreadPool()
        harvest = await deferToThreadPool(self._reactor, pool, partial(count, self._place.output, ACCOUNT, authority))
        statistics = await self._statistics(host)
        await self._census(manager)
        outcome = self._outcome(progress, harvest, expected, crawled, statistics)
        self._summarise(outcome, harvest, crawled)
        print_json(outcome.line)
        if plan.stay:
            await self._stay(manager)
        return outcome

    async def _connect(self) -> JobManager:
        """Wait for the server's token, then for the server."""
        path = self._place.tokens / "admin"
        until = self._reactor.seconds() + _START_PATIENCE
        while not (path.is_file() and self._place.socket.exists()):
            if self._reactor.seconds() > until:
                raise DemoFailed(f"the server was not ready after {_START_PATIENCE:g} seconds")
            await deferLater(self._reactor, _LOOK)
        manager = JobManager(str(self._place.socket), path.read_text("utf-8").strip(), "admin", self._reactor)
        await manager.start(deadline=_START_PATIENCE)
        return manager

    async def _open_the_door(self, manager: JobManager) -> None:
        """Tell where to look on: a link that signs in."""
        until = self._reactor.seconds() + _READY_PATIENCE
        while True:
            try:
                link = await manager.login()
                break
            except Refused as refused:
                # Its socket may be open a moment before its pages are.
                if refused.code != "invalid_state" or self._reactor.seconds() > until:
                    raise DemoFailed(f"the server gives no link to its dashboard ({refused})") from None
            await deferLater(self._reactor, _LOOK)
        self._say(f"the dashboard, signed in (the link works once, until {moment(link['expires_at'])[-8:]}):")
        self._say(f"  {link['url']}")

    async def _until_crawlers_are_here(self, manager: JobManager) -> None:
        until = self._reactor.seconds() + _READY_PATIENCE
        while len(await manager.crawlers()) < self._plan.crawlers:
            if self._reactor.seconds() > until:
                raise DemoFailed(f"the crawlers were not there after {_READY_PATIENCE:g} seconds")
            await deferLater(self._reactor, _LOOK)
        self._fleet.is_ready()

    async def _crawl(self, manager: JobManager, host: str) -> Mapping[str, Any]:
        """Submit one job for everything and watch until all that follows from it has ended."""
        job = NewJob("discover_namespaces", account=ACCOUNT, host=host, name="everything")
        await manager.submit(job)
        counting = LoopingCall(lambda: Deferred.fromCoroutine(self._census(manager)))
        counting.clock = self._reactor
        counts = counting.start(_CENSUS)
        try:
            await follow(self._invocation, manager, job.job_id, footer=self._footer)
        finally:
            counting.stop()
            await counts
        sums: Mapping[str, Any] = await manager.progress(job.job_id, scope="tree")
        return sums

    async def _census(self, manager: JobManager) -> None:
        """See who is there and how often the token was renewed."""
        try:
            self._crawlers = sum(each["state"] == "connected" for each in await manager.crawlers())
            mine = [each for each in await manager.accounts() if each["account"] == ACCOUNT]
        except (NotAnswered, NotConnected, Refused):
            return  # the server is away; the numbers of before stay
        self._refreshes = mine[0]["generation"] - 1 if mine else 0

    def _footer(self) -> str:
        parts = [many(self._crawlers, "crawler"), many(self._refreshes, "token refresh", "token refreshes")]
        for name in dict.fromkeys(self._fleet.restarts):
            parts.append(f"{name} started again ({self._fleet.restarts.count(name)})")
        return "  ".join(parts)

    async def _statistics(self, host: str) -> Mapping[str, Any]:
        """Ask the sample what it went through."""
        import treq

        response = await treq.get(f"{host}/-/sample/statistics", persistent=False, reactor=self._reactor)
        content: bytes = await treq.content(response)
        return _read(content)

    def _outcome(
        self,
        progress: Mapping[str, Any],
        harvest: Harvest,
        expected: int,
        crawled: float,
        statistics: Mapping[str, Any],
    ) -> Outcome:
        jobs = progress.get("jobs", {})
        faults = statistics.get("faults", {})
        line = {
            "jobs_completed": jobs.get("completed", 0),
            "jobs_failed": jobs.get("failed", 0),
            "items_written": harvest.items,
            "items_expected": expected,
            "seconds": round(self._reactor.seconds() - self._began, 3),
            "crawl_seconds": round(crawled, 3),
            "duplicates": harvest.duplicates,
            "token_refreshes": self._refreshes,
            "requests": statistics.get("total_requests", 0),
            "faults_met": {name: faults[name] for name in sorted(faults)},
            "restarts": len(self._fleet.restarts),
            **({"output": str(self._place.output)} if self._plan.keep or not self._place.ours else {}),
        }
        right = harvest.items == expected and not harvest.duplicates
        ended = all(state == "completed" for state, some in jobs.items() if some)
        return Outcome(Exit.DONE if right and ended else Exit.FAILED, line)

    def _summarise(self, outcome: Outcome, harvest: Harvest, crawled: float) -> None:
        line = outcome.line
        right = line["items_written"] == line["items_expected"]
        mark = "every one of them once"
        if not right or harvest.duplicates:
            expected, twice = number(line["items_expected"]), number(harvest.duplicates)
            mark = f"{expected} were expected, {twice} stand there twice"
        met = ", ".join(f"{times} times {name}" for name, times in line["faults_met"].items()) or "nothing"
        rate = line["items_written"] / crawled if crawled else 0.0
        refreshes = many(line["token_refreshes"], "token refresh", "token refreshes")
        self._say("")
        self._say(f"items     {number(line['items_written'])} written, {mark}")
        self._say(f"jobs      {number(line['jobs_completed'])} completed, {number(line['jobs_failed'])} failed")
        self._say(f"time      {duration(crawled)}, {number(rate)} items a second")
        self._say(f"GitLab    {number(line['requests'])} requests, {refreshes}; failed on purpose: {met}")
        if "output" in line:
            self._say(f"files     {line['output']}")

    async def _stay(self, manager: JobManager) -> None:
        """Leave everything up until Ctrl-C."""
        data, sock = self._place.data, self._place.socket
        self._say("")
        await self._open_the_door(manager)
        self._say(f"The server stays up at {sock} until Ctrl-C. In another terminal:")
        where = f"--data-dir {data}" + ("" if sock.parent.parent == data else f" --endpoint {sock}")
        for command in ("token login", "top", "jobs", "crawlers", "account list"):
            self._say(f"  crawlsock {command} {where}")
        if self._place.ours:
            self._say(f"The files are in {self._place.output}; they go away with Ctrl-C.")
        try:
            await Deferred[None]()
        except CancelledError:
            if self._trouble is not None:
                raise


def _read(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise DemoFailed("the sample GitLab said something that is not JSON") from None
    return dict(value)


def on_terminal() -> bool:
    """Tell whether a person sits there to see it, and to press Ctrl-C."""
    return sys.stderr.isatty() and sys.stdin.isatty()
