"""Signing in, staying in, and being out."""

from __future__ import annotations

from tests.web.case import FORM, OURS, SiteCase


class LinkTests(SiteCase):
    """A link is used once, by a press of its button."""

    async def test_looking_at_a_link_uses_nothing_up(self) -> None:
        """GET shows a button as often as it is asked, also for a code that is no good: it tells nobody which is."""
        code = await self.link()
        for shown in (code, code, "x" * 43):
            page = await self.get(f"/login?code={shown}", role=None)
            self.assertEqual(page.status, 200)
            self.assertIn(f'<input type="hidden" name="code" value="{shown}">', page.text)
            self.assertEqual(page.headers["cache-control"], "no-store")
        self.assertEqual((await self.use(code)).status, 303)

    async def test_what_is_no_code_is_not_shown(self) -> None:
        """What is not of a code's form, or is there twice, is not written into the page."""
        for query in (
            "",
            "?code=",
            "?code=%22%3E%3Cscript%3E",
            "?code=" + "x" * 44,
            f"?code={'x' * 43}&code={'y' * 43}",
        ):
            page = await self.get(f"/login{query}", role=None)
            self.assertEqual(page.status, 200)
            self.assertNotIn("<form", page.text)
            self.assertNotIn("<script>", page.text)
            self.assertIn("crawlsock token login", page.text)

    async def test_a_link_works_once(self) -> None:
        """The second who presses the button is told to make another link."""
        code = await self.link()
        self.assertEqual((await self.use(code)).status, 303)
        again = await self.use(code)
        self.assertEqual((again.status, "set-cookie" in again.headers), (403, False))
        self.assertIn("This link was used already", again.text)

    async def test_a_link_ends(self) -> None:
        """After five minutes the button signs nobody in."""
        code = await self.link()
        self.harness.advance(301, step=60)
        self.assertEqual((await self.use(code)).status, 403)

    async def test_other_sites_sign_nobody_in(self) -> None:
        """A page elsewhere cannot press the button, so nobody is signed in as somebody else without knowing."""
        code = await self.link()
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example.com"}, {"Origin": "null"}):
            answer = await self.harness.http(
                "POST", "/login", headers={**FORM, **headers}, body=f"code={code}".encode()
            )
            self.assertEqual(answer.status, 403)
        self.assertEqual((await self.use(code)).status, 303)

    async def test_the_button_sends_a_form(self) -> None:
        """Another content type is 415."""
        answer = await self.harness.http("POST", "/login", headers=OURS, json={"code": "x"})
        self.assertEqual(answer.status, 415)

    async def test_guessing_is_slowed_down(self) -> None:
        """Codes that nobody gave out cost what strangers may cost, and then the next is told to wait."""
        self.harness.settings.set("rate_limit_hello", "3")
        self.harness.advance(10)
        statuses = [(await self.use("x" * 43)).status for _ in range(4)]
        self.assertEqual(statuses, [403, 403, 403, 429])

    async def test_a_crawler_gets_no_link(self) -> None:
        """Links are for people; a crawler's peer is refused."""
        crawler = self.harness.connect("crawler")
        self.refused(crawler.request("login_create"), "forbidden")

    async def test_a_server_without_pages_gives_no_links(self) -> None:
        """Where nothing is served a link would lead nowhere, and the refusal says which setting to set."""
        self.harness.server.logins.address = None
        monitor = self.harness.connect("monitor")
        refusal = self.refused(monitor.request("login_create"), "invalid_state")
        self.assertIn("http_endpoint", refusal.message)

    async def test_a_link_leads_where_people_are(self) -> None:
        """Behind a proxy the link has the address that people use."""
        self.harness.server.logins.address = "http://10.0.0.1:8420"
        monitor = self.harness.connect("monitor")
        self.assertTrue((await monitor.request("login_create")).data["url"].startswith("http://10.0.0.1:8420/login?"))


class ProxyTests(SiteCase):
    """Behind a proxy that speaks TLS."""

    settings = {"http_endpoint": "tcp:0", "http_public_url": "https://crawl.example.com"}

    async def test_everything_follows_the_public_address(self) -> None:
        """The link, the name, the origin and the cookie are those of the address that people use."""
        monitor = self.harness.connect("monitor")
        url = (await monitor.request("login_create")).data["url"]
        self.assertTrue(url.startswith("https://crawl.example.com/login?code="), url)
        asked = {**FORM, "Host": "crawl.example.com", "Origin": "https://crawl.example.com"}
        code = url.partition("code=")[2]
        answer = await self.harness.http("POST", "/login", headers=asked, body=f"code={code}".encode())
        self.assertEqual(answer.status, 303)
        name, _, rest = answer.headers["set-cookie"].partition("=")
        self.assertEqual(name, "__Host-crawlsock_session")
        self.assertEqual(answer.headers["strict-transport-security"], "max-age=31536000")
        self.assertEqual(rest.split("; ")[1:], ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict", "Secure"])


class SessionTests(SiteCase):
    """A browser that is signed in."""

    settings = {"http_endpoint": "tcp:0", "web_session_lifetime": "600 s", "web_session_idle": "100 s"}

    async def status(self, cookie: dict[str, str]) -> int:
        """Ask who we are."""
        return (await self.harness.http("GET", "/api/v1/session", headers=cookie)).status

    async def test_a_session_says_who_it_is(self) -> None:
        """Name, role, accounts, how and until when, and which server that is."""
        token = self.harness.token("webapp", frozenset({"b", "a"}))
        cookie = await self.cookie("webapp", token=token)
        found = (await self.harness.http("GET", "/api/v1/session", headers=cookie)).json()
        server = found.pop("server")
        self.assertEqual(
            found,
            {
                "role": "webapp",
                "name": "test webapp",
                "by": "cookie",
                "accounts": ["a", "b"],
                "expires_at": "1970-01-01T00:10:00.000000Z",
            },
        )
        self.assertEqual(server["server_id"], self.harness.server.server_id)
        by_token = (await self.get("/api/v1/session", "monitor")).json()
        self.assertEqual((by_token["by"], "expires_at" in by_token), ("bearer", False))

    async def test_an_admins_link_for_less(self) -> None:
        """A link that was asked for as a monitor makes a monitor, though the token could do all."""
        cookie = await self.cookie("monitor", token=self.harness.token("admin"))
        answer = await self.harness.http("POST", "/api/v1/queues/pause", headers={**cookie, **OURS}, json={})
        self.assert_problem(answer, 403, "forbidden")

    async def test_a_session_ends_when_it_is_not_used(self) -> None:
        """A browser that asks for nothing for the idle time is out, one that asks stays in until the end."""
        idle, busy = await self.cookie(), await self.cookie()
        for _ in range(6):
            self.harness.advance(90, step=90)
            self.assertEqual(await self.status(busy), 200)
        self.assertEqual(await self.status(idle), 401)
        self.harness.advance(90, step=90)
        self.assertEqual(await self.status(busy), 401)

    async def test_signing_out(self) -> None:
        """DELETE of the session and the button on the page both end it at once, and take the cookie back."""
        for method, target, status in (("DELETE", "/api/v1/session", 204), ("POST", "/logout", 303)):
            cookie = await self.cookie()
            self.assertEqual(await self.status(cookie), 200)
            kept = await self.harness.http(method, target, headers={**cookie, "Sec-Fetch-Site": "cross-site"})
            self.assertEqual((kept.status, await self.status(cookie)), (403, 200))
            answer = await self.harness.http(method, target, headers={**cookie, **OURS})
            self.assertEqual(answer.status, status)
            self.assertIn("Max-Age=0", answer.headers["set-cookie"])
            self.assertEqual(await self.status(cookie), 401)

    async def test_signing_in_again_ends_the_session_before(self) -> None:
        """A browser has one session: the one that its cookie named is over when it has another."""
        cookie = await self.cookie()
        code = await self.link()
        answer = await self.harness.http(
            "POST", "/login", headers={**FORM, **OURS, **cookie}, body=f"code={code}".encode()
        )
        self.assertEqual((answer.status, await self.status(cookie)), (303, 401))

    async def test_a_token_is_not_signed_out(self) -> None:
        """DELETE of the session of a token is refused: a token is revoked, not signed out."""
        self.assert_problem(await self.ask("DELETE", "/api/v1/session"), 409, "invalid_state")

    async def test_a_cookie_that_is_none(self) -> None:
        """An invented cookie, and one of another server's name, is nobody's."""
        self.assertEqual(await self.status({"Cookie": "crawlsock_session_0=invented"}), 401)
        name, _, value = (await self.cookie())["Cookie"].partition("=")
        self.assertEqual(await self.status({"Cookie": f"{name}1={value}"}), 401)
        self.assertEqual(await self.status({"Cookie": f"other=1; {name}={value}"}), 200)
