"""Renewing credentials, through the wire and against a GitLab host that the test plays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from crawlsock.duties.oauth import MAX_BODY, TIMEOUT, Refused, token_url
from crawlsock.masking import HIDDEN
from crawlsock.testing.harness import WireHarness, WirePeer
from tests.server.base import HarnessCase


class Response:
    """What a host answers."""

    def __init__(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.code = code
        self.headers = Headers({name: [value] for name, value in headers.items()})
        self._body = body

    def deliverBody(self, protocol: Any) -> None:
        for start in range(0, len(self._body), 4096):
            protocol.dataReceived(self._body[start : start + 4096])
        protocol.connectionLost(Failure(ResponseDone()))


class Endless(Response):
    """An answer that begins, and never ends."""

    closed = False

    def deliverBody(self, protocol: Any) -> None:
        protocol.makeConnection(self)
        protocol.dataReceived(self._body)

    def loseConnection(self) -> None:
        self.closed = True


class Host:
    """A GitLab host that the test answers for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.waiting: list[Deferred[Any]] = []

    def post(self, url: str, *, data: bytes, **options: Any) -> Deferred[Any]:
        fields = {name: values[0] for name, values in parse_qs(data.decode()).items()}
        self.asked.append((url, fields, options))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self, code: int, body: Any = None, **headers: str) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        self.waiting.pop(0).callback(Response(code, text, headers))

    def grant(self, number: int = 2, **more: Any) -> None:
        self.answer(200, {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", **more})


class RefreshCase(HarnessCase):
    def setUp(self) -> None:
        self.host = Host()
        self.harness = WireHarness(self.settings, http=self.host)
        self.addCleanup(self.end)

    async def begin(self, kind: str = "oauth", **more: Any) -> tuple[WirePeer, WirePeer, dict[str, str]]:
        """Store a credential and let a crawler run a job of its account."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        credential = {
            "account": "team",
            "host": "gitlab.example.com",
            "kind": kind,
            "access_token": "access-1",
            **({"refresh_token": "refresh-1", "client_id": "us"} if kind == "oauth" else {}),
            **more,
        }
        await webapp.request("credential_put", credential)
        await self.submit(webapp, {"account": "team"})
        reply = await crawler.request("job_request", {"slots": 1})
        (job,) = reply.data["jobs"]
        self.assertEqual(job["credential"]["access_token"], "access-1")
        envelope = {"job_id": job["job_id"], "lease": job["lease"]}
        await crawler.request("job_started", **envelope)
        return webapp, crawler, envelope

    def ask(self, crawler: WirePeer, envelope: dict[str, str], generation: int = 1) -> Deferred[Any]:
        return crawler.request("token_refresh_request", {"generation": generation}, **envelope)


class RefreshTests(RefreshCase):
    async def test_refresh(self) -> None:
        """A crawler whose token stopped working gets the next one, and the host was asked once, properly."""
        _, crawler, job = await self.begin()
        answer = self.ask(crawler, job)
        ((url, fields, options),) = self.host.asked
        self.assertEqual(url, "https://gitlab.example.com/oauth/token")
        self.assertEqual(fields, {"grant_type": "refresh_token", "refresh_token": "refresh-1", "client_id": "us"})
        self.assertIs(options["allow_redirects"], False)
        self.host.grant(expires_in=7200)
        self.harness.settle()
        data = self.successResultOf(answer).data
        self.assertEqual((data["access_token"], data["generation"], data["kind"]), ("access-2", 2, "oauth"))
        self.assertEqual(data["expires_at"], "1970-01-01T02:00:00.000000Z")

    async def test_once_for_all(self) -> None:
        """However many ask, one request goes out; all get its answer, and holders of jobs are told unasked."""
        webapp, crawler, job = await self.begin()
        other = self.harness.connect("crawler")
        await self.submit(webapp, {"account": "team"})
        theirs = await self.take(other)
        answers = [self.ask(crawler, job) for _ in range(5)] + [self.ask(other, theirs) for _ in range(5)]
        self.host.grant()
        self.harness.settle()
        for answer in answers:
            self.assertEqual(self.successResultOf(answer).data["access_token"], "access-2")
        self.assertEqual(len(self.host.asked), 1)
        for peer, envelope in ((crawler, job), (other, theirs)):
            (push,) = peer.pushed("credential_update")
            self.assertEqual((push.data["access_token"], push.data["jobs"]), ("access-2", [envelope["job_id"]]))
            self.assertNotIn("refresh", json.dumps(push.data))

    async def test_already_renewed(self) -> None:
        """Who asks with an old generation gets the current token, and no host is asked."""
        _, crawler, job = await self.begin()
        first = self.ask(crawler, job)
        self.host.grant()
        self.harness.settle()
        self.successResultOf(first)
        reply = await self.ask(crawler, job, generation=1)
        self.assertEqual((reply.data["generation"], len(self.host.asked)), (2, 1))

    async def test_next_refresh_uses_the_new_token(self) -> None:
        """The host's new refresh token is what the next refresh is made with."""
        _, crawler, job = await self.begin()
        for number in (2, 3):
            answer = self.ask(crawler, job, generation=number - 1)
            self.host.grant(number)
            self.harness.settle()
            self.successResultOf(answer)
        self.assertEqual(self.host.asked[1][1]["refresh_token"], "refresh-2")

    async def test_refused(self) -> None:
        """A refresh that the host refuses makes the account's jobs wait, and a new credential brings them back."""
        webapp, crawler, job = await self.begin()
        answer = self.ask(crawler, job)
        self.host.answer(400, {"error": "invalid_grant"})
        self.harness.settle()
        self.refused(answer, "credential_refused")
        self.assertEqual((await self.state(webapp, job["job_id"]))["state"], "waiting_credential")
        self.assertEqual(crawler.pushed("job_cancel")[0].lease, job["lease"])
        self.refused(crawler.request("job_completed", {}, **job), "lease_lost")
        accounts = (await webapp.request("account_list")).data["accounts"]
        (team,) = [each for each in accounts if each["account"] == "team"]
        self.assertEqual((team["state"], team["jobs_waiting"]), ("refused", 1))
        await webapp.request(
            "credential_put",
            {"account": "team", "host": "gitlab.example.com", "kind": "personal", "access_token": "fresh-one"},
        )
        reply = await crawler.request("job_request", {"slots": 1})
        self.assertEqual(reply.data["jobs"][0]["credential"]["access_token"], "fresh-one")

    async def test_personal_token(self) -> None:
        """A personal token that no longer works is refused at once: nobody can renew it."""
        webapp, crawler, job = await self.begin("personal")
        self.refused(self.ask(crawler, job), "credential_refused")
        self.assertEqual(self.host.asked, [])
        self.assertEqual((await self.state(webapp, job["job_id"]))["state"], "waiting_credential")

    async def test_transient(self) -> None:
        """A host that fails is asked again, a few times, and then the crawler is told to come back."""
        webapp, crawler, job = await self.begin()
        answer = self.ask(crawler, job)
        self.host.answer(502)
        self.harness.advance(2)
        self.host.waiting.pop(0).errback(ConnectionError("reset"))
        self.harness.advance(5)
        self.host.answer(429, **{"Retry-After": "7"})
        self.harness.settle()
        refusal = self.refused(answer, "unavailable")
        self.assertEqual((refusal.retry_after, len(self.host.asked)), (7.0, 3))
        self.assertEqual((await self.state(webapp, job["job_id"]))["state"], "running")
        again = self.ask(crawler, job)
        self.host.grant()
        self.harness.settle()
        self.successResultOf(again)

    async def test_failure_is_shared(self) -> None:
        """When the host does not answer, it is not asked again for each who waited."""
        _, crawler, job = await self.begin()
        answers = [self.ask(crawler, job) for _ in range(4)]
        self.host.answer(503, **{"Retry-After": "900"})
        self.harness.settle()
        for answer in answers:
            self.assertEqual(self.refused(answer, "unavailable").retry_after, 900.0)
        self.assertEqual(len(self.host.asked), 1)

    async def test_silence(self) -> None:
        """A host that never answers is given up on after its deadline."""
        _, crawler, job = await self.begin()
        self.ask(crawler, job).addErrback(lambda _: None)
        self.harness.advance(TIMEOUT + 2)
        self.assertEqual(len(self.host.asked), 2)
        stopped = self.harness.server.refresher.stop()
        self.assertNoResult(stopped)
        self.harness.advance(2 * TIMEOUT + 5)
        self.successResultOf(stopped)
        self.assertEqual(len(self.host.asked), 3)

    async def test_an_answer_that_does_not_end(self) -> None:
        """A host that begins to answer and does not end is hung up on after its deadline."""
        _, crawler, job = await self.begin()
        self.ask(crawler, job).addErrback(lambda _: None)
        endless = Endless(200, b"{", {})
        self.host.waiting.pop(0).callback(endless)
        self.assertFalse(endless.closed)
        self.harness.advance(TIMEOUT + 1)
        self.assertTrue(endless.closed)
        stopped = self.harness.server.refresher.stop()
        self.harness.advance(2 * TIMEOUT + 5)
        self.successResultOf(stopped)

    async def test_strange_answers(self) -> None:
        """Redirects, pages and endless bodies are no refusal and no token."""
        for code, body in ((302, b""), (200, b"<html>"), (200, b"[]"), (200, b"x" * (MAX_BODY + 1)), (403, b"{}")):
            self.host = Host()
            harness = self.harness = WireHarness(http=self.host)
            _, crawler, job = await self.begin()
            answer = self.ask(crawler, job)
            for _ in range(3):
                self.host.answer(code, body)
                self.harness.advance(6)
            self.refused(answer, "unavailable")
            harness.stop()

    async def test_lost_lease(self) -> None:
        """A crawler gets a token for the job that it holds, and for no other."""
        _, _, job = await self.begin()
        thief = self.harness.connect("crawler")
        self.refused(self.ask(thief, job), "lease_lost")
        self.assertEqual(self.host.asked, [])

    async def test_store_away_after_the_answer(self) -> None:
        """The host's answer is stored however long that takes: the old tokens are gone."""
        _, crawler, job = await self.begin()
        answer = self.ask(crawler, job)
        self.harness.store.take_down()
        self.host.grant()
        self.harness.advance(20)
        self.assertNoResult(answer)
        self.harness.store.bring_up()
        self.harness.advance(2)
        self.assertEqual(self.successResultOf(answer).data["access_token"], "access-2")

    async def test_ahead(self) -> None:
        """A credential that expires soon is renewed before it does, and crawlers get it unasked."""
        _, crawler, _ = await self.begin(expires_at="1970-01-01T00:06:00Z")
        for _ in range(5):
            self.harness.advance(10)
            await crawler.request("heartbeat", {"status": "crawling", "active_jobs": []})
        self.assertEqual(self.host.asked, [])
        self.harness.advance(20, step=5)
        self.assertEqual(len(self.host.asked), 1)
        self.host.grant(expires_in=7200)
        self.harness.settle()
        self.assertEqual(crawler.pushed("credential_update")[0].data["access_token"], "access-2")

    async def test_expiring_without_refresh_token(self) -> None:
        """What cannot be renewed is used until it stops working."""
        _, crawler, _ = await self.begin("personal", expires_at="1970-01-01T00:06:00Z")
        self.harness.advance(70, step=5)
        self.assertEqual((self.host.asked, crawler.pushed("job_cancel")), ([], []))

    async def test_masked(self) -> None:
        """Every token that was seen is hidden in logs."""
        _, crawler, job = await self.begin()
        answer = self.ask(crawler, job)
        self.host.grant()
        self.harness.settle()
        self.successResultOf(answer)
        for secret in ("access-1", "refresh-1", "access-2", "refresh-2"):
            self.assertEqual(self.harness.masker.mask(f"<{secret}>"), f"<{HIDDEN}>")

    async def test_same_credential_again(self) -> None:
        """A credential stored twice is stored once: crawlers are not told of a new one."""
        webapp, crawler, _ = await self.begin("personal")
        await webapp.request(
            "credential_put",
            {"account": "team", "host": "gitlab.example.com", "kind": "personal", "access_token": "access-1"},
        )
        self.assertEqual(crawler.pushed("credential_update"), [])
        await webapp.request(
            "credential_put",
            {"account": "team", "host": "gitlab.example.com", "kind": "personal", "access_token": "access-9"},
        )
        (push,) = crawler.pushed("credential_update")
        self.assertEqual((push.data["access_token"], push.data["generation"]), ("access-9", 2))

    async def test_no_credential(self) -> None:
        """For an account without credential there is nothing to renew."""
        webapp, crawler = self.harness.connect("webapp"), self.harness.connect("crawler")
        await self.submit(webapp)
        job = await self.take(crawler)
        self.refused(self.ask(crawler, job), "credential_missing")


class OtherServerTests(RefreshCase):
    async def test_another_server_is_at_it(self) -> None:
        """While another server refreshes, this one waits for its result and asks no host."""
        _, crawler, job = await self.begin()
        store = self.harness.store
        ticket = await store.begin_refresh("team", 1, "other", 60)
        assert ticket is not None
        answer = self.ask(crawler, job)
        self.harness.advance(3)
        self.assertNoResult(answer)
        row = await store.credential("team")
        assert row is not None
        await store.finish_refresh("team", 1, row.sealed, None)
        self.harness.advance(1)
        self.assertEqual(self.successResultOf(answer).data["generation"], 2)
        self.assertEqual(self.host.asked, [])

    async def test_renewed_elsewhere(self) -> None:
        """A credential that another server renewed reaches the crawlers of this one, once."""
        _, crawler, job = await self.begin()
        store = self.harness.store
        assert await store.begin_refresh("team", 1, "other", 60) is not None
        row = await store.credential("team")
        assert row is not None
        for _ in range(2):
            await store.finish_refresh("team", 1, row.sealed, None)
            self.harness.advance(1)
        (push,) = crawler.pushed("credential_update")
        self.assertEqual((push.data["generation"], push.data["jobs"]), (2, [job["job_id"]]))


class AllowedHostTests(RefreshCase):
    settings = {"allowed_gitlab_hosts": "gitlab.example.com"}

    async def test_hosts(self) -> None:
        """With a list of hosts, credentials of others are refused."""
        webapp = self.harness.connect("webapp")
        credential = {"account": "x", "host": "evil.example.com", "kind": "personal", "access_token": "secret-x"}
        refusal = self.refused(webapp.request("credential_put", credential), "forbidden")
        self.assertEqual(refusal.pointer, "/data/host")
        await webapp.request("credential_put", {**credential, "host": "gitlab.example.com"})


class TokenUrlTests(HarnessCase):
    def test_usual_place(self) -> None:
        """Tokens are renewed at the host's usual place, over https."""
        self.assertEqual(token_url("gitlab.com", None, ()), "https://gitlab.com/oauth/token")
        self.assertEqual(token_url("https://g.example:8443", None, ()), "https://g.example:8443/oauth/token")

    def test_loopback(self) -> None:
        """Plain http is for this machine only, and for hosts that were allowed."""
        self.assertEqual(token_url("http://127.0.0.1:8080", None, ()), "http://127.0.0.1:8080/oauth/token")
        self.assertEqual(token_url("http://lab", None, ("lab",)), "http://lab/oauth/token")
        self.assertRaises(Refused, token_url, "http://gitlab.com", None, ())
        self.assertRaises(Refused, token_url, "ftp://localhost", None, ())

    def test_elsewhere(self) -> None:
        """A token address on another host is refused, unless that host was allowed."""
        self.assertRaises(Refused, token_url, "gitlab.com", "https://evil.example/token", ())
        self.assertEqual(
            token_url("gitlab.com", "https://login.example/token", ("login.example",)), "https://login.example/token"
        )
