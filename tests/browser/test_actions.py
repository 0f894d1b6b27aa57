"""What people do from the page: it acts, and it shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.browser.case import BrowserCase
from tests.browser.company import EXACT
from tests.browser.rig import until

if TYPE_CHECKING:
    from playwright.sync_api import Page


class ActionTests(BrowserCase):
    """Each test has jobs of its own in the furnished service."""

    def state(self, key: str) -> str:
        """Return the state of a job, from the rows."""
        [(state,)] = self.site.rows(f"SELECT state FROM crawlsock.job_queue WHERE job_id = '{self.site.made[key]}'")
        return str(state)

    def open(self, key: str, role: str = "admin") -> Page:
        """Open the page of a job, and wait until it is live."""
        page = self.page(f"/jobs/{self.site.made[key]}", role=role)
        self.live(page)
        return page

    def do(self, page: Page, verb: str, **fields: str) -> str:
        """Press the button of a verb, confirm it; return the command line that the question showed."""
        page.locator("main").get_by_role("button", name=verb, exact=True).first.click()
        dialog = page.get_by_role("dialog")
        for label, text in fields.items():
            dialog.get_by_label(label).fill(text)
        command = dialog.locator("code").first.inner_text()
        dialog.get_by_role("button", name=verb, exact=True).click()
        return command

    def shows(self, page: Page, state: str) -> None:
        """Wait until the head of the job's page shows a state."""
        page.locator(f"main .state[data-state={state}]").first.wait_for()

    def test_cancel(self) -> None:
        """A running job that is cancelled from its page is cancelled, for its crawler, in the rows and on the page."""
        page = self.open("to_cancel", role="webapp")
        self.shows(page, "running")
        command = self.do(page, "Cancel", Why="no longer wanted")
        self.assertIn(f"crawlsock cancel {self.site.made['to_cancel']}", command)
        self.shows(page, "cancelled")
        self.assertEqual(self.state("to_cancel"), "cancelled")

    def test_pause_and_resume(self) -> None:
        """A queued job is paused and resumed from its page, and another page that is open sees both."""
        page, beside = self.open("later"), self.open("later", role="monitor")
        self.do(page, "Pause")
        self.shows(page, "paused")
        self.shows(beside, "paused")
        self.assertEqual(self.state("later"), "paused")
        self.do(page, "Resume")
        self.shows(page, "queued")
        self.shows(beside, "queued")
        self.assertEqual(self.state("later"), "queued")

    def test_pause_of_a_running_job(self) -> None:
        """A job that a crawler works on is asked to hold, and the page says so."""
        page = self.open("to_pause")
        self.do(page, "Pause")
        page.get_by_text("Pausing").first.wait_for()
        rows = f"SELECT pause_requested FROM crawlsock.job_queue WHERE job_id = '{self.site.made['to_pause']}'"
        self.assertEqual(self.site.rows(rows), [(True,)])

    def test_retry(self) -> None:
        """A failed job that is retried from its page runs again, and the page shows the second attempt."""
        page = self.open("to_retry")
        self.shows(page, "failed")
        before = self.site.rows(
            f"SELECT count(*) FROM crawlsock.job_assignment WHERE job_id = '{self.site.made['to_retry']}'"
        )
        self.do(page, "Retry")
        until(
            "the job was tried again",
            lambda: (
                self.site.rows(
                    "SELECT count(*) FROM crawlsock.job_assignment "
                    f"WHERE outcome IS NOT NULL AND job_id = '{self.site.made['to_retry']}'"
                )
                > before
            ),
        )
        self.shows(page, "failed")

    def test_a_group_is_retried_with_one_press(self) -> None:
        """All jobs that failed in one way are queued again by one button, and are tried again."""
        [group] = self.site.api("GET", "/errors?error_type=not_found&account=zoo")["groups"]
        page = self.page("/failures?error_type=not_found&account=zoo")
        attempts = "SELECT coalesce(sum(attempt), 0) FROM crawlsock.job_queue q JOIN crawlsock.job j USING (job_id) "
        attempts += "WHERE j.name LIKE 'Broken%' AND q.account = 'zoo'"
        [(before,)] = self.site.rows(attempts)
        page.get_by_role("button", name="Retry 1 job").or_(page.get_by_role("button", name="Retry")).first.click()
        dialog = page.get_by_role("dialog")
        self.assertIn(f"{group['failed_now']} now", dialog.inner_text())
        dialog.get_by_role("button", name="Retry all", exact=True).click()
        page.wait_for_selector(".toast")
        self.assertIn("Queued again", page.locator(".toasts").inner_text())
        until("they were tried again", lambda: self.site.rows(attempts)[0][0] > before)

    def test_a_crawler_is_paused_and_resumed(self) -> None:
        """A crawler is paused from its row, the page shows it, and so does the audit log."""
        page = self.page("/crawlers")
        page.get_by_role("button", name="Pause crawler-heir").click()
        dialog = page.get_by_role("dialog")
        self.assertIn("crawlsock crawlers pause crawler-heir", dialog.locator("code").inner_text())
        dialog.get_by_role("button", name="Pause", exact=True).click()
        page.get_by_role("button", name="Resume crawler-heir").click()
        page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
        page.get_by_role("button", name="Pause crawler-heir").wait_for()
        entries = self.site.api("GET", "/audit?target=crawler-heir")["entries"]
        self.assertEqual([each["action"] for each in entries[:2]], ["crawler_resume", "crawler_pause"])

    def test_a_queue_is_paused_and_resumed(self) -> None:
        """The queue of a type is paused with a reason, and resumed."""
        page = self.page("/accounts")
        page.get_by_role("button", name="Pause crawl_group").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Why").fill("the disk is full")
        dialog.get_by_role("button", name="Pause", exact=True).click()
        page.get_by_text("the disk is full").first.wait_for()
        page.get_by_role("button", name="Resume crawl_group").click()
        page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
        page.get_by_role("button", name="Pause crawl_group").wait_for()

    def test_a_credential_is_put(self) -> None:
        """A credential is stored from the page, its jobs go on, and nothing of it can be found on the page."""
        page = self.page("/accounts?find=expired")
        page.get_by_role("button", name="Put the credential of expired").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Access token", exact=True).fill("glpat-typed-into-a-page")
        self.assertNotIn("glpat-typed-into-a-page", dialog.locator("code").inner_text())
        dialog.get_by_role("button", name="Store", exact=True).click()
        page.wait_for_selector(".toast")
        self.assertNotIn("glpat-typed-into-a-page", page.content())
        self.assertNotIn("glpat-typed-into-a-page", page.url)
        [(generation,)] = self.site.rows("SELECT generation FROM crawlsock.account WHERE account = 'expired'")
        self.assertEqual(generation, 2)

    def test_a_setting_is_changed(self) -> None:
        """A setting that may change while the server runs is changed, and its source says so."""
        self.expected = ("400",)
        page = self.page("/system?setting=poll_interval")
        page.get_by_role("button", name="Change poll_interval").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Value").fill("never")
        dialog.get_by_role("button", name="Change", exact=True).click()
        dialog.locator("[role=alert]").wait_for()
        dialog.get_by_label("Value").fill("900 ms")
        dialog.get_by_role("button", name="Change", exact=True).click()
        self.wait(page, "document.querySelector('main').innerText.includes('config_set poll_interval')")

    def test_a_token_is_made_once_and_revoked(self) -> None:
        """A new token is shown once; after its revocation it opens nothing."""
        page = self.page("/access")
        page.get_by_role("button", name="Make a token").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Role").select_option("monitor")
        dialog.get_by_label("Name", exact=True).fill("Made by a page")
        dialog.get_by_role("button", name="Make it", exact=True).click()
        dialog.get_by_text("The new token").wait_for()
        token = dialog.locator("code").inner_text().strip()
        self.assertEqual(self.site.api("GET", "/session", token=token)["role"], "monitor")
        dialog.get_by_role("button", name="I have it", exact=True).click()
        self.assertNotIn(token, page.content())
        page.get_by_role("button", name="Revoke Made by a page").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
        page.get_by_role("button", name="Revoke Made by a page").wait_for(state="detached")

        def refused() -> bool:
            try:
                self.site.api("GET", "/session", token=token)
            except AssertionError as error:
                return "401" in str(error)
            return False

        until("the token opens nothing", refused, 6)

    def test_who_may_not_act_has_no_buttons(self) -> None:
        """A monitor sees everything of the service, and no button that it may not press."""
        page = self.page("/crawlers", role="monitor")
        for path in ("/crawlers", "/failures", "/accounts", "/system", f"/jobs/{self.site.made['tree']}"):
            self.visit(page, path)
            for verb in ("Pause", "Drain", "Disconnect", "Retry", "Cancel", "Renew", "Change", "Revoke"):
                buttons = page.locator("main").get_by_role("button", name=re.compile(f"^{verb}"))
                self.assertEqual(buttons.count(), 0, f"{verb} on {path}")

    def test_whole_numbers_keep_every_digit(self) -> None:
        """A number of 64 bits in a payload is shown with all its digits."""
        page = self.page(f"/jobs/{self.site.made['running']}")
        page.get_by_text(str(EXACT)).first.wait_for(state="attached")
