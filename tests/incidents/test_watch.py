"""Looking for incidents, on a server in memory whose clock the test advances."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.config import LiveSettings, Settings, load
from crawlsock.incidents.watch import IncidentWatch
from crawlsock.store.records_values import IncidentView
from crawlsock.store.values import Demand, Failure, JobRef, NewJob, NewSession
from crawlsock.testing import MemoryStore


class WatchTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.addCleanup(self.store.stop)
        options = {"profile": "test", "data_dir": "/nonexistent/crawlsock", "incident_threshold": "3"}
        self.settings = LiveSettings(load(options, {}))
        self.channels: list[str] = ["webhook"]
        self.woken = 0
        self.watch = self.make_watch()

    def make_watch(self) -> IncidentWatch:
        """Return the duty of one server."""

        def woken() -> None:
            self.woken += 1

        return IncidentWatch(self.clock, self.store, lambda: self.current, lambda: self.channels, woken)

    @property
    def current(self) -> Settings:
        """The settings that hold now."""
        return self.settings.current

    def run_once(self, watch: IncidentWatch | None = None) -> None:
        """Let the duty run once."""
        self.successResultOf(Deferred.fromCoroutine((watch or self.watch).run()))

    def incidents(self, **wanted: Any) -> list[IncidentView]:
        """Return the incidents there are."""
        return self.successResultOf(self.store.incidents(**wanted)).incidents

    async def failures(self, count: int) -> None:
        """Let jobs fail."""
        for _ in range(count):
            (status,) = await self.store.submit([NewJob("crawl_user")], accounts=None)
            session = await self.store.open_session(
                NewSession(f"c{status.job_id}", "server", str(status.job_id).encode(), 1e6)
            )
            (given,) = await self.store.assign([Demand(session.session_id, 1)])
            ref = JobRef(given.job_id, given.lease, given.session_id)
            await self.store.fail(ref, Failure("KeyError", f"no field {status.job_id}", False))

    async def test_an_incident_opens_goes_on_and_is_over(self) -> None:
        """Failures above the threshold open one incident, which counts up, and closes when the window has passed."""
        await self.failures(2)
        self.run_once()
        self.assertEqual(self.incidents(), [])
        await self.failures(1)
        self.run_once()
        self.assertEqual([each.count for each in self.incidents()], [3])
        self.assertEqual(self.woken, 1)
        await self.failures(4)
        self.run_once()
        self.assertEqual([each.count for each in self.incidents()], [7])
        self.assertEqual(self.woken, 1, "within the cool-down nobody is told again")
        self.clock.advance(self.current.incident_window + 1)
        self.run_once()
        self.assertEqual(self.incidents(open_only=True), [])
        self.assertEqual(self.woken, 2, "people are told that it is over")

    async def test_several_servers_find_one_incident(self) -> None:
        """What two servers find at the same time is one incident, told once."""
        await self.failures(3)
        other = self.make_watch()
        self.run_once()
        self.run_once(other)
        self.assertEqual([each.count for each in self.incidents()], [3])
        page = self.successResultOf(self.store.notifications())
        self.assertEqual(len(page.notifications), 1)

    async def test_a_threshold_is_live(self) -> None:
        """A threshold that is changed while the server runs holds from the next look on."""
        await self.failures(2)
        self.run_once()
        self.settings.set("incident_threshold", "2")
        self.run_once()
        self.assertEqual(len(self.incidents()), 1)

    async def test_less_than_people_want_to_hear_is_only_recorded(self) -> None:
        """With notify_from above its severity an incident is recorded, and nobody is told."""
        self.settings.set("notify_from", "critical")
        (session,) = [await self.store.open_session(NewSession("c", "server", b"t", 30))]
        await self.store.reap([session.session_id])
        self.run_once()
        self.assertEqual([each.kind for each in self.incidents()], ["crawler_lost"])
        self.assertEqual(self.successResultOf(self.store.notifications()).notifications, [])

    def test_a_lost_database_is_told_when_it_is_back(self) -> None:
        """A database that was away is one incident, opened and closed when it is back, as long as it was away."""
        self.store.take_down()
        for _ in range(3):
            self.run_once()
            self.clock.advance(5)
        self.assertEqual(self.woken, 0)
        self.store.bring_up()
        self.clock.advance(3)
        self.run_once()
        (incident,) = self.incidents()
        assert incident.closed_at is not None
        self.assertEqual(incident.kind, "database_lost")
        self.assertEqual((incident.closed_at - incident.opened_at).total_seconds(), 15)
        self.assertEqual(self.woken, 1)
        self.run_once()
        self.assertEqual(len(self.incidents()), 1)

    def test_a_database_that_goes_again_is_away_since_the_first_time(self) -> None:
        """A database that comes back for a moment too short to look was away all along."""
        self.store.take_down()
        self.run_once()
        self.clock.advance(10)
        self.store.bring_up()
        self.store.take_down()
        self.run_once()
        self.clock.advance(10)
        self.store.bring_up()
        self.run_once()
        (incident,) = self.incidents()
        assert incident.closed_at is not None
        self.assertEqual((incident.closed_at - incident.opened_at).total_seconds(), 20)

    def test_a_short_absence_is_none(self) -> None:
        """A database that was away for less than incident_database_away is no incident."""
        self.store.take_down()
        self.run_once()
        self.clock.advance(4)
        self.store.bring_up()
        self.run_once()
        self.assertEqual(self.incidents(), [])
