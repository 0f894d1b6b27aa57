"""The pages of the dashboard, as a browser without scripts sees them."""

from __future__ import annotations

import gzip
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.testing.harness import WireHarness
from crawlsock.testing.http import HttpAnswer
from crawlsock.web.pages import SCREENS

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "acme/\u202egpj.exe",
    "{{ 7 * 7 }}",
    "\u2066zero\u200bwidth\u2069",
    "' onmouseover='alert(1)",
)


class PagesCase(SynchronousTestCase):
    """A server in memory, and somebody who is signed in."""

    def setUp(self) -> None:
        """Start a server in memory."""
        self.harness = WireHarness()
        self.addCleanup(self.harness.stop)
        self.webapp = self.harness.connect("webapp")
        self.token = self.harness.token("monitor")

    def account(self, name: str) -> None:
        """Make an account."""
        data = {"account": name, "kind": "personal", "access_token": "secret", "host": "gitlab.example.com"}
        self.successResultOf(self.webapp.request("credential_put", data))

    def submit(self, *jobs: dict[str, Any]) -> list[str]:
        """Submit jobs; return their ids."""
        data = {"jobs": [{"type": "crawl_project", **job} for job in jobs]}
        answer = self.successResultOf(self.webapp.request("job_submit", data))
        return [item["job_id"] for item in answer.data["items"]]

    def page(self, address: str, token: str | None = None, **headers: str) -> HttpAnswer:
        """Get a page as a browser would."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.successResultOf(self.harness.http("GET", address, token=token or self.token, headers=named))

    def text(self, address: str) -> str:
        """Return a page that must be there."""
        answer = self.page(address)
        self.assertEqual(answer.status, 200, address)
        return answer.body.decode()


class SignInTests(PagesCase):
    """Who may see pages."""

    def test_nobody(self) -> None:
        """Without a sign-in every page leads to where one is got."""
        for address in (
            "/",
            "/jobs",
            "/jobs/0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11",
            "/crawlers",
            "/access",
            "/failures/ab",
        ):
            answer = self.successResultOf(self.harness.http("GET", address))
            self.assertEqual((answer.status, answer.headers["location"]), (303, "/login"), address)

    def test_ended(self) -> None:
        """Whose session has ended is told so."""
        cookie = "crawlsock_session_0=ended; crawlsock_session_80=ended; crawlsock_session_8080=ended"
        answer = self.successResultOf(self.harness.http("GET", "/jobs", headers={"Cookie": cookie}))
        self.assertEqual(answer.status, 303)
        shown = self.successResultOf(self.harness.http("GET", "/login?reason=ended")).body.decode()
        self.assertIn("Your sign-in has ended", shown)
        self.assertIn("crawlsock token login", shown)

    def test_way_in(self) -> None:
        """The sign-in page says how to get a link, and speaks of no end where there was none."""
        shown = self.successResultOf(self.harness.http("GET", "/login")).body.decode()
        self.assertIn("crawlsock token login", shown)
        self.assertNotIn("has ended", shown)

    def test_unknown(self) -> None:
        """An address that is no page is not found, signed in or not."""
        for address in ("/nothing", "/jobs/a/b", "/crawlers/x", "/failures/a/b", "/%ff", "/index.html"):
            self.assertEqual(self.page(address).status, 404, address)

    def test_accounts(self) -> None:
        """Who is bound to accounts sees those, and a job of another account is unknown."""
        self.account("team")
        self.account("other")
        mine, other = self.submit({"account": "team", "name": "mine"}, {"account": "other", "name": "theirs"})
        token = self.harness.token("webapp", accounts=frozenset({"team"}))
        shown = self.page("/jobs", token).body.decode()
        self.assertIn("mine", shown)
        self.assertNotIn("theirs", shown)
        self.assertEqual(self.page("/", token).status, 200)
        self.assertEqual(self.page(f"/jobs/{mine}", token).status, 200)
        self.assertIn(self.page(f"/jobs/{other}", token).status, (403, 404))


class ContentTests(PagesCase):
    """What they show."""

    def test_every_screen(self) -> None:
        """Every screen is there, with the navigation, and with nothing inline that the policy would stop."""
        for address in (*dict(SCREENS), "/failures/ab"):
            page = self.text(address)
            self.assertIn('aria-label="Screens"', page)
            self.assertNotRegex(page, r"<script(?![^>]* src=)")
            self.assertNotRegex(page, r"\sstyle=|\son[a-z]+=|<style")

    def test_compressed(self) -> None:
        """A page goes compressed to who takes that."""
        answer = self.page("/jobs", Accept_Encoding="gzip")
        self.assertEqual(answer.headers["content-encoding"], "gzip")
        self.assertIn(b"<h1>Jobs</h1>", gzip.decompress(answer.body))

    def test_overview(self) -> None:
        """The overview counts, and each number leads to the list that it counts."""
        self.submit({}, {}, {})
        page = self.text("/")
        self.assertRegex(page, r'href="/jobs\?states=queued"><b>3</b>')
        self.assertIn("Oldest queued job", page)
        self.assertIn('href="/jobs?type=crawl_project', page)

    def test_empty(self) -> None:
        """Where there is nothing, the page says what to do."""
        for address in ("/", "/jobs"):
            self.assertIn("crawlsock submit", self.text(address))

    def test_list(self) -> None:
        """The list has tabs with counts, a form that keeps the filter, and pages by links that keep it, too."""
        self.submit(*({"name": f"job {number}"} for number in range(120)))
        page = self.text("/jobs?states=queued&sort=oldest&type=")
        self.assertRegex(page, r'aria-current="page">Queued <span class="count">120</span>')
        self.assertIn('<input type="hidden" name="states" value="queued">', page)
        self.assertEqual(page.count('<th scope="row"'), 50)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        assert following is not None
        seen = set(re.findall(r"job \d+", page))
        for _ in range(2):
            assert following is not None
            page = self.text(following[1].replace("&amp;", "&"))
            seen |= set(re.findall(r"job \d+", page))
            following = re.search(r'href="([^"]+)" rel="next"', page)
        self.assertEqual(len(seen), 120)
        self.assertIsNone(following)
        self.assertIn('rel="first"', page)

    def test_search(self) -> None:
        """A search by the form finds, and what it does not find leads back."""
        self.submit({"name": "needle"}, {"name": "hay"})
        page = self.text("/jobs?search=needle&type=&account=&host=&sort=newest")
        self.assertIn("needle", page)
        self.assertNotIn("hay<", page)
        self.assertIn("Clear all filters", self.text("/jobs?search=nothing-like-it"))

    def test_wrong_filter(self) -> None:
        """A filter that makes no sense is said in a page; a name that is none of ours is passed over."""
        answer = self.page("/jobs?states=sleeping")
        self.assertEqual(answer.status, 400)
        self.assertIn(b"<h1", answer.body)
        self.assertEqual(self.page("/jobs?utm_source=mail").status, 200)

    def test_job(self) -> None:
        """A job shows its attempts, progress, errors with the next step, its payload without secrets, and commands."""
        (job_id,) = self.submit({"name": "one", "payload": {"token": "glpat-0123456789abcdefghij", "big": 2**53 + 1}})
        crawler = self.harness.connect("crawler")
        reply = self.successResultOf(crawler.request("job_request", {"slots": 1}))
        job = reply.data["jobs"][0] if reply.data.get("jobs") else crawler.pushes[-1].data
        about = {"job_id": job_id, "lease": job["lease"]}
        self.successResultOf(crawler.request("job_started", **about))
        entities = {"issues": {"discovered": 10, "processed": 4, "failed": 1, "total": 10}}
        report = {"seq": 1, "stage": "fetching", "entities": entities}
        self.successResultOf(crawler.request("job_progress", report, **about))
        page = self.text(f"/jobs/{job_id}")
        self.assertIn('data-state="running"', page)
        self.assertIn("<progress", page)
        self.assertIn("4 of 10 items", page)
        self.assertIn(str(2**53 + 1), page)
        self.assertNotIn("glpat-0123456789abcdefghij", page)
        self.assertIn(f"crawlsock cancel {job_id}", page)
        self.assertIn("Attempt 1", page)
        failure = {"error_type": "NotFound", "message": "the project <b>is gone</b>", "recoverable": False}
        self.successResultOf(crawler.request("job_failed", failure, **about))
        page = self.text(f"/jobs/{job_id}")
        self.assertIn("the project &lt;b&gt;is gone&lt;/b&gt;", page)
        self.assertIn('class="remedy"', page)
        self.assertIn("Why did it fail?", page)

    def test_tree(self) -> None:
        """The jobs below one are listed, and lead on."""
        (job_id,) = self.submit({"type": "crawl_group", "host": "gitlab.example.com", "entity_id": "1"})
        crawler = self.harness.connect("crawler")
        reply = self.successResultOf(crawler.request("job_request", {"slots": 1}))
        job = reply.data["jobs"][0] if reply.data.get("jobs") else crawler.pushes[-1].data
        about = {"job_id": job_id, "lease": job["lease"]}
        self.successResultOf(crawler.request("job_started", **about))
        children = [
            {"type": "crawl_project", "entity_id": str(number), "name": f"child {number}"} for number in range(60)
        ]
        self.successResultOf(crawler.request("jobs_discovered", {"jobs": children}, **about))
        page = self.text(f"/jobs/{job_id}")
        self.assertEqual(len(set(re.findall(r"child \d+", page))), 50)
        self.assertIn("With all jobs below it", page)
        following = re.search(rf'href="(/jobs/{job_id}\?cursor=[^"]+)"', page)
        assert following is not None
        rest = self.text(following[1].replace("&amp;", "&"))
        self.assertEqual(len(set(re.findall(r"child \d+", page + rest))), 60)
        child = re.search(r'<th scope="row"><a href="(/jobs/[0-9a-f-]+)"', page)
        assert child is not None
        self.assertIn("Top of the tree", self.text(child[1]))

    def test_no_such_job(self) -> None:
        """A job that is not there is said in a page."""
        answer = self.page("/jobs/0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11")
        self.assertEqual(answer.status, 404)
        self.assertIn(b"<h1", answer.body)

    def test_hostile_names(self) -> None:
        """A name is text and only text, and what would not show in it is marked."""
        self.account("team")
        ids = self.submit(*({"name": name, "account": "team"} for name in HOSTILE))
        pages = [self.text("/jobs"), self.text("/"), *(self.text(f"/jobs/{job_id}") for job_id in ids)]
        for page in pages:
            self.assertNotIn("<script>alert", page)
            self.assertNotIn("<img", page)
            self.assertNotIn("\u202e", page)
            self.assertNotIn("\u200b", page)
            self.assertNotIn("49</bdi>", page)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", pages[0])
        self.assertIn('title="invisible character U+202E"', pages[0])
