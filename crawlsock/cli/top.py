"""``crawlsock top``: everything at a glance, live.

The law: the numbers are the server's, read again every second; nothing is added up here. A server that is away leaves
the last picture standing, and the age of it is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import Here, console, print_json
from crawlsock.cli.top_picture import Glance, line, picture

if TYPE_CHECKING:
    from rich.live import Live

    from crawlsock.sdk import JobManager

_TICK: Final = 0.25
_IN_HAND: Final = ("running", "assigned")
_MOST_RUNNING: Final = 200
_QUIT: Final = frozenset("qQ\x1b\x04")


@click.command(short_help="Watch everything live: jobs, rates, crawlers, health.")
@click.option("--once", is_flag=True, help="Print it once, and end.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@pass_invocation
def top(invocation: Invocation, once: bool, interval: float) -> None:
    """Watch everything live: jobs, rates, crawlers, health.

    The numbers of the dashboard's overview, with what runs and who works. On a terminal it is drawn again in place
    until q is pressed; elsewhere each look is a line, and with --json an object. A server that restarts is waited for.
    """

    async def work(manager: JobManager) -> None:
        await _look_on(manager, interval, once, _choose(invocation.as_json, once, manager.clock.seconds))

    invocation.ask(work, role="monitor")


async def _look_on(manager: JobManager, interval: float, once: bool, view: View) -> None:
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.internet.task import LoopingCall

    from crawlsock.cli.keys import Keys

    quitting = False

    def pressed(key: str) -> None:
        nonlocal quitting
        if key in _QUIT:
            quitting = True
            looking.cancel()

    ticking = LoopingCall(lambda: view.tick(manager.connection.connected))
    ticking.clock = manager.clock
    with view, Keys(manager.clock, pressed):
        looking = Deferred.fromCoroutine(_look_again(manager, interval, once, view))
        ticks = ticking.start(_TICK, now=False)
        try:
            await looking
        except CancelledError:
            if not quitting:
                raise
        finally:
            ticking.stop()
            await ticks


async def _look_again(manager: JobManager, interval: float, once: bool, view: View) -> None:
    from twisted.internet.task import deferLater

    from crawlsock.sdk import NotAnswered, Refused
    from crawlsock.sdk.requests import NOT_NOW

    while True:
        try:
            view.show(await look(manager))
        except NotAnswered:
            if once:
                raise
            continue  # the connection comes back by itself; so do we
        except Refused as refused:
            if once or refused.code not in NOT_NOW:
                raise
            continue  # its database is away, and has been for as long as a request waits
        if once:
            return
        await deferLater(manager.clock, interval)


async def look(manager: JobManager) -> Glance:
    """Read how everything is now."""
    overview = await manager.overview()
    running, _ = await manager.list(states=_IN_HAND, sort="oldest", limit=_MOST_RUNNING)
    crawlers = await manager.crawlers()
    welcome = manager.connection.welcome
    return Glance({} if welcome is None else welcome.server, overview, running, crawlers)


class View(Protocol):
    """What is looked at."""

    def __enter__(self) -> View:
        """Begin."""

    def __exit__(self, *exception: object) -> None:
        """Leave the terminal as it was."""

    def show(self, glance: Glance) -> None:
        """Show how things are now."""

    def tick(self, here: bool) -> None:
        """Let a moment pass; `here`: the server is."""


def _choose(as_json: bool, once: bool, clock: Callable[[], float]) -> View:
    if as_json:
        return Lines(lambda glance: print_json(glance.as_json()))
    out = console()
    if once:
        return Lines(lambda glance: out.print(picture(glance)))
    if not out.is_terminal:
        return Lines(lambda glance: click.echo(line(glance)))
    return Screen(clock)


class Lines:
    """Print each look, for logs and programs; say on stderr when the server is away."""

    def __init__(self, put: Callable[[Glance], object]) -> None:
        self._put = put
        self._here = Here()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, glance: Glance) -> None:
        """Print it."""
        self._put(glance)

    def tick(self, here: bool) -> None:
        """Say once that the server is away, and once that it is back."""
        self._here.look(here)


class Screen:
    """Draw on the whole terminal, again and again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._console = console()
        self._glance: Glance | None = None
        self._seen = clock()
        self._here = True
        self._live: Live | None = None

    def __enter__(self) -> Screen:
        from rich.live import Live

        # Not refreshed by a thread of rich's: the reactor calls `tick`.
        self._live = Live(console=self._console, screen=True, auto_refresh=False, redirect_stdout=False)
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def show(self, glance: Glance) -> None:
        """Draw this."""
        self._glance = glance
        self._seen = self._clock()
        self._draw()

    def tick(self, here: bool) -> None:
        """Draw again: time has passed."""
        self._here = here
        self._draw()

    def _draw(self) -> None:
        if self._live is not None and self._glance is not None:
            size: Any = self._console.size
            age = self._clock() - self._seen
            self._live.update(picture(self._glance, size.height, age, self._here, size.width), refresh=True)
