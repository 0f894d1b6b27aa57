"""``crawlsock demo``: everything at once, on this machine, for somebody who wants to see it."""

from __future__ import annotations

from typing import Any, Final

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.cli.screen import say

_POSTGRES: Final = ("auto", "machine", "wheel")


@click.command(short_help="Crawl a sample GitLab from end to end, with everything it needs.")
@click.option("--projects", type=click.IntRange(min=1), default=60, show_default=True, help="Projects of the sample.")
@click.option("--items", type=click.IntRange(min=1), default=20_000, show_default=True, help="Items of the sample.")
@click.option("--crawlers", type=click.IntRange(1, 64), default=2, show_default=True, help="Crawler processes.")
@click.option("--slots", type=click.IntRange(1, 1000), default=4, show_default=True, help="Jobs of each side by side.")
@click.option(
    "--latency",
    type=click.FloatRange(0, 10_000),
    default=5.0,
    show_default=True,
    help="Milliseconds that each answer of the sample takes.",
)
@click.option(
    "--token-seconds",
    type=click.FloatRange(min=1),
    default=4.0,
    show_default=True,
    help="How long an access token of the sample lasts.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="What the sample's data follow from.")
@click.option("--keep", is_flag=True, help="Keep the directory with the files and the database.")
@click.option("--stay/--no-stay", default=None, help="Leave the server up until Ctrl-C. Default: on a terminal.")
@pass_invocation
def demo(invocation: Invocation, keep: bool, stay: bool | None, **given: Any) -> int:
    """Crawl a sample GitLab from end to end.

    Starts a PostgreSQL of its own, a server, a sample GitLab whose token expires on the way and which fails now and
    then, and crawlers; has everything crawled, and counts what was written against what there is. Kill what you like
    while it runs. The last line on stdout is one JSON object. Nothing remains of it, unless --data-dir names a
    directory. It touches no server and no database of yours; of the settings in the environment only
    CRAWLSOCK_EMBEDDED_POSTGRES applies.
    """
    from crawlsock.demo.fleet import DemoFailed
    from crawlsock.demo.plan import Plan
    from crawlsock.demo.run import Demo, on_terminal

    data_dir = invocation.options.get("data_dir")
    postgres = invocation.environ.get("CRAWLSOCK_EMBEDDED_POSTGRES") or "auto"
    if postgres not in _POSTGRES:
        raise CommandError(
            Exit.BAD_CONFIGURATION,
            f"the demo has a PostgreSQL of its own, and CRAWLSOCK_EMBEDDED_POSTGRES is {postgres!r}; make it one of "
            f"{', '.join(_POSTGRES)}",
        )
    plan = Plan(
        data_dir=data_dir,
        postgres=postgres,
        keep=keep or data_dir is not None,
        stay=on_terminal() if stay is None else stay,
        **given,
    )

    async def work(reactor: Any) -> int:
        return await Demo(reactor, plan, say, invocation.as_json).run()

    try:
        return invocation.make_runtime().run(work)
    except DemoFailed as error:
        raise CommandError(Exit.FAILED, f"{error}; see what its log says") from None
