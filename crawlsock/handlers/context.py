"""What a handler is given and what it may give back.

The law: this module names the parts of a server that a handler may use, by the little of them that it uses. It
imports none of them, so a handler can be tested with whatever has these methods, and never sees a transport.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from attrs import define
from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from crawlsock.config import LiveSettings
    from crawlsock.store.interface import IStore
    from crawlsock.store.values import Order


class Reply(NamedTuple):
    """Answer a request with a typed response instead of a plain ``ack``."""

    type: str
    data: dict[str, Any]


class Peer(Protocol):
    """The other end, as far as a handler may know it."""

    role: str | None
    session_id: str
    crawler_id: str
    token_id: str
    """The token by which it is known, empty before hello."""
    accounts: frozenset[str] | None
    """The accounts that a token is bound to; None is all of them."""

    @property
    def name(self) -> str:
        """Who this is, for the audit and the log; never a token."""


class Jobs(Protocol):
    """The dispatcher: gives jobs to crawlers that have asked for them."""

    def ask(self, peer: Any, slots: int) -> Deferred[list[dict[str, Any]]]:
        """Add `slots` to the credit of the peer; fire with the jobs there are now. Zero withdraws all credit."""


class Orders(Protocol):
    """Brings cancels, pauses and resumes to the crawlers that hold the jobs."""

    def deliver(self, orders: Sequence[Order]) -> None:
        """Push the orders whose crawler is connected here; the others' servers find theirs in the store."""


class Sessions(Protocol):
    """Logs peers in and keeps the sessions of crawlers."""

    def login(self, peer: Any, hello: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        """Check the token, open or resume a session, and fire with the data of ``welcome``."""

    def beat(self, peer: Any, beat: Mapping[str, Any]) -> Deferred[None]:
        """Renew the session of the peer."""


class Credentials(Protocol):
    """Seals, opens and renews the credentials of accounts."""

    def put(self, credential: Mapping[str, Any], actor: str) -> Deferred[None]:
        """Store a credential, sealed, and bring back the jobs that waited for it."""

    def renewed(self, job_id: str, lease: str, session_id: str, generation: int) -> Deferred[dict[str, Any]]:
        """Fire with a credential newer than `generation` for the account of the job."""


class Feeds(Protocol):
    """The subscriptions of peers to the feed."""

    def subscribe(
        self, peer: Any, subscription: str | None, filter: Mapping[str, Any], position: str | None
    ) -> Deferred[dict[str, Any]]:
        """Begin to push events; fire with the name of the subscription and where it begins."""

    def unsubscribe(self, peer: Any, subscription: str) -> None:
        """End a subscription; one that is not there is ended already."""


class Logins(Protocol):
    """Lets people sign in at the dashboard."""

    def create(self, peer: Peer) -> Deferred[dict[str, Any]]:
        """Fire with a link that signs in as this peer, once, and when it ends."""


class Queue(Protocol):
    """Keeps the number of live jobs within its limit."""

    async def admit(self, jobs: int) -> None:
        """Let so many new jobs pass, or refuse with ``queue_full``."""


class Operations(Protocol):
    """What an operator may do to a running server."""

    def crawlers(self) -> Deferred[list[dict[str, Any]]]:
        """Fire with one view a crawler, from all servers."""

    def status(self, accounts: frozenset[str] | None) -> Deferred[dict[str, Any]]:
        """Fire with the state of this server, as a peer sees it that is bound to these accounts; None: to none."""

    def health(self) -> list[dict[str, Any]]:
        """Say what is well and what is not: rows of ``check``, ``state`` (ok, warn, bad), ``summary``, ``remedy``."""

    def command(self, crawler_id: str, command: str, reason: str | None, actor: str) -> Deferred[None]:
        """Pause, resume, drain or disconnect a crawler."""

    def broadcast(self, message: str, actor: str) -> Deferred[int]:
        """Push a message for people to every peer; fire with how many."""

    def set(self, name: str, value: str, actor: str) -> Deferred[None]:
        """Change a setting of the running server."""

    def settings(self) -> list[dict[str, Any]]:
        """Every setting with its value (masked where it is secret), where it was set, and whether it can change."""

    def create_token(
        self, role: str, name: str, accounts: Sequence[str] | None, expires_at: str | None, actor: str
    ) -> Deferred[dict[str, Any]]:
        """Make a token; fire with it and its id. The store keeps only its hash."""

    def revoke_token(self, token_id: str, actor: str) -> Deferred[None]:
        """End a token, and the connections that were made with it."""


class Overviews(Protocol):
    """Numbers about all jobs, with the moment they are of."""

    def counts(self, accounts: frozenset[str] | None, type: str | None) -> Deferred[dict[str, Any]]:
        """Fire with the number of jobs by state, of some accounts or all, of one type or all."""

    def types(self, accounts: frozenset[str] | None) -> Deferred[dict[str, Any]]:
        """Fire with ``types`` (the jobs of each type by state), ``jobs`` (of all types) and ``counts_at``."""

    def read(self, accounts: frozenset[str] | None) -> Deferred[dict[str, Any]]:
        """Fire with everything at a glance, as a peer sees it that is bound to these accounts; None: to none."""


class Notifications(Protocol):
    """Tells people of incidents."""

    def channels(self) -> list[str]:
        """The channels that are set up."""

    def test(self, actor: str) -> Deferred[list[dict[str, str]]]:
        """Send a test by every channel; fire with ``notification_id`` and ``channel`` of each."""


@define(eq=False, slots=True)
class Context:
    """The parts of the server, and the peer that a handler is working for; one for each connection."""

    peer: Peer
    store: IStore
    settings: LiveSettings
    dispatcher: Jobs
    orders: Orders
    sessions: Sessions
    credentials: Credentials
    feeds: Feeds
    operations: Operations
    queue: Queue
    overview: Overviews
    logins: Logins
    notifications: Notifications
