"""The web side of a real server, over real sockets: slow and greedy clients, strangers' names, sign-ins that end."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import Any

from cryptography import x509
from twisted.internet.defer import Deferred

from crawlsock.sdk import JobManager
from tests.integration.processes import reactor, until
from tests.integration.test_tls import Authority
from tests.integration.web_case import WebCase, free_port, read_answer


class LimitTests(WebCase):
    """Whatever a client does, it costs little."""

    async def test_a_large_body_is_refused_before_it_is_read(self) -> None:
        """A body that says it has 64 KiB and a byte is answered with 413 at once; one of 64 KiB is read."""
        await self.serve()
        token = self.token("admin")
        head = f"POST /api/v1/jobs HTTP/1.1\nHost: localhost\nAuthorization: Bearer {token}"
        head += "\nContent-Type: application/json"
        refused = await self.send(f"{head}\nContent-Length: {64 * 1024 + 1}")
        self.assertEqual((refused.status, refused.json()["code"]), (413, "content_too_large"))
        self.assertEqual(refused.headers["connection"], "close")
        read = await self.send(f"{head}\nContent-Length: {64 * 1024}", b" " * 64 * 1024)
        self.assertEqual((read.status, read.json()["code"]), (400, "invalid_json"))

    async def test_a_chunked_body_is_bounded_too(self) -> None:
        """A body whose length nobody says is answered with 413 as soon as it is too large, and read no further."""
        await self.serve()

        def pour() -> tuple[int, int]:
            connection = self.connect()
            connection.sendall(
                b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            sent = 0
            chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
            connection.settimeout(3)
            try:
                for _ in range(10_000):
                    connection.sendall(chunk)
                    sent += 0x2000
                    connection.setblocking(False)
                    try:
                        if connection.recv(1, socket.MSG_PEEK):
                            break
                    except BlockingIOError:
                        pass
                    finally:
                        connection.settimeout(3)
            except OSError:
                pass
            return read_answer(connection).status, sent

        status, sent = await self.in_thread(pour)
        self.assertEqual(status, 413)
        self.assertLess(sent, 16 * 1024 * 1024)

    async def test_a_slow_head_is_given_up(self) -> None:
        """A client that sends its head byte by byte, each in time, is answered with 408 when the whole is not."""
        await self.serve(http_header_timeout="0.5 s")
        status, seconds = await self.in_thread(self.drip, b"GET /livez HTTP/1.1\r\n", b"X-Slow: 1")
        self.assertEqual(status, 408)
        self.assertLess(seconds, 5)

    async def test_a_slow_body_is_given_up(self) -> None:
        """A client that sends its body byte by byte is answered with 408 when the whole is not there in time."""
        await self.serve(http_body_timeout="0.5 s")
        head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n"
        status, seconds = await self.in_thread(self.drip, head, b"x")
        self.assertEqual(status, 408)
        self.assertLess(seconds, 5)

    def drip(self, beginning: bytes, drop: bytes) -> tuple[int, float]:
        """Send a beginning, then ten drops a second until there is an answer; return it, and the time it took."""
        connection = self.connect()
        began = time.monotonic()
        connection.sendall(beginning)
        connection.settimeout(0.1)
        for _ in range(200):
            try:
                connection.sendall(drop)
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        connection.settimeout(5)
        return read_answer(connection).status, time.monotonic() - began

    async def test_an_idle_connection_is_closed(self) -> None:
        """A connection on which nothing comes, before the first request or after one, is closed without a word."""
        await self.serve(http_header_timeout="0.3 s", http_idle_timeout="0.3 s")

        def wait(request: bytes) -> bytes:
            connection = self.connect()
            if request:
                connection.sendall(request)
                read_answer(connection)
            return connection.recv(1)

        self.assertEqual(await self.in_thread(wait, b""), b"")
        self.assertEqual(await self.in_thread(wait, b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n"), b"")

    async def test_connections_have_a_number(self) -> None:
        """One connection too many is answered with 503; when another has left there is room again."""
        await self.serve(http_max_connections=2)
        first, second = self.connect(), self.connect()
        await until("the server has both", lambda: self._status_of_another() == 503)
        first.close()
        await until("there is room again", lambda: self._status_of_another() == 200)
        second.close()

    def _status_of_another(self) -> int:
        connection = self.connect()
        try:
            connection.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return read_answer(connection).status
        except OSError:
            return 0
        finally:
            connection.close()

    async def test_nonsense_is_answered_and_ended(self) -> None:
        """Bytes that are no HTTP are answered with 400 and a problem; an endless address or header with its own."""
        await self.serve()

        def send(data: bytes) -> int:
            connection = self.connect()
            try:
                connection.sendall(data)
            except OSError:
                pass
            return read_answer(connection).status

        for data, status in (
            (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        ):
            self.assertEqual(await self.in_thread(send, data), status, data[:40])


class RebindingTests(WebCase):
    """A name that is not ours is no way in."""

    async def test_strange_names_are_refused(self) -> None:
        """Only loopback names and those in http_hosts are answered; a request without a name is no request."""
        await self.serve(http_hosts="crawl.example.com,other.example.com:8420")
        for host, status in (
            ("localhost", 200),
            (f"127.0.0.1:{self.port}", 200),
            ("[::1]:8420", 200),
            ("CRAWL.example.com:1", 200),
            ("other.example.com:8420", 200),
            ("other.example.com", 421),
            ("evil.example.com", 421),
            ("localhost.evil.example.com", 421),
            ("169.254.169.254", 421),
            ("localhost@evil", 400),
            ("", 400),
        ):
            answer = await self.send(f"GET /login HTTP/1.1\nConnection: close\nHost: {host}")
            self.assertEqual(answer.status, status, host)
        self.assertEqual((await self.send("GET /login HTTP/1.1\nConnection: close")).status, 400)
        twice = await self.send("GET /login HTTP/1.1\nConnection: close\nHost: localhost\nHost: localhost")
        self.assertEqual(twice.status, 400)


class SignInTests(WebCase):
    """People come in by a link, and are out when they should be."""

    async def test_a_browser_signs_in_and_out(self) -> None:
        """The link shows a button; the button gives a cookie that no script reads; signing out ends it."""
        await self.serve()
        link = (await (await self.manager("monitor")).request("login_create")).data["url"]
        self.assertTrue(link.startswith(f"http://127.0.0.1:{self.port}/login?code="), link)
        for _ in range(2):
            page = await self.http("GET", link.partition(str(self.port))[2])
            self.assertIn(b'<form method="post" action="/login">', page.body)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        code = b"code=" + link.partition("code=")[2].encode()
        self.assertEqual((await self.http("POST", "/login", form, code)).status, 403)
        for foreign in ("cross-site", "same-site", "none"):
            answer = await self.http("POST", "/login", {**form, "Sec-Fetch-Site": foreign}, code)
            self.assertEqual(answer.status, 403)
        signed_in = await self.http("POST", "/login", {**form, "Origin": f"http://localhost:{self.port}"}, code)
        self.assertEqual((signed_in.status, signed_in.headers["location"]), (303, "/"))
        name, value, *flags = signed_in.headers["set-cookie"].replace("=", "; ", 1).split("; ")
        self.assertEqual(name, f"crawlsock_session_{self.port}")
        self.assertEqual(sorted(flags), ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"])
        cookie = {"Cookie": f"{name}={value}"}
        who = (await self.http("GET", "/api/v1/session", cookie)).json()
        self.assertEqual((who["role"], who["by"]), ("monitor", "cookie"))
        again = await self.http("POST", "/login", {**form, "Sec-Fetch-Site": "same-origin"}, code)
        self.assertEqual(again.status, 403)
        out = await self.http("POST", "/logout", {**cookie, "Sec-Fetch-Site": "same-origin"})
        self.assertEqual((out.status, out.headers["location"]), (303, "/login"))
        self.assertIn("Max-Age=0", out.headers["set-cookie"])
        self.assertEqual((await self.http("GET", "/api/v1/session", cookie)).status, 401)

    async def test_a_revocation_ends_everything_within_five_seconds(self) -> None:
        """On the server that is told and on another, the token, its session and its stream end."""
        await self.serve("a")
        other = await self._other_server()
        admin = self.token("admin")
        made = (
            await self.http("POST", "/api/v1/tokens", token=admin, json={"role": "monitor", "name": "guest"})
        ).json()
        cookie = await self._cookie_of(made["token"])
        streams = [self.open_stream(port, {"Authorization": f"Bearer {made['token']}"}) for port in (self.port, other)]
        streams.append(self.open_stream(self.port, {"Cookie": cookie}))
        for each in streams:
            self.assertIn(b"event: hello", await self.in_thread(self.read_until, each, b"\n\n"))
        revoked = await self.http("DELETE", f"/api/v1/tokens/{made['token_id']}", token=admin)
        self.assertEqual(revoked.status, 204)
        began = time.monotonic()
        for each in streams:
            self.assertIn(b"revoked", await self.in_thread(self.read_until, each, None))
        self.assertLess(time.monotonic() - began, 5.0)
        for port in (self.port, other):
            answer = await self.http("GET", "/api/v1/session", token=made["token"], port=port)
            self.assertEqual(answer.status, 401)
        self.assertEqual((await self.http("GET", "/api/v1/session", {"Cookie": cookie})).status, 401)
        self.assertLess(time.monotonic() - began, 5.0)

    async def _other_server(self) -> int:
        """Start a second server on the same database; return its port."""
        port, home = free_port(), self.directory / "b"
        await self.ready(
            self.begin_server(
                "b", data_dir=home, http_endpoint=f"tcp:{port}:interface=127.0.0.1", key_file=self.data / "key"
            ),
            home / "run" / "crawlsock.sock",
        )
        return port

    async def _cookie_of(self, token: str) -> str:
        """Sign in with a link of a token that has no file."""
        manager = JobManager(os.fspath(self.socket), token, "monitor", reactor=reactor)
        self._managers.append(manager)
        await manager.start(deadline=20)
        link = (await manager.request("login_create")).data["url"]
        answer = await self.http(
            "POST",
            "/login",
            {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"},
            b"code=" + link.partition("code=")[2].encode(),
        )
        return answer.headers["set-cookie"].partition(";")[0]


class TlsTests(WebCase):
    """An endpoint that speaks TLS."""

    async def test_a_session_over_tls(self) -> None:
        """Links say https, and the cookie is Secure and bound to our own host by its name."""
        key, certificate = self.directory / "server.key", self.directory / "server.pem"
        Authority(self.directory / "authority", "web test").issue(key, certificate, x509.DNSName("localhost"))
        self.tls = ssl.create_default_context(cafile=os.fspath(self.directory / "authority" / "ca.pem"))
        await self.serve(http_endpoint=f"ssl:{self.port}:privateKey={key}:certKey={certificate}:interface=127.0.0.1")
        link = (await (await self.manager("admin")).request("login_create")).data["url"]
        self.assertTrue(link.startswith(f"https://127.0.0.1:{self.port}/login?code="), link)
        answer = await self.http(
            "POST",
            "/login",
            {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://localhost:{self.port}"},
            b"code=" + link.partition("code=")[2].encode(),
        )
        self.assertEqual(answer.status, 303, answer)
        name, _, rest = answer.headers["set-cookie"].partition("=")
        self.assertEqual(name, "__Host-crawlsock_session")
        self.assertLessEqual({"Secure", "HttpOnly", "SameSite=Strict", "Path=/"}, set(rest.split("; ")))
        cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        self.assertEqual((await self.http("GET", "/api/v1/session", cookie)).json()["by"], "cookie")
        plain = await self.http("DELETE", "/api/v1/session", {**cookie, "Origin": f"http://localhost:{self.port}"})
        self.assertEqual(plain.status, 403)


class StartAndStopTests(WebCase):
    """The web side starts loudly and stops in time."""

    async def test_a_taken_port_ends_the_start(self) -> None:
        """A port that somebody has ends the process with exit code 4 and a sentence that names the endpoint."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.port = int(taken.getsockname()[1])
            child = self.begin_server(http_endpoint=f"tcp:{self.port}:interface=127.0.0.1")
            self.assertEqual(await child.ended(40), 4)
        [critical] = [each for each in child.records() if each.get("level") == "critical"]
        self.assertIn(f"cannot listen on tcp:{self.port}", critical["message"])
        self.expected_words = frozenset({critical["message"]})

    async def test_a_stop_waits_for_nobody_who_does_nothing(self) -> None:
        """An idle connection and an open stream do not hold up a server that stops; the stream is told why."""
        server = await self.serve()
        idle = self.connect()
        idle.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await self.in_thread(read_answer, idle)
        stream = self.open_stream(self.port, {"Authorization": f"Bearer {self.token('monitor')}"})
        await self.in_thread(self.read_until, stream, b"\n\n")
        began = time.monotonic()
        # twistd ends with the signal that it was sent.
        self.assertEqual(await server.terminated(30), -15)
        self.assertLess(time.monotonic() - began, 6.0)
        self.assertIn(b"event: end", await self.in_thread(self.read_until, stream, None))
        self.assertEqual(await self.in_thread(idle.recv, 1), b"")

    async def test_what_is_open_without_a_sign_in(self) -> None:
        """Without a sign-in there are the sign-in itself and the probes; everything else is 401 or leads there."""
        await self.serve()
        await until("the server is ready", self._is_ready)  # type: ignore[arg-type]
        found: dict[str, Any] = {}
        for path in ("/login", "/livez", "/readyz", "/metrics", "/", "/jobs", "/api/v1/jobs", "/api/v1/openapi.json"):
            found[path] = (await self.http("GET", path)).status
        self.assertEqual({path for path, status in found.items() if status == 200}, {"/login", "/livez", "/readyz"})
        self.assertLessEqual(set(found.values()), {200, 303, 401, 404})
        self.assertEqual(found["/api/v1/jobs"], 401)

    def _is_ready(self) -> Deferred[bool]:
        return Deferred.fromCoroutine(self.http("GET", "/readyz")).addCallback(lambda answer: answer.status == 200)
