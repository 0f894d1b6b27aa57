"""The client: what it waits out, what it renews, what it gives up."""

from __future__ import annotations

from typing import Any

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from crawlsock.gitlab.api import ClientSettings, GitLabClient, Loads, ResourceRefused
from crawlsock.gitlab.hosts import parse_origin
from crawlsock.gitlab.limits import Allowance, full_jitter
from crawlsock.gitlab.transport import Answer, NetworkFailed
from crawlsock.sdk import Credential, CredentialRefused, Job, JobCancelled, JobFailed
from tests.gitlab.fakes import ORIGIN, START, FakeServer, TableTransport, drive

API = f"{ORIGIN}/api/v4"
ONE = f"{API}/projects/1"
LIST = f"{API}/users?per_page=100&page=1"


def answer(status: int = 200, body: Any = None, **headers: str) -> Answer:
    """Make an answer; underscores in header names stand for hyphens."""
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, found, orjson.dumps({"id": 1} if body is None else body))


class ApiTests(TestCase):
    """One client of one job, answered from a table."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.server = FakeServer(self.clock)
        self.server.credential = Credential("first", "personal", 1)

    def client(self, table: dict[str, list[Answer | NetworkFailed]], **settings: Any) -> GitLabClient:
        """Make a client that draws the longest waits."""
        self.transport = TableTransport(table)
        self.job: Job = self.server.job("crawl_project", "1")
        origin = parse_origin(ORIGIN)
        return GitLabClient(
            self.job,
            origin,
            self.transport,
            Loads(8).of(origin),
            self.clock,
            ClientSettings(**settings),
            draw=lambda: 1.0,
            wall_clock=self.clock.seconds,
        )

    def one(self, *answers: Answer | NetworkFailed, **settings: Any) -> Any:
        """Ask for a project that is answered like this."""
        return drive(self.clock, self.client({ONE: list(answers)}, **settings).one("/projects/1", {}), 0.1)

    def test_tokens(self) -> None:
        """A personal token travels in `PRIVATE-TOKEN`, an OAuth token as a bearer, and neither in the URL."""
        self.one(answer())
        self.assertEqual(self.transport.requests[0][1]["PRIVATE-TOKEN"], "first")
        self.server.credential = Credential("second", "oauth", 2)
        self.one(answer())
        self.assertEqual(self.transport.requests[0][1]["Authorization"], "Bearer second")
        self.assertNotIn("PRIVATE-TOKEN", self.transport.requests[0][1])
        self.server.credential = None
        self.one(answer())
        self.assertEqual(set(self.transport.requests[0][1]), {"Accept", "User-Agent"})

    def test_transient(self) -> None:
        """Server errors, broken connections and bodies that are no JSON are asked again until one is right."""
        found = self.one(
            answer(502),
            NetworkFailed("refused"),
            Answer(200, {}, b"<html>"),
            answer(200, [1]),
            answer(500),
            answer(200, {"id": 7}),
        )
        self.assertEqual(found, {"id": 7})
        self.assertEqual(len(self.transport.requests), 6)
        waits = sum(full_jitter(failures, lambda: 1.0) for failures in range(1, 6))
        self.assertLess(abs(self.clock.seconds() - START - waits), 1.0)

    def test_retry_after(self) -> None:
        """A 429 holds back every request of the account for as long as `Retry-After` says."""
        table: dict[str, list[Answer | NetworkFailed]] = {
            ONE: [answer(429, retry_after="20"), answer()],
            LIST: [answer(200, [])],
        }
        client = self.client(table)
        first = Deferred.fromCoroutine(client.one("/projects/1", {}))
        second = Deferred.fromCoroutine(client.page("/users", {}, None))
        self.clock.pump([0.5] * 39)
        self.assertEqual(len(self.transport.requests), 1)
        self.clock.pump([0.5] * 4)
        self.assertEqual(self.successResultOf(first), {"id": 1})
        self.assertEqual(self.successResultOf(second).items, [])

    def test_limit_ahead(self) -> None:
        """When an answer says that nothing is left, the next request waits for the reset."""
        reset = str(int(START) + 30)
        used = answer(200, [], ratelimit_remaining="0", ratelimit_limit="60", ratelimit_reset=reset)
        client = self.client({LIST: [used], ONE: [answer()]})
        self.successResultOf(Deferred.fromCoroutine(client.page("/users", {}, None)))
        waiting = Deferred.fromCoroutine(client.one("/projects/1", {}))
        self.clock.pump([0.5] * 59)
        self.assertNoResult(waiting)
        self.clock.pump([0.5] * 3)
        self.successResultOf(waiting)

    def test_budgets_told(self) -> None:
        """Of the accounts at one host the one that is held up most is told, with moments by our own clock."""
        loads = Loads(8)
        origin, other = parse_origin("https://g.example.com"), parse_origin("https://g.example.com/second")
        loads.of(origin).budget("easy").saw(Allowance(600, 500, 60.0), 0.0)
        loads.of(origin).budget("tight").saw(Allowance(600, 12, 30.0), 0.0)
        loads.of(other).budget("easy")
        budgets = [each.fields() for each in loads.host_budgets(10.0, START)]
        self.assertEqual(
            budgets,
            [{"host": "g.example.com", "limit": 600, "remaining": 12, "resets_at": "2023-11-14T22:13:40.000Z"}],
        )
        loads.of(origin).budget("easy").block(40.0, 0.0)
        (told,) = loads.host_budgets(10.0, START)
        self.assertEqual((told.remaining, told.fields()["blocked_until"]), (500, "2023-11-14T22:13:50.000Z"))

    def test_deadline(self) -> None:
        """A page that has no answer before its deadline fails the job recoverably, with the last request."""
        failed = self.assertRaises(JobFailed, self.one, answer(503), page_deadline=60.0)
        self.assertTrue(failed.recoverable)
        assert failed.request is not None
        self.assertEqual((failed.request.method, failed.request.url, failed.request.status), ("GET", ONE, 503))
        self.assertLess(self.clock.seconds() - START, 61.0)

    def test_expired(self) -> None:
        """A refused token is renewed, and the same page asked for again with the new one."""
        self.server.renew = lambda _: Credential("second", "oauth", 2)
        self.one(answer(401), answer())
        self.assertEqual(self.server.refreshes, [1])
        self.assertEqual([url for url, _ in self.transport.requests], [ONE, ONE])
        self.assertEqual(self.transport.requests[1][1]["Authorization"], "Bearer second")

    def test_renewed_meanwhile(self) -> None:
        """A token that was replaced while the request was under way is not renewed again."""
        client = self.client({ONE: [answer()]})
        used = self.server.credential
        self.server.credential = Credential("second", "personal", 2)
        self.successResultOf(Deferred.fromCoroutine(client._renew(used, 1, ONE)))
        self.assertEqual(self.server.refreshes, [])

    def test_credential_refused(self) -> None:
        """A credential that cannot be renewed ends the job with the SDK's own word for it."""

        def refuse(_: Credential) -> Credential:
            raise CredentialRefused("default", "revoked")

        self.server.renew = refuse
        self.assertRaises(CredentialRefused, self.one, answer(401))

    def test_never_right(self) -> None:
        """Renewed tokens that are refused as well fail the job, instead of renewing for ever."""
        self.server.renew = lambda stale: Credential("x", "oauth", stale.generation + 1)
        failed = self.assertRaises(JobFailed, self.one, answer(401), renewals=2)
        self.assertEqual((failed.error_type, self.server.refreshes), ("unauthorized", [1, 2]))

    def test_no_credential(self) -> None:
        """A host that wants a token where the account has none fails the job for good."""
        self.server.credential = None
        self.assertFalse(self.assertRaises(JobFailed, self.one, answer(401)).recoverable)

    def test_refused(self) -> None:
        """403 and 404 are raised at once, with what GitLab says about them."""
        for status in (403, 404, 400, 410):
            refused = self.assertRaises(ResourceRefused, self.one, answer(status, {"message": "No."}))
            self.assertEqual((refused.status, refused.reason), (status, "No."))
            self.assertEqual(len(self.transport.requests), 1)

    def test_redirect(self) -> None:
        """A redirect is followed within the origin, with the token, and a bounded number of times."""
        client = self.client({ONE: [answer(301, location="/api/v4/projects/2")], f"{API}/projects/2": [answer()]})
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(client.one("/projects/1", {}))), {"id": 1})
        there, back = {"location": f"{API}/users"}, {"location": ONE}
        circle = self.client({ONE: [answer(302, **there)], f"{API}/users": [answer(302, **back)]})
        self.failureResultOf(Deferred.fromCoroutine(circle.one("/projects/1", {})), ResourceRefused)
        self.assertLess(len(self.transport.requests), 10)

    def test_redirect_elsewhere(self) -> None:
        """A redirect to another host, port or scheme is refused and nothing is sent there."""
        for target in ("https://evil.test/", "//evil.test/", "http://127.0.0.1:8081/", "https://127.0.0.1:8080/"):
            refused = self.assertRaises(ResourceRefused, self.one, answer(302, location=target))
            self.assertEqual(refused.reason, "redirected to another host")
            self.assertEqual(len(self.transport.requests), 1)

    def test_link_elsewhere(self) -> None:
        """A list that continues on another host fails the job and nothing is sent there."""
        page = answer(200, [], link='<https://evil.test/x>; rel="next"')
        client = self.client({LIST: [page]})
        failed = self.failureResultOf(Deferred.fromCoroutine(client.page("/users", {}, None)), JobFailed)
        self.assertEqual(failed.value.error_type, "paging_broken")

    def test_keyset_unknown(self) -> None:
        """A list that GitLab does not page by keyset is asked by page numbers."""
        keyset = f"{API}/users?per_page=100&pagination=keyset"
        client = self.client({keyset: [answer(405, {"error": "no"})], LIST: [answer(200, [{"id": 1}])]})
        page = self.successResultOf(Deferred.fromCoroutine(client.page("/users", {}, None, keyset=True)))
        self.assertEqual(page.items, [{"id": 1}])

    def test_cancelled(self) -> None:
        """A job that is cancelled asks for nothing more."""
        client = self.client({ONE: [answer()]})
        self.job.order_stop(JobCancelled("enough"))
        self.failureResultOf(Deferred.fromCoroutine(client.one("/projects/1", {})), JobCancelled)
        self.assertEqual(self.transport.requests, [])
