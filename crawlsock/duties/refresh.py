"""Renew credentials: before they expire, and when a crawler says that one no longer works.

The law: exactly one request to the host for each generation of an account's credential, however many crawlers ask and
however many servers there are. A refresh invalidates both old tokens, so the answer is never thrown away: it is stored
however long that takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from crawlsock.config import Settings
from crawlsock.duties.oauth import TIMEOUT, Grant, Poster, Refused, Renewed, TryAgain, renew, token_url
from crawlsock.secrets import Secrets, VaultError
from crawlsock.store.values import CredentialRow, SealedCredential
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

TICKET_SECONDS: Final = 120.0
"""How long one server may take for a refresh; longer than all its tries together."""
BACKOFF: Final = (1.0, 4.0)
"""Seconds between the tries; there is one try more."""
TRIES: Final = len(BACKOFF) + 1
LONGEST_WAIT: Final = 20.0
"""What a host may ask us to wait before we tell the crawler to come back instead."""
LOOK_AGAIN: Final = 0.25
OTHERS_DEADLINE: Final = 30.0
"""How long another server's refresh is waited for."""
STORE_AGAIN: Final = 1.0
STOP_SECONDS: Final = TIMEOUT * TRIES + sum(BACKOFF)
"""How long a server that stops waits for the refreshes under way."""


class Keeper(Protocol):
    """What this needs of `crawlsock.server.credentials.CredentialKeeper`."""

    def open(self, row: CredentialRow) -> Secrets:
        """Open what is sealed in a row."""

    def seal(self, account: str, host: str, kind: str, secrets: Secrets) -> SealedCredential:
        """Seal secrets."""

    async def changed(self, row: CredentialRow) -> None:
        """Push a new credential to those who need it."""

    async def refuse(self, account: str, generation: int, reason: str) -> None:
        """Let the jobs of the account wait."""


class Refresher:
    """Renew the credentials of accounts by OAuth.

    A personal token cannot be renewed: when it no longer works it is refused at once.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        keeper: Keeper,
        client: Poster,
        settings: Callable[[], Settings],
        server_id: str,
    ) -> None:
        self._clock = clock
        self._store = store
        self._keeper = keeper
        self._client = client
        self._settings = settings
        self._server_id = server_id
        self._under_way: dict[str, list[Deferred[None]]] = {}

    def renew(self, account: str, generation: int) -> Deferred[CredentialRow]:
        """Fire with a credential newer than `generation`.

        Fails with `Refusal` ``credential_missing``, ``credential_refused``, ``unknown_account``, or ``unavailable``
        when the host, or the database, did not answer.
        """
        return Deferred.fromCoroutine(self._renew(account, generation))

    def start(self) -> None:
        """Do nothing: refreshes are asked for."""

    def stop(self) -> Deferred[None]:
        """Fire when no refresh is under way: its answer would be lost, and with it the account."""
        return Deferred.fromCoroutine(self._settled())

    async def _settled(self) -> None:
        while self._under_way:
            waiting: Deferred[None] = Deferred()
            next(iter(self._under_way.values())).append(waiting)
            try:
                await waiting
            except Refusal:
                pass  # it has ended, which is all that was waited for

    async def run(self) -> None:
        """Renew what expires soon; the duty."""
        try:
            rows = await self._store.expiring_credentials(self._settings().credential_refresh_ahead)
        except Refusal as refusal:
            self._log.debug("Expiring credentials could not be read: {reason}", reason=str(refusal))
            return
        for row in rows:
            if not self._renewable(row):
                continue
            try:
                await self._renew(row.account, row.generation)
            except Refusal as refusal:
                self._log.warn(
                    "The credential of {account} could not be renewed: {reason}",
                    account=row.account,
                    reason=refusal.message,
                )

    def _renewable(self, row: CredentialRow) -> bool:
        """Tell whether asking ahead of time makes sense: what cannot be renewed still works until it expires."""
        try:
            return self._keeper.open(row).refresh_token is not None
        except VaultError as error:
            self._log.error("A credential does not open: {reason}", reason=str(error), account=row.account)
            return False

    async def _renew(self, account: str, generation: int) -> CredentialRow:
        """Wait for the refresh under way in this process, or make one; then answer from what is stored."""
        if account in self._under_way:
            waiting: Deferred[None] = Deferred()
            self._under_way[account].append(waiting)
            # Fails as that refresh fails: a host that did not answer is not asked again for each who waited.
            await waiting
        row = _usable(await self._store.credential(account), account)
        if row.generation > generation:
            return row
        if account in self._under_way:
            return await self._renew(account, generation)
        self._under_way[account] = []
        refusal: Refusal | None = None
        try:
            return await self._renew_here(row)
        except Refusal as refused:
            refusal = refused
            raise
        finally:
            for each in self._under_way.pop(account):
                each.callback(None) if refusal is None else each.errback(refusal)

    async def _renew_here(self, row: CredentialRow) -> CredentialRow:
        try:
            secrets = self._keeper.open(row)
        except VaultError as error:
            await self._keeper.refuse(row.account, row.generation, str(error))
            raise _refused(row.account) from None
        if row.kind != "oauth" or secrets.refresh_token is None:
            await self._keeper.refuse(
                row.account, row.generation, f"the {row.kind} token no longer works and cannot be renewed"
            )
            raise _refused(row.account)
        ticket = await self._store.begin_refresh(row.account, row.generation, self._server_id, TICKET_SECONDS)
        if ticket is None:
            return await self._wait_for_others(row)
        try:
            renewed = await self._ask(row, secrets)
        except Refused as error:
            await self._keeper.refuse(row.account, row.generation, str(error))
            raise _refused(row.account) from None
        except TryAgain as error:
            self._log.warn(
                "The credential of {account} could not be renewed: {reason}", account=row.account, reason=str(error)
            )
            raise Refusal(
                ErrorCode.UNAVAILABLE,
                f"the credential could not be renewed: {error}",
                retry_after=error.retry_after or 5.0,
            ) from None
        return await self._store_renewed(row, secrets, renewed)

    async def _ask(self, row: CredentialRow, secrets: Secrets) -> Renewed:
        """Ask the host, a few times when it does not answer."""
        grant = Grant(
            token_url(row.host, secrets.token_url, self._settings().allowed_gitlab_hosts),
            secrets.refresh_token or "",
            secrets.client_id,
            secrets.client_secret,
        )
        for pause in BACKOFF:
            try:
                return await renew(self._client, self._clock, grant)
            except TryAgain as error:
                wait = error.retry_after or pause
                if wait > LONGEST_WAIT:
                    raise
                await self._sleep(wait)
        return await renew(self._client, self._clock, grant)

    async def _store_renewed(self, row: CredentialRow, secrets: Secrets, renewed: Renewed) -> CredentialRow:
        fresh = evolve(
            secrets,
            access_token=renewed.access_token,
            refresh_token=renewed.refresh_token or secrets.refresh_token,
        )
        sealed = self._keeper.seal(row.account, row.host, row.kind, fresh)
        while True:
            try:
                await self._store.finish_refresh(row.account, row.generation, sealed, renewed.expires_at)
                break
            except Refusal as refusal:
                # The old tokens are gone. Only we have the new ones.
                if refusal.code is not ErrorCode.UNAVAILABLE:
                    raise
                await self._sleep(refusal.retry_after or STORE_AGAIN)
        current = _usable(await self._store.credential(row.account), row.account)
        self._log.info("The credential of {account} was renewed", account=row.account, generation=current.generation)
        await self._keeper.changed(current)
        return current

    async def _wait_for_others(self, row: CredentialRow) -> CredentialRow:
        """Wait until another server has renewed the credential, or was refused."""
        deadline = self._clock.seconds() + OTHERS_DEADLINE
        while self._clock.seconds() < deadline:
            await self._sleep(LOOK_AGAIN)
            current = _usable(await self._store.credential(row.account), row.account)
            if current.generation > row.generation:
                return current
        raise Refusal(ErrorCode.UNAVAILABLE, "another server is renewing the credential", retry_after=LOOK_AGAIN * 20)

    async def _sleep(self, seconds: float) -> None:
        await deferLater(self._clock, seconds, _nothing)


def _nothing() -> Any:
    return None


def _usable(row: CredentialRow | None, account: str) -> CredentialRow:
    if row is None:
        raise Refusal(ErrorCode.CREDENTIAL_MISSING, f"the account {account} has no credential")
    if row.state != "valid":
        raise _refused(account)
    return row


def _refused(account: str) -> Refusal:
    return Refusal(
        ErrorCode.CREDENTIAL_REFUSED,
        f"the credential of account {account} no longer works; store another one with credential_put",
    )
