"""Another key for the credentials at rest, as docs/operations.md says to bring it in."""

from __future__ import annotations

import base64
import os

from crawlsock.secrets import key_id
from tests.integration.fault_case import FaultCase


class KeyRotationTests(FaultCase):
    """A server whose key file gets another first line."""

    def sealed_with(self) -> bytes:
        """Return the id of the key that sealed the credential."""
        [(found,)] = self.rows("SELECT substring(sealed FROM 2 FOR 4) FROM crawlsock.account WHERE account = 'team'")
        return bytes(found)  # type: ignore[call-overload, no-any-return]

    async def put(self) -> None:
        """Store the same credential, as if for the first time."""
        webapp = await self.manager()
        await webapp.credential_put("team", "gitlab.example.com", "personal", "glpat-never-changes")
        await webapp.stop()

    async def test_rotation(self) -> None:
        """With a new first line the same credential, stored again, is sealed with the new key; the old line may go."""
        self.use_shared_database()
        server = await self.server()
        await self.put()
        old = self.sealed_with()
        await self.put()
        self.assertEqual(self.rows("SELECT generation FROM crawlsock.account WHERE account = 'team'"), [(1,)])
        await server.terminated()
        key = os.urandom(32)
        file = self.data / "key"
        first = base64.b64encode(key).decode() + "\n"
        file.write_text(first + file.read_text())
        server = await self.server()
        self.assertEqual(self.sealed_with(), old)
        await self.put()
        self.assertEqual(self.sealed_with(), key_id(key))
        await server.terminated()
        file.write_text(first)
        await self.server()
        await self.put()
        accounts = await (await self.manager()).accounts()
        self.assertEqual([each["state"] for each in accounts if each["account"] == "team"], ["valid"])
