"""
Raw: a blocking client that speaks frames and nothing else, so that a measurement is of the server and not of a client.

The law: no reactor, no retries; any answer that is not the one asked for ends the measurement.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson

from crawlsock.wire.netstring import NetstringParser, netstring

CHUNK = 256 * 1024
MAX_FRAME = 16 * 1024 * 1024
PATIENCE = 60.0


class RawClient:
    """One connection."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(path)
        self._parser = NetstringParser(MAX_FRAME)
        self._pushed: deque[dict[str, Any]] = deque()
        self.last_id = 0

    def close(self) -> None:
        """Close."""
        self._socket.close()

    def frame(self, type: str, data: dict[str, Any] | None = None, **envelope: Any) -> bytes:
        """Return a request as a netstring, with the connection's next id."""
        self.last_id += 1
        document = {"type": type, "id": self.last_id, **envelope, "data": data or {}}
        return netstring(orjson.dumps(document))

    def send(self, data: bytes) -> None:
        """Write all of it."""
        self._socket.sendall(data)

    def hello(self, role: str, token: str, **more: Any) -> dict[str, Any]:
        """Say hello and return the body of the welcome."""
        return self.request("hello", {"role": role, "token": token, "versions": [1], **more})

    def request(self, type: str, data: dict[str, Any] | None = None, **envelope: Any) -> dict[str, Any]:
        """Ask, and return the body of the answer. Pushes that come meanwhile are kept for `push()`."""
        self.send(self.frame(type, data, **envelope))
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer and return its body."""
        while True:
            message = self._next()
            if message["type"] == "error":
                raise RuntimeError(f"the server refused: {message['data']}")
            if "re" in message:
                data: dict[str, Any] = message.get("data", {})
                return data
            self._pushed.append(message)

    def push(self, type: str) -> dict[str, Any]:
        """Wait for the next push of a type; others are dropped."""
        while True:
            message = self._pushed.popleft() if self._pushed else self._next()
            if message["type"] == "error":
                raise RuntimeError(f"the server refused: {message['data']}")
            if message["type"] == type:
                return message

    def _next(self) -> dict[str, Any]:
        while (frame := self._parser.next_frame()) is None:
            data = self._socket.recv(CHUNK)
            if not data:
                raise RuntimeError("the server closed the connection")
            self._parser.feed(data)
        message: dict[str, Any] = orjson.loads(frame)
        return message

    def flood(self, frames: Sequence[bytes], window: int) -> None:
        """Send all frames, and return when each is acknowledged; at most `window` are unacknowledged at any time."""
        total = len(frames)
        parser, loads = self._parser, orjson.loads
        # Writing for the room of every single ack would cost both ends a system call a message.
        worth_writing = max(1, window // 8)
        sent = acknowledged = 0
        while acknowledged < total:
            room = min(window - (sent - acknowledged), total - sent)
            if room >= worth_writing or (room and room == total - sent):
                self.send(b"".join(frames[sent : sent + room]))
                sent += room
            data = self._socket.recv(CHUNK)
            if not data:
                raise RuntimeError("the server closed the connection")
            parser.feed(data)
            for frame in parser.frames():
                message = loads(frame)
                if message["type"] == "ack":
                    re = message["re"]
                    acknowledged += 1 if re.__class__ is int else len(re)
                elif message["type"] == "error":
                    raise RuntimeError(f"the server refused: {message['data']}")
