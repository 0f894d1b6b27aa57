"""Open files: what a server takes of them."""

from __future__ import annotations

import resource
from collections.abc import Sequence

import psutil

from tests.integration.fault_case import FaultCase
from tests.integration.processes import Child, twistd


class DescriptorTests(FaultCase):
    """A server begun where few files may be open, as in a shell."""

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()

    async def limited(self, limits: Sequence[str], **options: int) -> tuple[Child, int]:
        """Start a server under these limits; return it and how many files it may have open."""
        command = " && ".join([*(f"ulimit {each}" for each in limits), 'exec "$@"'])
        words = twistd("-n", "--pidfile=", "crawlsock", *self.options(**options))
        server = self.children.begin(
            "server", ["sh", "-c", command, "sh", *words], extra={"DATABASE_URL": self.dsn or ""}
        )
        await self.ready(server)
        return server, psutil.Process(server.pid).rlimit(resource.RLIMIT_NOFILE)[0]

    async def test_raised(self) -> None:
        """A soft limit too low for the connections that are allowed is raised."""
        server, allowed = await self.limited(["-Sn 200"], max_connections=300)
        self.assertEqual(allowed, 856)
        self.assertFalse(server.said("too few"))

    async def test_hard(self) -> None:
        """A hard limit that is too low is taken in full, and said."""
        server, allowed = await self.limited(["-Sn 200", "-Hn 400"], max_connections=300)
        self.assertEqual(allowed, 400)
        self.assertTrue(server.said("400 open files are too few for max_connections=300"))
