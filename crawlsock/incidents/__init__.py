"""What failures mean, and what operators are told.

The law of this package: rules take values and return values (`classify`, `fingerprint`, `advice`, `judgement`, `rules`,
`payload`); they know no clock, no database and no network. `watch` asks the store and hands its answers to the rules;
`notifier` sends what the store holds ready. Nothing that is exported here imports Twisted.
"""

from __future__ import annotations

from crawlsock.incidents.advice import Advice, advice
from crawlsock.incidents.classify import Category, Severity, categorise, severity
from crawlsock.incidents.fingerprint import fingerprint, normalise
from crawlsock.incidents.judgement import Judgement, judge

__all__ = [
    "Advice",
    "Category",
    "Judgement",
    "Severity",
    "advice",
    "categorise",
    "fingerprint",
    "judge",
    "normalise",
    "severity",
]
