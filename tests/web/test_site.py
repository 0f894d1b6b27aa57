"""What holds for every request: headers, names, methods, failures, limits."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost

from crawlsock.testing.http import HttpAnswer
from crawlsock.web.problems import STATUS, WEB_CODES, Problem, problem_of
from crawlsock.web.resource import Answer, WebResource
from crawlsock.web.safety import accepts, is_json
from crawlsock.web.site import WebRequest
from crawlsock.wire.errors import ErrorCode, Refusal
from tests.web.case import SiteCase


class Failing(WebResource):
    """A resource with a bug, and one in the middle of an answer."""

    isLeaf = True

    async def get(self, request: WebRequest) -> Answer | None:
        """Fail."""
        raise RuntimeError("a secret that only the log may have")

    async def post(self, request: WebRequest) -> Answer | None:
        """Fail after the first half."""
        request.write(b"half")
        raise RuntimeError("a secret that only the log may have")


class HeaderTests(SiteCase):
    """Every answer, of whatever kind, keeps other sites out."""

    async def answers(self) -> list[HttpAnswer]:
        """Return one answer of each kind."""
        return [
            await self.get("/api/v1/jobs"),
            await self.get("/api/v1/jobs", role=None),
            await self.get("/api/v1/nothing"),
            await self.get("/nothing"),
            await self.get("/login", role=None),
            await self.ask("POST", "/api/v1/jobs", body=b"x" * 70_000),
            await self.ask("GET", "/login", role=None, headers={"Host": "evil.example.com"}),
            await self.ask("OPTIONS", "/api/v1/jobs"),
        ]

    async def test_every_answer_is_guarded(self) -> None:
        """Policy, type, frame, opener, resource and permission headers are on all of them, and who we are on none."""
        for answer in await self.answers():
            headers = answer.headers
            policy = headers["content-security-policy"]
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self';"), policy)
            self.assertNotIn("unsafe", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["cross-origin-opener-policy"], "same-origin")
            self.assertEqual(headers["cross-origin-resource-policy"], "same-origin")
            self.assertIn("geolocation=()", headers["permissions-policy"])
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertNotIn("server", headers)
            page = headers.get("content-type", "").startswith("text/html")
            self.assertEqual(headers["referrer-policy"], "same-origin" if page else "no-referrer")

    async def test_there_is_no_other_origin(self) -> None:
        """A browser that asks for another site whether it may is never told that it may."""
        asked = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "DELETE"}
        for answer in (
            await self.ask("OPTIONS", "/api/v1/jobs", headers=asked),
            await self.get("/api/v1/jobs", headers=asked),
        ):
            self.assertFalse([name for name in answer.headers if name.startswith("access-control")])


class MethodTests(SiteCase):
    """Methods that are known, and those that are not."""

    async def test_head_is_get_without_the_body(self) -> None:
        """HEAD has the status and the headers of GET, the length included."""
        got, head = await self.get("/api/v1/jobs"), await self.ask("HEAD", "/api/v1/jobs")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], got.headers["content-length"])

    async def test_options_says_what_there_is(self) -> None:
        """OPTIONS lists the methods of an address."""
        answer = await self.ask("OPTIONS", "/api/v1/jobs")
        self.assertEqual((answer.status, answer.headers["allow"]), (204, "GET, POST, HEAD, OPTIONS"))

    async def test_another_method_is_405(self) -> None:
        """A method that an address does not know is refused with those that it knows."""
        for method in ("DELETE", "PATCH", "TRACE", "BREW", "get"):
            answer = await self.ask(method, "/api/v1/jobs")
            self.assert_problem(answer, 405, "method_not_allowed")
            self.assertEqual(answer.headers["allow"], "GET, POST, HEAD, OPTIONS")
        self.assertEqual((await self.ask("DELETE", "/login")).status, 405)

    async def test_nothing_is_404_for_every_method(self) -> None:
        """An address that is not there is 404: JSON below /api, a page elsewhere."""
        for target in ("/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/jobs", "/api/v1/jobs/", "/api/v1/session/x"):
            for method in ("GET", "POST"):
                self.assert_problem(await self.ask(method, target), 404, "not_found")
        page = await self.get("/nothing/at/all")
        self.assertEqual((page.status, page.headers["content-type"]), (404, "text/html; charset=utf-8"))
        self.assertEqual((await self.ask("OPTIONS", "*")).status, 404)
        for target in ("*", "http://evil.example.com/login", "/%2e%2e/%2e%2e/etc/passwd", "/login/..", "//login"):
            self.assertEqual((await self.get(target)).status, 404, target)


class FailureTests(SiteCase):
    """What goes wrong with us stays with us."""

    def setUp(self) -> None:
        super().setUp()
        self.harness.web.root.putChild(b"failing", Failing())
        self.harness.web.api.putChild(b"failing", Failing())

    async def test_a_bug_is_logged_and_bland(self) -> None:
        """An exception is in the log once; the answer says nothing of it."""
        for target in ("/failing", "/api/v1/failing"):
            answer = await self.get(target)
            self.assertEqual(answer.status, 500)
            self.assertNotIn(b"secret", answer.body)
            self.assertNotIn(b"Traceback", answer.body)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_half_an_answer_is_cut_off(self) -> None:
        """When the first half has left, the connection ends, so that nobody takes it for the whole."""
        answer = self.harness.http("POST", "/failing", stream=True)
        self.failureResultOf(answer, ConnectionLost)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_a_store_that_is_away_is_503(self) -> None:
        """Without the database every question is answered with when to ask again."""
        token = self.harness.token("monitor")
        self.harness.store.take_down()
        answer = await self.harness.http("GET", "/api/v1/jobs", token=token)
        problem = self.assert_problem(answer, 503, "unavailable")
        self.assertEqual((answer.headers["retry-after"], problem["retry_after"]), ("1", 1.0))
        self.harness.store.bring_up()


class ConnectionTests(SiteCase):
    """Connections, many and kept."""

    settings = {"http_endpoint": "tcp:0", "http_max_connections": "2", "http_idle_timeout": "5 s"}

    async def test_a_connection_carries_many_requests(self) -> None:
        """A connection is kept between requests, also for one that was sent ahead of the answer before."""
        peer = self.harness.dial_http()
        first = self.harness.http("GET", "/login", peer=peer)
        second = self.harness.http("HEAD", "/login", peer=peer)
        self.assertEqual([(await first).status, (await second).status], [200, 200])
        self.assertIsNone(peer.closed)
        self.harness.advance(6)
        self.assertIsNotNone(peer.closed)

    async def test_one_too_many_is_told(self) -> None:
        """A connection above the limit gets 503 without having asked."""
        kept = [self.harness.dial_http() for _ in range(2)]
        third = self.harness.dial_http()
        self.assertEqual([(each.status, each.headers["retry-after"]) for each in third.answers], [(503, "1")])
        self.assertIsNotNone(third.closed)
        self.assertEqual(self.harness.web.site.refused, {"connections": 1})
        kept[0].wire.loseConnection()
        self.harness.settle()
        self.assertEqual((await self.get("/login", role=None)).status, 200)

    def test_a_client_that_takes_nothing_is_cut_off(self) -> None:
        """An answer that nobody reads is thrown away with its connection after a while."""
        peer = self.harness.dial_http()
        peer.wire.pauseProducing()
        peer.wire.write(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.harness.advance(4)
        self.assertEqual(self.harness.web.site.connections, 1)
        self.harness.advance(20)
        self.assertEqual(self.harness.web.site.connections, 0)

    def test_stopping_leads_everybody_out(self) -> None:
        """Idle connections close at once; when all are gone, stopping is over. Again is fine."""
        peer = self.harness.dial_http()
        gone = self.harness.web.site.leave()
        self.assertNoResult(gone)
        self.harness.settle()
        self.successResultOf(gone)
        self.assertIsNotNone(peer.closed)
        self.successResultOf(self.harness.web.site.leave())


class WordsTests(SiteCase):
    """Small rules, one by one."""

    def test_every_code_has_a_status(self) -> None:
        """Every word of the closed list has a status, and no word of HTTP's own is among them."""
        self.assertEqual(set(STATUS), set(ErrorCode))
        self.assertFalse({code.value for code in ErrorCode} & set(WEB_CODES))

    def test_a_refusal_becomes_a_problem(self) -> None:
        """A pointer becomes one into the body, details become members, and nothing overwrites the known ones."""
        refusal = Refusal("duplicate", "data.jobs[0] is there", "/data/jobs/0", 2.5, {"job_id": "x", "status": 1})
        self.assertEqual(
            problem_of(refusal).document(),
            {
                "type": "urn:crawlsock:error:duplicate",
                "title": "Conflict",
                "status": 409,
                "detail": "jobs[0] is there",
                "code": "duplicate",
                "pointer": "/jobs/0",
                "retry_after": 2.5,
                "job_id": "x",
            },
        )
        self.assertEqual(problem_of(refusal).headers, {"Retry-After": "3"})
        self.assertEqual(problem_of(ValueError("secret")).document()["code"], "internal")

    def test_accept(self) -> None:
        """JSON goes to whoever takes it, by name or by a wildcard, and not with a weight of nothing."""
        header: str | None
        for header in (None, "", "*/*", "application/*", "text/html, application/json;q=0.1", "APPLICATION/JSON"):
            self.assertTrue(accepts(header, "application/json"), header)
        for header in ("text/html", "application/json;q=0", "application/json; q=0.000", "image/*", "json"):
            self.assertFalse(accepts(header, "application/json"), header)

    def test_json_is_utf_8(self) -> None:
        """A body is JSON when it says so; another charset is not JSON."""
        header: str | None
        for header in ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'):
            self.assertTrue(is_json(header), header)
        for header in (None, "", "text/plain", "application/json; charset=latin-1", "application/jsonp"):
            self.assertFalse(is_json(header), header)

    def test_a_problem_always_says_when_to_come_back(self) -> None:
        """429 and 503 carry Retry-After, whether or not somebody knew a better time."""
        for code in ("rate_limited", "unavailable"):
            self.assertEqual(problem_of(Refusal(code, "later")).headers["Retry-After"], "1")
        self.assertNotIn("Retry-After", Problem("not_found", "nothing").headers)
