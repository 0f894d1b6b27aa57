"""Claims about credentials: always the newest, and one refresh for all who ask."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from crawlsock.sdk import Credential, CredentialRefused, Job
from tests.sdk.fake import JOB
from tests.sdk.test_executor_jobs import ExecutorCase

FIRST = {"access_token": "first", "kind": "oauth", "generation": 1}


class Credentials(ExecutorCase):
    def jobs(self, number: int) -> list[Job]:
        """Run jobs of one account that wait for ever."""
        made: list[Job] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            made.append(job)
            await Deferred()

        self.begin()
        for n in range(number):
            self.server.assign(n, credential=FIRST)
        self.server.turn()
        return made

    def refresh(self, job: Job, generation: int = 1) -> Deferred[Credential]:
        stale = Credential("old", "oauth", generation)
        return Deferred.fromCoroutine(job.refresh_credential(stale))

    def answer(self, generation: int, token: str = "new") -> None:
        """Answer the last request with a credential."""
        self.server.say(
            "token_refresh_response",
            {"access_token": token, "kind": "oauth", "generation": generation},
            re=self.server.of("token_refresh_request")[-1].id,
        )
        self.server.turn()

    def test_once_for_all(self) -> None:
        """However many ask for a newer credential, the server is asked once, and all get it."""
        made = self.jobs(3)
        self.server.silent.add("token_refresh_request")
        asked = [self.refresh(job) for job in made for _ in range(4)]
        self.server.turn()
        self.assertEqual([m.data for m in self.server.of("token_refresh_request")], [{"generation": 1}])
        self.answer(2)
        for each in asked:
            self.assertEqual(self.successResultOf(each).access_token, "new")
        assert made[1].credential is not None
        self.assertEqual(made[1].credential.generation, 2)

    def test_known_already(self) -> None:
        """Who holds an old generation gets the newest without a request."""
        made = self.jobs(1)
        self.server.push("credential_update", {"account": "team", **FIRST, "generation": 5, "jobs": []})
        self.server.turn()
        self.assertEqual(self.successResultOf(self.refresh(made[0])).generation, 5)
        self.assertEqual(self.server.of("token_refresh_request"), [])

    def test_pushed(self) -> None:
        """A pushed credential is the job's from then on; an older one is not."""
        made = self.jobs(1)
        for generation, token in ((2, "second"), (1, "first")):
            update = {"account": "team", "access_token": token, "kind": "oauth", "generation": generation}
            self.server.push("credential_update", {**update, "jobs": [JOB.format(0)]})
        self.server.turn()
        assert made[0].credential is not None
        self.assertEqual(made[0].credential.access_token, "second")

    def test_newer_failure(self) -> None:
        """Who has seen a newer generation fail gets the one after it."""
        made = self.jobs(2)
        self.server.silent.add("token_refresh_request")
        first = self.refresh(made[0], 1)
        self.server.push("credential_update", {"account": "team", **FIRST, "generation": 2, "jobs": []})
        self.server.turn()
        second = self.refresh(made[1], 2)
        self.answer(2)
        self.assertEqual(self.successResultOf(first).generation, 2)
        self.assertNoResult(second)
        self.server.turn()
        self.answer(3)
        self.assertEqual(self.successResultOf(second).generation, 3)

    def test_refused(self) -> None:
        """A credential that cannot be renewed is refused to all who asked, and their jobs are handed back."""
        begun: list[Job] = []

        @self.executor.job("crawl")
        async def crawl(job: Job) -> None:
            begun.append(job)
            assert job.credential is not None
            await job.refresh_credential(job.credential)

        self.server.rules["token_refresh_request"] = lambda m: self.server.refuse(m, "credential_refused")
        self.begin()
        for n in range(2):
            self.server.assign(n, credential=FIRST)
        self.server.turn()
        self.assertEqual(len(self.server.of("token_refresh_request")), 1)
        self.assertEqual(len(self.server.of("job_released")), 2)
        self.assertIn("credential refused", self.server.of("job_released")[0].data["reason"])

    def test_missing(self) -> None:
        """A job of an account without any credential fails for good."""
        made = self.jobs(1)
        self.server.rules["token_refresh_request"] = lambda m: self.server.refuse(m, "credential_missing")
        asked = self.refresh(made[0])
        self.server.turn()
        self.assertTrue(self.failureResultOf(asked, CredentialRefused).value.missing)

    def test_asker_loses_its_lease(self) -> None:
        """When the asking job loses its lease, the request goes on under another one's."""
        made = self.jobs(2)
        self.server.rules["token_refresh_request"] = lambda m: (
            self.server.refuse(m, "lease_lost")
            if m.lease == "lease-0"
            else self.server.say(
                "token_refresh_response",
                {"access_token": "new", "kind": "oauth", "generation": 2},
                re=m.id,
            )
        )
        first, second = self.refresh(made[0]), self.refresh(made[1])
        first.addErrback(lambda _: None)
        self.server.turn()
        self.assertEqual(self.successResultOf(second).generation, 2)
        self.assertEqual([m.lease for m in self.server.of("token_refresh_request")], ["lease-0", "lease-1"])
