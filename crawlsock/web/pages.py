"""The pages of the dashboard: overview, jobs and a job in full, the other screens as a frame that scripts fill.

The law: a page shows what the API says, by the same messages and for the same caller; it works without scripts, and
changes nothing. Without a sign-in every page leads to where one is got.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson
from twisted.internet.interfaces import IReactorTime

import crawlsock
from crawlsock.handlers.context import Reply
from crawlsock.server.calls import Caller, Calls
from crawlsock.web.gate import Gate, cookie_of
from crawlsock.web.parameters import parse_query, read_value
from crawlsock.web.problems import Problem
from crawlsock.web.render import Renderer
from crawlsock.web.resource import HTML, Answer, WebResource, redirect
from crawlsock.web.static import Library, pack, takes_gzip
from crawlsock.web.words import FILTERS
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.web.site import WebRequest

SCREENS: Final = (
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/crawlers", "Crawlers"),
    ("/failures", "Failures"),
    ("/accounts", "Accounts and limits"),
    ("/events", "Events"),
    ("/system", "System"),
    ("/access", "Access"),
)
"""Address and label, in the order of the navigation; ``static/js/app.js`` knows the same."""

STATES: Final = ("running", "assigned", "queued", "waiting_credential", "paused", "completed", "failed", "cancelled")
TABS: Final = (
    ("All", ()),
    ("Running", ("running",)),
    ("Assigned", ("assigned",)),
    ("Queued", ("queued",)),
    ("Waiting for credential", ("waiting_credential",)),
    ("Paused", ("paused",)),
    ("Failed", ("failed",)),
    ("Completed", ("completed",)),
    ("Cancelled", ("cancelled",)),
)
SORTS: Final = (("newest", "Newest first"), ("oldest", "Oldest first"), ("queue", "Order of the queue"))
_IN_FORM: Final = frozenset({"search", "type", "account", "host", "sort"})
_NOT_SIGNED_IN: Final = frozenset(
    {ErrorCode.NOT_AUTHENTICATED, ErrorCode.AUTHENTICATION_FAILED, ErrorCode.SESSION_EXPIRED}
)
QUESTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "queued": "Why is it not running?",
        "assigned": "Why is it not running yet?",
        "waiting_credential": "Why does it wait for a credential?",
        "paused": "Why is it paused?",
        "failed": "Why did it fail?",
        "cancelled": "Why was it cancelled?",
    }
)
_CHILDREN: Final = 50
_INCLUDED: Final = ["errors", "assignments", "milestones", "children"]


def dress(renderer: Renderer, library: Library) -> None:
    """Give templates what every page needs: where its files are, the filters, the navigation."""
    renderer.environment.filters.update(FILTERS)
    renderer.environment.globals.update(
        static=library.base, modules=library.modules, version=crawlsock.__version__, screens=SCREENS
    )


class Pages(WebResource):
    """Every address that is not another resource's."""

    isLeaf = True
    has_rest = True

    def __init__(self, clock: IReactorTime, gate: Gate, calls: Calls, renderer: Renderer) -> None:
        super().__init__()
        self._clock = clock
        self._gate = gate
        self._calls = calls
        self._renderer = renderer

    async def get(self, request: WebRequest) -> Answer:
        """Show a page, or lead to the sign-in."""
        words = _words(request)
        page = _page_of(words)
        if page is None:
            raise Problem("not_found", "there is no such page; the overview leads to those there are")
        try:
            caller = await self._gate.identify(request)
        except Refusal as refusal:
            if refusal.code not in _NOT_SIGNED_IN:
                raise
            had_one = request.getCookie(cookie_of(request).encode()) is not None
            return redirect("/login?reason=ended" if had_one else "/login")
        template, title, values = await getattr(self, f"_{page}")(request, caller, words)
        here = f"/{words[0]}"
        now = datetime.fromtimestamp(self._clock.seconds(), timezone.utc)
        body = self._renderer.render(template, title=title, caller=caller, here=here, now=now, **values)
        # There is no secret in a page whose length could be measured from outside: the cookie is not in it.
        packed = pack(body) if takes_gzip(request.getHeader("Accept-Encoding")) else None
        if packed is None:
            return Answer(body, HTML, headers={"Vary": "Accept-Encoding"})
        return Answer(packed, HTML, headers={"Vary": "Accept-Encoding", "Content-Encoding": "gzip"})

    # -- pages: each returns its template, its title and what the template needs

    async def _overview(self, request: WebRequest, caller: Caller, words: list[str]) -> tuple[str, str, dict[str, Any]]:
        return "overview.html", "Overview", {"overview": await self._ask(caller, "overview_get"), "states": STATES}

    async def _jobs(self, request: WebRequest, caller: Caller, words: list[str]) -> tuple[str, str, dict[str, Any]]:
        query = self._query(request, "job_list")
        page = await self._ask(caller, "job_list", query)
        counts = await self._ask(
            caller, "job_counts", {name: query[name] for name in ("account", "type") if name in query}
        )
        cursor = page.get("next_cursor")
        filters = {name: value for name, value in query.items() if name != "cursor"}
        others = {name: value for name, value in filters.items() if name != "states"}
        shown = frozenset(query.get("states", ()))
        tabs = [
            {
                "label": label,
                "href": _address("/jobs", {**others, "states": states}),
                "here": shown == frozenset(states),
                "count": sum(counts["jobs"].get(state, 0) for state in states or STATES),
            }
            for label, states in TABS
        ]
        return (
            "jobs.html",
            "Jobs",
            {
                "query": filters,
                "kept": [(name, _joined(value)) for name, value in filters.items() if name not in _IN_FORM],
                "page": page,
                "tabs": tabs,
                "sorts": SORTS,
                "next": _address("/jobs", {**filters, "cursor": cursor}) if cursor else None,
                "first": _address("/jobs", filters) if "cursor" in query else None,
            },
        )

    async def _job(self, request: WebRequest, caller: Caller, words: list[str]) -> tuple[str, str, dict[str, Any]]:
        job_id = words[1]
        query = self._query(request, "job_tree", "cursor")
        job = (await self._ask(caller, "job_get", {"include": _INCLUDED}, job_id))["job"]
        branch = await self._ask(caller, "job_tree", {"limit": _CHILDREN, **query}, job_id)
        tree = why = None
        if branch["children"]:
            tree = (await self._ask(caller, "progress_get", {"scope": "tree"}, job_id))["progress"]
        if job["state"] in QUESTIONS:
            why = await self._ask(caller, "job_explain", None, job_id)
        own = f"/jobs/{job['job_id']}"
        cursor = branch.get("next_cursor")
        return (
            "job.html",
            "Job",
            {
                "job": job,
                "children": branch["children"],
                "tree": tree,
                "why": why,
                "question": QUESTIONS.get(job["state"]),
                "payload": _source(job.get("payload")),
                "summary": _source(job.get("summary")),
                "next": _address(own, {"cursor": cursor}) if cursor else None,
                "first": own if "cursor" in query else None,
                "commands": [
                    f"crawlsock {verb} {job['job_id']}"
                    for verb in ("show", "watch", "explain", "cancel", "pause", "resume", "retry")
                ],
            },
        )

    async def _frame(self, request: WebRequest, caller: Caller, words: list[str]) -> tuple[str, str, dict[str, Any]]:
        return "shell.html", dict(SCREENS)[f"/{words[0]}"], {}

    # -- what they are made of

    async def _ask(
        self, caller: Caller, type: str, data: Mapping[str, Any] | None = None, job_id: str | None = None
    ) -> dict[str, Any]:
        outcome = await self._calls.call(caller, type, data, job_id)
        answer = outcome.data if isinstance(outcome, Reply) else outcome
        return dict(answer or {})

    def _query(self, request: WebRequest, type: str, *names: str) -> dict[str, Any]:
        """Return what the address says for a message: what a form leaves empty and what is none of its is passed over,
        because an address may have come from anywhere."""
        kind = self._calls.catalog.types[type]
        schemas = kind.http.in_query if kind.http is not None else {}
        given = parse_query(request.uri.partition(b"?")[2])
        return {
            name: read_value(name, values[-1:], schemas[name])
            for name, values in given.items()
            if name in schemas and values[-1] and (not names or name in names)
        }


def _words(request: WebRequest) -> list[str]:
    path: bytes = b"/".join([*(request.prepath or ()), *(request.postpath or ())])
    return path.decode("utf-8", "replace").rstrip("/").split("/")


def _page_of(words: list[str]) -> str | None:
    """Return the name of the page at a path."""
    if words == [""]:
        return "overview"
    if words[0] == "jobs" and len(words) <= 2:
        return "jobs" if len(words) == 1 else "job"
    if words[0] == "failures" and len(words) == 2:
        return "frame"
    return "frame" if len(words) == 1 and f"/{words[0]}" in dict(SCREENS) else None


def _joined(value: Any) -> str:
    return ",".join(value) if isinstance(value, (list, tuple)) else str(value)


def _address(path: str, query: Mapping[str, Any]) -> str:
    parts = {name: _joined(value) for name, value in query.items() if value}
    return f"{path}?{urlencode(parts, safe=',')}" if parts else path


def _source(value: Any) -> str | None:
    return None if not value else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
