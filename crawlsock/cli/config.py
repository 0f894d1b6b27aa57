"""``crawlsock config``: the settings, where each came from, and changing one of a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import print_json, print_table

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager


@click.group(short_help="Show and change the server's settings.", invoke_without_command=True)
@pass_invocation
@click.pass_context
def config(ctx: click.Context, invocation: Invocation) -> None:
    """Show and change the server's settings. Alone it shows them."""
    if ctx.invoked_subcommand is None:
        _show(invocation, False)


@config.command("show", short_help="Show all settings and where each came from.")
@click.option("--server", is_flag=True, help="Ask the running server, instead of reading the configuration here.")
@pass_invocation
def show(invocation: Invocation, server: bool) -> None:
    """Show all settings and where each came from; secrets are hidden."""
    _show(invocation, server)


def _show(invocation: Invocation, server: bool) -> None:
    if server:
        rows = invocation.ask(_ask_server)
    else:
        from crawlsock.config import DECLARATIONS

        rows = [
            {"name": name, "value": value, "source": source, "reloadable": DECLARATIONS[name].reloadable}
            for name, (value, source) in invocation.load().masked().items()
        ]
    if invocation.as_json:
        for row in rows:
            print_json(row)
        return
    print_table(
        ("setting", "value", "from", ""),
        ((row["name"], row["value"], row["source"], "live" if row["reloadable"] else "") for row in rows),
        "no settings",
    )


async def _ask_server(manager: JobManager) -> list[dict[str, Any]]:
    settings: list[dict[str, Any]] = (await manager.request("config_get")).data["settings"]
    return settings


@config.command("set", short_help="Change a setting of the running server.")
@click.argument("name")
@click.argument("value")
@pass_invocation
def set_(invocation: Invocation, name: str, value: str) -> None:
    """Set NAME to VALUE in the running server, until its next start. Only settings marked live can change."""
    wanted = name.replace("-", "_")

    async def work(manager: JobManager) -> None:
        await manager.request("config_set", {"name": wanted, "value": value})

    invocation.ask(work)
    if invocation.as_json:
        print_json({"name": wanted, "value": value})
    else:
        click.echo(f"{wanted} is {value} until the server's next start")


@config.command("docs", short_help="Print the documentation of all settings.")
def docs() -> None:
    """Print the documentation of all settings, in Markdown."""
    from crawlsock.config.docs import document

    click.echo(document(), nl=False)
