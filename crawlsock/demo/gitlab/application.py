"""One request in, one reply out: the sample GitLab without a network.

Law: everything that decides about an answer is called from here, in GitLab's order: routing, mishap, token,
rate limit, refusal, data, page. No Twisted, no waiting, no clock of its own: the caller says what time it is,
and obeys ``Reply.delay``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

import orjson
from attrs import define, field, frozen

from crawlsock.demo.gitlab.dataset import Dataset
from crawlsock.demo.gitlab.errors import ApiError, forbidden, method_not_allowed, not_found
from crawlsock.demo.gitlab.kinds import PARENTS, Kind
from crawlsock.demo.gitlab.listing import Listing
from crawlsock.demo.gitlab.mishaps import BODIES, Mishaps
from crawlsock.demo.gitlab.options import Options
from crawlsock.demo.gitlab.paging import Page, Pager
from crawlsock.demo.gitlab.routes import ROUTES, Area, Route, RouteTree, find_area
from crawlsock.demo.gitlab.statistics import Statistics
from crawlsock.demo.gitlab.throttle import Throttle, rate_headers
from crawlsock.demo.gitlab.tokens import TokenBook

JSON = "application/json"
STATISTICS_PATH = "/-/sample/statistics"
TOKEN_PATH = "/oauth/token"
API_PREFIX = "/api/v4/"

_REFUSALS = {403: forbidden, 404: not_found}


@frozen
class Ask:
    """One HTTP request: path still percent-encoded, lower-case header names, origin as the client sees it."""

    method: str
    origin: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str | None]
    body: bytes = b""


@frozen
class Reply:
    """One HTTP response, to be sent ``delay`` seconds from now."""

    status: int
    body: bytes
    headers: dict[str, str]
    delay: float = 0.0


@define
class PageCache:
    """Keep the bodies of pages that were built, the most recently used ones, up to a number of bytes."""

    _capacity: int
    _size: int = 0
    _bodies: OrderedDict[tuple[object, ...], bytes] = field(factory=OrderedDict)

    def body(self, page: Page) -> bytes:
        """Return the body of a page."""
        found = self._bodies.get(page.key)
        if found is not None:
            self._bodies.move_to_end(page.key)
            return found
        build = page.listing.build
        body = orjson.dumps([build(position) for position in page.positions])
        self._bodies[page.key] = body
        self._size += len(body)
        while self._size > self._capacity:
            self._size -= len(self._bodies.popitem(last=False)[1])
        return body


@define
class Application:
    """Answer requests for one dataset under one set of options."""

    dataset: Dataset
    options: Options
    tokens: TokenBook
    statistics: Statistics
    _mishaps: Mishaps
    _throttle: Throttle | None
    _cache: PageCache
    _refused: Mapping[tuple[Kind, int], int]
    _tree: RouteTree = field(factory=lambda: RouteTree.of(ROUTES))
    _pager: Pager = field(factory=Pager.new)

    @classmethod
    def new(
        cls, dataset: Dataset, options: Options, now: float, *, cache_bytes: int = 128 * 1024 * 1024
    ) -> Application:
        """Make an application whose first tokens are issued now."""
        return cls(
            dataset,
            options,
            TokenBook.open(dataset.seed, options, now),
            Statistics(),
            Mishaps(dataset.seed, options.faults),
            None if options.rate_limit is None else Throttle(options.rate_limit, options.rate_period),
            PageCache(cache_bytes),
            {(refusal.kind, refusal.area): refusal.status for refusal in options.faults.refused},
        )

    def answer(self, ask: Ask, now: float) -> Reply:
        """Answer one request."""
        if ask.path == STATISTICS_PATH:
            return Reply(200, orjson.dumps(self.statistics.as_json()), {"Content-Type": JSON})
        extra: dict[str, str] = {}
        try:
            if ask.path == TOKEN_PATH:
                reply = self._token(ask, now)
            elif ask.path.startswith(API_PREFIX):
                reply = self._api(ask, now, extra)
            else:
                raise ApiError(404, {"error": "404 Not Found"})
        except ApiError as refusal:
            self.statistics.unauthorized += refusal.status == 401
            reply = Reply(
                refusal.status,
                orjson.dumps(refusal.body),
                {"Content-Type": JSON, **extra, **refusal.headers},
                self.options.latency,
            )
        return reply

    def _token(self, ask: Ask, now: float) -> Reply:
        self.statistics.requests[TOKEN_PATH] += 1
        if ask.method != "POST":
            raise method_not_allowed("405 Not Allowed")
        try:
            body = orjson.dumps(self.tokens.refresh({**ask.query, **_form(ask)}, now))
        finally:
            self.statistics.refreshes = self.tokens.refreshes
            self.statistics.refreshes_refused = self.tokens.refreshes_refused
        return Reply(200, body, {"Content-Type": JSON, "Cache-Control": "no-store"}, self.options.latency)

    def _api(self, ask: Ask, now: float, extra: dict[str, str]) -> Reply:
        parts = [unquote(part) for part in ask.path[len(API_PREFIX) :].split("/")]
        route, names = self._tree.find(parts)
        self.statistics.requests[route.pattern] += 1
        if ask.method not in ("GET", "HEAD"):
            raise method_not_allowed("405 Not Allowed")
        delay = self.options.latency
        mishap = self._mishaps.next(_address(ask))
        if mishap is not None:
            self.statistics.faults[mishap] += 1
            if mishap != "slow":
                return self._failure(mishap, now)
            delay += self.options.faults.slow_by
        token = self.tokens.admit(_credentials(ask), now)
        if self._throttle is not None:
            # GitLab counts by who asks, whatever token they show; all tokens here are one person's.
            verdict = self._throttle.check("" if token is None else "user", now)
            extra.update(verdict.headers)
            if not verdict.allowed:
                self.statistics.rate_limited += 1
                content_type, body = BODIES["429"]
                return Reply(429, body, {"Content-Type": content_type, **extra}, delay)
        answer = self._data(route, names, ask)
        if not isinstance(answer, Listing):
            return Reply(200, orjson.dumps(answer), {"Content-Type": JSON, **extra}, delay)
        url = f"{self.options.link_origin or ask.origin}{ask.path}"
        page = self._pager.page(answer, ask.query, url, anonymous=token is None)
        self.statistics.items += len(page.positions)
        return Reply(200, self._cache.body(page), {"Content-Type": JSON, **extra, **page.headers}, delay)

    def _data(self, route: Route, names: list[str], ask: Ask) -> object:
        world = self.dataset.world
        if route.area is Area.NOTHING:
            return route.answer(world, 0, names, ask.query)
        area = find_area(world, route.area, names[0])
        kind = route.kind
        while kind is not None and self._refused and route.area is not Area.USER:
            status = self._refused.get((kind, area))
            if status is not None:
                self.statistics.faults["refused"] += 1
                raise _REFUSALS[status]()
            kind = PARENTS.get(kind)
        return route.answer(world, area, names[1:], ask.query)

    def _failure(self, mishap: str, now: float) -> Reply:
        content_type, body = BODIES[mishap]
        headers = {"Content-Type": content_type}
        if mishap == "429":
            wait = self.options.faults.retry_after
            headers["Retry-After"] = str(wait)
            if self._throttle is None:
                # Where there is a real count, this comes from somewhere in front of it and tells nothing of it.
                headers |= rate_headers(2000, 2001, 0, math.ceil(now) + wait)
        return Reply(int(mishap), body, headers, self.options.latency)


def _address(ask: Ask) -> str:
    return f"{ask.path}?{'&'.join(f'{name}={value}' for name, value in sorted(ask.query.items()))}"


def _credentials(ask: Ask) -> Mapping[str, str | None]:
    shown = ask.headers.get("private-token") or ask.query.get("private_token") or ask.query.get("access_token")
    return {"private-token": shown, "authorization": ask.headers.get("authorization")}


def _form(ask: Ask) -> dict[str, str]:
    if (ask.headers.get("content-type") or "").partition(";")[0].strip() == JSON:
        try:
            found = orjson.loads(ask.body)
        except orjson.JSONDecodeError:
            found = None
        return (
            {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
        )
    return dict(parse_qsl(ask.body.decode("utf-8", "replace")))
