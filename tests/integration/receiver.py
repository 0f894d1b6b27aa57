"""A real receiver of webhooks: takes posts on a port of its own, answers what a test wants, and keeps what came."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import frozen
from standardwebhooks import Webhook
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.integration.processes import reactor


@frozen
class Post:
    """One post as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def notification_id(self) -> str:
        """The id under which it may come again."""
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """Return the message; raise when the secret did not sign it."""
        Webhook(secret).verify(self.body, self.headers)
        told: dict[str, Any] = json.loads(self.body)
        return told


class Receiver(Resource):
    """Answers with `code`, or not at all while it is None."""

    isLeaf = True

    def __init__(self, code: int | None = 204) -> None:
        super().__init__()
        self.code = code
        self.posts: list[Post] = []
        self._port = reactor.listenTCP(0, Site(self), interface="127.0.0.1")

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self._port.getHost().port}/hook"

    def stop(self) -> Deferred[Any]:
        """Take no more."""
        return maybeDeferred(self._port.stopListening)

    def render_POST(self, request: Request) -> Any:
        """Take a post."""
        named = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        assert request.content is not None
        self.posts.append(Post(named, request.content.read()))
        if self.code is None:
            return NOT_DONE_YET
        request.setResponseCode(self.code)
        return b"thanks" if self.code != 204 else b""

    def came(self, test: Callable[[Post], bool]) -> list[Post]:
        """Return the posts that pass a test."""
        return [post for post in self.posts if test(post)]
