"""What strangers and operators are told of the server's health, over HTTP."""

from __future__ import annotations

from tests.web.case import SiteCase


class LiveTests(SiteCase):
    """The process alone."""

    async def test_a_process_that_answers_lives(self) -> None:
        """Alive it is for everybody, whatever the database does."""
        self.harness.store.take_down()
        self.harness.advance(5)
        answer = await self.get("/livez", None)
        self.assertEqual((answer.status, answer.body), (200, b"ok\n"))
        self.assertEqual(answer.headers["cache-control"], "no-store")

    async def test_only_reading_is_known(self) -> None:
        """Nothing can be done to health."""
        for path in ("/livez", "/readyz", "/metrics"):
            self.assertEqual((await self.ask("POST", path)).status, 405, path)


class ReadyTests(SiteCase):
    """Whether the server should get traffic, and why not."""

    async def test_a_ready_server_says_one_word(self) -> None:
        """Strangers get one word, and whoever asks for more without a sign-in gets that word, too."""
        for target in ("/readyz", "/readyz?verbose", "/readyz?verbose=1"):
            answer = await self.get(target, None)
            self.assertEqual((answer.status, answer.body), (200, b"ready\n"), target)

    async def test_operators_are_told_more(self) -> None:
        """A monitor's token, or a signed-in session, shows a line for each check, with what to do about it."""
        text = (await self.get("/readyz?verbose", "monitor")).text
        self.assertIn("[+] database: ", text)
        self.assertIn("[!] crawlers: no crawler is connected to this server\n      start one", text)
        self.assertTrue(text.endswith("ready\n"))
        cookie = await self.cookie("admin")
        self.assertIn("[+] database: ", (await self.get("/readyz?verbose", None, headers=cookie)).text)

    async def test_who_sees_a_part_is_told_nothing(self) -> None:
        """Web applications and tokens that are bound to accounts get the bare word."""
        self.assertEqual((await self.get("/readyz?verbose", "webapp")).text, "ready\n")
        bound = self.harness.token("monitor", frozenset({"team"}))
        self.assertEqual((await self.harness.http("GET", "/readyz?verbose", token=bound)).text, "ready\n")

    async def test_a_lost_database(self) -> None:
        """503 at once; who was known is told why, who was not is not; 200 when it is back."""
        await self.get("/readyz?verbose", "monitor")
        unknown = self.harness.token("admin")
        self.harness.store.take_down()
        self.harness.advance(1)
        answer = await self.get("/readyz?verbose", "monitor")
        self.assertEqual(answer.status, 503)
        self.assertIn("[-] database: the database does not answer", answer.text)
        self.assertTrue(answer.text.endswith("not ready\n"))
        self.assertEqual((await self.harness.http("GET", "/readyz?verbose", token=unknown)).text, "not ready\n")
        self.harness.store.bring_up()
        self.harness.advance(1)
        self.assertEqual((await self.get("/readyz")).status, 200)

    async def test_a_token_that_was_revoked_is_not_remembered(self) -> None:
        """Memory is for the time of an outage: a token that ended before it shows nothing during it."""
        await self.get("/readyz?verbose", "monitor")
        (row,) = [row for row in await self.harness.store.tokens() if row.role == "monitor"]
        await self.harness.connect("admin").request("token_revoke", {"token_id": row.token_id})
        self.harness.advance(3)
        await self.get("/readyz?verbose", "monitor")
        self.harness.store.take_down()
        self.harness.advance(1)
        self.assertEqual((await self.get("/readyz?verbose", "monitor")).text, "not ready\n")

    async def test_a_server_that_leaves(self) -> None:
        """It says that it is not ready before it stops listening."""
        self.harness.server.factory.draining = 1.0
        self.assertEqual((await self.get("/readyz", None)).status, 503)

    async def test_health_is_reached_by_any_name(self) -> None:
        """Probes use whatever address a server has: the list of hosts does not hold for these pages."""
        answer = await self.harness.http("GET", "/readyz", headers={"Host": "10.1.2.3:8420"})
        self.assertEqual(answer.status, 200)
