"""The screens of the page, and how each is brought into the four states in which it is looked at.

The law: a state is made from outside, as life makes it: by what the database holds, and by what the network does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tests.browser.rig import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

NOWHERE: Final = "00000000-0000-4000-8000-000000000000"
"""A job that never was."""

UNAVAILABLE: Final = {
    "type": "urn:crawlsock:error:unavailable",
    "title": "Service Unavailable",
    "status": 503,
    "code": "unavailable",
    "detail": "the database cannot be reached",
}


def failure_path(site: Site) -> str:
    """Return the page of the first group of failures; of none when nothing failed."""
    groups = site.api("GET", "/errors?error_type=gitlab_error")["groups"]
    if not groups:
        return "/failures/0000000000000000?account=acme"
    return f"/failures/{groups[0]['fingerprint']}?account={quote(groups[0]['account'])}"


PATHS: Final[dict[str, Callable[[Site], str]]] = {
    "overview": lambda site: "/",
    "jobs": lambda site: "/jobs",
    "job": lambda site: f"/jobs/{site.made.get('tree', NOWHERE)}",
    "crawlers": lambda site: "/crawlers",
    "failures": lambda site: "/failures",
    "failure": failure_path,
    "accounts": lambda site: "/accounts",
    "events": lambda site: "/events",
    "system": lambda site: "/system",
    "access": lambda site: "/access",
}
NOT_LIVE: Final = frozenset({"access"})
"""Screens that follow no events."""


def fail_api(page: Page) -> None:
    """Let every request to the API be answered 503, and the event stream, too."""

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body=json.dumps(UNAVAILABLE), content_type="application/problem+json")

    page.route("**/api/v1/**", refuse)


def cut_stream(page: Page) -> None:
    """Let every attempt to open the event stream fail; the rest of the API is there."""
    page.route("**/api/v1/events*", lambda route: route.abort())


def live_state(page: Page) -> Any:
    """Return what the indicator shows."""
    return page.evaluate("document.documentElement.dataset.live")
