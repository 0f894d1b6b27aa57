"""Which part of a listing a request gets, and what the headers say: GitLab's offset and keyset pagination.

Law: values in, values out. This module reads query parameters and a listing and returns positions and
headers; it builds no item and touches no request. Where GitLab is peculiar it is peculiar too: keyset answers
have no totals and only a link to the next page; above 10,000 items offset answers lose their totals; projects
by keyset end with an empty page.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import cast
from urllib.parse import urlencode

import orjson
from attrs import define, frozen

from crawlsock.demo.gitlab.errors import invalid_parameter, method_not_allowed
from crawlsock.demo.gitlab.listing import Keyset, Listing

DEFAULT_PER_PAGE = 20
MOST_PER_PAGE = 100
MOST_COUNTED = 10_000
"""With more items than this, GitLab does not say how many there are."""
FARTHEST_OFFSET = 50_000
"""How far offset pagination goes where keyset pagination exists."""

_SECRETS = frozenset({"private_token", "access_token"})

Query = Mapping[str, str]


@frozen
class Page:
    """The part of a listing that answers one request: positions in their order, and pagination headers."""

    listing: Listing
    positions: Sequence[int]
    order: tuple[str, str]
    headers: Mapping[str, str]

    @property
    def key(self) -> tuple[object, ...]:
        """Name the answer's body: pages with equal keys hold the same items in the same order."""
        if not self.positions:
            return (*self.listing.key, *self.order)
        return (*self.listing.key, *self.order, self.positions[0], self.positions[-1], len(self.positions))


@define
class Pager:
    """Divide listings into pages, and remember the orders that had to be sorted out.

    Sorting by a field costs as much as building the whole list; orders already found are kept, a hundred at
    most.
    """

    _sorted: dict[tuple[object, ...], Sequence[int]]

    @classmethod
    def new(cls) -> Pager:
        """Make a pager that remembers nothing yet."""
        return cls({})

    def page(self, listing: Listing, query: Query, url: str, *, anonymous: bool = False) -> Page:
        """Return the page that a request to ``url`` (without its query) asks for.

        Raises ``ApiError`` for parameters that GitLab refuses.
        """
        ordering = listing.ordering
        order = _order(listing, query)
        per_page = min(MOST_PER_PAGE, _whole(query, "per_page", DEFAULT_PER_PAGE))
        if per_page < 1:
            raise invalid_parameter("per_page", "has a value not allowed")
        positions = _bounded(listing, self._positions(listing, order), query)
        style = ordering.keyset if listing.keyset and query.get("pagination") == "keyset" else None
        if style is None or (ordering.anonymous_keyset_only and not anonymous):
            return _offset_page(listing, positions, order, per_page, query, url)
        if style is Keyset.PAGE_TOKEN:
            return _token_page(listing, positions, order, per_page, query, url)
        if order not in ordering.keyset_orders:
            raise method_not_allowed("Keyset pagination is not yet available for this type of request")
        if style is Keyset.ID:
            return _id_page(listing, positions, order, per_page, query, url)
        return _cursor_page(listing, positions, order, per_page, query, url)

    def _positions(self, listing: Listing, order: tuple[str, str]) -> Sequence[int]:
        name, sort = order
        everything = range(listing.total)
        if name in listing.ordering.natural:
            return everything if sort == "asc" else everything[::-1]
        key = (*listing.key, *order)
        found = self._sorted.get(key)
        if found is None:
            if len(self._sorted) >= 100:
                self._sorted.pop(next(iter(self._sorted)))
            values = [listing.build(position)[name] for position in everything]
            found = sorted(everything, key=lambda position: _rank(values[position]), reverse=sort == "desc")
            self._sorted[key] = found
        return found


def _rank(value: object) -> tuple[bool, int, str]:
    """Make values of one field comparable, with absent ones last."""
    return (value is None, value if isinstance(value, int) else 0, value if isinstance(value, str) else "")


def _whole(query: Query, name: str, default: int) -> int:
    text = query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise invalid_parameter(name, "is invalid")
    return int(text)


def _order(listing: Listing, query: Query) -> tuple[str, str]:
    ordering = listing.ordering
    name = query.get("order_by") or ordering.order_by
    sort = query.get("sort") or ordering.sort
    if name not in ordering.natural | ordering.fields:
        raise invalid_parameter("order_by", "does not have a valid value")
    if sort not in ("asc", "desc"):
        raise invalid_parameter("sort", "does not have a valid value")
    return name, sort


def _bounded(listing: Listing, positions: Sequence[int], query: Query) -> Sequence[int]:
    """Leave out what ``id_after`` and ``id_before`` exclude; GitLab has these two for lists of projects."""
    if listing.ordering.keyset is not Keyset.ID or not ("id_after" in query or "id_before" in query):
        return positions
    everything = range(listing.total)
    number = cast("Callable[[int], int]", listing.identify)
    low = bisect_right(everything, _whole(query, "id_after", 0), key=number)
    high = bisect_left(everything, _whole(query, "id_before", 1 << 62), key=number)
    high = max(low, high)
    if not isinstance(positions, range):
        return [position for position in positions if low <= position < high]
    return range(low, high) if positions.step > 0 else range(low, high)[::-1]


def _href(url: str, query: Query, **changes: object) -> str:
    merged = {**query, **{name: str(value) for name, value in changes.items()}}
    return f"{url}?{urlencode(sorted(item for item in merged.items() if item[0] not in _SECRETS))}"


def _offset_page(
    listing: Listing, positions: Sequence[int], order: tuple[str, str], per_page: int, query: Query, url: str
) -> Page:
    page = max(1, _whole(query, "page", 1))
    if listing.keyset and listing.ordering.keyset in (Keyset.ID, Keyset.CURSOR) and page * per_page > FARTHEST_OFFSET:
        raise method_not_allowed(
            f"Offset pagination has a maximum allowed offset of {FARTHEST_OFFSET} for requests that return "
            f"objects of type {listing.kind.value[:-1].title()}. Remaining records can be retrieved using "
            "keyset pagination."
        )
    total = len(positions)
    start = (page - 1) * per_page
    following = page + 1 if start + per_page < total else None
    previous = page - 1 if page > 1 else None
    pages = max(1, -(-total // per_page))
    counted = listing.ordering.counted and total <= MOST_COUNTED
    links = {"prev": previous, "next": following, "first": 1, "last": pages if counted else None}
    headers = {
        "X-Per-Page": str(per_page),
        "X-Page": str(page),
        "X-Next-Page": str(following or ""),
        "X-Prev-Page": str(previous or ""),
        "Link": ", ".join(
            f'<{_href(url, query, page=number, per_page=per_page)}>; rel="{relation}"'
            for relation, number in links.items()
            if number is not None
        ),
    }
    if counted:
        headers |= {"X-Total": str(total), "X-Total-Pages": str(pages)}
    return Page(listing, positions[start : start + per_page], order, headers)


def _keyset_page(listing: Listing, positions: Sequence[int], order: tuple[str, str], href: str | None) -> Page:
    return Page(listing, positions, order, {"Link": f'<{href}>; rel="next"'} if href else {})


def _id_page(
    listing: Listing, positions: Sequence[int], order: tuple[str, str], per_page: int, query: Query, url: str
) -> Page:
    chosen = positions[:per_page]
    if not chosen:
        return _keyset_page(listing, chosen, order, None)
    bound = "id_after" if order[1] == "asc" else "id_before"
    return _keyset_page(listing, chosen, order, _href(url, query, **{bound: listing.identify(chosen[-1])}))


def _cursor_page(
    listing: Listing, positions: Sequence[int], order: tuple[str, str], per_page: int, query: Query, url: str
) -> Page:
    start = _behind(positions, _place(listing, _read_cursor(query["cursor"]), "cursor")) if query.get("cursor") else 0
    chosen = positions[start : start + per_page]
    if start + per_page >= len(positions):
        return _keyset_page(listing, chosen, order, None)
    last = listing.build(chosen[-1])
    cursor = orjson.dumps({order[0]: last.get(order[0]), "id": str(last["id"]), "_kd": "n"})
    return _keyset_page(
        listing, chosen, order, _href(url, query, cursor=base64.urlsafe_b64encode(cursor).decode("ascii"))
    )


def _token_page(
    listing: Listing, positions: Sequence[int], order: tuple[str, str], per_page: int, query: Query, url: str
) -> Page:
    start = _behind(positions, _place(listing, query["page_token"], "page_token")) if query.get("page_token") else 0
    chosen = positions[start : start + per_page]
    if len(chosen) < per_page:
        return _keyset_page(listing, chosen, order, None)
    return _keyset_page(listing, chosen, order, _href(url, query, page_token=listing.identify(chosen[-1])))


def _read_cursor(cursor: str) -> int:
    try:
        return int(orjson.loads(base64.urlsafe_b64decode(cursor))["id"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise invalid_parameter("cursor", "is invalid") from None


def _place(listing: Listing, identity: int | str, parameter: str) -> int:
    everything = range(listing.total)
    position = bisect_left(everything, identity, key=listing.identify)
    if position == listing.total or listing.identify(position) != identity:
        raise invalid_parameter(parameter, "is invalid")
    return position


def _behind(positions: Sequence[int], position: int) -> int:
    return positions.index(position) + 1
