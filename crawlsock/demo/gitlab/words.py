"""The words that names, titles and texts are made of, the hostile ones among them.

Law: text only; nothing here knows what an item is. Hostile text is valid Unicode without NUL, because
PostgreSQL, and so GitLab, can hold nothing else; everything short of that is fair.
"""

from __future__ import annotations

from crawlsock.demo.gitlab.chance import draw, pick

FIRST_NAMES = (
    "Ada", "Barbara", "Chiara", "Dmitri", "Edsger", "Frances", "Grace", "Hedy", "Ivan", "Joan", "Katherine",
    "Lin", "Margaret", "Niklaus", "Olga", "Per", "Radia", "Sophie", "Tomoko", "Yukihiro",
)  # fmt: skip
LAST_NAMES = (
    "Allen", "Bartik", "Clarke", "Dijkstra", "Easley", "Fano", "Goldberg", "Hopper", "Ito", "Johnson",
    "Kay", "Lamarr", "Moore", "Naur", "Okafor", "Perlman", "Ritchie", "Sato", "Turing", "Wirth",
)  # fmt: skip
TOPICS = (
    "billing", "catalog", "compiler", "console", "delivery", "gateway", "identity", "insights", "ledger",
    "mobile", "notify", "orders", "payments", "platform", "pricing", "queue", "reports", "runtime",
    "search", "storage",
)  # fmt: skip
THINGS = (
    "agent", "api", "client", "core", "docs", "engine", "forms", "helper", "infra", "kit", "loader",
    "metrics", "model", "plugin", "proxy", "schema", "service", "tools", "web", "worker",
)  # fmt: skip
VERBS = (
    "Add", "Avoid", "Bound", "Cache", "Document", "Drop", "Explain", "Fix", "Handle", "Limit", "Measure",
    "Move", "Refactor", "Remove", "Rename", "Retry", "Simplify", "Split", "Test", "Validate",
)  # fmt: skip
OBJECTS = (
    "the connection pool", "retries after a timeout", "an empty page", "stale sessions", "the login form",
    "large uploads", "duplicate rows", "the settings page", "slow queries", "the release notes",
    "clock skew", "error messages", "pagination of members", "the nightly build", "Unicode names",
    "orphaned jobs", "the health check", "unused indexes", "partial writes", "the audit trail",
)  # fmt: skip
REMARKS = (
    "Could you add a test for this?", "Works for me on the current main branch.", "I can reproduce it.",
    "Let us keep the old behaviour behind a setting.", "Thank you, merged.",
    "This needs a second pair of eyes.", "Measured again: twice as fast.",
    "The log of the failing run is attached.",
)  # fmt: skip

HOSTILE = (
    "<script>alert('sample')</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202egnp.exe\u202c",
    "\u2066isolated\u2069\u200f",
    "\x1b[31mred\x1b[0m\x07",
    "line one\r\nline two\u2028line three",
    "../../../../etc/passwd",
    "{{ 7 * 7 }} ${7*7} %s %n",
    "'; DROP TABLE items; --",
    "\ufeffa\u0301\u0327\u0489\U0001f469\u200d\U0001f680",
)
"""Texts that break readers who paste names into markup, terminals, paths, templates or SQL."""

_HOSTILE_REFS = ("<script>", "\u202egnp", "'--", "%2e%2e", "\U0001f680")


def sentence(bits: int) -> str:
    """Return a title of some four words."""
    return f"{pick(VERBS, bits)} {pick(OBJECTS, bits >> 8)}"


def paragraph(bits: int) -> str:
    """Return a few sentences of text."""
    plan = f"{sentence(bits >> 24)}, then {sentence(bits >> 32).lower()}."
    return f"{pick(REMARKS, bits >> 16)} {plan} {pick(REMARKS, bits >> 40)}"


def spoil(text: str, seed: int, *coordinates: int) -> str:
    """Return the text, for one item in four with something hostile behind it."""
    bits = draw(seed, 0x5B011, *coordinates)
    return text if bits & 3 else f"{text} {pick(HOSTILE, bits >> 8)}"


def spoil_ref(name: str, seed: int, *coordinates: int) -> str:
    """Return a branch or tag name, for one in four made hostile within what git allows in a reference."""
    bits = draw(seed, 0x5B012, *coordinates)
    return name if bits & 3 else f"{name}-{pick(_HOSTILE_REFS, bits >> 8)}"
