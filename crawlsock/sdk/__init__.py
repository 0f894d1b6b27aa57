"""
What crawlers and web applications import.

The law of this package: it knows the wire and nothing else of crawlsock, so that it installs without a
database driver. A crawler needs `JobExecutor`, a web application `JobManager`; `docs/sdk.md` shows both.
"""

from crawlsock.sdk.connection import Connection
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
from crawlsock.sdk.executor import JobExecutor
from crawlsock.sdk.hello import Welcome
from crawlsock.sdk.job import Job, JobLink
from crawlsock.sdk.manager import JobManager
from crawlsock.sdk.monitor import Monitor
from crawlsock.sdk.oversight import JobFilter
from crawlsock.sdk.progress import ProgressReporter
from crawlsock.sdk.subscription import Subscription
from crawlsock.sdk.values import (
    Area,
    ChildJob,
    Credential,
    Event,
    HostBudget,
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
    "Connection",
    "Credential",
    "CredentialRefused",
    "Event",
    "HostBudget",
    "ItemStatus",
    "Job",
    "JobCancelled",
    "JobExecutor",
    "JobFailed",
    "JobFilter",
    "JobLink",
    "JobManager",
    "JobReleased",
    "JobResult",
    "JobStopped",
    "JobView",
    "LeaseLost",
    "Monitor",
    "NewJob",
    "NotAnswered",
    "NotConnected",
    "OutputFile",
    "ProgressReporter",
    "ProgressView",
    "Refused",
    "RequestDetails",
    "Subscription",
    "Welcome",
    "new_job_id",
]
