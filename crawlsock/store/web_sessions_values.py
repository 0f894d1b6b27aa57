"""What the store says about people who are signed in."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen


@frozen
class WebSession:
    """A browser that is signed in, with what its token allows.

    :ivar expires_at: when it ends at the latest: its own end, or its token's if that comes before.
    """

    session_id: str
    token_id: str
    token_name: str
    role: str
    accounts: frozenset[str] | None
    created_at: datetime
    expires_at: datetime
