"""Judge one failure: everything about it that is kept beside what the crawler said.

The law: one function, asked once, when the failure comes in; what it returns is stored and never computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from crawlsock.incidents.classify import Category, Severity, categorise, severity
from crawlsock.incidents.fingerprint import fingerprint, names_in, normalise

_MOST_TITLE = 300


@frozen
class Judgement:
    """What a failure is: its group's name, its kind, how bad it is, and the title of its group."""

    fingerprint: str
    category: Category
    severity: Severity
    title: str


def judge(error_type: str, message: str, recoverable: bool, request: Mapping[str, Any] | None = None) -> Judgement:
    """Judge a failure as its crawler reported it.

    :param request: ``method``, ``url`` and ``status`` of the request that failed, as far as they are known.
    """
    asked = request or {}
    status, url = asked.get("status"), asked.get("url")
    category = categorise(error_type, message, status if isinstance(status, int) else None)
    normal = normalise(message, names_in(url) if isinstance(url, str) else ())
    title = f"{error_type}: {normal}" if normal else error_type
    return Judgement(
        fingerprint(error_type, category.value, normal),
        category,
        severity(category, recoverable),
        title[:_MOST_TITLE],
    )
