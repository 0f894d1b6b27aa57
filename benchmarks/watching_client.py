"""
The client of the watching measurement: crawlers that report, and viewers that read, in one process and one loop.

The clock of a report runs from just before it is written until a viewer has read that report, or a later one of the
same job. All clocks are this process's.
"""

from __future__ import annotations

import select
import selectors
import socket
import time
from typing import Any

import orjson
import psutil
import psycopg2

from benchmarks.meter import Meter
from benchmarks.raw import CHUNK, RawClient
from benchmarks.stage import client_config, client_result

HEARTBEAT_EVERY = 5.0
SETTLE = 1.0
FLOOR_SAMPLES = 200


class Crawler(RawClient):
    """A crawler with one job; it does not wait for acks."""

    def __init__(self, config: dict[str, Any], number: int) -> None:
        super().__init__(config["socket"])
        self.hello("crawler", config["crawler_token"], crawler_id=f"w{number}", slots=1, job_types=["bench_watching"])
        jobs = self.request("job_request", {"slots": 1})["jobs"]
        job = jobs[0] if jobs else self.push("job_assignment")
        self.job_id: str = job["job_id"]
        self.lease: str = job["lease"]
        self.seq = 0
        self.due = 0.0
        self.beat = 0.0
        self.request("job_started", job_id=self.job_id, lease=self.lease)

    def fileno(self) -> int:
        return self._socket.fileno()

    def report(self) -> None:
        """Send the next report."""
        self.seq += 1
        data = {
            "seq": self.seq,
            "stage": "fetching",
            "entities": {"issues": {"discovered": 90_000, "processed": self.seq, "total": 90_000}},
            "resume_state": {"issues": {"page": self.seq}},
        }
        self.send(self.frame("job_progress", data, job_id=self.job_id, lease=self.lease))

    def heartbeat(self) -> None:
        """Renew the session."""
        self.send(self.frame("heartbeat", {"status": "crawling", "active_jobs": [self.job_id]}))

    def read(self) -> None:
        """Throw acks away."""
        if not self._socket.recv(CHUNK):
            raise RuntimeError("the server closed a crawler's connection")


class Stream:
    """One event stream."""

    def __init__(self, config: dict[str, Any], sent: dict[str, dict[int, float]] | None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", config["port"]), timeout=30)
        request = (
            f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{config['port']}\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {config['monitor_token']}\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        head = b""
        while b"event: hello" not in head or not head.endswith(b"\n\n\r\n"):
            data = self._socket.recv(CHUNK)
            if not data:
                raise RuntimeError(f"no stream came: {head[:500]!r}")
            head += data
        self._chunked = b""
        self._text = b""
        self._sent = sent
        self._seen: dict[str, int] = {}
        self.open = True
        self.bytes = self.deliveries = self.events = 0
        self.samples: list[float] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> None:
        """Take what came; if reports are measured, note how old they are."""
        data = self._socket.recv(CHUNK)
        now = time.perf_counter()
        self.bytes += len(data)
        self.open = bool(data)
        if self._sent is not None:
            self._take(data, now)

    def _take(self, data: bytes, now: float) -> None:
        self._chunked += data
        while True:
            size, line, rest = self._chunked.partition(b"\r\n")
            if not line or len(rest) < int(size, 16) + 2:
                break
            self._text += rest[: int(size, 16)]
            self._chunked = rest[int(size, 16) + 2 :]
        *messages, self._text = self._text.split(b"\n\n")
        for message in messages:
            for field in message.split(b"\n"):
                if field.startswith(b'data: {"events"'):
                    self._delivered(orjson.loads(field[6:]), now)

    def _delivered(self, delivery: dict[str, Any], now: float) -> None:
        self.deliveries += 1
        self.events += len(delivery["events"])
        assert self._sent is not None
        for event in delivery["events"]:
            if event["kind"] == "job_progress":
                job_id, seq = event["job_id"], event["seq"]
                sent = self._sent[job_id]
                for each in range(self._seen.get(job_id, seq - 1) + 1, seq + 1):
                    self.samples.append((now - sent[each]) * 1e3)
                self._seen[job_id] = seq


def run(crawlers: list[Crawler], streams: list[Stream], rate: float, seconds: float, sent: Any) -> None:
    """Report and read for so long."""
    chooser = selectors.DefaultSelector()
    sources: list[Crawler | Stream] = [*crawlers, *streams]
    for each in sources:
        chooser.register(each, selectors.EVENT_READ)
    began = time.perf_counter()
    for number, crawler in enumerate(crawlers):
        # Evenly spread, as crawlers are that know nothing of each other.
        crawler.due = began + number / len(crawlers) / rate
    while (now := time.perf_counter()) < began + seconds:
        for crawler in crawlers:
            if crawler.due <= now:
                crawler.due += 1 / rate
                sent[crawler.job_id][crawler.seq + 1] = time.perf_counter()
                crawler.report()
                if now - crawler.beat > HEARTBEAT_EVERY:
                    crawler.beat = now
                    crawler.heartbeat()
        due = min(crawler.due for crawler in crawlers)
        for key, _ in chooser.select(max(0.0, due - time.perf_counter())):
            source: Any = key.fileobj
            source.read()
            if isinstance(source, Stream) and not source.open:
                chooser.unregister(source)
    chooser.close()


def floor(dsn: str, samples: int) -> list[float]:
    """Return milliseconds from before a commit with NOTIFY until another connection heard of it."""
    writer, listener = psycopg2.connect(dsn), psycopg2.connect(dsn)
    listener.autocommit = True
    cursor = writer.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS told (id bigserial PRIMARY KEY, at timestamptz, payload text)")
    writer.commit()
    listener.cursor().execute("LISTEN told")
    times: list[float] = []
    for _ in range(samples):
        began = time.perf_counter()
        cursor.execute("INSERT INTO told (at, payload) VALUES (now(), %s)", ("x" * 300,))
        cursor.execute("NOTIFY told, 'x'")
        writer.commit()
        while not listener.notifies:
            select.select([listener], [], [], 5)
            listener.poll()
        listener.notifies.clear()
        times.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.005)
    writer.close()
    listener.close()
    return times


def measure(config: dict[str, Any]) -> dict[str, Any]:
    """Return the samples of both in milliseconds, and what viewers cost."""
    webapp = RawClient(config["socket"])
    webapp.hello("webapp", config["webapp_token"])
    webapp.request("job_submit", {"jobs": [{"type": "bench_watching"}] * config["crawlers"]})
    crawlers = [Crawler(config, number) for number in range(config["crawlers"])]
    sent: dict[str, dict[int, float]] = {crawler.job_id: {} for crawler in crawlers}
    rate, seconds = config["rate"], config["seconds"]
    meter, server = Meter(config["pids"]), psutil.Process(config["pids"]["server"])
    result: dict[str, Any] = {"ours": [], "floor": [], "few": [], "rounds": [], "deliveries": 0, "events": 0}
    run(crawlers, [], rate, SETTLE, sent)
    for _ in range(config["rounds"]):
        result["floor"] += floor(config["dsn"], FLOOR_SAMPLES)
        streams = [Stream(config, sent) for _ in range(config["few"])]
        run(crawlers, streams, rate, SETTLE, sent)
        for stream in streams:
            stream.samples.clear()
            stream.deliveries = stream.events = 0
        meter.start()
        run(crawlers, streams, rate, seconds, sent)
        result["few"].append(meter.stop())
        for stream in streams:
            if not stream.open:
                raise RuntimeError("the server ended a stream")
            result["ours"] += stream.samples
            result["deliveries"] += stream.deliveries
            result["events"] += stream.events
            stream.close()
    for _ in range(config["rounds"]):
        result["rounds"].append(many(config, crawlers, meter, server, sent))
    return result


def many(
    config: dict[str, Any], crawlers: list[Crawler], meter: Meter, server: psutil.Process, sent: Any
) -> dict[str, Any]:
    """Return processor time and memory without viewers and with many, under the same reports."""
    rate, seconds = config["rate"], config["seconds"]
    run(crawlers, [], rate, SETTLE, sent)
    meter.start()
    run(crawlers, [], rate, seconds, sent)
    without, rss_without = meter.stop()["cpu"], server.memory_info().rss
    streams = [Stream(config, None) for _ in range(config["many"])]
    run(crawlers, streams, rate, SETTLE, sent)
    for stream in streams:
        stream.bytes = 0
    meter.start()
    run(crawlers, streams, rate, seconds, sent)
    figures = {
        "without": without,
        "rss_without": rss_without,
        "with": meter.stop()["cpu"],
        "rss_with": server.memory_info().rss,
        "ended": sum(not stream.open for stream in streams),
        "bytes": sum(stream.bytes for stream in streams),
    }
    for stream in streams:
        stream.close()
    return figures


if __name__ == "__main__":
    client_result(measure(client_config()))
