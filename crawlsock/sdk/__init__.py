"""
What crawlers and web applications import.

The law of this package: it knows the wire and nothing else of crawlsock, so that it installs without a
database driver. A crawler needs `JobExecutor`; a web application needs `JobManager`; `docs/sdk.md` shows both.
"""

from crawlsock.sdk.errors import (
    CredentialRefused,
    JobCancelled,
    JobFailed,
    JobReleased,
    JobStopped,
    LeaseLost,
    NotAnswered,
    NotConnected,
    Refused,
    RequestDetails,
)
from crawlsock.sdk.job import Job, JobLink
from crawlsock.sdk.progress import ProgressReporter
from crawlsock.sdk.values import (
    Area,
    ChildJob,
    Credential,
    Event,
    ItemStatus,
    JobResult,
    JobView,
    NewJob,
    OutputFile,
    ProgressView,
    new_job_id,
)

__all__ = [
    "Area",
    "ChildJob",
    "Credential",
    "CredentialRefused",
    "Event",
    "ItemStatus",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobLink",
    "JobReleased",
    "JobResult",
    "JobStopped",
    "JobView",
    "LeaseLost",
    "NewJob",
    "NotAnswered",
    "NotConnected",
    "OutputFile",
    "ProgressReporter",
    "ProgressView",
    "Refused",
    "RequestDetails",
    "new_job_id",
]
