"""One coroutine a request: what a message means, said by calling one verb.

The law: a handler is a sentence. It takes the context, the job that the message is about, and the fields of the
message's data as keyword parameters; it calls one verb and returns the reply: nothing for ``ack``, a dictionary for an
``ack`` with data, a `Reply` for a typed response. It raises `Refusal` and nothing else on purpose. It holds no SQL and
no transport, and imports neither the server nor the web.

A public coroutine function in one of `modules()` handles the message type of its name.
"""

from __future__ import annotations

from types import ModuleType

from crawlsock.handlers import accounts, admin, control, feed, listing, reads, records, session, signing, work

__all__ = ["modules"]


def modules() -> tuple[ModuleType, ...]:
    """Return the modules that hold handlers."""
    return (session, work, control, reads, listing, feed, accounts, admin, signing, records)
