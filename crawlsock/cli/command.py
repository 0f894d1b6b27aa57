"""What all commands share: options, how a server is found, and how a coroutine is run to its end.

The law: a command's function gets an `Invocation` and says what it wants of a server as one coroutine
(`invocation.ask(work)`). Connecting, deadlines and signals are the business of this module and `runtime`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

if TYPE_CHECKING:
    from crawlsock.cli.runtime import Runtime
    from crawlsock.config import Loaded
    from crawlsock.sdk import JobManager

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

SETTING_OPTIONS: Final = ("config", "env_file", "profile", "data_dir")
"""The options of every command that are settings, by their key in the configuration."""


def _make_runtime() -> Runtime:
    from crawlsock.cli.runtime import ReactorRuntime

    return ReactorRuntime()


@attrs.define
class Invocation:
    """One call of the command: what its options said, and the world it runs in.

    :ivar as_json: JSON on stdout instead of tables.
    :ivar options: settings given as options, by their key in the configuration.
    :ivar endpoint: where to connect; None: as the configuration says.
    :ivar token_file: file of the token; None: as environment and configuration say.
    :ivar environ: the environment.
    :ivar make_runtime: makes what runs coroutines; tests bring one of their own.
    """

    as_json: bool = False
    options: dict[str, str] = attrs.Factory(dict)
    endpoint: str | None = None
    token_file: str | None = None
    environ: Mapping[str, str] = attrs.field(factory=lambda: os.environ, repr=False)
    make_runtime: Callable[[], Runtime] = _make_runtime

    def load(self) -> Loaded:
        """Read the configuration. Raises `ConfigError`."""
        from crawlsock.config import load

        return load(self.options, self.environ)

    def ask(
        self,
        work: Callable[[JobManager], Coroutine[Any, Any, T]],
        *,
        role: str = "admin",
    ) -> T:
        """Connect to the server, let `work` ask it, disconnect, and return what `work` returned."""
        runtime = self.make_runtime()
        # Before anything runs: most of what is wrong is wrong already here.
        manager = runtime.manager(self, role)
        return runtime.run(lambda reactor: _with_manager(manager, runtime.connect_deadline, work))


async def _with_manager(
    manager: JobManager, deadline: float, work: Callable[[JobManager], Coroutine[Any, Any, T]]
) -> T:
    try:
        await manager.start(deadline=deadline)
        return await work(manager)
    finally:
        await manager.stop()


def _remember_setting(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and param.name is not None:
        ctx.ensure_object(Invocation).options[param.name] = value


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    # Nothing was said here; perhaps something was said before the command.
    if value and param.name is not None:
        setattr(ctx.ensure_object(Invocation), param.name, value)


def shared_options(command: F) -> F:
    """Add the options that every command has; what stands after the command wins."""
    for option in reversed(
        (
            click.option("--json", "as_json", is_flag=True, expose_value=False, callback=_remember,
                         help="Print JSON: one object, or one a line."),
            click.option("--endpoint", metavar="WHERE", expose_value=False, callback=_remember,
                         help="The server: path of its socket, or a Twisted client endpoint such as "
                         "tls:host:8421. Default: the configured socket."),
            click.option("--token-file", metavar="FILE", expose_value=False, callback=_remember,
                         help="File with the token to show. Default: the one that the server made."),
            click.option("--data-dir", metavar="DIR", expose_value=False, callback=_remember_setting,
                         help="The server's data directory."),
            click.option("--config", metavar="FILE", expose_value=False, callback=_remember_setting,
                         help="The configuration file."),
            click.option("--env-file", metavar="FILE", expose_value=False, callback=_remember_setting,
                         help="Read environment variables from this file, too."),
            click.option("--profile", metavar="NAME", expose_value=False, callback=_remember_setting,
                         help="production, development or test."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def pass_invocation(function: F) -> F:
    """Give a command's function the `Invocation`, and the command the shared options."""
    return shared_options(click.pass_obj(function))  # type: ignore[return-value]
