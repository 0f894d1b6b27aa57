"""Who asks: bearer tokens and sessions, and what ends when they do.

The law: nobody passes without a token or a session that the store knows and that holds. What was found out is believed
for `FRESH_SECONDS` and no longer, so a revocation, on whichever server, counts after that; watchers hear of it as soon.
A credential is in memory as a hash only.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from crawlsock.config import Settings
from crawlsock.lifecycle import Duty
from crawlsock.server.calls import Caller
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore
    from crawlsock.web.site import WebRequest

FRESH_SECONDS: Final = 2.0
"""How long a caller is believed to be who they were; with the time that a check takes, well below five seconds."""
_MOST_REMEMBERED: Final = 10_000
_LONGEST_TOKEN: Final = 512
SECURE_COOKIE: Final = "__Host-crawlsock_session"

REVOKED: Final = "revoked"
SIGNED_OUT: Final = "signed_out"
STOPPING: Final = "stopping"

Ended = Callable[[str], None]


@define(eq=False)
class _Known:
    caller: Caller
    checked_at: float


def cookie_name(secure: bool, port: int | None) -> str:
    """Return the name of the session's cookie.

    Over TLS the prefix makes the browser insist on Secure, our own host and the root path. Without TLS the port is part
    of the name, because cookies do not know of ports and two servers on one machine must not sign each other out.
    """
    return SECURE_COOKIE if secure else f"crawlsock_session_{port or 0}"


def cookie_of(request: WebRequest) -> str:
    """Return the name that the session's cookie has on this request's connection."""
    return cookie_name(request.secure, getattr(request.getHost(), "port", None))


class Gate:
    """Say who a request is from, and tell watchers when that person may no longer be here.

    A part of the lifecycle: started, it looks for revocations; stopped, it ends everything that is watched.

    :param settings: gives the settings at the moment of use.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, store: IStore, settings: Callable[[], Settings]) -> None:
        self._clock = clock
        self._store = store
        self._settings = settings
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._looking: dict[bytes, list[Deferred[Caller]]] = {}
        self._watchers: dict[object, tuple[Caller, Ended]] = {}
        self._allowance = 0.0
        self._allowance_at = -1e9
        self._duty = Duty("revocations", FRESH_SECONDS, self._look_for_ends, clock)

    @property
    def watched(self) -> int:
        """How many watchers there are."""
        return len(self._watchers)

    def identify(self, request: WebRequest) -> Deferred[Caller]:
        """Fire with who a request is from.

        Fails with `Refusal`: ``not_authenticated`` when it says nothing about that, ``authentication_failed`` when what
        it says does not hold, ``forbidden`` for a crawler's token, ``rate_limited``, ``unavailable``.
        """
        return Deferred.fromCoroutine(self._identify(request))

    def remembered(self, request: WebRequest) -> Caller | None:
        """Return who a request was from when the store was last asked about its secret, and has not ended since.

        For what must be told while the store is away, and for nothing else: a revocation could not be heard of.
        Raises `Refusal` when the request says nothing about who it is from.
        """
        known = self._known.get(hashlib.sha256(_credential(request)[1]).digest())
        if known is None:
            return None
        expires_at = known.caller.expires_at
        ended = expires_at is not None and expires_at.timestamp() <= self._clock.seconds()
        return None if ended else known.caller

    def watch(self, caller: Caller, ended: Ended) -> Callable[[], None]:
        """Call `ended` when the token or the session of a caller has ended (with `REVOKED` or `SIGNED_OUT`), or the
        server stops (with `STOPPING`).

        Returns what ends the watch; again is fine.
        """
        key = object()
        self._watchers[key] = (caller, ended)

        def cancel() -> None:
            self._watchers.pop(key, None)

        return cancel

    def ended(self, key: str, reason: str = REVOKED) -> None:
        """Forget a token or a session that has ended, by its id, and tell its watchers now."""
        for digest, known in tuple(self._known.items()):
            if key in (known.caller.key, known.caller.token_id):
                del self._known[digest]
        for watcher, (caller, ended) in tuple(self._watchers.items()):
            if key in (caller.key, caller.token_id):
                self._end(watcher, ended, reason)

    def signed_out(self, secret: bytes) -> None:
        """Forget who a cookie belongs to, and tell those who watch that session."""
        known = self._known.pop(hashlib.sha256(secret).digest(), None)
        if known is not None:
            self.ended(known.caller.key, SIGNED_OUT)

    def start(self) -> None:
        """Begin to look for revocations."""
        self._duty.start()

    def stop(self) -> Deferred[None]:
        """End everything that is watched; fire when no look is under way. Again is fine."""
        for watcher, (_, ended) in tuple(self._watchers.items()):
            self._end(watcher, ended, STOPPING)
        self._known.clear()
        return self._duty.stop()

    # -- who

    async def _identify(self, request: WebRequest) -> Caller:
        by, secret = _credential(request)
        digest = hashlib.sha256(secret).digest()
        now = self._clock.seconds()
        known = self._known.get(digest)
        if known is not None and now - known.checked_at < FRESH_SECONDS:
            return known.caller
        waiting = self._looking.get(digest)
        if waiting is not None:
            waiter: Deferred[Caller] = Deferred()
            waiting.append(waiter)
            return await waiter
        if known is None:
            self.charge_stranger()
        return await self._look(by, digest, known)

    async def _look(self, by: str, digest: bytes, known: _Known | None) -> Caller:
        """Ask the store, once for all requests that wait for the same answer."""
        waiting = self._looking[digest] = []
        try:
            caller = await (self._bearer(digest) if by == "bearer" else self._session(digest))
        except Exception as error:
            if isinstance(error, Refusal) and error.code is not ErrorCode.UNAVAILABLE:
                self._known.pop(digest, None)
            del self._looking[digest]
            for waiter in waiting:
                waiter.errback(error)
            raise
        if known is not None:
            # The same one as before, with what is left in the bucket of the rate limit.
            caller = known.caller
        self._remember(digest, caller)
        del self._looking[digest]
        for waiter in waiting:
            waiter.callback(caller)
        return caller

    def _remember(self, digest: bytes, caller: Caller) -> None:
        self._known[digest] = _Known(caller, self._clock.seconds())
        self._known.move_to_end(digest)
        while len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)

    async def _bearer(self, digest: bytes) -> Caller:
        row = await self._store.token_by_hash(digest)
        if row is None or not hmac.compare_digest(bytes(row.hash), digest):
            raise Refusal(ErrorCode.AUTHENTICATION_FAILED, "this token is unknown or has ended")
        if row.role == "crawler":
            raise Refusal(ErrorCode.FORBIDDEN, "a crawler's token is for the socket; use one of another role")
        return Caller(
            role=row.role,
            token_id=row.token_id,
            token_name=row.name,
            accounts=row.accounts,
            by="bearer",
            key=row.token_id,
            expires_at=row.expires_at,
        )

    async def _session(self, digest: bytes) -> Caller:
        session = await self._store.web_session(digest, self._settings().web_session_idle)
        if session is None:
            raise Refusal(ErrorCode.AUTHENTICATION_FAILED, "this session has ended; sign in again")
        return Caller(
            role=session.role,
            token_id=session.token_id,
            token_name=session.token_name,
            accounts=session.accounts,
            by="cookie",
            key=session.session_id,
            expires_at=session.expires_at,
        )

    def charge_stranger(self) -> None:
        """Let strangers cost only so many looks into the database, as hello does on the socket."""
        now = self._clock.seconds()
        per_second = self._settings().rate_limit_hello
        self._allowance = min(per_second, self._allowance + (now - self._allowance_at) * per_second)
        self._allowance_at = now
        if self._allowance < 1:
            wait = (1 - self._allowance) / per_second
            raise Refusal(
                ErrorCode.RATE_LIMITED, "too many unknown tokens come at once", retry_after=max(0.001, round(wait, 3))
            )
        self._allowance -= 1

    # -- ends

    async def _look_for_ends(self) -> None:
        if not self._watchers:
            return
        callers = [caller for caller, _ in self._watchers.values()]
        tokens = {caller.token_id for caller in callers}
        sessions = {caller.key for caller in callers if caller.by == "cookie"}
        try:
            living = await self._store.living(sorted(tokens), sorted(sessions), self._settings().web_session_idle)
        except Refusal as refusal:
            # Without the database nobody can revoke anything either.
            self._log.debug("Nothing was heard of revocations: {reason}", reason=str(refusal))
            return
        for key in (tokens | sessions) - living:
            self.ended(key)

    def _end(self, watcher: object, ended: Ended, reason: str) -> None:
        if self._watchers.pop(watcher, None) is None:
            return
        try:
            ended(reason)
        except Exception:
            self._log.failure("A watcher failed when it was told that a sign-in had ended")


def _credential(request: WebRequest) -> tuple[str, bytes]:
    """Return how a request says who it is from, and the secret; a token goes before a cookie."""
    given: Any = request.requestHeaders.getRawHeaders(b"Authorization")
    if given:
        scheme, _, token = given[0].partition(b" ")
        token = token.strip()
        if len(given) > 1 or scheme.lower() != b"bearer" or not 0 < len(token) <= _LONGEST_TOKEN:
            raise Refusal(ErrorCode.NOT_AUTHENTICATED, "write Authorization: Bearer, and the token")
        return "bearer", token
    cookie: bytes | None = request.getCookie(cookie_of(request).encode())
    if cookie is None or not 0 < len(cookie) <= _LONGEST_TOKEN:
        raise Refusal(ErrorCode.NOT_AUTHENTICATED, "sign in, or send a token as Authorization: Bearer")
    return "cookie", cookie
