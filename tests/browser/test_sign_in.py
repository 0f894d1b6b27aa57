"""Signing in by a link, signing out, and what ends with a token."""

from __future__ import annotations

from tests.browser.case import BrowserCase
from tests.browser.rig import until


class SignInTests(BrowserCase):
    """Browsers that nobody has signed in yet."""

    site_name = "empty"

    def test_a_link_signs_in_once(self) -> None:
        """The link shows one button; pressed, it signs in with a cookie that no script can read; it works once."""
        page = self.page(role=None)
        link = self.site.login("admin")
        page.goto(link)
        page.get_by_role("button").click()
        page.wait_for_selector("main h1")
        self.assertNotIn("code=", page.url)
        [cookie] = page.context.cookies()
        self.assertEqual((cookie["httpOnly"], cookie["sameSite"]), (True, "Strict"))
        self.assertEqual(page.evaluate("document.cookie"), "")
        self.assertEqual(page.evaluate("Object.keys(sessionStorage).length"), 0)
        other = self.page(role=None)
        self.expected = ("40",)
        other.goto(link)
        if other.get_by_role("button").count():
            other.get_by_role("button").first.click()
        self.assertEqual(other.context.cookies(), [])
        other.goto(self.site.url + "/")
        self.assertIn("/login", other.url)

    def test_nothing_is_open_without_a_sign_in(self) -> None:
        """Without a sign-in every page leads to where one is got."""
        self.expected = ("401",)
        page = self.page(role=None)
        for path in ("/", "/jobs", "/jobs/00000000-0000-4000-8000-000000000000", "/system", "/access"):
            page.goto(self.site.url + path)
            self.assertIn("/login", page.url)
            self.assertIn("crawlsock token login", page.inner_text("body"))

    def test_signing_out(self) -> None:
        """Signing out ends the session at the server, and a page that is still open finds out."""
        page = self.page(role=None)
        page.goto(self.site.login("monitor"))
        page.get_by_role("button").click()
        page.wait_for_selector("main h1")
        beside = page.context.new_page()
        self.visit(beside, "/crawlers")
        self.live(beside)
        self.expected = ("401",)
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login*")
        self.assertEqual(page.context.cookies(), [])
        beside.wait_for_url("**/login*", timeout=8_000)

    def test_a_revoked_token_ends_its_pages(self) -> None:
        """Within five seconds of a revocation the pages of a session that came from the token lead to the sign-in."""
        made = self.site.api("POST", "/tokens", {"role": "monitor", "name": "wall"})
        url = self.site.login("monitor", made["token"])
        page = self.page(role=None)
        page.goto(url)
        page.get_by_role("button").click()
        page.wait_for_selector("main h1")
        self.visit(page, "/events")
        self.live(page)
        self.expected = ("401",)
        self.site.api("DELETE", f"/tokens/{made['token_id']}")
        page.wait_for_url("**/login*", timeout=7_000)
        until("the session is over", lambda: not self.opens(page.context.cookies()))

    def opens(self, cookies: object) -> bool:
        """Tell whether these cookies still open the API."""
        context = self.context(role=None)
        context.add_cookies(cookies)  # type: ignore[arg-type]
        return bool(context.request.get(f"{self.site.url}/api/v1/session").ok)
