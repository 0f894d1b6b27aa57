"""Claims about what a web application gets from JobManager."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.sdk import Event, JobManager, NewJob, NotAnswered, Refused, Subscription
from crawlsock.wire.message import Message
from tests.sdk.fake import CODEC, JOB, FakeServer


def view(state: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "job_id": JOB.format(number),
        "type": "crawl",
        "state": state,
        "account": "team",
        "priority": 0,
        "attempt": 1,
        "failures": 0,
        "max_attempts": 5,
        "releases": 0,
        "losses": 0,
        "root_id": JOB.format(1),
        "labels": [],
        "created_at": "2026-11-23T10:15:30Z",
        "run_at": "2026-11-23T10:15:30Z",
        **fields,
    }


class ManagerCase(TestCase):
    """A manager and a scripted server on one clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = FakeServer(self.clock)
        self.manager = JobManager(self.server, "csk_web", reactor=self.clock, codec=CODEC)
        self.manager.start()
        self.server.turn()
        self.state = "running"
        self.server.rules["job_get"] = lambda m: self.server.say("job_get_response", {"job": view(self.state)}, re=m.id)

    def do(self, verb: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred.fromCoroutine(verb)
        self.server.turn()
        return done

    def answer(self, type: str, reply: str, data: dict[str, Any]) -> None:
        self.server.rules[type] = lambda m: self.server.say(reply, data, re=m.id)


class Verbs(ManagerCase):
    def test_hello(self) -> None:
        """A manager says hello as a web application."""
        hello = self.server.hellos[0].data
        self.assertEqual((hello["role"], hello["token"]), ("webapp", "csk_web"))
        self.assertNotIn("crawler_id", hello)

    def submitting(self, message: Message) -> None:
        items = [{"status": "created", "job_id": job["job_id"]} for job in message.data["jobs"]]
        self.server.say("job_submit_response", {"items": items}, re=message.id)

    def test_submit_one(self) -> None:
        """One job is submitted with the id made here."""
        self.server.rules["job_submit"] = self.submitting
        job = NewJob("crawl_group", account="team", entity_id="9", payload={"a": 1}, labels=("eu",))
        statuses = self.successResultOf(self.do(self.manager.submit(job)))
        self.assertEqual([(s.status, s.job_id) for s in statuses], [("created", job.job_id)])
        self.assertEqual(
            self.server.heard[0].data["jobs"],
            [
                {
                    "type": "crawl_group",
                    "account": "team",
                    "entity_id": "9",
                    "labels": ["eu"],
                    "payload": {"a": 1},
                    "job_id": job.job_id,
                }
            ],
        )

    def test_submit_many(self) -> None:
        """Many jobs go in messages of at most a thousand, and the statuses come in order."""
        self.server.rules["job_submit"] = self.submitting
        jobs = [NewJob("crawl") for _ in range(7500)]
        statuses = self.successResultOf(self.do(self.manager.submit(jobs)))
        self.assertEqual([s.job_id for s in statuses], [job.job_id for job in jobs])
        self.assertEqual(max(len(m.data["jobs"]) for m in self.server.heard), 1000)

    def test_submit_large(self) -> None:
        """Large jobs are split so that each message stays below the frame limit."""
        self.server.rules["job_submit"] = self.submitting
        jobs = [NewJob("crawl", payload={"x": "y" * 60_000}) for _ in range(40)]
        self.assertEqual(len(self.successResultOf(self.do(self.manager.submit(jobs)))), 40)
        self.assertGreater(len(self.server.heard), 2)

    def test_submit_over_a_lost_link(self) -> None:
        """A submit whose answer is lost is sent again with the same ids."""
        self.server.silent.add("job_submit")
        done = self.do(self.manager.submit(NewJob("crawl")))
        self.server.drop()
        self.server.silent.clear()
        self.server.rules["job_submit"] = self.submitting
        self.server.turn()
        self.successResultOf(done)
        first, second = self.server.of("job_submit")
        self.assertEqual(first.data, second.data)

    def test_submit_refused(self) -> None:
        """A refused submit raises, and leaves no request behind."""
        self.server.rules["job_submit"] = lambda m: self.server.refuse(m, "forbidden")
        done = self.do(self.manager.submit([NewJob("crawl") for _ in range(3000)]))
        self.assertEqual(self.failureResultOf(done, Refused).value.code, "forbidden")
        self.assertEqual(len(self.manager.connection.requests.outbox), 0)

    def test_controls(self) -> None:
        """cancel, pause, resume and retry say which job, whether its tree, and why; and give how many."""
        for name in ("cancel", "pause", "resume", "retry"):
            self.server.rules[f"job_{name}"] = lambda m: self.server.say("ack", {"affected": 3}, re=m.id)
            verb = getattr(self.manager, name)
            self.assertEqual(self.successResultOf(self.do(verb(JOB.format(1), tree=True, reason="so"))), 3)
            last = self.server.heard[-1]
            self.assertEqual(last.type, f"job_{name}")
            self.assertEqual((last.job_id, last.data), (JOB.format(1), {"tree": True, "reason": "so"}))

    def test_reads(self) -> None:
        """get, list and progress give what the server says."""
        job = self.successResultOf(self.do(self.manager.get(JOB.format(1), include=["errors"])))
        self.assertEqual(job["state"], "running")
        self.assertEqual(self.server.heard[-1].data, {"include": ["errors"]})
        self.answer("job_list", "job_list_response", {"jobs": [view("queued")], "next_cursor": "abc"})
        jobs, cursor = self.successResultOf(self.do(self.manager.list(states=["queued"], limit=1)))
        self.assertEqual((len(jobs), cursor), (1, "abc"))
        self.assertEqual(self.server.heard[-1].data, {"states": ["queued"], "limit": 1})
        progress = {"scope": "tree", "entities": {}, "processed": 1, "failed": 0}
        self.answer("progress_get", "progress_get_response", {"progress": progress})
        done = self.do(self.manager.progress(JOB.format(1), scope="tree"))
        self.assertEqual(self.successResultOf(done), progress)
        self.assertEqual(self.server.heard[-1].data, {"scope": "tree"})

    def test_others(self) -> None:
        """Credentials are put; crawlers, accounts and the status are read."""
        self.successResultOf(
            self.do(self.manager.credential_put("team", "gitlab.example.org", "oauth", "t", refresh_token="r"))
        )
        self.assertEqual(
            self.server.heard[-1].data,
            {
                "account": "team",
                "host": "gitlab.example.org",
                "kind": "oauth",
                "access_token": "t",
                "refresh_token": "r",
            },
        )
        self.answer("crawler_list", "crawler_list_response", {"crawlers": []})
        self.assertEqual(self.successResultOf(self.do(self.manager.crawlers())), [])
        self.answer("account_list", "account_list_response", {"accounts": []})
        self.assertEqual(self.successResultOf(self.do(self.manager.accounts())), [])

    def test_deadline(self) -> None:
        """A call gives up after its deadline, also while there is no server."""
        self.server.drop()
        self.server.unreachable.extend([ConnectionError()] * 99)
        done = self.do(self.manager.request("status_get", deadline=3))
        self.server.pass_time(3.2)
        self.assertIn("no connection", str(self.failureResultOf(done, NotAnswered).value))


class Waiting(ManagerCase):
    def setUp(self) -> None:
        super().setUp()
        self.answer("subscribe", "subscribe_response", {"subscription": "s1", "position": "1.1"})

    def end(self, state: str) -> None:
        self.state = state
        self.server.say(
            "event",
            {
                "subscription": "s1",
                "position": "2.1",
                "events": [{"kind": f"job_{state}", "at": "2026-11-23T10:15:30Z", "job_id": JOB.format(1)}],
            },
        )
        self.server.turn()

    def test_over_already(self) -> None:
        """Waiting for a job that has ended returns at once."""
        self.state = "failed"
        self.assertEqual(self.successResultOf(self.do(self.manager.wait(JOB.format(1))))["state"], "failed")
        self.assertEqual(self.server.of("subscribe"), [])

    def test_woken(self) -> None:
        """Waiting ends with the event of the job's end, and leaves no subscription."""
        done = self.do(self.manager.wait(JOB.format(1)))
        self.assertNoResult(done)
        self.assertEqual(self.server.of("subscribe")[0].data["filter"]["job_id"], JOB.format(1))
        self.end("completed")
        self.assertEqual(self.successResultOf(done)["state"], "completed")
        self.assertEqual(self.server.types()[-1], "unsubscribe")

    def test_between_reading_and_following(self) -> None:
        """A job that ends between the first look and the subscription is noticed without any event."""
        self.server.rules["subscribe"] = lambda m: setattr(self, "state", "completed")
        done = self.do(self.manager.wait(JOB.format(1)))
        self.assertEqual(self.successResultOf(done)["state"], "completed")

    def test_lost_event(self) -> None:
        """With the event lost, waiting ends all the same, some seconds later."""
        done = self.do(self.manager.wait(JOB.format(1)))
        self.state = "cancelled"
        self.server.pass_time(10.1, 0.5)
        self.assertEqual(self.successResultOf(done)["state"], "cancelled")

    def test_restart(self) -> None:
        """Waiting survives a restart of the server."""
        done = self.do(self.manager.wait(JOB.format(1)))
        self.server.drop()
        self.server.pass_time(1)
        self.assertEqual(len(self.server.of("subscribe")), 2)
        self.end("completed")
        self.successResultOf(done)

    def test_timeout(self) -> None:
        """Waiting with a timeout says in which state the job was."""
        done = self.do(self.manager.wait(JOB.format(1), timeout=12))
        self.server.pass_time(13, 0.5)
        self.assertIn("running", str(self.failureResultOf(done, NotAnswered).value))

    def test_tree(self) -> None:
        """A tree has ended when nothing below its top is alive."""
        jobs = {"completed": 1, "running": 2}

        def progress(message: Message) -> None:
            body = {"scope": "tree", "entities": {}, "processed": 0, "failed": 0, "jobs": dict(jobs)}
            self.server.say("progress_get_response", {"progress": body}, re=message.id)

        self.server.rules["progress_get"] = progress
        self.state = "completed"
        done = self.do(self.manager.wait(JOB.format(1), tree=True))
        self.assertNoResult(done)
        self.assertEqual(self.server.of("subscribe")[0].data["filter"]["root_id"], JOB.format(1))
        jobs.update(running=0, completed=3)
        self.end("completed")
        self.server.pass_time(0.2)
        self.successResultOf(done)


class Subscribing(ManagerCase):
    def setUp(self) -> None:
        super().setUp()
        self.answer("subscribe", "subscribe_response", {"subscription": "s1", "position": "1.0"})

    def event(self, position: str, *numbers: int, **more: Any) -> None:
        events = [
            {"kind": "job_started", "at": "2026-11-23T10:15:30Z", "job_id": JOB.format(number)} for number in numbers
        ]
        self.server.say("event", {"subscription": "s1", "position": position, "events": events, **more})

    def take(self, subscription: Subscription, count: int) -> Deferred[list[Event]]:
        async def read() -> list[Event]:
            events: list[Event] = []
            while len(events) < count:
                events.append(await subscription.__anext__())
            return events

        return self.do(read())

    def test_in_order(self) -> None:
        """Events come in order, each with the job that it is about."""
        subscription = self.manager.subscribe(root_id=JOB.format(1), kinds=["job_started"])
        taken = self.take(subscription, 3)
        self.assertNoResult(taken)
        self.event("2.0", 1, 2)
        self.event("3.0", 3)
        self.server.turn()
        events = self.successResultOf(taken)
        self.assertEqual([event.job_id for event in events], [JOB.format(n) for n in (1, 2, 3)])
        self.assertEqual(subscription.position, "3.0")

    def test_goes_on(self) -> None:
        """After a lost link the subscription goes on after the last event received."""
        subscription = self.manager.subscribe(position="0.5")
        self.server.turn()
        self.event("2.0", 1)
        self.server.turn()
        self.server.drop()
        self.server.turn()
        self.assertEqual([m.data["position"] for m in self.server.of("subscribe")], ["0.5", "2.0"])
        self.event("3.0", 2)
        events = self.successResultOf(self.take(subscription, 2))
        self.assertEqual([event.job_id for event in events], [JOB.format(1), JOB.format(2)])

    def test_in_parts(self) -> None:
        """Of a delivery in parts that a lost link cuts nothing is seen, and all of it once when it comes again."""
        subscription = self.manager.subscribe(position="0.5")
        self.server.turn()
        self.event("0.5", 1, 2, more=True)
        self.server.turn()
        taken = self.take(subscription, 3)
        self.assertNoResult(taken)
        self.server.drop()
        self.server.turn()
        self.assertEqual(self.server.of("subscribe")[-1].data["position"], "0.5")
        self.event("0.5", 1, more=True)
        self.event("2.0", 2, 3)
        self.server.turn()
        events = self.successResultOf(taken)
        self.assertEqual([event.job_id for event in events], [JOB.format(n) for n in (1, 2, 3)])
        self.assertEqual([event.position for event in events], ["0.5", "0.5", "2.0"])

    def test_not_now(self) -> None:
        """A server whose database is away is asked again, and nothing is missed."""
        answers = [
            lambda m: self.server.refuse(m, "unavailable", retry_after=2),
            lambda m: self.server.say("subscribe_response", {"subscription": "s1", "position": "0.5"}, re=m.id),
        ]
        self.server.rules["subscribe"] = lambda m: answers.pop(0)(m)
        subscription = self.manager.subscribe(position="0.5")
        self.server.pass_time(2.1, 0.1)
        self.assertEqual([m.data["position"] for m in self.server.of("subscribe")], ["0.5", "0.5"])
        self.event("2.0", 1)
        self.assertEqual(len(self.successResultOf(self.take(subscription, 1))), 1)

    def test_gap(self) -> None:
        """A gap is told before the events after it; a snapshot is marked."""
        subscription = self.manager.subscribe()
        self.server.turn()
        self.event("5.0", 1, gap=True, snapshot=True)
        events = self.successResultOf(self.take(subscription, 2))
        self.assertEqual([(event.kind, event.snapshot) for event in events], [("gap", True), ("job_started", True)])

    def test_position_too_old(self) -> None:
        """A position that the feed has forgotten gives a gap, and then a snapshot."""
        answers = [
            lambda m: self.server.refuse(m, "position_too_old"),
            lambda m: self.server.say("subscribe_response", {"subscription": "s1", "position": "9.0"}, re=m.id),
        ]
        self.server.rules["subscribe"] = lambda m: answers.pop(0)(m)
        subscription = self.manager.subscribe(position="0.1")
        events = self.successResultOf(self.take(subscription, 1))
        self.assertEqual(events[0].kind, "gap")
        self.assertNotIn("position", self.server.of("subscribe")[1].data)

    def test_slow_reader(self) -> None:
        """A reader too slow for the feed is unsubscribed, and subscribed again when it has caught up."""
        subscription = self.manager.subscribe()
        subscription._most = 10
        self.server.turn()
        for n in range(2, 30):
            self.event(f"{n}.0", n)
        self.server.turn()
        self.assertEqual(len(self.server.of("unsubscribe")), 1)
        events = self.successResultOf(self.take(subscription, 10))
        self.assertEqual(events[-1].position, "11.0")
        self.take(subscription, 1)
        self.assertEqual(self.server.of("subscribe")[-1].data["position"], "11.0")

    def test_closing(self) -> None:
        """Closing ends the iteration and unsubscribes."""
        subscription = self.manager.subscribe()

        async def read() -> int:
            count = 0
            async for _ in subscription:
                count += 1
            return count

        done = self.do(read())
        subscription.close()
        self.server.turn()
        self.assertEqual(self.successResultOf(done), 0)
        self.assertEqual(self.server.types()[-1], "unsubscribe")

    def test_refused(self) -> None:
        """A subscription that is refused raises to its reader."""
        self.server.rules["subscribe"] = lambda m: self.server.refuse(m, "forbidden")
        self.failureResultOf(self.take(self.manager.subscribe(), 1), Refused)
