"""The reference crawler: a real GitLab crawler on nothing but the SDK and treq.

Law: this package knows the SDK and HTTP. How jobs are kept, given out and watched is the server's concern; nothing
here imports it. `docs/gitlab-crawler.md` tells what is crawled, and what the files look like.
"""

from crawlsock.gitlab.api import ClientSettings
from crawlsock.gitlab.app import make_executor, threads_of
from crawlsock.gitlab.crawl import CrawlSettings
from crawlsock.gitlab.handlers import JOB_TYPES, GitLabCrawler, Settings
from crawlsock.gitlab.hosts import AllowedHosts, HostRefused
from crawlsock.gitlab.transport import TreqTransport

__all__ = [
    "JOB_TYPES",
    "AllowedHosts",
    "ClientSettings",
    "CrawlSettings",
    "GitLabCrawler",
    "HostRefused",
    "Settings",
    "TreqTransport",
    "make_executor",
    "threads_of",
]
