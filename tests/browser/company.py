"""The company that the pages show: crawlers, jobs in every state, trees, errors, accounts with names of every kind.

The law: what is shown comes in through the socket, by the SDK, as it does in life. No row is written behind the
server's back.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessValue

from crawlsock.sdk import JobExecutor, JobManager, NewJob
from tests.browser.crawlers import ELSEWHERE, PROJECTS, Hands
from tests.browser.hostile import NAMES
from tests.integration.processes import ROOT
from tests.integration.second_client import Client

HOST: Final = "https://gitlab.example.org"
EXACT: Final = 9_223_372_036_854_775_807
"""The largest number of 64 bits, which no floating-point number equals."""
GROUPS: Final = 4
TYPES: Final = ("discover_namespaces", "crawl_group", "crawl_project", "crawl_user")


@define(eq=False)
class Company:
    """Everybody who is connected, and what was made."""

    endpoint: str
    tokens: Path
    hands: Hands = field(factory=Hands)
    made: dict[str, Any] = field(factory=dict)
    crawlers: list[JobExecutor] = field(factory=list)

    def token(self, role: str) -> str:
        """Return the token that the server made for a role."""
        return (self.tokens / role).read_text(encoding="utf-8").strip()

    # -- who there is

    async def crawler(self, name: str, *, slots: int = 8, labels: tuple[str, ...] = ()) -> JobExecutor:
        """Connect a crawler that takes all types of jobs."""
        executor = JobExecutor(self.endpoint, self.token("crawler"), name, slots, labels)
        executor.job(*TYPES)(self.hands.crawl)
        self.crawlers.append(executor)
        await executor.start(30)
        return executor

    async def connect(self, role: str) -> JobManager:
        """Connect as a web application or an operator."""
        manager = JobManager(self.endpoint, self.token(role), role)
        await manager.start(30)
        return manager

    def leave_away(self, name: str) -> None:
        """Connect a crawler, and cut its link: its process lives, so the server waits for it."""
        client = Client(self.endpoint)
        client.hello("crawler", self.token("crawler"), crawler_id=name, slots=2, labels=["away"])
        client.close()

    async def lose_one(self) -> None:
        """Have a crawler in a process of its own take a job and die with it."""
        command = ["-m", "tests.browser.stage", self.endpoint, str(self.tokens), "doomed"]
        code = await getProcessValue(sys.executable, command, dict(os.environ), path=str(ROOT))
        assert code == 0, f"the doomed crawler ended with {code}"

    # -- what there is to see

    async def furnish(self) -> None:
        """Make everything; return when it stands in the database."""
        webapp, admin = await self.connect("webapp"), await self.connect("admin")
        await self.accounts(webapp)
        await self.crawler("crawler-alpha", slots=32)
        await self.crawler("crawler-beta", slots=16, labels=("large-disk", "zone=eu"))
        await self.crawler("crawler-paused", labels=("resting",))
        await admin.request("crawler_command", {"crawler_id": "crawler-paused", "command": "pause"})
        self.leave_away("crawler-away")
        await self.jobs(webapp)
        await self.operate(admin)

    async def order_hostile(self) -> dict[str, Any]:
        """Let those in whose names are hostile; return what was made. Later than the rest: pictures are for people."""
        webapp, admin = await self.connect("webapp"), await self.connect("admin")
        for name in NAMES:
            if name.strip() and len(name) <= 128:
                await webapp.credential_put(name, HOST, "personal", "never-shown-hostile")
        await self.crawler(NAMES[0], slots=12, labels=("hostile",))
        await self.hostile_jobs(webapp)
        await admin.request("queue_pause", {"job_type": "crawl_user", "reason": NAMES[1]})
        for name in NAMES[:6]:
            await admin.request("token_create", {"role": "webapp", "name": name, "accounts": [NAMES[0], "acme"]})
        return self.made

    async def accounts(self, webapp: JobManager) -> None:
        """Make accounts in every state of their credential."""
        soon = (datetime.now(timezone.utc) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await webapp.credential_put("acme", HOST, "personal", "glpat-never-shown-acme")
        await webapp.credential_put("expired", HOST, "personal", "glpat-never-shown-expired")
        await webapp.credential_put(
            "zoo",
            "gitlab.zoo.example",
            "oauth",
            "never-shown-zoo",
            refresh_token="never-shown-refresh",
            expires_at=soon,
        )

    async def one(self, webapp: JobManager, key: str, type: str = "crawl_project", **fields: Any) -> str:
        """Submit one job, and remember its id under `key`."""
        job = NewJob(type, **{"account": "acme", "host": HOST, "max_attempts": 3, **fields})
        [status] = await webapp.submit(job)
        assert status.job_id is not None, status
        self.made[key] = status.job_id
        return status.job_id

    async def jobs(self, webapp: JobManager) -> None:
        """Make jobs in all states, and trees."""
        groups = [
            {
                "type": "crawl_group",
                "entity_id": str(number),
                "name": f"Group {number}",
                "namespace_path": f"planets/group-{number}",
                "payload": {"do": "group", "group": number},
            }
            for number in range(1, GROUPS + 1)
        ]
        areas = [
            {"kind": "group", "entity_id": str(number), "path": f"planets/group-{number}", "name": f"Group {number}"}
            for number in range(1, GROUPS + 1)
        ]
        await self.one(
            webapp,
            "tree",
            "discover_namespaces",
            name="Planets",
            payload={"do": "tree", "children": groups, "areas": areas},
        )
        await webapp.submit(
            NewJob("crawl_project", account="acme", host=HOST, name=f"Done {number}", entity_id=f"done-{number}")
            for number in range(60)
        )
        await webapp.submit(
            NewJob(
                "crawl_project",
                account="acme" if number % 2 else "zoo",
                host=HOST,
                name=f"Broken {number}",
                entity_id=f"broken-{number}",
                payload={
                    "do": "fail",
                    "error": {
                        "type": "gitlab_error" if number < 9 else "not_found",
                        "message": f"GitLab answered 502 for /projects/{number}/issues after {number + 3} tries",
                    },
                },
            )
            for number in range(12)
        )
        await self.one(webapp, "running", name="A long one", entity_id="long", payload={"do": "hold", "number": EXACT})
        await self.one(webapp, "to_cancel", name="To be cancelled", payload={"do": "hold"})
        await self.one(webapp, "to_pause", name="To be paused", payload={"do": "hold"})
        broken = {"do": "fail", "error": {"message": "this one fails each time"}}
        await self.one(webapp, "to_retry", name="To be tried again", payload=broken)
        again = {"message": "try later", "recoverable": True, "retry_after": 3600}
        await self.one(webapp, "backoff", name="Waits to be tried again", payload={"do": "fail", "error": again})
        await self.one(webapp, "queued", name="Wants a GPU", labels=ELSEWHERE, payload={"do": "complete"})
        await self.one(webapp, "resting", name="Its crawler rests", labels=("resting",))
        await self.one(webapp, "paused", name="Paused", labels=ELSEWHERE)
        await webapp.pause(self.made["paused"], reason="the owner asked for a break")
        await self.one(webapp, "cancelled", name="Cancelled", labels=ELSEWHERE)
        await webapp.cancel(self.made["cancelled"], reason="asked for by mistake")
        tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self.one(webapp, "later", name="Tomorrow", run_at=tomorrow)
        await self.one(webapp, "waiting", name="Credential refused", account="expired", payload={"do": "refuse"})
        await self.one(webapp, "lost", name="Lost once", labels=("doomed",), payload={"do": "complete"})
        await self.lose_one()
        await self.crawler("crawler-heir", slots=2, labels=("doomed",))
        await webapp.wait(self.made["lost"], timeout=20)
        await self.wait_for(webapp, "waiting", "waiting_credential")
        for key in ("running", "to_cancel", "to_pause"):
            await self.wait_for(webapp, key, "running")
        await self.wait_for(webapp, "to_retry", "failed")
        await self._tree_is_grown(webapp)

    async def _tree_is_grown(self, webapp: JobManager) -> None:
        expected = GROUPS * (PROJECTS + 1) + 1
        while True:
            jobs = (await webapp.progress(self.made["tree"], scope="tree"))["jobs"]
            if sum(jobs.values()) == expected and jobs.get("running") == GROUPS and "assigned" not in jobs:
                return
            await _moment()

    async def wait_for(self, webapp: JobManager, key: str, state: str) -> None:
        """Wait until a job is in a state."""
        while (await webapp.get(self.made[key]))["state"] != state:
            await _moment()

    async def hostile_jobs(self, webapp: JobManager) -> None:
        """Make a tree whose every name is hostile, and errors with such texts."""
        children = [
            {
                "type": "crawl_project",
                "entity_id": name[:255],
                "name": name,
                "namespace_path": f"{name}/{name}"[:1024],
                "payload": {
                    "do": "fail",
                    "error": {"type": "hostile_error", "message": name},
                    name: [name, {"x": name}],
                },
            }
            for name in NAMES
        ]
        areas = [{"kind": "project", "entity_id": name[:255], "path": name, "name": name} for name in NAMES]
        payload = {"do": "tree", "children": children, "areas": areas}
        account = NAMES[0]
        await self.one(webapp, "hostile", "crawl_group", name=NAMES[1], account=account, payload=payload)
        await webapp.wait(self.made["hostile"], tree=True, timeout=60)
        held = {"do": "hold", NAMES[2]: NAMES}
        await self.one(
            webapp, "hostile_held", name=NAMES[2], namespace_path=NAMES[10], account=account, job_key=NAMES[3],
            entity_id=NAMES[4], payload=held, labels=("hostile",),
        )  # fmt: skip
        await self.one(webapp, "hostile_paused", name=NAMES[12], account=account, labels=ELSEWHERE)
        await webapp.pause(self.made["hostile_paused"], reason=NAMES[0] * 3)
        await self.wait_for(webapp, "hostile_held", "running")

    async def operate(self, admin: JobManager) -> None:
        """Leave an operator's traces: a paused queue, tokens, a changed setting."""
        await admin.request("queue_pause", {"job_type": "crawl_user", "reason": "users come last"})
        await admin.request("config_set", {"name": "progress_interval", "value": "0.2"})
        revoked = await admin.request("token_create", {"role": "monitor", "name": "Wall display"})
        await admin.request("token_revoke", {"token_id": revoked.data["token_id"]})
        await admin.request("token_create", {"role": "webapp", "name": "Acme's own site", "accounts": ["acme"]})

    # -- what it is told

    async def told(self, order: dict[str, Any]) -> Any:
        """Carry out an order of the tests."""
        return await getattr(self, f"order_{order.pop('do')}")(**order)

    async def order_advance(self, items: int = 1) -> int:
        """Every held job reports more; return how many jobs did."""
        jobs = [job for job, _ in self.hands.held.values()]
        for job in jobs:
            job.report.count("issue", processed=items)
        for job in jobs:
            await job.report.flush()
        return len(jobs)

    async def order_finish(self, job_id: str) -> bool:
        """Let a held job end; tell whether it was held."""
        if job_id not in self.hands.held:
            return False
        self.hands.held[job_id][1].callback(None)
        return True


def _moment() -> Deferred[None]:
    return deferLater(reactor, 0.02, lambda: None)
