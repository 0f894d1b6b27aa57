"""Explain failures to people, and say what to do next.

The law: plain words about a kind of failure, never about one message; a next step that somebody can take. What stands
here is shown beside the crawler's own message, which may say more, and is never trusted to say it well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from crawlsock.incidents.classify import Category


@frozen
class Advice:
    """What happened, and what to do about it: a sentence or two each."""

    explanation: str
    next_step: str


_BY_TYPE: Final[Mapping[str, Advice]] = {
    "host_not_allowed": Advice(
        "The crawler may not talk to the host that the job names: it is not among the hosts it was started for.",
        "Start the crawler with this host allowed, or submit the job for a host that is, then retry.",
    ),
    "unknown_job_type": Advice(
        "The crawler that got the job has no function for jobs of this type.",
        "Start a crawler that knows the type, or correct the type of the job; then retry.",
    ),
    "invalid_job": Advice(
        "The job does not say what to crawl: it names neither an entity id nor a namespace path.",
        "Submit it again with entity_id or namespace_path.",
    ),
    "credential_missing": Advice(
        "The job needs a credential and its account has none.",
        "Store one for the account with `crawlsock account put`; then retry.",
    ),
    "paging_broken": Advice(
        "GitLab's pages did not follow each other: a page pointed outside its list, or to itself.",
        "Retry once. If it happens again, report it with the URL: this version of GitLab pages differently.",
    ),
    "bad_result": Advice(
        "The crawler's function returned something that is no result.",
        "This is a bug in the crawler. Mend it, start the crawler again, then retry.",
    ),
    "report_refused": Advice(
        "The crawler did the work, and the server refused its report as malformed.",
        "This is a bug in the crawler. Mend it, start the crawler again, then retry.",
    ),
}

_BY_CATEGORY: Final[Mapping[Category, Advice]] = {
    Category.NETWORK: Advice(
        "The host could not be reached, or did not answer in time.",
        "Nothing, if it passes: the job is tried again. Otherwise check the host's name, the network and its firewall "
        "from the crawler's machine; then retry what failed.",
    ),
    Category.RATE_LIMIT: Advice(
        "The host asked us to send fewer requests, and the crawler waited.",
        "Nothing, in most cases. If jobs fail for it, run fewer crawlers for this host, or ask its administrator for a "
        "higher limit.",
    ),
    Category.AUTHENTICATION: Advice(
        "The host does not accept the account's token: it expired, was revoked, or was never valid there.",
        "Store a new credential for the account; jobs that wait for it go on, failed ones need a retry.",
    ),
    Category.PERMISSION: Advice(
        "The account's token is valid, but its user may not read this.",
        "Give the user access (Reporter is enough to read), or a token with the scope read_api; then retry. If it is "
        "meant to be closed, leave it.",
    ),
    Category.NOT_FOUND: Advice(
        "It is not there: deleted, renamed, moved, or hidden from the account's user.",
        "Nothing, if it was deleted. If it should be visible, check the path and the user's access; then retry.",
    ),
    Category.SERVER_ERROR: Advice(
        "The host answered that it cannot answer: overloaded, in maintenance, or broken.",
        "Wait until the host is well again (look at its status page); then retry what failed.",
    ),
    Category.DATA: Advice(
        "The host answered with something that the crawler does not understand.",
        "Look at the request and the message. A proxy's page instead of an answer points at the network; anything else "
        "is worth a bug report with the URL.",
    ),
    Category.STORAGE: Advice(
        "The crawler could not write what it found: disk full, no right to write, or the directory is gone.",
        "Make room or mend the rights of the output directory on the crawler's machine; then retry.",
    ),
    Category.CONFIGURATION: Advice(
        "The crawler or the job is set up in a way that cannot work.",
        "Compare what the job asks for with what the crawler was started for; correct one of them, then retry.",
    ),
    Category.CRAWLER: Advice(
        "The crawler's own code failed.",
        "Look at the stack of the error. Mend the crawler, start it again, then retry.",
    ),
    Category.INTERNAL: Advice(
        "The server made a mistake. Nothing was lost.",
        "Look for the failure in the server's log and report it with its traceback; then retry.",
    ),
}


def advice(category: str, error_type: str = "") -> Advice:
    """Return what to tell people about a failure; a category that nobody knows is taken for the crawler's."""
    special = _BY_TYPE.get(error_type)
    if special is not None:
        return special
    try:
        return _BY_CATEGORY[Category(category)]
    except ValueError:
        return _BY_CATEGORY[Category.CRAWLER]
