"""Tell ``twistd`` that there is a command ``crawlsock``."""

from twisted.application.service import ServiceMaker

crawlsock = ServiceMaker(  # type: ignore[no-untyped-call]
    "crawlsock", "crawlsock.tap", "Hand jobs to crawlers and keep what they report.", "crawlsock"
)
