"""Tokens, and those of first start."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial import unittest

from crawlsock.masking import HIDDEN, Masker
from crawlsock.server.tokens import ROLES, authenticate, ensure_tokens, new_token, token_hash
from crawlsock.testing.memory import MemoryStore
from crawlsock.wire.errors import Refusal


class TokenTests(unittest.TestCase):
    def setUp(self) -> None:
        self.store = MemoryStore(Clock())
        self.directory = Path(self.mktemp())
        self.masker = Masker()

    def test_form(self) -> None:
        """A token says its role and holds 256 random bits in characters that need no quoting."""
        tokens = {new_token("crawler") for _ in range(50)}
        self.assertEqual(len(tokens), 50)
        for token in tokens:
            self.assertIsNotNone(re.fullmatch(r"cs_crawler_[A-Za-z0-9_-]{43}", token))

    async def test_first_start(self) -> None:
        """The first start writes a token for each role that works, private and masked."""
        await ensure_tokens(self.store, self.directory, self.masker)
        for role in ROLES:
            path = self.directory / role
            token = path.read_text().strip()
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertEqual((await authenticate(self.store, token, role)).role, role)
            self.assertEqual(self.masker.mask(f"it is {token}."), f"it is {HIDDEN}.")

    async def test_second_start(self) -> None:
        """The second start changes nothing."""
        await ensure_tokens(self.store, self.directory, self.masker)
        before = (self.directory / "admin").read_text(), await self.store.tokens()
        await ensure_tokens(self.store, self.directory, self.masker)
        self.assertEqual(((self.directory / "admin").read_text(), await self.store.tokens()), before)

    async def test_other_database(self) -> None:
        """With another database the tokens of the files are made known to it."""
        await ensure_tokens(self.store, self.directory, self.masker)
        other = MemoryStore(Clock())
        await ensure_tokens(other, self.directory, self.masker)
        await authenticate(other, (self.directory / "crawler").read_text().strip(), "crawler")

    async def test_revoked_stays_revoked(self) -> None:
        """A revoked token does not come back with the next start."""
        await ensure_tokens(self.store, self.directory, self.masker)
        token = (self.directory / "crawler").read_text().strip()
        (row,) = [row for row in await self.store.tokens() if row.hash == token_hash(token)]
        await self.store.revoke_token(row.token_id, "test")
        await ensure_tokens(self.store, self.directory, self.masker)
        with self.assertRaises(Refusal):
            await authenticate(self.store, token, "crawler")
