"""Who asks, how long that is believed, and what ends when they may no longer."""

from __future__ import annotations

from crawlsock.server.calls import Caller
from crawlsock.web.gate import FRESH_SECONDS, REVOKED, SIGNED_OUT, STOPPING
from tests.web.case import OURS, SiteCase


class GateCase(SiteCase):
    """People who are known to the gate."""

    async def caller(self, role: str = "admin") -> Caller:
        """Return the caller that a token of the role is taken for."""
        await self.get("/api/v1/session", role)
        known = self.harness.web.gate._known.values()
        return next(each.caller for each in known if each.caller.role == role)


class IdentifyTests(GateCase):
    """Tokens, good and bad."""

    async def test_what_is_no_token(self) -> None:
        """Without a token, with another scheme, or with two of them, nobody is known; the answer says how to say it."""
        token = self.harness.token("admin")
        for header in ("", "Bearer", "Bearer ", f"Basic {token}", f"Bearer {'x' * 513}"):
            answer = await self.get("/api/v1/session", None, headers={"Authorization": header})
            self.assert_problem(answer, 401, "not_authenticated")
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="crawlsock"')
        for header in (f"Bearer {token}x", "Bearer \xff", "Bearer cs_admin_0"):
            answer = await self.get("/api/v1/session", None, headers={"Authorization": header})
            self.assert_problem(answer, 401, "authentication_failed")
        answer = await self.get("/api/v1/session", None, headers={"Authorization": f"bearer  {token}"})
        self.assertEqual(answer.status, 200)

    async def test_the_store_is_asked_once_in_a_while(self) -> None:
        """Many requests of one token cost one look in `FRESH_SECONDS`, also when they come at once."""
        looks = []
        ask = self.harness.store.token_by_hash

        def counted(hash: bytes) -> object:
            looks.append(hash)
            return ask(hash)

        self.harness.store.token_by_hash = counted  # type: ignore[method-assign, assignment]
        for _ in range(5):
            await self.get("/api/v1/session")
        self.assertEqual(len(looks), 1)
        self.harness.advance(FRESH_SECONDS)
        await self.get("/api/v1/session")
        self.assertEqual(len(looks), 2)

    async def test_strangers_are_bounded(self) -> None:
        """Unknown tokens cost a bounded number of looks a second, and those who are known do not wait for them."""
        await self.get("/api/v1/session")
        self.harness.settings.set("rate_limit_hello", "5")
        self.harness.advance(1)
        answers = [await self.get("/api/v1/session", None, headers={"Authorization": f"Bearer {n}"}) for n in range(6)]
        self.assertEqual([each.status for each in answers], [401] * 5 + [429])
        self.assertEqual((await self.get("/api/v1/session")).status, 200)

    async def test_a_store_that_is_away_ends_nobody(self) -> None:
        """While the database is away nobody is known, but what was open stays open."""
        caller = await self.caller()
        told: list[str] = []
        self.harness.web.gate.watch(caller, told.append)
        self.harness.store.take_down()
        self.harness.advance(10)
        self.assert_problem(await self.get("/api/v1/session"), 503, "unavailable")
        self.harness.store.bring_up()
        self.harness.advance(10)
        self.assertEqual((await self.get("/api/v1/session")).status, 200)
        self.assertEqual(told, [])


class EndTests(GateCase):
    """What is watched ends with the sign-in."""

    async def test_a_revocation_here_ends_at_once(self) -> None:
        """On the server that is told, everything of a token ends before the answer; nothing of another does."""
        told: list[str] = []
        others: list[str] = []
        caller = await self.caller("monitor")
        self.harness.web.gate.watch(caller, told.append)
        self.harness.web.gate.watch(await self.caller("webapp"), others.append)
        answer = await self.ask("DELETE", f"/api/v1/tokens/{caller.token_id}")
        self.assertEqual((answer.status, told, others), (204, [REVOKED], []))
        self.assert_problem(await self.get("/api/v1/session", "monitor"), 401, "authentication_failed")

    async def test_a_revocation_elsewhere_ends_within_five_seconds(self) -> None:
        """When another server was told, this one finds out: requests, watchers and sockets of the token end."""
        cookie = await self.cookie("monitor")
        self.assertEqual((await self.harness.http("GET", "/api/v1/session", headers=cookie)).status, 200)
        peer = self.harness.connect("monitor")
        told: list[str] = []
        caller = await self.caller("monitor")
        self.harness.web.gate.watch(caller, told.append)
        self.harness.store.revoke_token(caller.token_id, "another server")
        self.harness.advance(4.9, step=0.1)
        self.assertEqual(told, [REVOKED])
        self.assertIsNotNone(peer.closed)
        self.assert_problem(await self.get("/api/v1/session", "monitor"), 401, "authentication_failed")
        answer = await self.harness.http("GET", "/api/v1/session", headers=cookie)
        self.assert_problem(answer, 401, "authentication_failed")

    async def test_signing_out_ends_what_the_session_watches(self) -> None:
        """Of two sessions of one token, signing out of one ends what that one watches."""
        told: dict[str, list[str]] = {}
        cookies = [await self.cookie("monitor") for _ in range(2)]
        for cookie in cookies:
            await self.harness.http("GET", "/api/v1/session", headers=cookie)
        for known in self.harness.web.gate._known.values():
            if known.caller.by == "cookie":
                ended: list[str] = []
                told[known.caller.key] = ended
                self.harness.web.gate.watch(known.caller, ended.append)
        await self.harness.http("DELETE", "/api/v1/session", headers={**cookies[0], **OURS})
        self.assertEqual(sorted(told.values()), [[], [SIGNED_OUT]])

    async def test_an_open_stream_keeps_its_session(self) -> None:
        """A session that only watches is in use; without the watch it would have ended."""
        self.harness.settings.set("web_session_idle", "60")
        cookie = await self.cookie("monitor")
        await self.harness.http("GET", "/api/v1/session", headers=cookie)
        [caller] = [each.caller for each in self.harness.web.gate._known.values() if each.caller.by == "cookie"]
        told: list[str] = []
        cancel = self.harness.web.gate.watch(caller, told.append)
        self.harness.advance(300)
        self.assertEqual(told, [])
        self.assertEqual((await self.harness.http("GET", "/api/v1/session", headers=cookie)).status, 200)
        cancel()
        cancel()
        self.harness.advance(100)
        self.assertEqual((await self.harness.http("GET", "/api/v1/session", headers=cookie)).status, 401)

    async def test_stopping_tells_everybody(self) -> None:
        """A server that stops ends what is watched, whoever fails to take it well."""
        told: list[str] = []

        def fail(reason: str) -> None:
            raise RuntimeError(reason)

        caller = await self.caller()
        self.harness.web.gate.watch(caller, fail)
        self.harness.web.gate.watch(caller, told.append)
        await self.harness.web.gate.stop()
        self.assertEqual((told, self.harness.web.gate.watched), ([STOPPING], 0))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
