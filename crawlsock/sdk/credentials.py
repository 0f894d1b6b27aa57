"""
Credentials that the jobs of a crawler use: the newest of each account, and one refresh for all who ask.

The law: a generation never goes back; a refresh is asked for once a generation, under the lease of one of the
jobs that want it, and when that job loses its lease, under the next one's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from crawlsock.masking import Masker
from crawlsock.sdk.errors import CredentialRefused, LeaseLost, Refused
from crawlsock.sdk.job import Job
from crawlsock.sdk.values import Credential

Ask = Callable[[Job, str, dict[str, Any]], Deferred[dict[str, Any]]]
Waiters = list[tuple[Job, int, Deferred[Credential]]]


class Credentials:
    """
    Keep the newest credential of each account.

    :param ask: sends a request under a job's lease.
    :param masker: told of every token, so that it appears in no text; of old ones, too.
    """

    def __init__(self, ask: Ask, masker: Masker) -> None:
        self._ask = ask
        self._masker = masker
        self._newest: dict[str, Credential] = {}
        self._waiting: dict[str, Waiters] = {}

    def of(self, account: str) -> Credential | None:
        return self._newest.get(account)

    def learn(self, account: str, fields: dict[str, Any]) -> Credential:
        """Take in a credential from an assignment, an update or a refresh; an older one changes nothing."""
        known = self._newest.get(account)
        if known is not None and known.generation >= fields["generation"]:
            return known
        credential = Credential(fields["access_token"], fields["kind"], fields["generation"], fields.get("expires_at"))
        self._newest[account] = credential
        self._masker.register(credential.access_token)
        return credential

    def update(self, fields: dict[str, Any]) -> None:
        """Take in a `credential_update`."""
        self.learn(fields["account"], fields)

    def refresh(self, job: Job, stale: Credential) -> Deferred[Credential]:
        """Get a newer credential than `stale`."""
        result: Deferred[Credential] = Deferred()
        newest = self._newest.get(job.account)
        if newest is not None and newest.generation > stale.generation:
            result.callback(newest)
            return result
        waiters = self._waiting.setdefault(job.account, [])
        waiters.append((job, stale.generation, result))
        if len(waiters) == 1:
            self._refresh(job.account, job, stale.generation)
        return result

    def _refresh(self, account: str, job: Job, generation: int) -> None:
        answer = self._ask(job, "token_refresh_request", {"generation": generation})
        answer.addCallback(self._refreshed, account)
        answer.addErrback(self._failed, account, job)

    def _refreshed(self, fields: dict[str, Any], account: str) -> None:
        credential = self.learn(account, fields)
        waiters = self._waiting.pop(account, [])
        # Whoever has seen this very generation fail by now needs the one after it.
        unserved = [each for each in waiters if each[1] >= credential.generation]
        if unserved:
            self._waiting[account] = unserved
            self._refresh(account, unserved[0][0], unserved[0][1])
        for _, generation, waiter in waiters:
            if generation < credential.generation:
                waiter.callback(credential)

    def _failed(self, failure: Failure, account: str, job: Job) -> None:
        waiters = self._waiting.pop(account, [])
        error = failure.value
        if isinstance(error, LeaseLost):
            # Only the job that asked has lost its lease; the others ask again under the next one's.
            others = [each for each in waiters if each[0] is not job]
            waiters = [each for each in waiters if each[0] is job]
            if others:
                self._waiting[account] = others
                self._refresh(account, others[0][0], others[0][1])
        for _, _, waiter in waiters:
            waiter.errback(_own(error, account))


def _own(error: BaseException | None, account: str) -> Exception:
    """Make an exception for one waiter: each raises its own, in a coroutine of its own."""
    if isinstance(error, Refused) and error.code in ("credential_refused", "credential_missing"):
        return CredentialRefused(account, error.message, error.code == "credential_missing")
    if isinstance(error, Refused):
        return Refused(error.code, error.message, error.pointer, error.retry_after)
    return error if isinstance(error, Exception) else LeaseLost("the request was given up")
