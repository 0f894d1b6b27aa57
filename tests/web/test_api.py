"""The API: messages by another door, under the same rules."""

from __future__ import annotations

from typing import Any

from crawlsock.testing.harness import WireHarness
from crawlsock.web.api import Paths
from crawlsock.wire.catalog import Catalog
from tests.web.case import OURS, SiteCase

CATALOG = Catalog.load()
NOBODY = "00000000-0000-4000-8000-0000000000ff"


class OperationTests(SiteCase):
    """Requests become messages, and answers come back."""

    async def submitted(self, **job: Any) -> str:
        """Submit a job over HTTP."""
        answer = await self.ask("POST", "/api/v1/jobs", json={"jobs": [{"type": "crawl_project", **job}]})
        self.assertEqual(answer.status, 200)
        job_id: str = answer.json()["items"][0]["job_id"]
        return job_id

    async def test_a_reply_is_its_data(self) -> None:
        """The answer is what the socket's reply carries as data."""
        job_id = await self.submitted(name="first")
        webapp = self.harness.connect("webapp")
        over_socket = (await webapp.request("job_get", job_id=job_id)).data
        self.assertEqual((await self.get(f"/api/v1/jobs/{job_id}")).json(), over_socket)

    async def test_an_ack_without_data_is_204(self) -> None:
        """What has nothing to say says it without a body; what has is 200."""
        job_id = await self.submitted()
        paused = await self.ask("POST", "/api/v1/queues/pause", json={"reason": "new version"})
        self.assertEqual((paused.status, paused.body), (204, b""))
        cancelled = await self.ask("POST", f"/api/v1/jobs/{job_id}/cancel")
        self.assertEqual((cancelled.status, cancelled.json()), (200, {"affected": 1}))

    async def test_path_and_query_are_fields(self) -> None:
        """A path's words and a query's values arrive as the message's fields, percent-encoded or not."""
        stored = await self.ask(
            "PUT",
            "/api/v1/accounts/a%2Fb%20c/credential",
            json={"host": "gitlab.example.com", "kind": "personal", "access_token": "x"},
        )
        self.assertEqual(stored.status, 204, stored.text)
        accounts = (await self.get("/api/v1/accounts")).json()["accounts"]
        self.assertIn("a/b c", [each["account"] for each in accounts])
        await self.submitted(account="a/b c")
        found = await self.get("/api/v1/jobs?account=a%2Fb+c&states=queued,failed&limit=1")
        self.assertEqual(len(found.json()["jobs"]), 1)

    async def test_large_numbers_are_exact(self) -> None:
        """An integer beyond what a float holds comes back with all its digits."""
        job_id = await self.submitted(estimated_size=2**53 - 1, payload={"n": 2**62 + 1})
        job = (await self.get(f"/api/v1/jobs/{job_id}")).json()["job"]
        self.assertEqual((job["estimated_size"], job["payload"]["n"]), (2**53 - 1, 2**62 + 1))

    async def test_faults_are_named(self) -> None:
        """What is wrong in the body is pointed at, what is wrong in the query or the path is named."""
        wrong = await self.ask("POST", "/api/v1/jobs", json={"jobs": [{"type": "a"}, {"type": "B!"}]})
        problem = self.assert_problem(wrong, 400, "invalid_message")
        self.assertEqual(problem["pointer"], "/jobs/1/type")
        self.assertTrue(problem["detail"].startswith("jobs[1].type has a form that is not allowed"), problem)
        problem = self.assert_problem(await self.get("/api/v1/jobs?limit=501"), 400, "invalid_message")
        self.assertEqual((problem["parameter"], problem.get("pointer")), ("limit", None))
        problem = self.assert_problem(await self.get("/api/v1/jobs/none"), 400, "invalid_message")
        self.assertEqual(problem["parameter"], "job_id")
        problem = self.assert_problem(await self.get("/api/v1/jobs?colour=red"), 400, "invalid_parameter")
        self.assertEqual(problem["parameter"], "colour")
        problem = self.assert_problem(await self.get("/api/v1/progress"), 400, "invalid_message")
        self.assertEqual(problem["parameter"], "scope")

    async def test_refusals_have_their_status(self) -> None:
        """What is not there is 404, what cannot be now is 409."""
        self.assert_problem(await self.get(f"/api/v1/jobs/{NOBODY}"), 404, "unknown_job")
        job_id = await self.submitted()
        await self.ask("POST", f"/api/v1/jobs/{job_id}/cancel")
        self.assert_problem(await self.ask("POST", f"/api/v1/jobs/{job_id}/pause"), 409, "invalid_state")
        answer = await self.ask("PUT", "/api/v1/configuration/nothing", json={"value": "1"})
        self.assert_problem(answer, 404, "unknown_setting")
        answer = await self.ask("PUT", "/api/v1/configuration/endpoint", json={"value": "tcp:1"})
        self.assert_problem(answer, 409, "not_reloadable")

    async def test_a_body_is_json_and_says_so(self) -> None:
        """Another content type is 415, and what is no JSON object is refused."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
            answer = await self.ask("POST", "/api/v1/jobs", body=b"{}", headers={"Content-Type": kind})
            self.assert_problem(answer, 415, "unsupported_media_type")
        for body in (b"{", b"[]", b"null", b'{"a": NaN}', b'"\xff"', b"1"):
            answer = await self.ask("POST", "/api/v1/jobs", body=body, headers={"Content-Type": "application/json"})
            self.assert_problem(answer, 400, "invalid_json")

    async def test_what_is_not_acceptable(self) -> None:
        """Whoever takes no JSON gets none."""
        self.assert_problem(await self.get("/api/v1/jobs", headers={"Accept": "text/html"}), 406, "not_acceptable")

    async def test_a_literal_word_goes_before_a_parameter(self) -> None:
        """`/jobs/counts` is no job of that name, and no two shapes hide each other."""
        paths = Paths(CATALOG)
        for kind in CATALOG.types.values():
            if kind.http is not None:
                words = [
                    word.replace("{", "").replace("}", "_x") if "{" in word else word for word in kind.http.segments
                ]
                self.assertIs(paths.find(words).get(kind.http.method), kind)

    async def test_an_account_bound_token_sees_its_own(self) -> None:
        """Other accounts' jobs are not in lists, and not there when asked for."""
        webapp = self.harness.connect("webapp")
        for account in ("mine", "theirs"):
            credential = {"account": account, "host": "gitlab.example.com", "kind": "personal", "access_token": "x"}
            await webapp.request("credential_put", credential)
        mine, theirs = await self.submit(webapp, {"account": "mine"}, {"account": "theirs"})
        token = self.harness.token("webapp", frozenset({"mine"}))
        listed = (await self.harness.http("GET", "/api/v1/jobs", token=token)).json()["jobs"]
        self.assertEqual([each["job_id"] for each in listed], [mine])
        for method, target in (("GET", ""), ("POST", "/cancel"), ("GET", "/explain"), ("GET", "/tree")):
            answer = await self.harness.http(method, f"/api/v1/jobs/{theirs}{target}", token=token)
            self.assert_problem(answer, 404, "unknown_job")
        refused = await self.harness.http("GET", "/api/v1/progress?scope=all", token=token)
        self.assert_problem(refused, 403, "forbidden")


class RuleTests(SiteCase):
    """Roles, rates and draining are those of the socket."""

    settings = {"http_endpoint": "tcp:0", "rate_limit_requests": "10", "rate_limit_burst": "10"}

    async def test_roles(self) -> None:
        """A monitor reads, a webapp steers jobs, an admin does all; a crawler's token is for the socket."""
        command = ("POST", "/api/v1/queues/pause")
        self.assert_problem(await self.ask(*command, "monitor"), 403, "forbidden")
        self.assert_problem(await self.ask(*command, "webapp"), 403, "forbidden")
        self.assertEqual((await self.ask(*command, "admin")).status, 204)
        self.assertEqual((await self.get("/api/v1/configuration", "monitor")).status, 200)
        self.assert_problem(await self.get("/api/v1/configuration", "webapp"), 403, "forbidden")
        self.assert_problem(await self.get("/api/v1/jobs", "crawler"), 403, "forbidden")

    async def test_the_rate_limit_is_each_tokens(self) -> None:
        """A token that asks too often is told when to come back, and others do not pay for it."""
        statuses = [(await self.get("/api/v1/status")).status for _ in range(11)]
        self.assertEqual(statuses, [200] * 10 + [429])
        answer = await self.get("/api/v1/status")
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assert_problem(answer, 429, "rate_limited")
        self.assertEqual((await self.get("/api/v1/status", "monitor")).status, 200)
        self.harness.advance(3)
        self.assertEqual((await self.get("/api/v1/status")).status, 200)

    async def test_requests_are_counted(self) -> None:
        """Requests over HTTP are in the same statistics as those of sockets, with what they were refused with."""
        await self.get("/api/v1/status")
        await self.ask("POST", "/api/v1/queues/pause", "monitor")
        rows = self.harness.server.timing.rows
        self.assertEqual(rows["admin", "status_get"].count, 1)
        self.assertEqual(rows["monitor", "queue_pause"].refused, {"forbidden": 1})

    async def test_a_leaving_server_takes_nothing_new(self) -> None:
        """While it drains, a server refuses new jobs with 503 and still answers questions."""
        self.harness.server.factory.draining = 2.5
        answer = await self.ask("POST", "/api/v1/jobs", json={"jobs": [{"type": "a"}]})
        self.assert_problem(answer, 503, "draining")
        self.assertEqual(answer.headers["retry-after"], "3")
        self.assertEqual((await self.get("/api/v1/jobs")).status, 200)

    async def test_only_bound_types_can_be_called(self) -> None:
        """What has no address cannot be reached by a page of ours either."""
        caller = await self.harness.web.gate.identify(_request(self.harness))
        refusal = self.failureResultOf(self.harness.server.calls.call(caller, "login_create")).value
        self.assertEqual(str(refusal), "unsupported: login_create cannot be asked over HTTP")


class CookieTests(SiteCase):
    """With a cookie, only our own pages change something."""

    async def test_other_sites_change_nothing(self) -> None:
        """A request with a cookie that another site made is refused, whatever it pretends."""
        cookie = await self.cookie("webapp")
        body = {"jobs": [{"type": "a"}]}
        for says in (
            {},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
            {"Origin": "null"},
            {"Origin": "http://localhost:81"},
            {"Origin": "https://localhost"},
            {"Origin": "http://localhost.evil.example.com"},
            {"Referer": "http://localhost/"},
        ):
            answer = await self.harness.http("POST", "/api/v1/jobs", json=body, headers={**cookie, **says})
            self.assert_problem(answer, 403, "cross_site")
        for says in (OURS, {"Origin": "http://localhost"}, {"Origin": "HTTP://LOCALHOST"}):
            answer = await self.harness.http("POST", "/api/v1/jobs", json=body, headers={**cookie, **says})
            self.assertEqual(answer.status, 200, says)

    async def test_a_form_is_no_json(self) -> None:
        """What a form can send is refused with a cookie even when it has no body at all."""
        headers = {**await self.cookie("webapp"), **OURS}
        for kind in ("", "text/plain", "application/x-www-form-urlencoded"):
            answer = await self.harness.http(
                "POST", f"/api/v1/jobs/{NOBODY}/cancel", headers={**headers, "Content-Type": kind}
            )
            self.assert_problem(answer, 415, "unsupported_media_type")
        headers["Content-Type"] = "application/json"
        answer = await self.harness.http("POST", f"/api/v1/jobs/{NOBODY}/cancel", headers=headers)
        self.assert_problem(answer, 404, "unknown_job")

    async def test_a_token_beside_a_cookie_does_not_help(self) -> None:
        """A request that carries a cookie is held to its rules, whatever else it carries."""
        cookie = await self.cookie("webapp")
        answer = await self.ask("POST", "/api/v1/jobs", json={"jobs": [{"type": "a"}]}, headers=cookie)
        self.assert_problem(answer, 403, "cross_site")

    async def test_reads_need_the_cookie_only(self) -> None:
        """GET and HEAD change nothing, so where they come from does not matter."""
        headers = {**await self.cookie("monitor"), "Sec-Fetch-Site": "cross-site"}
        self.assertEqual((await self.harness.http("GET", "/api/v1/jobs", headers=headers)).status, 200)


def _request(harness: WireHarness) -> Any:
    """Return a request of an admin, as far as the gate looks at it."""
    from twisted.web.http_headers import Headers

    class Asked:
        requestHeaders = Headers({b"Authorization": [b"Bearer " + harness.token("admin").encode()]})

    return Asked()
