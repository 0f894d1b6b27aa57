"""What the server costs for one ``job_progress``, from bytes to the ack's bytes, on one core and without a database.

Two figures from one run, each the best of several rounds: the floor (parse, validate, and one grouped ack, which any
server of this protocol must do) and the whole path (session rules, middleware, handler, a store that answers later in
one batch, grouped acks). Prints one JSON object. ``--profile`` shows where the time goes.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from crawlsock import handlers
from crawlsock.handlers.context import Context
from crawlsock.server import middleware, routes
from crawlsock.server.peer import Peer, PeerState
from crawlsock.server.protocol import CrawlsockProtocol, Events
from crawlsock.server.router import MessageRouter
from crawlsock.wire.catalog import Catalog
from crawlsock.wire.codec import Codec
from crawlsock.wire.netstring import NetstringParser

MESSAGES = 20_000
CHUNK = 64 * 1024
ROUNDS = 15


class BatchingStore:
    """Answer like a store with group commit: the callers of a batch are answered together, later."""

    def __init__(self) -> None:
        self.forming: list[Deferred[None]] = []

    def progress(self, ref: Any, progress: Any) -> Deferred[None]:
        """Put a report into the batch."""
        waiting: Deferred[None] = Deferred()
        self.forming.append(waiting)
        return waiting

    def commit(self) -> None:
        """Answer the batch."""
        batch, self.forming = self.forming, []
        for waiting in batch:
            waiting.callback(None)


class Transport:
    """Take bytes."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Count them."""
        self.bytes += len(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Never full."""

    def pauseProducing(self) -> None:
        """Never full."""

    def resumeProducing(self) -> None:
        """Never full."""


class Limits:
    """Generous ones."""

    max_frame_before_hello = max_frame = 1 << 20
    hello_timeout = 5.0
    high_water = 1 << 22
    send_deadline = 30.0


def stream(codec: Codec, count: int) -> list[bytes]:
    """Return `count` progress messages of about 270 bytes, in chunks as a socket gives them."""
    data = b"".join(
        codec.encode(
            "job_progress",
            {
                "seq": number,
                "stage": "fetching",
                "entities": {"issues": {"discovered": 900, "processed": number, "failed": 0, "total": 900}},
                "resume_state": {"issues": {"page": number}},
            },
            id=number,
            job_id="0d9488c2-7f3e-4a52-9c7e-2b1f0f6f4c11",
            lease="70d378d2-ab87-43c9-ba6e-7134bd124503",
        )
        for number in range(1, count + 1)
    )
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def floor(codec: Codec, chunks: list[bytes]) -> None:
    """Parse, validate, acknowledge a chunk at a time."""
    parser = NetstringParser(1 << 20)
    transport = Transport()
    for chunk in chunks:
        parser.feed(chunk)
        transport.write(codec.encode_ack([codec.decode(frame).id or 0 for frame in parser.frames()]))


class Bench(Events):
    """The server as far as a progress message meets it."""

    def __init__(self, catalog: Catalog, codec: Codec) -> None:
        self.clock = Clock()
        self.store = BatchingStore()
        self.router = MessageRouter(catalog, codec, 100_000)
        for name, handler in routes.find_handlers(*handlers.modules()).items():
            self.router.register(handler, name)
        for each in (
            middleware.Timing(),
            middleware.RequestLog(),
            middleware.Authentication(),
            middleware.Roles(),
            middleware.RateLimit(self.clock, lambda: (1e9, 1e9), lambda: 1e9),
            middleware.Draining(lambda: None),
        ):
            self.router.use(each)
        self.router.freeze()
        self.dirty: list[Peer] = []
        self.frame_received = self.router.frame_received  # type: ignore[method-assign]
        self.protocol = CrawlsockProtocol(self, self.clock, Limits())  # type: ignore[arg-type]
        self.transport = Transport()
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        self.protocol.authenticated()

    def opened(self, protocol: CrawlsockProtocol) -> Peer:
        """Make a crawler that has said hello."""
        peer = Peer(1, protocol, self.router.codec, self.clock, self.router.routes_for("crawler"), self.dirty.append)
        peer.role, peer.session_id, peer.state = "crawler", "session", PeerState.READY
        unused: Any = None
        parts = [unused] * (len(attrs.fields(Context)) - 2)
        peer.context = Context(peer, self.store, *parts)
        return peer

    def run(self, chunks: list[bytes]) -> None:
        """Feed all chunks; the store commits once a chunk, and a turn of the reactor flushes."""
        self.protocol.peer.last_id = 0
        for chunk in chunks:
            self.protocol.dataReceived(chunk)
            self.store.commit()
            dirty, self.dirty[:] = list(self.dirty), []
            for peer in dirty:
                peer.flush()


def best(*functions: Callable[[], None]) -> list[float]:
    """Return the seconds of each function's fastest round; rounds alternate, so a busy moment hits all of them."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, seconds in zip(functions, times, strict=True):
            began = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - began)
    return [min(each) for each in times]


def main() -> None:
    """Measure and print."""
    catalog = Catalog.load()
    codec = Codec(catalog)
    chunks = stream(codec, MESSAGES)
    bench = Bench(catalog, codec)
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(bench.run, chunks)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    floor_seconds, path_seconds = best(lambda: floor(codec, chunks), lambda: bench.run(chunks))
    print(
        json.dumps(
            {
                "benchmark": "hot_path",
                "floor_messages_per_second": round(MESSAGES / floor_seconds),
                "path_messages_per_second": round(MESSAGES / path_seconds),
                "floor_microseconds": round(floor_seconds / MESSAGES * 1e6, 2),
                "path_microseconds": round(path_seconds / MESSAGES * 1e6, 2),
                "ratio": round(floor_seconds / path_seconds, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
