"""Crawlers on other machines: the same protocol over TLS, with the server's certificate checked."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crawlsock.sdk import JobExecutor, JobManager, NewJob, NotConnected
from tests.integration.fault_case import LEASE, FaultCase
from tests.integration.processes import Child, python, reactor, until

_DAY = timedelta(days=1)


class Authority:
    """A certificate authority, with its certificate in a directory that clients can trust."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key.public_key(), authority=True)
        directory.mkdir()
        (directory / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, key_file: Path, certificate_file: Path, *names: x509.GeneralName) -> None:
        """Write a key and a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._sign(subject, key.public_key(), names=names)
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self, subject: x509.Name, public: Any, *, names: tuple[x509.GeneralName, ...] = (), authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


class TLSTests(FaultCase):
    """A server with a second endpoint over TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.use_shared_database()
        self.authority = Authority(self.directory / "trusted", "ours")
        self.finished = self.directory / "finished"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    async def tls_server(self, *names: x509.GeneralName) -> Child:
        """Start a server whose certificate is for these names."""
        key, certificate = self.directory / "server.key", self.directory / "server.pem"
        self.authority.issue(key, certificate, *(names or (x509.DNSName("localhost"),)))
        server = await self.server(
            tls_endpoint=f"ssl:{self.port}:privateKey={key}:certKey={certificate}:interface=127.0.0.1"
        )
        # The Unix socket, by which a server counts as started, listens a moment before this one.
        await until("the TLS port takes connections", self._is_listening)
        return server

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def endpoint(self, host: str = "localhost", trusted: Path | None = None) -> str:
        """Return the string with which a client connects."""
        return f"tls:{host}:{self.port}:trustRoots={trusted or self.authority.directory}"

    async def submitted(self, **payload: Any) -> tuple[JobManager, str]:
        """Submit a job by way of the Unix socket."""
        webapp = await self.manager()
        [status] = await webapp.submit(NewJob("hold", payload={"until": str(self.finished), **payload}))
        assert status.job_id is not None
        return webapp, status.job_id

    def holder(self, endpoint: str, name: str = "remote") -> Child:
        """Begin a crawler in a process of its own."""
        module = python("tests.integration.holding_crawler", endpoint, self.data / "tokens" / "crawler", name)
        return self.children.begin(name, module)

    async def running(self, webapp: JobManager, job_id: str) -> None:
        """Wait until the job is in hand."""

        async def state() -> bool:
            return (await webapp.get(job_id))["state"] == "running"

        self.assertTrue(await until("the job runs", state))

    async def test_a_job(self) -> None:
        """A crawler that checks certificate and name does a job; nothing is known of its process but what it says."""
        await self.tls_server()
        webapp, job_id = await self.submitted()
        crawler = self.holder(self.endpoint())
        await self.running(webapp, job_id)
        columns = "transport, pid, uid, process_start, boot_id"
        self.assertEqual(
            self.rows(f"SELECT {columns} FROM crawlsock.crawler_session"), [("tls", crawler.pid, None, None, None)]
        )
        self.finished.touch()
        view = await webapp.wait(job_id, timeout=10)
        self.assertEqual((view["state"], view["progress"]["processed"]), ("completed", 2))
        self.assertEqual(await crawler.terminated(), 0)

    async def test_an_address(self) -> None:
        """A certificate for an address serves clients that connect to the address, a web application among them."""
        await self.tls_server(x509.IPAddress(ip_address("127.0.0.1")))
        webapp = JobManager(self.endpoint("127.0.0.1"), self.token("webapp"), reactor=reactor)
        self._managers.append(webapp)
        await webapp.start(deadline=10)
        self.assertEqual((await webapp.status())["database"]["state"], "up")

    async def test_ssl_string(self) -> None:
        """The older `ssl:` string with a host name to check does as well."""
        await self.tls_server()
        webapp, job_id = await self.submitted()
        self.finished.touch()
        self.holder(f"ssl:127.0.0.1:{self.port}:hostname=localhost:caCertsDir={self.authority.directory}")
        self.assertEqual((await webapp.wait(job_id, timeout=10))["state"], "completed")

    async def refused(self, endpoint: str) -> str:
        """Return why a crawler does not get connected; it must not have said a word to the server."""
        executor = JobExecutor(endpoint, self.token("crawler"), reactor=reactor)
        executor.job("hold")(_never)
        try:
            await executor.start(deadline=1.0)
        except NotConnected as error:
            return str(error)
        finally:
            await executor.stop()
            self.assertEqual(self.rows("SELECT FROM crawlsock.crawler_session"), [])
        raise AssertionError("it was connected")

    async def test_wrong_authority(self) -> None:
        """A server whose certificate was signed by somebody else hears no token, and the crawler says why."""
        await self.tls_server()
        other = Authority(self.directory / "others", "theirs")
        self.assertIn("certificate verify failed", await self.refused(self.endpoint(trusted=other.directory)))

    async def test_wrong_name(self) -> None:
        """A good certificate for another name is as bad as none."""
        await self.tls_server(x509.DNSName("crawl.example.org"))
        self.assertIn("DNSMismatch", await self.refused(self.endpoint()))

    async def test_deadline(self) -> None:
        """A remote crawler that is killed loses its jobs at its lease's deadline: nobody here can see its process."""
        await self.tls_server()
        webapp, job_id = await self.submitted()
        crawler = self.holder(self.endpoint())
        await self.running(webapp, job_id)
        crawler.kill()
        self.holder(self.endpoint(), "second")
        ended = (
            "SELECT end_reason, extract(epoch FROM ended_at - heartbeat_at)::float8 FROM crawlsock.crawler_session "
            "WHERE crawler_id = 'remote' AND ended_at IS NOT NULL"
        )
        [(reason, silence)] = await until("the session ends", lambda: self.rows(ended))
        self.assertEqual(reason, "expired")
        assert isinstance(silence, float)
        self.assertTrue(LEASE <= silence < LEASE + 1, silence)
        self.finished.touch()
        view = await webapp.wait(job_id, timeout=10)
        self.assertEqual((view["state"], view["attempt"], view["losses"], view["failures"]), ("completed", 2, 1, 0))

    async def test_unchecked(self) -> None:
        """A crawler that was told to check nobody's certificate does not start, and says what to write."""
        token = self.directory / "token"
        token.write_text("cs_crawler_none")
        where = ("--endpoint", f"ssl:localhost:{self.port}", "--token-file", token, "--output", self.output)
        crawler = self.children.begin("crawler", python("crawlsock.cli", "crawl", *where))
        self.assertEqual(await crawler.ended(), 7)
        self.assertTrue(crawler.said("write tls:host:port"))

    async def test_plain_bytes(self) -> None:
        """Who does not speak TLS is cut off, and others are served."""
        await self.tls_server()
        with socket.create_connection(("127.0.0.1", self.port), 5) as plain:
            plain.sendall(b"41:" + b"x" * 41 + b",")
            while plain.recv(1000):
                pass
        webapp = JobManager(self.endpoint(), self.token("webapp"), reactor=reactor)
        self._managers.append(webapp)
        await webapp.start(deadline=10)


async def _never(job: object) -> None:
    raise AssertionError("nobody gives out a job here")
