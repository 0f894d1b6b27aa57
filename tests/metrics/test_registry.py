"""What a scrape shows of a server in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from crawlsock.metrics.database import DatabaseMetrics
from crawlsock.server.pulse import Disk
from crawlsock.tally import MOST_TYPES
from crawlsock.testing.harness import WireHarness
from tests.metrics import prom
from tests.metrics.engine import Engine
from tests.server.base import HarnessCase

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class ScrapeCase(HarnessCase):
    """A server in memory that is scraped as Prometheus does it."""

    def answer(self, accept: str = "", role: str = "monitor", harness: WireHarness | None = None) -> Any:
        """Ask for /metrics."""
        harness = harness or self.harness
        answer = harness.http("GET", "/metrics", token=harness.token(role), headers={"Accept": accept})
        return self.successResultOf(answer)

    def scrape(self) -> prom.Scrape:
        """Return all samples."""
        answer = self.answer()
        self.assertEqual(answer.status, 200, answer.body)
        return prom.read(answer.body.decode())

    def engine(self) -> Engine:
        """Return started parts between the server and a database."""
        engine = Engine(self.harness.clock)
        engine.start()
        self.addCleanup(engine.stop)
        return engine

    def value(self, name: str, **labels: str) -> float:
        """Return one sample, found by its name and labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        found = [
            value
            for series, value in self.scrape().items()
            if series.partition("{")[0] == name and wanted <= set(series.partition("{")[2].rstrip("}").split(","))
        ]
        self.assertEqual(len(found), 1, f"{name} {labels}")
        return found[0]


class PageTests(ScrapeCase):
    """Who may ask, and in which format the answer is."""

    def test_only_operators_may_ask(self) -> None:
        """Monitors and administrators are answered; web applications, and tokens bound to accounts, are not."""
        self.assertEqual(self.successResultOf(self.harness.http("GET", "/metrics")).status, 401)
        for role, status in (("monitor", 200), ("admin", 200), ("webapp", 403), ("crawler", 403)):
            self.assertEqual(self.answer(role=role).status, status, role)
        bound = self.harness.token("monitor", frozenset({"team"}))
        self.assertEqual(self.successResultOf(self.harness.http("GET", "/metrics", token=bound)).status, 403)

    def test_formats(self) -> None:
        """Prometheus' text is the usual; OpenMetrics comes to who asks for it."""
        self.assertTrue(self.answer().headers["content-type"].startswith("text/plain; version=0.0.4"))
        answer = self.answer(OPENMETRICS)
        self.assertTrue(answer.headers["content-type"].startswith("application/openmetrics-text"))
        self.assertTrue(answer.body.endswith(b"# EOF\n"))

    def test_a_server_whose_database_is_away_is_scraped(self) -> None:
        """Whoever was known before is answered while nobody can be looked up: alerts depend on it."""
        self.scrape()
        self.harness.store.take_down()
        self.harness.advance(30)
        self.assertEqual(self.value("crawlsock_database_up"), 0)
        self.assertEqual(self.value("crawlsock_ready"), 0)
        unknown = self.harness.http("GET", "/metrics", token="csk_" + "x" * 40)
        self.assertEqual(self.successResultOf(unknown).status, 503)

    def test_promtool_finds_nothing_wrong(self) -> None:
        """Names, units and help are as Prometheus wants them, also with everything that a database adds."""
        engine = self.engine()
        self.harness.web.metrics.use(DatabaseMetrics(engine, engine.group).collect)
        code, said = prom.promtool("check", "metrics", input=self.answer().body)
        self.assertEqual((code, said), (0, ""))


class NumbersTests(ScrapeCase):
    """The numbers follow what happens."""

    async def test_the_life_of_a_job(self) -> None:
        """A job is counted as queued, assigned, waited for, run and completed, each under its type."""
        webapp = self.harness.connect("webapp")
        await self.submit(webapp, {"type": "crawl_group"})
        self.harness.advance(4)
        self.assertEqual(self.value("crawlsock_jobs", type="crawl_group", state="queued"), 1)
        crawler = self.harness.connect("crawler")
        envelope = await self.take(crawler)
        self.harness.advance(6)
        await crawler.request("job_completed", {"entities": {}}, **envelope)
        self.harness.advance(2)
        self.assertEqual(self.value("crawlsock_jobs", type="crawl_group", state="completed"), 1)
        self.assertEqual(self.value("crawlsock_job_wait_seconds_sum", type="crawl_group"), 4)
        self.assertEqual(self.value("crawlsock_job_run_seconds_sum", type="crawl_group"), 6)
        self.assertEqual(self.value("crawlsock_attempts_total", type="crawl_group", outcome="completed"), 1)
        self.assertEqual(self.value("crawlsock_assignments_total"), 1)
        self.assertEqual(self.value("crawlsock_jobs_submitted_total", status="created"), 1)

    async def test_messages_frames_and_errors(self) -> None:
        """What goes over a socket is counted by type, direction, size and code."""
        crawler = self.harness.connect("crawler")
        received = self.value("crawlsock_frame_size_bytes_count", direction="received")
        bytes_before = self.value("crawlsock_frame_size_bytes_sum", direction="received")
        crawler.request("ping")
        crawler.send_frame(b"{nonsense")
        self.failureResultOf(crawler.request("job_list"))
        self.assertEqual(self.value("crawlsock_messages_total", type="ping", direction="received"), 1)
        self.assertEqual(self.value("crawlsock_messages_total", type="welcome", direction="sent"), 1)
        self.assertEqual(self.value("crawlsock_messages_total", type="unread", direction="received"), 1)
        self.assertEqual(self.value("crawlsock_protocol_errors_total", code="invalid_json"), 1)
        self.assertEqual(self.value("crawlsock_requests_refused_total", code="forbidden"), 1)
        self.assertEqual(self.value("crawlsock_frame_size_bytes_count", direction="received") - received, 3)
        self.assertGreater(self.value("crawlsock_frame_size_bytes_sum", direction="received"), bytes_before + 30)
        self.assertEqual(self.value("crawlsock_request_duration_seconds_count", type="ping"), 1)

    async def test_a_stale_message_is_counted(self) -> None:
        """A message under a lease that was lost counts under its type."""
        await self.submit(self.harness.connect("webapp"))
        crawler = self.harness.connect("crawler")
        envelope = await self.take(crawler)
        wrong = {**envelope, "lease": "0" * 36}
        self.refused(crawler.request("job_progress", {"seq": 1, "stage": "fetching"}, **wrong), "lease_lost")
        self.assertEqual(self.value("crawlsock_stale_messages_total", type="job_progress"), 1)

    def test_who_is_connected(self) -> None:
        """Connections are counted by role, crawlers by standing, with the oldest heartbeat."""
        crawler = self.harness.connect("crawler")
        self.harness.connect("webapp")
        self.harness.dial()
        crawler.request("heartbeat", {"status": "idle", "active_jobs": []})
        self.harness.advance(3)
        for role, count in (("crawler", 1), ("webapp", 1), ("admin", 0), ("stranger", 1)):
            self.assertEqual(self.value("crawlsock_connections", role=role), count, role)
        self.assertEqual(self.value("crawlsock_crawlers", standing="connected"), 1)
        self.assertEqual(self.value("crawlsock_heartbeat_age_seconds"), 3)

    def test_job_types_are_bounded(self) -> None:
        """A web application that invents types makes one label of them beyond the bound."""
        webapp = self.harness.connect("webapp")
        for start in range(0, 200, 50):
            webapp.request("job_submit", {"jobs": [{"type": f"type_{n}"} for n in range(start, start + 50)]})
        self.harness.advance(2)
        jobs = {series: value for series, value in self.scrape().items() if series.startswith("crawlsock_jobs{")}
        types = {series.partition('type="')[2].partition('"')[0] for series in jobs}
        self.assertLessEqual(len(types), MOST_TYPES + 1)
        self.assertEqual(sum(jobs.values()), 200)

    def test_nothing_secret_and_no_name_is_in_a_scrape(self) -> None:
        """Neither tokens nor names of accounts, crawlers and jobs are labels or values."""
        webapp = self.harness.connect("webapp")
        webapp.request(
            "credential_put",
            {"account": "acme", "host": "gitlab.test", "kind": "personal", "access_token": "glpat-0123456789"},
        )
        webapp.request("job_submit", {"jobs": [{"type": "crawl_user", "account": "acme", "name": "zaphod"}]})
        self.harness.connect("crawler", crawler_id="trillian")
        self.harness.advance(2)
        text = self.answer().body.decode()
        for secret in ("glpat", "acme", "zaphod", "trillian", "gitlab.test", *self.harness.tokens.values()):
            self.assertNotIn(secret, text)

    def test_servers_do_not_share_numbers(self) -> None:
        """Two servers in one process count apart."""
        other = WireHarness()
        self.addCleanup(other.stop)
        other.connect("crawler")
        self.assertEqual(self.value("crawlsock_connections", role="crawler"), 0)
        self.assertIn(b'crawlsock_connections{role="crawler"} 1.0', self.answer(harness=other).body)

    def test_a_count_that_does_not_come_is_not_waited_for(self) -> None:
        """While the census hangs a scrape shows the last counts, and says how old they are."""
        self.scrape()
        counted = self.value("crawlsock_jobs_counted_timestamp_seconds")
        self.harness.advance(5)
        self.harness.server.census = _Hanging()  # type: ignore[assignment]
        answer = self.harness.http("GET", "/metrics", token=self.harness.token("monitor"))
        self.assertNoResult(answer)
        self.harness.advance(3)
        shown = prom.read(self.successResultOf(answer).body.decode())
        (still,) = [value for series, value in shown.items() if series.startswith("crawlsock_jobs_counted")]
        self.assertEqual(still, counted)


class _Hanging:
    """A census that never answers."""

    def jobs(self, accounts: object) -> Any:
        async def never() -> None:
            await Deferred()

        return never()


class DocumentTests(ScrapeCase):
    """Dashboard and alerts speak of metrics that exist."""

    def known(self) -> set[str]:
        """Return the names of all metrics that a server with a database tells."""
        harness = self.harness
        engine = self.engine()
        harness.web.metrics.use(DatabaseMetrics(engine, engine.group).collect)
        harness.connect("crawler").request("ping")
        harness.server.pulse.disk = Disk(50, 100)
        harness.http("GET", "/nothing")
        harness.web.site.refused["connections"] = 1
        harness.advance(2)
        return {series.partition("{")[0] for series in self.scrape()}

    def test_alerts_name_what_exists(self) -> None:
        """Every metric in an alert is told by a server, or by Prometheus itself."""
        known = self.known() | {"up"}
        for name, rule in prom.rules().items():
            self.assertEqual(prom.names_in(rule["expr"]) - known, set(), name)

    def test_the_dashboard_names_what_exists(self) -> None:
        """Every metric in a panel is told by a server, and every area of the server has a row."""
        document = json.loads(prom.DASHBOARD.read_text(encoding="utf-8"))
        known = self.known()
        ids = [panel["id"] for panel in document["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        shown: set[str] = set()
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                names = prom.names_in(target["expr"])
                self.assertTrue(names, panel["title"])
                self.assertEqual(names - known, set(), panel["title"])
                shown |= names
        rows = {panel["title"] for panel in document["panels"] if panel["type"] == "row"}
        jobs = {"Jobs", "Attempts", "Crawlers and connections", "Messages and requests"}
        inside = {"Health", "Group commit", "Database", "Feed and viewers", "Reactor and duties", "Web side", "Process"}
        self.assertEqual(jobs | inside, rows)

    def test_every_metric_of_ours_is_on_the_dashboard(self) -> None:
        """Nothing is told that nobody could look at."""
        text = prom.DASHBOARD.read_text(encoding="utf-8")
        shown = prom.names_in(text)
        for name in self.known():
            base = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            if name.startswith("crawlsock_"):
                self.assertTrue({name, base, f"{base}_bucket", f"{base}_count", f"{base}_sum"} & shown, name)

    def test_prometheus_reads_every_panel(self) -> None:
        """promtool accepts every expression of the dashboard."""
        document = json.loads(prom.DASHBOARD.read_text(encoding="utf-8"))
        expressions = [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]
        self.assertEqual(prom.parse(expressions), "")
