"""When the reaper reaps, and when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.config import load
from crawlsock.duties.pruner import Pruner
from crawlsock.duties.reaper import LONG_PAUSE, Reaper
from crawlsock.store.values import NewJob
from crawlsock.testing.memory import MemoryStore


class Keeper:
    """Note what is asked."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def reap(self, session_ids: Sequence[str] | None = None) -> Deferred[list[Any]]:
        self.done.append("reap")
        return succeed([])

    def adopt(self) -> Deferred[None]:
        self.done.append("adopt")
        return succeed(None)


class ReaperTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.keeper = Keeper()
        self.reaper = Reaper(self.clock, self.store, self.keeper, lambda orders: None, lambda: 0.5)

    async def runs(self, *pauses: float) -> list[str]:
        for pause in pauses:
            self.clock.advance(pause)
            await self.reaper.run()
        done, self.keeper.done = self.keeper.done, []
        return done

    async def test_reaps(self) -> None:
        """Every run reaps."""
        self.assertEqual(await self.runs(0, 0.5, 0.5), ["reap", "reap", "reap"])

    async def test_outage(self) -> None:
        """After an outage sessions are adopted before anybody is reaped."""
        await self.runs(0)
        self.store.take_down()
        self.assertEqual(await self.runs(0.5, 0.5), [])
        self.store.bring_up()
        self.assertEqual(await self.runs(0.5, 0.5), ["adopt", "reap"])

    async def test_sleep(self) -> None:
        """After this process did not run for a while sessions are adopted, too."""
        await self.runs(0)
        self.assertEqual(await self.runs(LONG_PAUSE + 1, 0.5), ["adopt", "reap"])


class PrunerTests(unittest.TestCase):
    async def test_prune(self) -> None:
        """What is older than the settings keep it goes, and what is younger stays."""
        clock = Clock()
        store = MemoryStore(clock)
        settings = load({"retention_events": "100 s", "retention_jobs": "1000 s"}, {}).settings
        pruner = Pruner(clock, store, lambda: settings)
        await store.submit([NewJob("crawl_project")], accounts=None)
        await pruner.run()
        self.assertEqual(len((await store.events_after(None, 10)).events), 1)
        clock.advance(200)
        await pruner.run()
        self.assertEqual(len((await store.events_after(None, 10)).events), 0)
        self.assertEqual((await store.job_counts())["queued"], 1)
        store.take_down()
        await pruner.run()
        store.stop()
