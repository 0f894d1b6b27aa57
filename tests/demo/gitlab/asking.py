"""What several tests need to ask an application without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from crawlsock.demo.gitlab.application import Application, Ask, Reply
from crawlsock.demo.gitlab.dataset import Dataset
from crawlsock.demo.gitlab.options import Options

ORIGIN = "http://sample.test"
NOW = 1_800_000_000.0


def application(dataset: Dataset | None = None, options: Options | None = None) -> Application:
    """Make an application; by default one of 300 items."""
    return Application.new(dataset or Dataset.generate(1, 3, 300), options or Options(), NOW)


def ask(app: Application, target: str, *, method: str = "GET", token: str | None = "", now: float = NOW) -> Reply:
    """Ask for a path and query below the API; with the personal token unless told otherwise."""
    split = urlsplit(target)
    shown = app.tokens.personal_tokens[0] if token == "" else token
    headers = {"private-token": shown}
    query = dict(parse_qsl(split.query, keep_blank_values=True))
    return app.answer(Ask(method, ORIGIN, f"/api/v4{split.path}", query, headers), now)


def get(app: Application, target: str) -> Any:
    """Return the JSON of a successful answer."""
    reply = ask(app, target)
    if reply.status != 200:
        raise AssertionError(f"{target}: {reply.status} {reply.body!r}")
    return orjson.loads(reply.body)


def links(reply: Reply) -> dict[str, str]:
    """Return the links of a reply by relation, as targets below the API."""
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', reply.headers.get("Link", ""))
    return {relation: href.removeprefix(f"{ORIGIN}/api/v4") for href, relation in found}


def pages(app: Application, target: str) -> Iterator[list[Any]]:
    """Follow the next links from a target on."""
    following: str | None = target
    while following:
        reply = ask(app, following)
        if reply.status != 200:
            raise AssertionError(f"{following}: {reply.status} {reply.body!r}")
        yield orjson.loads(reply.body)
        following = links(reply).get("next")
