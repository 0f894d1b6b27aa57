"""Run a sample GitLab as a process of its own.

When it is ready it prints one line of JSON with its address, its tokens and the counts that a complete crawl
must reach, and then serves until it is told to stop.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from crawlsock.demo.gitlab.dataset import DEFAULT_EXTERNAL_URL, Dataset, Refusal
from crawlsock.demo.gitlab.kinds import CONTENT, Kind
from crawlsock.demo.gitlab.options import Faults, Options
from crawlsock.demo.gitlab.server import LOOPBACK, SampleGitLab

_REFUSABLE = {kind.value: kind for kind in (Kind.GROUP_MEMBERS, Kind.PROJECT_MEMBERS, *CONTENT)}


class _RefusalType(click.ParamType[Refusal]):
    name = "kind:id[:status]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Refusal:
        if isinstance(value, Refusal):
            return value
        kind, _, rest = str(value).partition(":")
        area, _, status = rest.partition(":")
        if kind not in _REFUSABLE:
            self.fail(f"{kind!r} is none of {', '.join(_REFUSABLE)}", param, ctx)
        if not area.isdigit() or (status or "403") not in ("403", "404"):
            self.fail(f"{value!r} is not like issues:12 or issues:12:404", param, ctx)
        return Refusal(_REFUSABLE[kind], int(area), int(status or 403))


class _UntilClosed(Protocol):
    """Fire when standard input ends, which it does when the process that holds the other end dies."""

    def __init__(self, closed: Deferred[None]) -> None:
        self._closed = closed

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        closed, self._closed = self._closed, Deferred()
        closed.callback(None)


def _write_port(path: Path, url: str) -> None:
    """Write the port so that a reader sees all of it or no file."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(f"{url.rpartition(':')[2]}\n", encoding="ascii")
    scratch.replace(path)


@click.command(context_settings={"show_default": True})
@click.option("--seed", type=int, default=1, help="What all data and faults follow from.")
@click.option("--projects", type=click.IntRange(min=0), default=60, help="Number of projects.")
@click.option("--items", type=click.IntRange(min=0), default=20_000, help="Number of items of all kinds together.")
@click.option("--hostile-names", is_flag=True, help="Put markup and control characters into some names and titles.")
@click.option("--external-url", default=DEFAULT_EXTERNAL_URL, help="What web_url of every item begins with.")
@click.option("--listen", default=LOOPBACK, help="Endpoint string to listen on.")
@click.option(
    "--port-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write the port to when ready.",
)
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, help="Milliseconds that each answer waits.")
@click.option("--token-seconds", type=float, help="Seconds an OAuth access token lasts.")
@click.option("--token-requests", type=int, help="Requests an OAuth access token lasts for.")
@click.option(
    "--oauth-grants",
    type=click.IntRange(min=0),
    default=1,
    help="Pairs of OAuth tokens that exist from the start.",
)
@click.option("--client-id", help="OAuth client id that /oauth/token insists on.")
@click.option("--client-secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="File with the OAuth client secret that /oauth/token insists on.")  # fmt: skip
@click.option("--anonymous", is_flag=True, help="Answer requests without a token as well.")
@click.option("--rate-limit", type=click.IntRange(min=1), help="Requests that one person may make in a period.")
@click.option("--rate-period", type=click.IntRange(min=1), default=60, help="Seconds of that period.")
@click.option("--fault-429", type=click.FloatRange(0, 1), default=0.0, help="Share of requests answered 429.")
@click.option("--fault-500", type=click.FloatRange(0, 1), default=0.0, help="Share of requests answered 500.")
@click.option("--fault-502", type=click.FloatRange(0, 1), default=0.0, help="Share of requests answered 502.")
@click.option("--slow", type=click.FloatRange(0, 1), default=0.0, help="Share of requests answered late.")
@click.option("--slow-by", type=click.FloatRange(min=0), default=1000.0, help="Milliseconds by which these are late.")
@click.option("--retry-after", type=click.IntRange(min=0), default=1, help="Seconds in Retry-After of an injected 429.")
@click.option(
    "--refuse",
    multiple=True,
    type=_RefusalType(),
    help="Resource of one project or group to refuse; repeatable.",
)
@click.option("--link-origin", help="What Link headers begin with instead of the host that the client named.")
@click.option(
    "--watch-stdin",
    is_flag=True,
    help="Stop when standard input ends, so as not to outlive the parent process.",
)
def main(
    seed: int, projects: int, items: int, port_file: Path | None, watch_stdin: bool, listen: str, **given: Any
) -> None:
    """Serve a sample GitLab: deterministic data of any size behind GitLab's REST API v4."""
    dataset = Dataset.generate(
        seed, projects, items, external_url=given["external_url"], hostile_names=given["hostile_names"]
    )
    secret_file: Path | None = given["client_secret_file"]
    options = Options(
        oauth_grants=given["oauth_grants"],
        token_seconds=given["token_seconds"],
        token_requests=given["token_requests"],
        client_id=given["client_id"],
        client_secret=None if secret_file is None else secret_file.read_text(encoding="utf-8").strip(),
        anonymous_access=given["anonymous"],
        rate_limit=given["rate_limit"],
        rate_period=given["rate_period"],
        latency=given["latency"] / 1000,
        link_origin=given["link_origin"],
        faults=Faults(
            too_many_requests=given["fault_429"],
            server_error=given["fault_500"],
            bad_gateway=given["fault_502"],
            slow=given["slow"],
            slow_by=given["slow_by"] / 1000,
            retry_after=given["retry_after"],
            refused=given["refuse"],
        ),
    )

    async def serve(reactor: Any) -> None:
        # Only a running reactor handles signals, and whoever reads that it is ready may send one.
        await task.deferLater(reactor, 0)
        sample = SampleGitLab(reactor, dataset, options)
        url = await sample.listen(listen)
        if port_file is not None:
            _write_port(port_file, url)
        sys.stdout.buffer.write(orjson.dumps(sample.description()) + b"\n")
        sys.stdout.buffer.flush()
        stopped: Deferred[None] = Deferred()
        if watch_stdin:
            StandardIO(_UntilClosed(stopped), reactor=reactor)  # type: ignore[no-untyped-call]
        await stopped
        await sample.close()

    task.react(lambda reactor: Deferred.fromCoroutine(serve(reactor)))


if __name__ == "__main__":
    main()
