"""Say what a store promises about signing in; a part of `crawlsock.store.interface.IStore`.

The law: codes and cookies are known by their SHA-256 hashes; what a session may do follows from its token, and ends
with it. Time is the store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from twisted.internet.defer import Deferred
from zope.interface import Interface

from crawlsock.store.web_sessions_values import WebSession


class IWebSessions(Interface):
    """Keep links that sign in, and the sessions of browsers."""

    def create_login(code_hash: bytes, token_id: str, role: str, lifetime: float, actor: str) -> Deferred[datetime]:
        """Record a code that may be used once within `lifetime` seconds; return when it ends.

        Errors: ``authentication_failed`` when the token does not hold, or was not made for the role (an admin's is for
        every role).
        """

    def use_login(code_hash: bytes, session_hash: bytes, lifetime: float) -> Deferred[WebSession | None]:
        """Use up a code, and record the session of `lifetime` seconds that it makes; in the audit.

        None when the code is unknown, used, or over, or its token does not hold. Sent twice with the same
        `session_hash` it gives the same session.
        """

    def web_session(session_hash: bytes, idle: float) -> Deferred[WebSession | None]:
        """Return a session that holds: not over, not unused for `idle` seconds, its token not ended. This uses it."""

    def end_web_session(session_hash: bytes) -> Deferred[None]:
        """End a session; in the audit. One that is not there is ended already."""

    def living(token_ids: Sequence[str], session_ids: Sequence[str], idle: float) -> Deferred[set[str]]:
        """Return those of the tokens and sessions that hold. This uses the sessions."""
