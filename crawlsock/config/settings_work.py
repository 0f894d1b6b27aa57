"""Settings of the work: the queue, duties, secrets and credentials."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from crawlsock.config.declare import Derived, setting
from crawlsock.config.kinds import COUNT, DURATION, HOST, PATH, listing

_JOBS = "Jobs and duties"
_SECRETS = "Secrets and credentials"


@frozen(kw_only=True, slots=False)
class WorkSettings:
    """How jobs are kept, and what guards the credentials that they need."""

    queue_limit: int = setting(
        COUNT,
        1_000_000,
        "Live jobs, above which new ones are refused with `queue_full`.",
        group=_JOBS,
        reloadable=True,
        minimum=1,
        maximum=1_000_000_000,
    )
    poison_limit: int = setting(
        COUNT,
        3,
        "Crawlers that a job may take down before it is parked as `failed` with the reason `poison`.",
        group=_JOBS,
        reloadable=True,
        minimum=1,
        maximum=1000,
    )
    reap_interval: float = setting(
        DURATION,
        0.5,
        "How often leases past their deadline are looked for.",
        group=_JOBS,
        reloadable=True,
        minimum=0.05,
        maximum=60,
    )
    poll_interval: float = setting(
        DURATION,
        1.0,
        "How often the database is read when no notification came; the longest delay when every one is lost.",
        group=_JOBS,
        reloadable=True,
        minimum=0.05,
        maximum=60,
    )
    retention_events: float = setting(
        DURATION,
        86400.0,
        "How long events stay readable; a subscriber that comes later gets a snapshot.",
        group=_JOBS,
        reloadable=True,
        minimum=60,
    )
    retention_jobs: float = setting(
        DURATION,
        30 * 86400.0,
        "How long jobs that have ended are kept.",
        group=_JOBS,
        reloadable=True,
        minimum=60,
    )

    key_file: Path = setting(
        PATH,
        Derived(lambda s: Path(s.data_dir, "key"), "`<data_dir>/key`"),
        "The key that encrypts credentials; made at first start with mode 0600. Without it they are lost.",
        group=_SECRETS,
    )
    tokens_dir: Path = setting(
        PATH,
        Derived(lambda s: Path(s.data_dir, "tokens"), "`<data_dir>/tokens`"),
        "Where the tokens made at first start are written, one file a role.",
        group=_SECRETS,
    )
    credential_refresh_ahead: float = setting(
        DURATION,
        300.0,
        "How long before it expires an access token is renewed.",
        group=_SECRETS,
        reloadable=True,
        maximum=86400,
    )
    allowed_gitlab_hosts: tuple[str, ...] = setting(
        listing(HOST),
        (),
        "Hosts (with the port where it is not the usual one) that accounts may name; with none, any host.",
        group=_SECRETS,
        reloadable=True,
    )
