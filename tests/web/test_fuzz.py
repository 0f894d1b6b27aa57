"""Any bytes at all: requests that were bent and cut get an answer or a closed connection, and leave nothing behind."""

from __future__ import annotations

import random

from tests.web.case import SiteCase

SEEDS = (
    b"GET /api/v1/jobs?limit=10&states=queued HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n",
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    b'Content-Type: application/json\r\nContent-Length: 34\r\n\r\n{"jobs": [{"type": "crawl_group"}]}',
    b"POST /api/v1/jobs/control HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'15\r\n{"verb": "pause", "fi\r\n18\r\nlter": {"search": "a"}}\r\n\r\n0\r\n\r\n',
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 48\r\n\r\ncode=" + b"x" * 43,
    b"DELETE /api/v1/session HTTP/1.1\r\nHost: localhost\r\nCookie: crawlsock_session_0=xyz; a=b\r\n\r\n",
    b"HEAD /jobs?search=%E2%80%AE HTTP/1.0\r\nHost: localhost\r\nAccept: text/html, */*;q=0.1\r\n\r\n",
)
SPICE = (
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"%",
    b"%zz",
    b"..",
    b"//",
    b"?",
    b"&",
    b"=",
    b":",
    b";",
    b" ",
    b"\t",
    b"\x80",
    b"{",
    b'"',
    b"9" * 30,
)
ROUNDS = 600


def bent(dice: random.Random, data: bytes) -> bytes:
    """Return the bytes with a few of them removed, doubled, changed, or spiced."""
    for _ in range(dice.randrange(4)):
        at, size = dice.randrange(len(data)), dice.randrange(1, 12)
        piece = dice.choice((b"", data[at : at + size] * 2, dice.randbytes(size), dice.choice(SPICE)))
        data = data[:at] + piece + data[at + size :] or b"\n"
    return data


class FuzzTests(SiteCase):
    """Bent requests, by a fixed seed."""

    settings = {"http_endpoint": "tcp:0", "rate_limit_hello": "1000000"}

    def test_bent_requests(self) -> None:
        """No bytes make a failure of ours, an answer without a status, or a connection that stays for ever."""
        dice = random.Random(20261126)
        token = self.harness.token("admin").encode()
        answered = 0
        for round in range(ROUNDS):
            peer = self.harness.dial_http()
            for _ in range(dice.randrange(1, 3)):
                data = bent(dice, dice.choice(SEEDS).replace(b"{token}", token))
                while data and peer.closed is None:
                    size = dice.choice((1, 7, 100, len(data)))
                    peer.wire.write(data[:size])
                    data = data[size:]
                    self.harness.settle()
            self.assertEqual(self.flushLoggedErrors(), [], round)
            for answer in peer.answers:
                self.assertLess(answer.status, 500, answer)
                self.assertNotIn("server", answer.headers)
            answered += len(peer.answers)
            if round % 100 == 99:
                # Whoever sent half a request and waits is sent away.
                self.harness.advance(120, step=5)
                self.assertEqual(self.harness.web.site.connections, 0)
        self.assertGreater(answered, ROUNDS / 2)
