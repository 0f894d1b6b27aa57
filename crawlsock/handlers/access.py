"""What a token that is bound to accounts may see. To such a peer, other accounts' jobs do not exist."""

from __future__ import annotations

from crawlsock.handlers.context import Context
from crawlsock.wire.errors import ErrorCode, Refusal


async def check_job(context: Context, job_id: str) -> None:
    """Refuse a job of an account that the peer may not see, in the words for a job that is not there."""
    accounts = context.peer.accounts
    if accounts is None:
        return
    job = await context.store.job(job_id, frozenset())
    if job.account not in accounts:
        raise Refusal(ErrorCode.UNKNOWN_JOB, f"there is no job {job_id}", "/job_id")


def check_account(context: Context, account: str, pointer: str = "/data/account") -> None:
    """Refuse an account that the peer may not see, in the words for one that is not there."""
    accounts = context.peer.accounts
    if accounts is not None and account not in accounts:
        raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, f"there is no account {account}", pointer)
