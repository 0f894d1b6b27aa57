"""Claims about links that sign in, and the sessions of browsers."""

from __future__ import annotations

from datetime import datetime

from crawlsock.store.web_sessions_values import WebSession
from tests.store.contract.base import StoreContract, fresh_id

IDLE = 7200.0
LIFETIME = 43200.0


class Signing(StoreContract):
    """A link works once, and a session lives no longer than its token."""

    async def token(
        self, role: str = "webapp", accounts: frozenset[str] | None = None, expires_at: datetime | None = None
    ) -> str:
        """Make a token; return its id."""
        hash = fresh_id().encode()
        return await self.store.create_token(role, "someone", hash, accounts, expires_at, "test")

    async def signed_in(self, token_id: str, role: str = "webapp", cookie: bytes = b"cookie") -> WebSession:
        """Make a link and use it."""
        code = fresh_id().encode()
        await self.store.create_login(code, token_id, role, 300.0, "webapp:someone")
        session = await self.store.use_login(code, cookie, LIFETIME)
        assert session is not None
        return session

    async def test_a_link_makes_a_session(self) -> None:
        """The session has the role that was asked for, and the accounts and the name of the token."""
        token_id = await self.token("admin", frozenset({"acme"}))
        until = await self.store.create_login(b"code", token_id, "monitor", 300.0, "admin:someone")
        self.assertLess(abs((until - self.in_(300)).total_seconds()), 2)
        session = await self.store.use_login(b"code", b"cookie", LIFETIME)
        assert session is not None
        self.assertEqual((session.role, session.token_id, session.token_name), ("monitor", token_id, "someone"))
        self.assertEqual(session.accounts, frozenset({"acme"}))
        self.assertLess(abs((session.expires_at - self.in_(LIFETIME)).total_seconds()), 2)
        self.assertEqual(await self.store.web_session(b"cookie", IDLE), session)

    async def test_a_link_works_once(self) -> None:
        """Another browser that comes with the same code gets nothing."""
        await self.store.create_login(b"code", await self.token(), "webapp", 300.0, "test")
        self.assertIsNotNone(await self.store.use_login(b"code", b"cookie", LIFETIME))
        self.assertIsNone(await self.store.use_login(b"code", b"other", LIFETIME))
        self.assertIsNone(await self.store.web_session(b"other", IDLE))

    async def test_the_same_request_again_gives_the_same_session(self) -> None:
        """When the answer was lost, asking again with the same cookie signs in no second time."""
        await self.store.create_login(b"code", await self.token(), "webapp", 300.0, "test")
        first = await self.store.use_login(b"code", b"cookie", LIFETIME)
        self.assertEqual(await self.store.use_login(b"code", b"cookie", LIFETIME), first)

    async def test_a_link_ends(self) -> None:
        """After its time a code is as good as none; an unknown one is none."""
        await self.store.create_login(b"code", await self.token(), "webapp", 300.0, "test")
        await self.advance(301)
        self.assertIsNone(await self.store.use_login(b"code", b"cookie", LIFETIME))
        self.assertIsNone(await self.store.use_login(b"unknown", b"cookie", LIFETIME))

    async def test_a_link_needs_a_token_that_holds(self) -> None:
        """A token that is revoked, unknown, or of another role makes no link; an admin's makes one for every role."""
        monitor = await self.token("monitor")
        await self.refused("authentication_failed", self.store.create_login(b"1", monitor, "admin", 300.0, "test"))
        await self.refused("authentication_failed", self.store.create_login(b"2", fresh_id(), "webapp", 300.0, "test"))
        revoked = await self.token()
        await self.store.revoke_token(revoked, "test")
        await self.refused("authentication_failed", self.store.create_login(b"3", revoked, "webapp", 300.0, "test"))
        await self.store.create_login(b"4", await self.token("admin"), "webapp", 300.0, "test")

    async def test_a_link_dies_with_its_token(self) -> None:
        """A link whose token was revoked in the meantime signs nobody in."""
        token_id = await self.token()
        await self.store.create_login(b"code", token_id, "webapp", 300.0, "test")
        await self.store.revoke_token(token_id, "test")
        self.assertIsNone(await self.store.use_login(b"code", b"cookie", LIFETIME))

    async def test_a_session_dies_with_its_token(self) -> None:
        """Revoking a token ends every session that it made, and no other."""
        token_id, other_id = await self.token(), await self.token()
        mine = await self.signed_in(token_id, cookie=b"mine")
        others = await self.signed_in(other_id, cookie=b"other")
        asked = ([token_id, other_id], [mine.session_id, others.session_id], IDLE)
        self.assertEqual(await self.store.living(*asked), {*asked[0], *asked[1]})
        await self.store.revoke_token(token_id, "test")
        self.assertIsNone(await self.store.web_session(b"mine", IDLE))
        self.assertEqual(await self.store.living(*asked), {other_id, others.session_id})

    async def test_a_session_ends_with_its_tokens_time(self) -> None:
        """What a session says of its end is the earlier of its own and its token's."""
        token_id = await self.token(expires_at=self.in_(600))
        session = await self.signed_in(token_id)
        self.assertLess(abs((session.expires_at - self.in_(600)).total_seconds()), 2)
        await self.advance(601)
        self.assertIsNone(await self.store.web_session(b"cookie", IDLE))

    async def test_an_unused_session_ends(self) -> None:
        """A session that is used lives on; one that is not ends after the idle time."""
        session = await self.signed_in(await self.token())
        for _ in range(3):
            await self.advance(IDLE / 2)
            self.assertIsNotNone(await self.store.web_session(b"cookie", IDLE))
        await self.advance(IDLE / 2)
        self.assertEqual(await self.store.living([], [session.session_id], IDLE), {session.session_id})
        await self.advance(IDLE / 2)
        self.assertIsNotNone(await self.store.web_session(b"cookie", IDLE))
        await self.advance(IDLE + 1)
        self.assertIsNone(await self.store.web_session(b"cookie", IDLE))
        self.assertEqual(await self.store.living([], [session.session_id], IDLE), set())

    async def test_a_session_ends_at_its_end(self) -> None:
        """However much it is used, a session ends when its time is over."""
        await self.signed_in(await self.token())
        for _ in range(12):
            await self.advance(LIFETIME / 12 - 10)
            self.assertIsNotNone(await self.store.web_session(b"cookie", IDLE))
        await self.advance(200)
        self.assertIsNone(await self.store.web_session(b"cookie", IDLE))

    async def test_signing_out_ends_one_session(self) -> None:
        """Of two sessions of one token the other goes on; signing out twice is fine."""
        token_id = await self.token()
        await self.signed_in(token_id, cookie=b"one")
        await self.signed_in(token_id, cookie=b"two")
        await self.store.end_web_session(b"one")
        await self.store.end_web_session(b"one")
        self.assertIsNone(await self.store.web_session(b"one", IDLE))
        self.assertIsNotNone(await self.store.web_session(b"two", IDLE))

    async def test_signing_in_and_out_is_audited(self) -> None:
        """The audit says who made a link, who came in by it, and who left."""
        session = await self.signed_in(await self.token())
        await self.store.end_web_session(b"cookie")
        self.assertEqual(
            (await self.audited())[-3:],
            [
                ("webapp:someone", "login_create", session.token_id),
                ("webapp:someone", "login", session.session_id),
                ("webapp:someone", "logout", session.session_id),
            ],
        )

    async def test_ids_that_are_none_do_not_live(self) -> None:
        """Nobody lives under an id that the store never gave."""
        self.assertEqual(await self.store.living([fresh_id(), "nobody"], [fresh_id(), "nobody"], IDLE), set())
