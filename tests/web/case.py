"""What the tests of the web side share: a server in memory, and people who are signed in."""

from __future__ import annotations

from typing import Any

from crawlsock.testing.http import HttpAnswer
from tests.server.base import HarnessCase

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OURS = {"Sec-Fetch-Site": "same-origin"}


class SiteCase(HarnessCase):
    """Requests to the site of a server in memory."""

    settings = {"http_endpoint": "tcp:0"}

    def setUp(self) -> None:
        super().setUp()
        self.harness.server.logins.address = "http://localhost"

    async def get(self, target: str, role: str | None = "admin", **more: Any) -> HttpAnswer:
        """Ask with a token of a role."""
        return await self.ask("GET", target, role, **more)

    async def ask(self, method: str, target: str, role: str | None = "admin", **more: Any) -> HttpAnswer:
        """Send any request with a token of a role."""
        token = None if role is None else self.harness.token(role)
        return await self.harness.http(method, target, token=token, **more)

    def assert_problem(self, answer: HttpAnswer, status: int, code: str) -> dict[str, Any]:
        """Assert that an answer is a problem; return its members."""
        self.assertEqual(answer.headers["content-type"], "application/problem+json", answer.text)
        problem: dict[str, Any] = answer.json()
        self.assertEqual((answer.status, problem["status"], problem["code"]), (status, status, code), problem)
        self.assertEqual(problem["type"], f"urn:crawlsock:error:{code}")
        return problem

    async def link(self, role: str = "webapp", **hello: Any) -> str:
        """Ask for a link that signs in; return its code."""
        peer = self.harness.connect(role, **hello)
        data = (await peer.request("login_create")).data
        url: str = data["url"]
        return url.removeprefix("http://localhost/login?code=")

    async def use(self, code: str, **headers: str) -> HttpAnswer:
        """Press the button of the page that a link leads to."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} or OURS
        return await self.harness.http("POST", "/login", headers={**FORM, **named}, body=f"code={code}".encode())

    async def cookie(self, role: str = "webapp", **hello: Any) -> dict[str, str]:
        """Sign in; return the header that a browser sends from then on."""
        answer = await self.use(await self.link(role, **hello))
        self.assertEqual(answer.status, 303, answer.text)
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
