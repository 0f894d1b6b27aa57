"""Keep secrets out of what a job says about its failure: texts, URLs, tracebacks."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[masked]"

_TOKENS = re.compile(
    r"\bgl[a-z]{2,10}-[A-Za-z0-9_.=-]{8,}"  # GitLab's own prefixes: glpat-, gloas-, glrt- ...
    r"|\bcs[kt]_[A-Za-z0-9_-]{6,}"
)
_HEADERS = re.compile(
    r"(?i)\b(bearer|basic|private-token['\"]?\s*[:=,]|job-token['\"]?\s*[:=,])(\s*['\"\[(b]*\s*)[A-Za-z0-9+/_.=~-]{6,}"
)
_FIELDS = re.compile(
    r"(?i)\b((?:access_token|refresh_token|private_token|job_token|client_secret|password|token)['\"]?\s*[=:]\s*['\"]?)"
    r"(?!\[masked\])[^\s'\"&,;)}\]]+"
)
_URL_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@'\"]+@")


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace the given secrets, and whatever looks like one, by `[masked]`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = _TOKENS.sub(MASK, text)
    text = _HEADERS.sub(rf"\1\2{MASK}", text)
    text = _FIELDS.sub(rf"\1{MASK}", text)
    return _URL_USER.sub(rf"\1{MASK}@", text)
