"""Real sockets: who may have a path, and how it looks."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.trial import unittest

from crawlsock.server.listener import IN_USE, ListenError, SocketServer

reactor: Any = installed_reactor


class ListenerTests(unittest.TestCase):
    def setUp(self) -> None:
        # Short: a socket's path may have a hundred bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="cs"))
        self.addCleanup(self.remove)
        self.path = self.directory / "run" / "s.sock"

    def remove(self) -> None:
        for path in sorted(self.directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.directory.rmdir()

    def server(self, endpoint: str | None = None) -> SocketServer:
        factory = Factory.forProtocol(Protocol)
        server = SocketServer(reactor, endpoint or f"unix:{self.path}:mode=660", factory)
        self.addCleanup(server.stop)
        return server

    async def refused(self, server: SocketServer) -> ListenError:
        with self.assertRaises(ListenError) as caught:
            await server.start()
        error = caught.exception
        assert isinstance(error, ListenError)
        return error

    async def test_modes(self) -> None:
        """The directory is private and the socket's mode is the one asked for, whatever the umask."""
        before = os.umask(0)
        try:
            await self.server().start()
            self.assertEqual(os.umask(0), 0)
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o660)
        self.assertEqual(os.listdir(self.path.parent), ["s.sock"])

    async def test_start_and_stop(self) -> None:
        """Starting and stopping twice, or stopping first, is fine; nothing is left."""
        server = self.server()
        await server.stop()
        for _ in range(2):
            await server.start()
            await server.start()
            await server.stop()
            await server.stop()
        self.assertEqual(os.listdir(self.path.parent), [])

    async def test_living_server(self) -> None:
        """The path of a living server is never taken, and that server goes on."""
        await self.server().start()
        error = await self.refused(self.server())
        self.assertEqual(error.exit_code, IN_USE)
        self.assertIn(str(self.path), str(error))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))

    async def test_busy_server(self) -> None:
        """A server so busy that nobody can connect is living, too."""
        self.path.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
            busy.bind(str(self.path))
            busy.listen(0)
            waiting.connect(str(self.path))
            server = self.server()
            error = await self.refused(server)
        self.assertEqual(error.exit_code, IN_USE)

    async def test_stale_socket(self) -> None:
        """The socket of a killed server is replaced."""
        self.path.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
        await self.server().start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))

    async def test_no_socket(self) -> None:
        """A file that is no socket is left alone."""
        self.path.parent.mkdir()
        self.path.write_text("precious")
        self.assertEqual((await self.refused(self.server())).exit_code, 7)
        self.assertEqual(self.path.read_text(), "precious")

    async def test_public_directory(self) -> None:
        """A directory in which everybody may replace the socket is refused."""
        self.path.parent.mkdir()
        self.path.parent.chmod(0o777)
        self.assertIn("chmod", str(await self.refused(self.server())))

    async def test_replaced_while_running(self) -> None:
        """A server that stops leaves a socket alone that somebody put in place of its own."""
        server = self.server()
        await server.start()
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            await server.stop()
            self.assertTrue(self.path.exists())

    async def test_removed_while_running(self) -> None:
        """A server whose socket was removed stops without complaint."""
        server = self.server()
        await server.start()
        self.path.unlink()
        await server.stop()

    async def test_tcp(self) -> None:
        """Any other endpoint listens as it says; one that is taken is named."""
        server = self.server("tcp:0:interface=127.0.0.1")
        await server.start()
        port: Any = server.port
        error = await self.refused(self.server(f"tcp:{port.getHost().port}:interface=127.0.0.1"))
        self.assertEqual(error.exit_code, IN_USE)
        await server.stop()
