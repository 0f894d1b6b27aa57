"""What others may add to a server without touching this tree.

The law: interfaces only. A plugin is a module in ``twisted/plugins`` of any installed package that makes an object
providing `IMessagePlugin` or `INotifier`; the server finds it at start and refuses to start when its schemas and its
handlers do not fit together, or two channels have one name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Optional

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from crawlsock.handlers.context import Context
    from crawlsock.wire.catalog import MessageType
    from crawlsock.wire.errors import Refusal
    from crawlsock.wire.message import Message

Handler = Callable[..., Coroutine[Any, Any, Any]]
"""``async def job_started(context, job, *, ...) -> None | dict | Reply``: keyword parameters as in the schema's data.

None is answered by an ``ack``, a dictionary by an ``ack`` with data, a `Reply` by a message of its type.
"""

Before = Callable[["Context", "Message"], None]
"""Runs before the handler. Lets the message pass by returning, refuses it by raising `Refusal`."""

After = Callable[["Context", "Message", Optional["Refusal"], float], None]
"""Runs when the answer is decided: with the refusal, if it was one, and the seconds that the request took."""


class IMiddleware(Interface):
    """What runs around every handler.

    A server knows at start which roles and which message types there are. So middleware is asked once for each
    pair what it wants done for it, and a pair it has no interest in costs nothing per message.
    """

    def before(role: str | None, message_type: MessageType) -> Before | None:
        """Return what must run before the handler, or None. `role` is None until the peer has said hello."""

    def after(role: str | None, message_type: MessageType) -> After | None:
        """Return what must run after the answer was decided, or None. It must not raise."""


class IMessagePlugin(Interface):
    """New message types, with what handles them and what runs around all handlers.

    Found by ``twisted.plugin.getPlugins(IMessagePlugin)``.
    """

    name = Attribute("Who this is, for error messages: a `str`.")

    schemas = Attribute("A `pathlib.Path`: the directory that holds one JSON Schema for each message type; or None.")

    def handlers() -> dict[str, Handler]:
        """Return a handler for each request in `schemas`, by message type."""

    def middleware() -> list[IMiddleware]:
        """Return middleware, outermost first; it runs inside the server's own."""


class INotifier(Interface):
    """A channel by which people are told of incidents, beside the webhook: a chat, a pager, a mail.

    Found by ``twisted.plugin.getPlugins(INotifier)``, so the object provides ``twisted.plugin.IPlugin``, too. Every
    incident that people are told of goes to every channel.
    """

    name = Attribute("The channel's name, a `str` of lower-case letters, digits and underscores; not ``webhook``.")

    def deliver(notification_id: str, message: Mapping[str, Any]) -> Awaitable[object] | None:
        """Tell people.

        `message` has ``type`` (``incident.opened``, ``incident.continued``, ``incident.closed``, ``test``),
        ``timestamp`` and ``data``: the body of the webhook, as docs/operations.md shows it. Return when the channel has
        taken it.
        Whatever is raised, and an answer later than `webhook_timeout`, is a failed try; it is repeated with the same
        `notification_id`, so a message may arrive twice.
        """
