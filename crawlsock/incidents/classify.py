"""Say what kind of failure it was, and how bad.

The law: values in, values out. What decides is what the crawler reported: the word it used, the status of the request
that failed, and, last, what its message says. A word that nobody knows is the crawler's own failure. The tables stand
in the order in which they are asked; a rule that needs a clock or a database does not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final


class Category(str, Enum):
    """What went wrong, as far as it matters for what to do about it."""

    NETWORK = "network"
    RATE_LIMIT = "rate_limit"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    SERVER_ERROR = "server_error"
    DATA = "data"
    STORAGE = "storage"
    CONFIGURATION = "configuration"
    CRAWLER = "crawler"
    INTERNAL = "internal"

    def __str__(self) -> str:
        return str(self.value)


class Severity(str, Enum):
    """How much it asks of people: nothing, a look, an action."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    def __str__(self) -> str:
        return str(self.value)


# The words of the reference crawler, of the SDK, and of Python and Twisted for what happens on the way to a host.
_WORDS: Final[Mapping[Category, str]] = {
    Category.NETWORK: """
        timeout timeouterror connecttimeout readtimeout connectionerror connectionrefusederror connectionreseterror
        connectionabortederror connectionlost connectionlosterror connectiondone connecterror connectionrefused
        timeoutexception dnslookuperror dnserror gaierror noroute noroutererror tcptimedouterror userror
        responsefailed responseneverreceived requesttransmissionfailed sslerror ssl.error connectbinderror
        brokenpipeerror networkerror network_error unreachable""",
    Category.RATE_LIMIT: """
        rate_limit rate_limited ratelimited ratelimiterror too_many_requests toomanyrequests throttled""",
    Category.AUTHENTICATION: """
        unauthorized unauthenticated credential_missing credential_refused credentialrefused invalid_token
        token_expired authenticationerror authentication_failed""",
    Category.PERMISSION: "forbidden permission_denied permissiondenied insufficient_scope accessdenied access_denied",
    Category.NOT_FOUND: "not_found notfound gone resourcenotfound",
    Category.SERVER_ERROR: "gitlab_unavailable server_error servererror bad_gateway service_unavailable maintenance",
    Category.DATA: """
        paging_broken bad_answer invalid_json jsondecodeerror unicodedecodeerror parse_error parseerror
        validationerror validation_error unexpected_answer decodeerror""",
    Category.STORAGE: "output_failed disk_full oserror permissionerror filenotfounderror isadirectoryerror ioerror",
    Category.CONFIGURATION: "host_not_allowed unknown_job_type invalid_job misconfigured configerror",
    Category.CRAWLER: "bad_result report_refused memoryerror",
    Category.INTERNAL: "internal internal_error server_bug",
}
_BY_WORD: Final = {word: category for category, words in _WORDS.items() for word in words.split()}

# What kind a status is, whatever the crawler called it. Statuses of 500 and more are the host's trouble.
_BY_STATUS: Final[Mapping[int, Category]] = {
    401: Category.AUTHENTICATION,
    402: Category.PERMISSION,
    403: Category.PERMISSION,
    404: Category.NOT_FOUND,
    407: Category.NETWORK,
    408: Category.NETWORK,
    410: Category.NOT_FOUND,
    429: Category.RATE_LIMIT,
    451: Category.PERMISSION,
}
# Words that say no more than that the host was no help: the status tells why.
_VAGUE: Final = frozenset(
    {"gitlab_unavailable", "gitlab_refused", "gitlab_error", "httperror", "http_error", "oserror"}
)

_BY_PHRASE: Final = (
    (Category.RATE_LIMIT, re.compile(r"\brate.?limit|\btoo many requests\b|\b429\b", re.IGNORECASE)),
    (Category.AUTHENTICATION, re.compile(r"\b401\b|\bunauthori[sz]ed\b|\btoken (?:is )?expired\b", re.IGNORECASE)),
    (Category.PERMISSION, re.compile(r"\b403\b|\bforbidden\b|\bpermission denied\b", re.IGNORECASE)),
    (Category.NOT_FOUND, re.compile(r"\b404\b|\bnot found\b", re.IGNORECASE)),
    (Category.SERVER_ERROR, re.compile(r"\b50[0234]\b|\bbad gateway\b|\bservice unavailable\b", re.IGNORECASE)),
    (
        Category.NETWORK,
        re.compile(r"\btimed? ?out\b|\bconnection (?:was )?(?:refused|reset|lost|closed)\b", re.IGNORECASE),
    ),
    (Category.STORAGE, re.compile(r"\bno space left\b|\bread-only file system\b", re.IGNORECASE)),
)
_LOOKED_AT: Final = 2048
"""Characters of a message that are looked at."""

_SEVERITIES: Final[Mapping[Category, tuple[Severity, Severity]]] = {
    # when trying again can help, and when not
    Category.NETWORK: (Severity.WARNING, Severity.WARNING),
    Category.RATE_LIMIT: (Severity.INFO, Severity.WARNING),
    Category.AUTHENTICATION: (Severity.WARNING, Severity.CRITICAL),
    Category.PERMISSION: (Severity.WARNING, Severity.WARNING),
    Category.NOT_FOUND: (Severity.INFO, Severity.INFO),
    Category.SERVER_ERROR: (Severity.WARNING, Severity.WARNING),
    Category.DATA: (Severity.WARNING, Severity.WARNING),
    Category.STORAGE: (Severity.CRITICAL, Severity.CRITICAL),
    Category.CONFIGURATION: (Severity.WARNING, Severity.CRITICAL),
    Category.CRAWLER: (Severity.WARNING, Severity.CRITICAL),
    Category.INTERNAL: (Severity.CRITICAL, Severity.CRITICAL),
}


def categorise(error_type: str, message: str = "", status: int | None = None) -> Category:
    """Return the kind of a failure.

    :param error_type: the crawler's word: a class name or a short word; for a dotted name its last part counts, too.
    :param status: of the HTTP request that failed; None or 0 where there was no answer.
    """
    word = error_type.lower()
    known = _BY_WORD.get(word) or _BY_WORD.get(word.rpartition(".")[2])
    said = _by_status(status)
    if word in _VAGUE or known is None:
        if said is not None:
            return said
        if word == "gitlab_unavailable":
            return _by_phrase(message) or Category.NETWORK
    return known or _by_phrase(message) or Category.CRAWLER


def severity(category: Category, recoverable: bool) -> Severity:
    """Return how bad a failure of a category is; one that trying again may mend is less so."""
    return _SEVERITIES[category][0 if recoverable else 1]


def _by_status(status: int | None) -> Category | None:
    if status is None or status < 400:
        return None
    return Category.SERVER_ERROR if status >= 500 else _BY_STATUS.get(status, Category.DATA)


def _by_phrase(message: str) -> Category | None:
    head = message[:_LOOKED_AT]
    return next((category for category, phrase in _BY_PHRASE if phrase.search(head)), None)
