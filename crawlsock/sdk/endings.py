"""
What the end of a job means to the server: which message says it, and what the message holds.

The law: a table from how a job ended to what is said; no transport, no clock. Everything that leaves here is
bounded and free of secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from twisted.python.failure import Failure

from crawlsock.masking import mask_patterns
from crawlsock.sdk.errors import CredentialRefused, JobCancelled, JobFailed, JobReleased, JobStopped, Refused
from crawlsock.sdk.job import Job
from crawlsock.sdk.values import JobResult

MOST_MESSAGE = 4096
MOST_STACK = 32768
MOST_REASON = 1024
MOST_URL = 2048
MOST_ERROR_TYPE = 128
MOST_CONTEXT = 32 * 1024


Mask = Callable[[str], str]
"""Takes the secrets out of a text."""


class Ending(NamedTuple):
    """What to say: the message type and its body."""

    type: str
    data: dict[str, Any]


def completed(job: Job, result: object) -> Ending:
    """Say that the job is done, with its counts and what it returned."""
    data = _counts(job)
    if result is None:
        return Ending("job_completed", data)
    if not isinstance(result, JobResult):
        return failed(
            job,
            JobFailed(
                "bad_result",
                f"the job returned {type(result).__name__}, not JobResult or None",
                recoverable=False,
            ),
        )
    if result.files:
        data["files"] = [file.fields() for file in result.files]
    if result.summary:
        data["summary"] = dict(result.summary)
    return Ending("job_completed", data)


def stopped(job: Job, reason: JobStopped) -> Ending:
    """Say that the job followed an order, or handed itself back."""
    data = {**_counts(job), **_state(job)}
    if isinstance(reason, JobCancelled):
        return Ending("job_cancelled", data)
    text = str(reason) or "released by the crawler"
    return Ending("job_released", {"reason": mask_patterns(text)[:MOST_REASON], **data})


def failed(job: Job, error: JobFailed, mask: Mask = mask_patterns, stack: str | None = None) -> Ending:
    """Say that the job failed."""
    data: dict[str, Any] = {
        "error_type": _word(error.error_type),
        "message": mask(str(error.message))[:MOST_MESSAGE],
        "recoverable": error.recoverable,
        **_counts(job),
        **_state(job),
    }
    if error.retry_after is not None:
        data["retry_after"] = max(0.0, error.retry_after)
    if error.request is not None:
        url = mask(error.request.url)
        data["request"] = {
            "method": error.request.method,
            "url": re.sub(r"[^\x21-\x7e]", "?", url)[:MOST_URL],
            "status": error.request.status,
        }
    if stack is not None:
        data["stack"] = stack
    if error.context:
        context = _context(error.context, mask)
        if context:
            data["context"] = context
    return Ending("job_failed", data)


def ending_of(job: Job, outcome: object, mask: Mask) -> Ending:
    """
    Turn the outcome of a job's coroutine (its result, or a `Failure`) into what to say.

    An order to stop explains any exception that came after it: a job told to stop is cancelled or released,
    not failed, whatever it tripped over on its way out.
    """
    if not isinstance(outcome, Failure):
        return completed(job, outcome)
    error = outcome.value
    if job.stopping is not None:
        return stopped(job, job.stopping)
    if isinstance(error, JobStopped):
        return stopped(job, error)
    if isinstance(error, JobFailed):
        return failed(job, error, mask)
    if isinstance(error, CredentialRefused):
        if error.missing:
            return failed(job, JobFailed("credential_missing", str(error), recoverable=False), mask)
        return stopped(job, JobReleased(f"credential refused: {error.message}"))
    stack = mask(outcome.getTraceback(elideFrameworkCode=True))
    return failed(
        job,
        JobFailed(type(error).__qualname__, str(error) or type(error).__qualname__),
        mask,
        # The end of a traceback says more than its beginning.
        stack if len(stack) <= MOST_STACK else "...\n" + stack[-(MOST_STACK - 4) :],
    )


def _counts(job: Job) -> dict[str, Any]:
    return job.report.closing() if job.reported else {}


def _state(job: Job) -> dict[str, Any]:
    return job.report.state() if job.reported else {}


def _word(text: str) -> str:
    """Make an error type out of any text: letters, digits, `_` and `.`, beginning with a letter."""
    word = re.sub(r"[^A-Za-z0-9_.]+", "_", text).lstrip("_.0123456789")
    return word[:MOST_ERROR_TYPE] or "error"


def _context(context: dict[str, Any], mask: Mask) -> dict[str, Any]:
    """Mask and bound an error's context; what is no JSON is shown as text."""
    encoded = mask(orjson.dumps(context, default=repr, option=orjson.OPT_NON_STR_KEYS).decode())
    if len(encoded) > MOST_CONTEXT:
        return {"cut": encoded[:MOST_CONTEXT]}
    try:
        masked = orjson.loads(encoded)
    except orjson.JSONDecodeError:
        # A mask may have swallowed a quote. The text is still worth having.
        return {"cut": encoded}
    return masked if isinstance(masked, dict) else {}


def smaller(ending: Ending, error: Refused) -> Ending | None:
    """
    Say the same end with less, because the server refused what was said. `None`: there is no less.

    A refused completion becomes a failure that tells why, a refused failure or cancellation a release.
    """
    if ending.type == "job_completed" or (ending.type == "job_failed" and len(ending.data) > 3):
        text = mask_patterns(f"the server refused {ending.type}: {error}")[:MOST_MESSAGE]
        return Ending("job_failed", {"error_type": "report_refused", "message": text, "recoverable": False})
    if ending.type == "job_released" and len(ending.data) == 1:
        return None
    return Ending("job_released", {"reason": f"{ending.type} was refused: {error.code}"})
