"""``crawlsock crawl``: a GitLab crawler in the foreground."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from crawlsock.cli.command import Invocation, pass_invocation

if TYPE_CHECKING:
    from crawlsock.config import Settings


@click.command(short_help="Run a GitLab crawler in the foreground.")
@click.option("--slots", type=click.IntRange(1, 10_000), default=4, show_default=True, help="Jobs side by side.")
@click.option("--output", metavar="DIR", default="output", show_default=True, help="Where the files go.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="HOST",
    help="Crawl only this host (a name or a URL); repeatable. With none, any host over https.",
)
@click.option("--labels", metavar="A,B", default="", help="What this crawler can do that others cannot.")
@click.option("--crawler-id", metavar="NAME", help="A lasting name. Default: made from host and process.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warn, error or critical. Default: as configured.")
@pass_invocation
def crawl(
    invocation: Invocation,
    slots: int,
    output: str,
    allowed_hosts: tuple[str, ...],
    labels: str,
    crawler_id: str | None,
    log_level: str | None,
) -> None:
    """Run a GitLab crawler in the foreground, until SIGTERM or Ctrl-C.

    The first signal drains: jobs are handed back with what they have saved, and another crawler goes on from there.
    The second one ends at once. While there is no server it waits for one.
    """
    from crawlsock.cli.access import find_access
    from crawlsock.cli.exits import CommandError, Exit
    from crawlsock.gitlab import make_executor
    from crawlsock.gitlab.hosts import HostRefused

    if log_level is not None:
        invocation.options["log_level"] = log_level
    settings = invocation.load().settings
    access = find_access(invocation, "crawler", wait=True)
    _log(settings, access.token)
    os.umask(0o027)
    try:
        executor = make_executor(
            access.endpoint,
            access.token,
            output_root=output,
            slots=slots,
            allowed_hosts=allowed_hosts,
            crawler_id=crawler_id,
            labels=[each.strip() for each in labels.split(",") if each.strip()],
        )
    except HostRefused:
        raise
    except ValueError as error:
        # Options were checked before: what is left is an endpoint that is none, or must not be used.
        raise CommandError(Exit.BAD_CONFIGURATION, f"{access.endpoint} cannot be connected to: {error}") from None
    executor.run()


def _log(settings: Settings, token: str) -> None:
    """Log to stderr: lines for people on a terminal, JSON elsewhere, and no secret."""
    from twisted.logger import globalLogBeginner

    from crawlsock.logs import Logs, json_line, text_line, to_stream
    from crawlsock.masking import Masker

    masker = Masker()
    masker.register(token)
    on_terminal = sys.stderr.isatty()
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and on_terminal)
    colour = on_terminal and "NO_COLOR" not in os.environ
    line = partial(text_line, masker=masker, colour=colour) if as_text else partial(json_line, masker=masker)
    logs = Logs(settings.log_level, masker, line, to_stream(sys.stderr))
    globalLogBeginner.beginLoggingTo([logs.observer], redirectStandardIO=False)
