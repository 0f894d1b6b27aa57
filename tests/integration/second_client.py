"""A client written from docs/protocol.md alone: blocking, the standard library, nothing of crawlsock.

It shows that the document is enough. Run as a program it plays a web application and a crawler that do one whole job
between them, and prints what they saw; other tests use `Client` to say what no well-meaning client would say.

The law: nothing from crawlsock is imported here, and no file of its `schemas/` is read.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import uuid
from collections import deque
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class Closed(Exception):
    """The server has closed the connection."""


class Client:
    """One connection. Requests are answered in any order; what arrives meanwhile is kept for later."""

    def __init__(self, path: str | os.PathLike[str], timeout: float = 10.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(os.fspath(path))
        self.buffer = b""
        self.last_id = 0
        self.pushes: deque[Message] = deque()
        self.replies: dict[int, Message] = {}
        self.welcome: Message = {}
        self.answers_pings = True

    def close(self) -> None:
        """Close the connection without a word."""
        self.socket.close()

    # -- frames and messages

    def send_frame(self, payload: bytes) -> None:
        """Send one netstring."""
        self.socket.sendall(b"%d:%b," % (len(payload), payload))

    def receive_frame(self) -> bytes:
        """Return the next payload."""
        while b":" not in self.buffer:
            self._read()
        head, _, rest = self.buffer.partition(b":")
        length = int(head)
        while len(rest) < length + 1:
            self._read()
            _, _, rest = self.buffer.partition(b":")
        if rest[length : length + 1] != b",":
            raise ValueError("the frame does not end with a comma")
        self.buffer = rest[length + 1 :]
        return rest[:length]

    def _read(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise Closed
        self.buffer += data

    def send(self, type: str, data: Message | None = None, **envelope: Any) -> int:
        """Send a request and return its id."""
        self.last_id += 1
        message: Message = {"type": type, "id": self.last_id, **envelope}
        if data is not None:
            message["data"] = data
        self.send_frame(json.dumps(message).encode())
        return self.last_id

    def take_one(self) -> Message:
        """Read one message, sort it into replies or pushes, acknowledge it if it wants that, and return it."""
        message: Message = json.loads(self.receive_frame())
        if "re" in message:
            answered = message["re"] if isinstance(message["re"], list) else [message["re"]]
            for each in answered:
                if each in self.replies:
                    raise ValueError(f"request {each} was answered twice")
                self.replies[each] = message
            return message
        if "id" in message and self.answers_pings:
            self.send_frame(json.dumps({"type": "ack", "re": message["id"]}).encode())
        if message["type"] != "ping":
            self.pushes.append(message)
        return message

    def arrived(self) -> bool:
        """Tell whether a whole message has been read from the socket and waits to be taken."""
        head, colon, rest = self.buffer.partition(b":")
        return bool(colon) and len(rest) > int(head)

    def reply(self, number: int) -> Message:
        """Wait for the reply to a request."""
        while number not in self.replies:
            self.take_one()
        return self.replies[number]

    def ask(self, type: str, data: Message | None = None, **envelope: Any) -> Message:
        """Send a request and wait for its reply, which may be an error."""
        return self.reply(self.send(type, data, **envelope))

    def push(self, type: str) -> Message:
        """Wait for the next push of a type; others are dropped."""
        while True:
            while not self.pushes:
                self.take_one()
            message = self.pushes.popleft()
            if message["type"] == type:
                return message

    # -- sessions and jobs

    def hello(self, role: str, token: str, **data: Any) -> Message:
        """Say hello, and return the data of welcome, or the error."""
        reply = self.ask("hello", {"role": role, "token": token, "versions": [1], **data})
        if reply["type"] == "welcome":
            self.welcome = reply["data"]
            return self.welcome
        return reply

    def job(self) -> Message:
        """Give credit for one job, and return the job as the answer or a push brings it."""
        jobs = self.ask("job_request", {"slots": 1})["data"]["jobs"]
        if jobs:
            return dict(jobs[0])
        push = self.push("job_assignment")
        return {**push["data"], "job_id": push["job_id"], "lease": push["lease"]}


def whole_job(path: str, crawler_token: str, webapp_token: str) -> Message:
    """Do a whole job: submit it, crawl it, lose the link in the middle, come back, finish; return what was seen."""
    seen: Message = {}
    webapp, crawler = Client(path), Client(path)
    webapp.hello("webapp", webapp_token)
    seen["subscribed"] = webapp.ask("subscribe", {"subscription": "all"})["type"]
    seen["welcome"] = crawler.hello("crawler", crawler_token, crawler_id="second", slots=1)
    job_id = str(uuid.uuid4())
    submitted = webapp.ask(
        "job_submit", {"jobs": [{"job_id": job_id, "type": "crawl_project", "host": "example.com", "entity_id": "7"}]}
    )
    seen["submitted"] = submitted["data"]["items"]
    job = crawler.job()
    seen["assigned"] = job
    about = {"job_id": job["job_id"], "lease": job["lease"]}
    # Pipelined: nobody waits for the first answer.
    requests = [
        crawler.send("job_started", **about),
        crawler.send(
            "job_progress",
            {
                "seq": 1,
                "stage": "fetching",
                "entities": {"issues": {"discovered": 4, "processed": 1}},
                "resume_state": {"page": 2},
            },
            **about,
        ),
        crawler.send("jobs_discovered", {"jobs": [{"type": "crawl_user", "entity_id": "9"}]}, **about),
        crawler.send("discovery", {"areas": [{"kind": "user", "entity_id": "9", "path": "nine"}]}, **about),
        crawler.send("heartbeat", {"status": "crawling", "active_jobs": [job["job_id"]]}),
    ]
    seen["pipelined"] = [crawler.reply(number)["type"] for number in requests]
    seen["running"] = webapp.ask("job_get", job_id=job_id)["data"]["job"]
    # The link is cut. The job goes on, on a new one.
    ticket = crawler.welcome["ticket"]
    crawler.close()
    crawler = Client(path)
    seen["resumed"] = crawler.hello(
        "crawler", crawler_token, crawler_id="second", resume={"ticket": ticket, "leases": [job["lease"]]}
    )
    late = crawler.ask("job_progress", {"seq": 1, "stage": "fetching"}, **about)
    seen["sent_again"] = late["type"]
    seen["completed"] = crawler.ask(
        "job_completed",
        {
            "entities": {"issues": {"discovered": 4, "processed": 4}},
            "files": [{"path": "issues.jsonl", "items": 4, "bytes": 99}],
            "summary": {"note": "done"},
        },
        **about,
    )["type"]
    seen["too_late"] = crawler.ask("job_progress", {"seq": 2, "stage": "fetching"}, **about)["data"]["code"]
    child = crawler.job()
    seen["child"] = child
    seen["child_released"] = crawler.ask(
        "job_released", {"reason": "not mine"}, job_id=child["job_id"], lease=child["lease"]
    )["type"]
    seen["finished"] = webapp.ask("job_get", {"include": ["assignments", "children"]}, job_id=job_id)["data"]["job"]
    seen["progress"] = webapp.ask("progress_get", {"scope": "job"}, job_id=job_id)["data"]["progress"]
    events: list[Message] = []
    while not any(each["kind"] == "job_released" for each in events):
        events += webapp.push("event")["data"]["events"]
    seen["events"] = [each["kind"] for each in events if each.get("job_id") == job_id]
    crawler.close()
    webapp.close()
    return seen


def hold(path: str, crawler_token: str, crawler_id: str, cut: bool) -> None:
    """Take one job, start it, perhaps lose the link, say so, and then do nothing until standard input ends."""
    crawler = Client(path)
    crawler.hello("crawler", crawler_token, crawler_id=crawler_id, slots=1)
    job = crawler.job()
    crawler.ask("job_started", job_id=job["job_id"], lease=job["lease"])
    if cut:
        crawler.close()
    print(json.dumps({**job, "ticket": crawler.welcome["ticket"]}), flush=True)  # noqa: T201
    sys.stdin.read()


def main() -> None:
    """Run as a program: ``whole PATH TOKENS`` or ``hold|cut PATH TOKENS CRAWLER_ID``."""
    what, path, tokens = sys.argv[1:4]
    crawler_token = Path(tokens, "crawler").read_text().strip()
    if what == "whole":
        seen = whole_job(path, crawler_token, Path(tokens, "webapp").read_text().strip())
        seen["imported"] = sorted(name for name in sys.modules if name.partition(".")[0] == "crawlsock")
        print(json.dumps(seen))  # noqa: T201
    else:
        hold(path, crawler_token, sys.argv[4], cut=what == "cut")


if __name__ == "__main__":
    main()
