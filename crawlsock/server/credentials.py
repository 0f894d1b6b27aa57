"""The credentials of accounts, as crawlers get them.

The law: a crawler sees an access token and never a refresh token, and only for a job whose lease it holds. What is
opened here is registered with the log's masker before anybody can log it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from crawlsock.config import Settings
from crawlsock.masking import Masker
from crawlsock.secrets import Binding, Secrets, Vault, VaultError
from crawlsock.server.orders import OrderDelivery
from crawlsock.server.peer import PeerLost, PeerTimeout
from crawlsock.server.pool import ConnectionPool
from crawlsock.store.values import CredentialRow, SealedCredential, rfc3339
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.store.interface import IStore

_ACK_SECONDS: Final = 10.0


class Renewer(Protocol):
    """What renews a credential: see `crawlsock.duties.refresh.Refresher`."""

    def renew(self, account: str, generation: int) -> Deferred[CredentialRow]:
        """Fire with a credential newer than `generation`."""


class CredentialKeeper:
    """Seal what comes in, open what goes out, and tell crawlers when it changes."""

    _log = Logger()

    def __init__(
        self,
        store: IStore,
        vault: Vault,
        masker: Masker,
        pool: ConnectionPool,
        orders: OrderDelivery,
        settings: Callable[[], Settings],
    ) -> None:
        self._store = store
        self._vault = vault
        self._masker = masker
        self._pool = pool
        self._orders = orders
        self._settings = settings
        self._open: dict[str, tuple[int, dict[str, Any]]] = {}
        self._pushed: dict[str, int] = {}
        self.renewer: Renewer | None = None

    # -- what crawlers get

    async def current(self, account: str, generation: int) -> dict[str, Any] | None:
        """Return the credential of an account as an assignment carries it; `generation` is what the store says it is.

        None when it is refused, gone, or does not open; its jobs then wait for another one.
        """
        known = self._open.get(account)
        if known is not None and known[0] >= generation:
            return known[1]
        row = await self._store.credential(account)
        if row is None or row.state != "valid":
            return None
        try:
            return self.opened(row)
        except VaultError as error:
            self._log.error("A credential does not open: {reason}", reason=str(error), account=account)
            await self.refuse(account, row.generation, "it cannot be decrypted with this server's key")
            return None

    def opened(self, row: CredentialRow) -> dict[str, Any]:
        """Open a row as crawlers get it. Raises `VaultError`."""
        data: dict[str, Any] = {
            "access_token": self.open(row).access_token,
            "kind": row.kind,
            "generation": row.generation,
        }
        if row.expires_at is not None:
            data["expires_at"] = rfc3339(row.expires_at)
        known = self._open.get(row.account)
        if known is None or known[0] < row.generation:
            self._open[row.account] = (row.generation, data)
        return data

    def open(self, row: CredentialRow) -> Secrets:
        """Open what is sealed in a row, and hide it in logs from now on. Raises `VaultError`."""
        secrets = self._vault.open(row.sealed.blob, Binding(row.account, row.host, row.kind))
        self._hide(secrets)
        return secrets

    def seal(self, account: str, host: str, kind: str, secrets: Secrets) -> SealedCredential:
        """Seal secrets, and hide them in logs from now on."""
        self._hide(secrets)
        return SealedCredential(self._vault.seal(secrets, Binding(account, host, kind)))

    def _hide(self, secrets: Secrets) -> None:
        for value in secrets.values():
            self._masker.register(value)

    def renewed(self, job_id: str, lease: str, session_id: str, generation: int) -> Deferred[dict[str, Any]]:
        """Fire with a credential newer than `generation` for the account of the job.

        Fails with ``lease_lost``, ``credential_missing``, ``credential_refused``, and ``unavailable`` when the GitLab
        host did not answer.
        """
        return Deferred.fromCoroutine(self._renewed(job_id, lease, session_id, generation))

    async def _renewed(self, job_id: str, lease: str, session_id: str, generation: int) -> dict[str, Any]:
        job = await self._store.job(job_id)
        if (session_id, job_id, lease) not in await self._store.sessions_of_account(job.account):
            raise Refusal(ErrorCode.LEASE_LOST, "the job is no longer this crawler's", "/lease")
        if self.renewer is None:
            raise Refusal(ErrorCode.CREDENTIAL_MISSING, "this server renews no credentials")
        return self.opened(await self.renewer.renew(job.account, generation))

    # -- what changes

    def put(self, credential: Mapping[str, Any], actor: str) -> Deferred[None]:
        """Seal and store a credential; jobs that waited for it run, and crawlers that hold jobs get it."""
        return Deferred.fromCoroutine(self._put(credential, actor))

    async def _put(self, credential: Mapping[str, Any], actor: str) -> None:
        account, host, kind = credential["account"], credential["host"], credential["kind"]
        allowed = self._settings().allowed_gitlab_hosts
        if allowed and host not in allowed:
            raise Refusal(ErrorCode.FORBIDDEN, f"{host} is not among allowed_gitlab_hosts of this server", "/data/host")
        secrets = Secrets(
            credential["access_token"],
            credential.get("refresh_token"),
            credential.get("client_id"),
            credential.get("client_secret"),
            credential.get("token_url"),
        )
        if await self._is_stored(account, host, kind, secrets):
            return
        expires = credential.get("expires_at")
        await self._store.put_credential(
            account,
            host,
            kind,
            self.seal(account, host, kind, secrets),
            None if expires is None else moment(expires),
            actor,
        )
        row = await self._store.credential(account)
        if row is not None:
            await self.changed(row)

    async def _is_stored(self, account: str, host: str, kind: str, secrets: Secrets) -> bool:
        """Tell whether this is the second time that the same credential comes; sealed, no two look the same."""
        try:
            row = await self._store.credential(account)
            if row is None or (row.host, row.kind, row.state) != (host, kind, "valid"):
                return False
            # Under an old key it is sealed anew, so that storing all credentials again ends the old key's use.
            return self._vault.is_current(row.sealed.blob) and self.open(row) == secrets
        except VaultError:
            return False
        except Refusal as refusal:
            if refusal.code is not ErrorCode.UNKNOWN_ACCOUNT:
                raise
            return False

    async def changed(self, row: CredentialRow) -> None:
        """Push a new credential to every crawler of this server that holds a job of the account, once."""
        data = self.opened(row)
        if self._pushed.get(row.account, 0) >= row.generation:
            return
        self._pushed[row.account] = row.generation
        jobs: dict[str, list[str]] = {}
        for session_id, job_id, _ in await self._store.sessions_of_account(row.account):
            jobs.setdefault(session_id, []).append(job_id)
        for session_id, job_ids in jobs.items():
            peer = self._pool.by_session(session_id)
            if peer is None:
                continue
            push = {"account": row.account, "host": row.host, **data, "jobs": job_ids}
            peer.request("credential_update", push, deadline=_ACK_SECONDS).addCallbacks(
                lambda _: None, self._not_taken, errbackArgs=(peer.name,)
            )

    async def look(self) -> None:
        """Pass on credentials that another server renewed, as far as crawlers here work with them."""
        known = {account: generation for account, (generation, _) in self._open.items()}
        if not known:
            return
        try:
            for row in await self._store.newer_credentials(known):
                await self.changed(row)
        except (Refusal, VaultError) as error:
            # Crawlers ask for a new credential themselves when the old one stops working.
            self._log.warn("Renewed credentials were not passed on: {reason}", reason=str(error))

    async def refuse(self, account: str, generation: int, reason: str) -> None:
        """Let the jobs of an account wait for another credential, and stop those that run."""
        self._open.pop(account, None)
        refused = await self._store.refuse_credential(account, generation, reason)
        self._log.warn(
            "The credential of {account} no longer works: {reason}; {jobs} jobs wait for another one",
            account=account,
            reason=reason,
            jobs=refused.jobs,
        )
        self._orders.deliver(refused.orders)

    def _not_taken(self, failure: Any, peer: str) -> None:
        # It asks for a new one itself when the old one stops working.
        failure.trap(PeerLost, PeerTimeout, Refusal)
        self._log.debug("{peer} did not take a new credential: {reason}", peer=peer, reason=str(failure.value))


def moment(text: str) -> datetime:
    """Read a moment that the schema has found well-formed."""
    return datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
