"""
What can go wrong for somebody who uses the SDK, each kind of blame with a type of its own.

`Refused`: the server understood and said no. `NotConnected`, `NotAnswered`: nobody said anything.
`JobStopped` and its kinds: the job has to end now; they are raised *into* a job, which should let
them pass (after saving what it wants to save). `JobFailed`: raised *by* a job.
"""

from __future__ import annotations

from typing import Any

import attrs


class Refused(Exception):
    """
    Say that the server refused a request.

    :ivar code: one of the closed list of error codes (`crawlsock.wire.errors.ErrorCode`), as a string.
    :ivar message: a sentence that a person can act on.
    :ivar pointer: JSON pointer of the fault inside the message that was sent, when there is one.
    :ivar retry_after: seconds after which asking again makes sense, when it does.
    """

    def __init__(self, code: str, message: str, pointer: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.pointer = pointer
        self.retry_after = retry_after

    def __str__(self) -> str:
        place = f" (at {self.pointer})" if self.pointer else ""
        return f"{self.code}: {self.message}{place}"


class NotConnected(Exception):
    """Say that there is no server to talk to: never reached, or the connection was stopped."""


class NotAnswered(Exception):
    """
    Say that a request had no answer before its deadline.

    Whether the server acted on it is not known; asking again is safe, since requests are idempotent.
    """


class JobStopped(Exception):
    """
    Say that this job has to end now. Let it pass; catch it only to save something and raise it again.

    Whoever swallows it meets it again at the next `Job.checkpoint()`.
    """


class JobCancelled(JobStopped):
    """Say that somebody cancelled the job. The executor reports `job_cancelled`."""


class JobReleased(JobStopped):
    """
    Say that the job is being handed back unharmed, to go on elsewhere from its last saved resume state.

    Raised at a checkpoint while the crawler drains; a job may also raise it itself, with its reason.
    """


class LeaseLost(JobStopped):
    """
    Say that the job belongs to somebody else by now: nothing that is still said about it counts.

    The executor reports nothing more. What is being written should be left for the new holder.
    """


@attrs.frozen
class RequestDetails:
    """The HTTP request that made a job fail. `url` is masked before it leaves the process."""

    method: str
    url: str
    status: int


class JobFailed(Exception):
    """
    Raise from a job to report a failure in the crawler's own words.

    :param error_type: a short machine-readable word, such as `gitlab_error`.
    :param message: what happened, for a person. Secrets are masked, length is bounded.
    :param recoverable: whether another attempt may succeed.
    :param retry_after: seconds to wait at least before that attempt; default: the job's backoff.
    :param request: the HTTP request that failed, if one did.
    :param context: small JSON values worth keeping beside the error.
    """

    def __init__(
        self,
        error_type: str,
        message: str,
        recoverable: bool = True,
        retry_after: float | None = None,
        request: RequestDetails | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(error_type, message)
        self.error_type = error_type
        self.message = message
        self.recoverable = recoverable
        self.retry_after = retry_after
        self.request = request
        self.context = context

    def __str__(self) -> str:
        return f"{self.error_type}: {self.message}"


class CredentialRefused(Exception):
    """
    Say that the account's credential does not work and cannot be renewed.

    A job that lets it pass is handed back (it then waits for a new credential, and loses no attempt),
    unless the account has no credential at all (`missing`): then the job fails for good.
    """

    def __init__(self, account: str, message: str, missing: bool = False) -> None:
        super().__init__(account, message)
        self.account = account
        self.message = message
        self.missing = missing

    def __str__(self) -> str:
        return f"account {self.account}: {self.message}"
