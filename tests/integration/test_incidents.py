"""Incidents of real servers, told to a real receiver."""

from __future__ import annotations

import base64
import os
from collections import Counter
from typing import Any

from tests.integration.processes import Child, python, until
from tests.integration.receiver import Receiver
from tests.integration.test_several_servers import ServersCase

SECRET = "whsec_" + base64.b64encode(b"a secret that both of us know").decode()


class NotificationCase(ServersCase):
    def setUp(self) -> None:
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(lambda: self.receiver.stop())

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return options of a server that looks often, and tells our receiver."""
        self.directory.joinpath("url").write_text(self.receiver.url)
        self.directory.joinpath("secret").write_text(SECRET)
        for name in ("url", "secret"):
            self.directory.joinpath(name).chmod(0o600)
        return {
            "incident_interval": 0.1,
            "webhook_url_file": self.directory / "url",
            "webhook_secret_file": self.directory / "secret",
            "webhook_timeout": 2,
            **more,
        }

    async def lose_crawlers(self, count: int) -> None:
        """Let crawlers connect, and kill them."""
        names = [f"doomed-{number}" for number in range(count)]
        doomed: list[Child] = []
        for name in names:
            module = python("tests.integration.holding_crawler", self.socket, self.data / "tokens" / "crawler", name)
            doomed.append(self.children.begin(name, module))
        await self.connected(*names)
        for child in doomed:
            child.kill()

    def outbox(self) -> list[tuple[object, ...]]:
        """Return event, state and attempts of all notifications."""
        return self.rows("SELECT event, state, attempts FROM crawlsock.notification ORDER BY created_at, event")


class RestartTests(NotificationCase):
    """A notification is sent in the end, whoever dies meanwhile."""

    async def test_a_notification_outlives_the_server(self) -> None:
        """A receiver that fails at first gets the same message, signed, from the server that was started again."""
        self.receiver.code = 503
        server = await self.server(**self.settings())
        await self.lose_crawlers(1)
        await until("it was tried", lambda: self.receiver.posts)
        noted = "SELECT 1 FROM crawlsock.notification WHERE last_error = 'the receiver answered 503'"
        await until("the failure was noted", lambda: self.rows(noted))
        server.kill()
        self.receiver.code = 204
        await self.server(**self.settings())
        await until("it was taken", lambda: self.outbox()[0][1] == "sent")
        first, *_, last = self.receiver.came(lambda post: b"incident.opened" in post.body)
        self.assertEqual((first.notification_id, first.body), (last.notification_id, last.body))
        told = last.verified(SECRET)
        self.assertEqual((told["type"], told["data"]["kind"]), ("incident.opened", "crawler_lost"))
        self.assertEqual(told["data"]["title"], "A crawler was lost")
        self.assertIn("doomed-0", told["data"]["detail"])
        for post in self.receiver.posts:
            post.verified(SECRET)

    async def test_a_server_that_dies_while_sending_leaves_it_to_the_next(self) -> None:
        """What was under way when the server was killed is sent again, under the same id."""
        self.receiver.code = None
        server = await self.server(**self.settings())
        await self.lose_crawlers(1)
        await until("it is on its way", lambda: self.receiver.posts)
        server.kill()
        self.assertEqual(self.outbox(), [("incident.opened", "waiting", 1)])
        self.receiver.code = 200
        # The hold is half a minute; here it is over now.
        self.rows("UPDATE crawlsock.notification SET due_at = now() RETURNING 1")
        await self.server(**self.settings())
        await until("it was taken", lambda: self.outbox() == [("incident.opened", "sent", 2)])
        self.assertEqual(len({post.notification_id for post in self.receiver.posts}), 1)


class SeveralServersTests(NotificationCase):
    """Several servers look, and one of them tells."""

    async def test_people_are_told_once(self) -> None:
        """What two servers see at once is one incident and one message; so is its end."""
        shared = self.settings(incident_window=4)
        await self.servers(a=shared, b=shared)
        await self.lose_crawlers(3)
        await until(
            "it is over",
            lambda: self.rows(
                "SELECT 1 FROM crawlsock.notification WHERE event = 'incident.closed' AND state = 'sent'"
            ),
        )
        incidents = self.rows("SELECT kind, count, closed_at IS NOT NULL FROM crawlsock.incident")
        self.assertEqual(incidents, [("crawler_lost", 3, True)])
        types = Counter(post.verified(SECRET)["type"] for post in self.receiver.posts)
        self.assertEqual((types["incident.opened"], types["incident.closed"]), (1, 1))
        ids = [post.notification_id for post in self.receiver.posts]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(self.receiver.posts[0].headers["content-type"], "application/json")
        text = os.fsdecode(b"".join(post.body for post in self.receiver.posts))
        for secret in (SECRET, self.token("crawler"), self.token("admin"), self.receiver.url):
            self.assertNotIn(secret, text)
            self.assertFalse(any(child.said(secret) for child in self.children.children))
