"""Say how credentials look to the store: sealed. It keeps bytes that only the server's vault can open.

Also here: `Order`, what a crawler must be told, because a refused credential gives orders as a cancel does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from attrs import field, frozen

OrderKind = Literal["cancel", "pause", "resume"]


class Order(NamedTuple):
    """Tell the crawler that holds `lease` to cancel, pause or resume `job_id`; `reason` is for people."""

    kind: OrderKind
    session_id: str
    job_id: str
    lease: str
    reason: str | None = None


@frozen
class SealedCredential:
    """Hold everything about a credential that only the server's vault may read, encrypted for this account.

    What is inside (access token, refresh token, client id and secret, token address) is the vault's affair.
    """

    blob: bytes = field(repr=False)


@frozen
class CredentialRow:
    """Show an account's credential as it is stored: sealed. `state` is ``valid`` or ``refused``."""

    account: str
    host: str
    kind: str
    state: str
    generation: int
    sealed: SealedCredential
    expires_at: datetime | None = None
    reason: str | None = None


@frozen
class RefreshTicket:
    """Allow its holder, alone, to refresh generation `generation` of an account's credential until
    `until`."""

    account: str
    generation: int
    credential: CredentialRow
    until: datetime


@frozen
class RefusedCredential:
    """Answer a refused credential: jobs moved to ``waiting_credential``, and orders for those that were
    running."""

    jobs: int
    orders: list[Order] = field(factory=list)
