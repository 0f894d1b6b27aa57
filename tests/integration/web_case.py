"""The stage for tests of the web side: a server process, and an HTTP client that can misbehave.

Sockets are the client's own, because a well-behaved library would not send what these tests send. They block, so they
are used in threads.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from attrs import define
from twisted.internet.threads import deferToThread

from tests.integration.fault_case import FaultCase
from tests.integration.processes import Child

T = TypeVar("T")
SECONDS = 20.0


@define
class Answer:
    """One response as it came; headers by lower-case name, all values of one name joined by newlines."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return orjson.loads(self.body)


def free_port() -> int:
    """Return a port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_answer(connection: socket.socket, headless: bool = False) -> Answer:
    """Read one whole response; raise `ConnectionError` when the server closes before."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = "\n".join(filter(None, (headers.get(name.lower()), value.strip())))
    length = 0 if headless else int(headers.get("content-length", "0"))
    while len(body) < length:
        body += _more(connection)
    return Answer(int(lines[0].split(" ")[1]), headers, body)


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data


class WebCase(FaultCase):
    """One server with its web side, and requests to it."""

    server_process: Child
    tls: ssl.SSLContext | None = None
    """With what connections are made, where the server speaks TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()
        self.port = free_port()

    async def serve(self, name: str = "server", **changes: Any) -> Child:
        """Start a server that serves HTTP at `port`."""
        self.server_process = await self.server(
            name, **{"http_endpoint": f"tcp:{self.port}:interface=127.0.0.1", **changes}
        )
        return self.server_process

    def connect(self, port: int | None = None) -> socket.socket:
        """Connect; the connection is closed with the test."""
        connection = socket.create_connection(("127.0.0.1", port or self.port), timeout=SECONDS)
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_hostname="localhost")
        self.addCleanup(connection.close)
        return connection

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run what blocks."""
        result: T = await deferToThread(function, *args)
        return result

    async def send(self, head: str, body: bytes = b"", *, port: int | None = None) -> Answer:
        """Send a head, its lines cut by newlines, the last empty one left out, and a body; return the answer."""

        def run() -> Answer:
            connection = self.connect(port)
            connection.sendall(head.strip().replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            return read_answer(connection, head.startswith("HEAD"))

        return await self.in_thread(run)

    async def http(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        token: str | None = None,
        json: Any = None,
        port: int | None = None,
    ) -> Answer:
        """Send a well-formed request; return the answer."""
        usual = {"Host": f"localhost:{port or self.port}", "Connection": "close"}
        if token is not None:
            usual["Authorization"] = f"Bearer {token}"
        if json is not None:
            body = orjson.dumps(json)
            usual["Content-Type"] = "application/json"
        if body:
            usual["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in {**usual, **(headers or {})}.items())]
        return await self.send("\n".join(lines), body, port=port)

    async def sign_in(self, role: str = "admin") -> str:
        """Sign in by a link, as a browser does; return the cookie."""
        manager = await self.manager(role)
        link = (await manager.request("login_create")).data["url"]
        code = link.partition("code=")[2]
        answer = await self.http(
            "POST",
            "/login",
            {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"},
            f"code={code}".encode(),
        )
        self.assertEqual(answer.status, 303, answer)
        return answer.headers["set-cookie"].partition(";")[0]

    def open_stream(self, port: int, headers: dict[str, str]) -> socket.socket:
        """Ask for the event stream."""
        connection = self.connect(port)
        lines = [f"GET /api/v1/events HTTP/1.1\r\nHost: localhost:{port}", *(f"{k}: {v}" for k, v in headers.items())]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        return connection

    @staticmethod
    def read_until(connection: socket.socket, end: bytes | None) -> bytes:
        """Read until `end` came after the head, or, without one, until the server closes; return all of it."""
        data = b""
        while end is None or end not in data.partition(b"\r\n\r\n")[2]:
            more = connection.recv(65536)
            if not more:
                break
            data += more
        return data
