"""Names that would like to be programs: on every screen they are text, run nothing, and break no layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from tests.browser.case import BrowserCase
from tests.browser.hostile import NAMES, RUNS
from tests.browser.rig import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

ACCOUNT: Final = NAMES[0]
MARK: Final = "hurt('script')"


def screens(site: Site) -> dict[str, str]:
    """Return where hostile names are shown."""
    account = urlencode({"account": ACCOUNT})
    groups = site.api("GET", f"/errors?{account}&limit=200")["groups"]
    worst = next(each for each in groups if "onerror" in each["last_message"])
    return {
        "overview": "/",
        "jobs": f"/jobs?{account}",
        "tree": f"/jobs/{site.made['hostile']}",
        "held": f"/jobs/{site.made['hostile_held']}",
        "paused": f"/jobs/{site.made['hostile_paused']}",
        "crawlers": f"/crawlers?{urlencode({'crawler': NAMES[0]})}",
        "failures": f"/failures?{account}",
        "failure": f"/failures/{worst['fingerprint']}?{account}",
        "accounts": f"/accounts?{account}",
        "events": f"/events?{account}",
        "system": "/system",
        "access": "/access",
    }


class HostileTests(BrowserCase):
    """The furnished service is full of such names; here they are looked at closely."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.site.hostile()

    def poke(self, page: Page) -> None:
        """Do what could wake something up: move over it, and put the focus on it."""
        page.evaluate("""() => {
            for (const element of document.querySelectorAll("main *")) {
                for (const kind of ["mouseover", "focus", "load", "error"]) element.dispatchEvent(new Event(kind));
            }
        }""")

    def test_every_screen(self) -> None:
        """On every screen hostile names are text and only text, and no window is too narrow for them."""
        page = self.page(width="narrow")
        for name, path in screens(self.site).items():
            self.visit(page, path)
            if name == "events":
                self.live(page)
                self.site.order("advance")
                page.wait_for_selector("main .event")
            if name not in {"overview", "system"}:
                self.assertIn("hurt(", page.locator("main").inner_text(), name)
            self.poke(page)
            for element in ("main script", "main iframe", "main img", "main style", "main base", "main form[action]"):
                self.assertEqual(page.locator(element).count(), 0, f"{element} on {name}")
            self.assertEqual(page.locator("main [onmouseover], main [onload], main [onfocus]").count(), 0, name)
            self.assertEqual(page.locator('a[href^="javascript:" i]').count(), 0, name)
            self.assert_fits(page, name)
            page.set_viewport_size({"width": 1280, "height": 900})
            self.assert_fits(page, name)
            page.set_viewport_size({"width": 360, "height": 740})
            self.assert_unhurt(page)

    def test_directions_end_with_their_name(self) -> None:
        """Characters that turn the writing round are shown as marks, and every name is isolated from its neighbours."""
        page = self.page(f"/jobs?{urlencode({'account': ACCOUNT})}")
        self.assertNotRegex(page.locator("main").inner_text(), "[\u202a-\u202e\u2066-\u2069]")
        self.assertGreater(page.locator("main .unseen").count(), 0)

    def test_dialogs_and_messages(self) -> None:
        """A hostile name in a question, in its answer, and in a command line is text, too."""
        page = self.page(f"/crawlers?{urlencode({'crawler': NAMES[0]})}")
        page.get_by_role("button", name=f"Pause {NAMES[0]}").first.click()
        dialog = page.get_by_role("dialog")
        self.assertIn(NAMES[0], dialog.inner_text())
        self.assertIn("'\\''", dialog.locator("code").inner_text())
        dialog.get_by_role("textbox", name="Why").fill(RUNS[1])
        dialog.get_by_role("button", name="Pause", exact=True).click()
        page.wait_for_selector(".toast")
        self.assertIn(NAMES[0], page.locator(".toasts").inner_text())
        self.poke(page)
        page.get_by_role("button", name=f"Resume {NAMES[0]}").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
        page.get_by_role("button", name=f"Pause {NAMES[0]}").first.wait_for()

    def test_addresses(self) -> None:
        """What is written into an address by a stranger is text on the page that it opens."""
        self.expected = ("404", "400")
        page = self.page(width="narrow")
        for name in RUNS:
            word = quote(name, safe="")
            paths = (
                f"/{word}",
                f"/jobs?search={word}&type={word}",
                f"/jobs/{word}",
                f"/failures/{word}?account={word}",
                f"/crawlers?crawler={word}&search={word}",
                f"/access?token={word}&actor={word}",
            )
            # All of them at one address, and three of them at all.
            for path in paths if name in RUNS[:3] else paths[:1]:
                page.goto(self.site.url + path)
                page.wait_for_selector("h1")
                self.assert_unhurt(page)

    def test_the_way_back_from_the_sign_in_stays_here(self) -> None:
        """A link to the sign-in cannot lead to another server, nor to a script."""
        page = self.page(role=None)
        for target in ("//evil.example/", "https://evil.example/", "javascript:hurt('next')", "/\\evil.example"):
            page.goto(f"{self.site.url}/login?{urlencode({'next': target, 'reason': NAMES[0], 'code': NAMES[2]})}")
            self.assert_unhurt(page)
            for link in page.locator("a[href], form[action]").all():
                where = link.evaluate("e => e.href ?? e.action")
                self.assertTrue(where.startswith(self.site.url), where)
