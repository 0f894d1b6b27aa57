"""Several servers on one database: each has its own crawlers, and all of them have the same jobs.

Both run as an operator would run them: data directories of their own, and the same key file and tokens.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred

from crawlsock.sdk import JobManager, NewJob, Refused
from tests.integration.cutting import CuttingRoom
from tests.integration.fault_case import FaultCase
from tests.integration.postgres import empty_database
from tests.integration.processes import Child, python, reactor, until

DEAF: Final = """
CREATE FUNCTION crawlsock.lost_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT';
DO $$
DECLARE
    body text;
BEGIN
    FOR body IN SELECT pg_get_functiondef(p.oid) FROM pg_proc p
                WHERE p.pronamespace = 'crawlsock'::regnamespace AND p.prosrc LIKE '%pg_notify(%'
    LOOP
        EXECUTE replace(body, 'pg_notify(', 'crawlsock.lost_notify(');
    END LOOP;
END $$;
"""
"""Loses every notification about work, orders and events."""
RARELY: Final = 60
"""Seconds between two polls when only a notification can be in time."""


class ServersCase(FaultCase):
    """Two servers, A and B, and crawlers that hold jobs."""

    a: Child
    b: Child

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()
        self.finished = self.directory / "finished"
        self.other = self.directory / "b"
        self.other_socket = self.other / "run" / "crawlsock.sock"

    async def servers(self, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None) -> None:
        """Start both, and wait until each knows of the other."""
        self.a = await self.server("a", server_name="a", **(a or {}))
        self.b = await self.ready(self.begin_b(**(b or {})), self.other_socket)
        seen = (
            "SELECT FROM crawlsock.server mine, crawlsock.server other "
            "WHERE mine.name = 'a' AND other.name = 'b' AND mine.seen_at > other.started_at"
        )
        await until("A has seen B", lambda: self.rows(seen))

    def begin_b(self, **changes: Any) -> Child:
        """Begin the second server, with the key and the tokens of the first."""
        shared: dict[str, Any] = {"key_file": self.data / "key", "tokens_dir": self.data / "tokens"}
        return self.begin_server("b", data_dir=self.other, server_name="b", **shared, **changes)

    def holder(self, name: str, path: Path) -> Child:
        """Begin a crawler at this socket."""
        module = python("tests.integration.holding_crawler", path, self.data / "tokens" / "crawler", name)
        return self.children.begin(name, module)

    async def connected(self, *names: str) -> None:
        """Wait until these crawlers have sessions."""
        wanted = [(name,) for name in sorted(names)]
        select = "SELECT crawler_id FROM crawlsock.crawler_session WHERE ended_at IS NULL ORDER BY 1"
        await until(f"{names} are there", lambda: self.rows(select) == wanted)

    async def submitted(self, manager: JobManager) -> str:
        """Submit a job that lasts until the test finishes it."""
        [status] = await manager.submit(NewJob("hold", payload={"until": os.fspath(self.finished)}))
        assert status.job_id is not None, status
        return status.job_id

    async def in_state(self, job_id: str, state: str, seconds: float = 20.0) -> None:
        """Wait until the job's row says so."""
        select = f"SELECT state FROM crawlsock.job_queue WHERE job_id = '{job_id}'"
        await until(f"the job is {state}", lambda: self.rows(select) == [(state,)], seconds)

    def taken_after(self, job_id: str) -> float:
        """Return the seconds from the submission to the first assignment, by the database's clock."""
        [(seconds,)] = self.rows(
            "SELECT extract(epoch FROM a.assigned_at - j.created_at)::float8 FROM crawlsock.job j "
            f"JOIN crawlsock.job_assignment a USING (job_id) WHERE j.job_id = '{job_id}' AND a.attempt = 1"
        )
        assert isinstance(seconds, float)
        return seconds


class TogetherTests(ServersCase):
    """What is said to one server reaches the crawlers of the other."""

    async def test_notified(self) -> None:
        """A job submitted at A is with a crawler of B at once, so is its cancel; both tell of it alike."""
        await self.servers(a={"poll_interval": 0.2}, b={"poll_interval": RARELY})
        self.holder("c", self.other_socket)
        await self.connected("c")
        at_a, at_b = await self.manager(), await self.manager(path=self.other_socket)
        seen: dict[str, list[str]] = {"a": [], "b": []}
        for name, manager in (("a", at_a), ("b", at_b)):
            self.addCleanup(self.follow(manager, seen[name]).cancel)
        job_id = await self.submitted(at_a)
        await self.in_state(job_id, "running", 5)
        self.assertLess(self.taken_after(job_id), 0.5)
        for manager in (at_a, at_b):
            self.assertEqual((await manager.progress(job_id))["processed"], 1)
            [crawler] = await manager.crawlers()
            self.assertEqual((crawler["crawler_id"], crawler["jobs"]), ("c", 1))
        await at_a.cancel(job_id, reason="enough")
        await self.in_state(job_id, "cancelled", 3)
        whole = ["job_created", "job_assigned", "job_started", "job_progress", "job_cancel_requested", "job_cancelled"]
        await until("both saw it all", lambda: [kinds[-1:] for kinds in seen.values()] == [["job_cancelled"]] * 2)
        self.assertEqual(list(dict.fromkeys(seen["a"])), whole)
        self.assertEqual(seen["b"], seen["a"])

    def follow(self, manager: JobManager, kinds: list[str]) -> Deferred[None]:
        """Write down the kinds of all events of jobs."""

        async def follow() -> None:
            async for event in manager.subscribe():
                if event.kind.startswith("job_"):
                    kinds.append(event.kind)

        return Deferred.fromCoroutine(follow()).addErrback(lambda _: None)

    async def test_notifications_lost(self) -> None:
        """With every notification lost the same happens, a poll interval later."""
        await self.servers(a={"poll_interval": 0.3}, b={"poll_interval": 0.3})
        self.rows(DEAF)
        self.holder("c", self.other_socket)
        await self.connected("c")
        at_a = await self.manager()
        job_id = await self.submitted(at_a)
        await self.in_state(job_id, "running", 5)
        self.assertLess(self.taken_after(job_id), 1.5)
        await at_a.pause(job_id)
        await at_a.resume(job_id)
        await at_a.cancel(job_id)
        await self.in_state(job_id, "cancelled", 3)

    async def test_commands_stay_here(self) -> None:
        """A command for a crawler of the other server is refused with the id of that server, and works there."""
        await self.servers()
        self.holder("c", self.other_socket)
        await self.connected("c")
        at_a, at_b = await self.manager("admin"), await self.manager("admin", self.other_socket)
        body = {"crawler_id": "c", "command": "drain"}
        try:
            await at_a.request("crawler_command", body)
        except Refused as error:
            self.assertEqual(error.code, "unknown_crawler")
            self.assertIn((self.other / "server_id").read_text().strip(), str(error))
        else:
            self.fail("A knows a crawler that is not connected there")
        await at_b.request("crawler_command", body)
        await self.connected()


class LossTests(ServersCase):
    """A server is gone; the other one has its database, and looks after its crawlers."""

    async def test_killed(self) -> None:
        """The crawler of a killed server that cannot come back loses its jobs to B's crawlers, at the deadline."""
        await self.servers()
        self.holder("one", self.socket)
        await self.connected("one")
        job_id = await self.submitted(await self.manager())
        await self.in_state(job_id, "running")
        self.a.kill()
        self.holder("two", self.other_socket)
        at_b = await self.manager(path=self.other_socket)
        ended = "SELECT end_reason, ended_at, deadline FROM crawlsock.crawler_session WHERE ended_at IS NOT NULL"
        [(reason, at, deadline)] = await until("the session is reaped", lambda: self.rows(ended))
        assert isinstance(at, datetime) and isinstance(deadline, datetime)
        self.assertEqual(reason, "expired")
        self.assertTrue(0 <= (at - deadline).total_seconds() < 1, (at, deadline))
        await self.connected("two")
        self.finished.touch()
        view = await at_b.wait(job_id, timeout=10)
        self.assertEqual((view["state"], view["attempt"], view["losses"]), ("completed", 2, 1))

    async def moved(self, leave: Callable[[], Awaitable[object]], **changes: Any) -> None:
        """Let A leave while its crawler holds a job, and lead the crawler's endpoint to B."""
        await self.servers(a=changes, b=changes)
        way = self.directory / "way.sock"
        room = CuttingRoom(reactor, way, self.socket)
        self.holder("one", way)
        await self.connected("one")
        job_id = await self.submitted(await self.manager())
        await self.in_state(job_id, "running")
        await leave()
        await room.stop()
        self.addCleanup(CuttingRoom(reactor, way, self.other_socket).stop)
        at_b = await self.manager(path=self.other_socket)
        servers = "SELECT s.name FROM crawlsock.crawler_session c JOIN crawlsock.server s USING (server_id)"
        await until("it is at B", lambda: self.rows(servers) == [("b",)])
        self.finished.touch()
        view = await at_b.wait(job_id, timeout=10)
        self.assertEqual((view["state"], view["attempt"], view["progress"]["processed"]), ("completed", 1, 2))

    async def test_comes_back_elsewhere(self) -> None:
        """A crawler whose server was killed keeps its job when its endpoint leads it to the other server."""

        async def kill() -> None:
            self.a.kill()

        await self.moved(kill)

    async def test_led_out(self) -> None:
        """A server that is asked to end waits for no job: its crawlers take theirs to the other server."""
        await self.moved(lambda: self.a.terminated(10), drain_timeout=60)

    async def test_starts_again(self) -> None:
        """A crawler waits for its own server through a restart, and nobody takes its job meanwhile."""
        long = {"lease_length": 20, "heartbeat_interval": 5}
        await self.servers(a=long, b=long)
        self.holder("one", self.socket)
        await self.connected("one")
        job_id = await self.submitted(await self.manager())
        await self.in_state(job_id, "running")
        self.holder("two", self.other_socket)
        await self.connected("one", "two")
        self.a.kill()
        await self.server("a", server_name="a", **long)
        self.finished.touch()
        view = await (await self.manager()).wait(job_id, timeout=10)
        self.assertEqual((view["state"], view["attempt"], view["losses"]), ("completed", 1, 0))


class StartTests(ServersCase):
    """Servers that start at one moment."""

    async def test_migrations(self) -> None:
        """Two servers that begin at one moment on an empty database migrate it once, and both serve."""
        self.dsn = empty_database()
        a, b = self.begin_server("a", server_name="a"), self.begin_b()
        await self.ready(a)
        await self.ready(b, self.other_socket)
        applied = self.rows("SELECT version, count(*) FROM crawlsock.schema_migration GROUP BY 1")
        self.assertTrue(applied)
        self.assertEqual({count for _, count in applied}, {1})
        for path in (self.socket, self.other_socket):
            self.assertEqual((await (await self.manager(path=path)).status())["database"]["state"], "up")

    async def test_embedded(self) -> None:
        """A second server may use the PostgreSQL that the first one started."""
        self.dsn = None
        self.a = await self.server("a", server_name="a")
        self.dsn = self.database()
        self.b = await self.ready(self.begin_b(), self.other_socket)
        self.dsn = None
        self.holder("c", self.other_socket)
        await self.connected("c")
        at_a = await self.manager()
        job_id = await self.submitted(at_a)
        self.finished.touch()
        self.assertEqual((await at_a.wait(job_id, timeout=10))["state"], "completed")
