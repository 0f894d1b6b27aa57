"""``crawlsock token``: the tokens by which crawlers, web applications, monitors and admins are known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.exits import CommandError, Exit
from crawlsock.cli.screen import moment, print_json, print_table, say

if TYPE_CHECKING:
    from crawlsock.sdk import JobManager


@click.group(short_help="Make and revoke the tokens that peers show.")
def token() -> None:
    """Make and revoke the tokens that peers show."""


def _write(path: Path, text: str) -> None:
    """Write a secret into a new file that nobody else can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(
            Exit.USAGE, f"cannot make {path} ({error.strerror}); name a file that is not there yet"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")


@token.command("create", short_help="Make a token; it is shown this once.")
@click.argument("role", type=click.Choice(["crawler", "webapp", "monitor", "admin"]))
@click.option("--name", required=True, metavar="TEXT", help="Whose it is, for people.")
@click.option("--account", "accounts", multiple=True, metavar="NAME", help="Bind a webapp token; repeatable.")
@click.option("--expires-at", metavar="TIME", help="When it ends, RFC 3339. Default: never.")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write it into this new file (0600).")
@pass_invocation
def create(
    invocation: Invocation,
    role: str,
    name: str,
    accounts: tuple[str, ...],
    expires_at: str | None,
    output: Path | None,
) -> None:
    """Make a token for ROLE and print it: it is shown this once, the server keeps only its hash."""
    data: dict[str, Any] = {"role": role, "name": name}
    if accounts:
        data["accounts"] = list(accounts)
    if expires_at is not None:
        data["expires_at"] = expires_at
    if output is not None and output.exists():
        raise CommandError(Exit.USAGE, f"{output} exists; name a file that is not there yet")

    async def work(manager: JobManager) -> dict[str, Any]:
        return (await manager.request("token_create", data)).data

    made = invocation.ask(work)
    if output is not None:
        _write(output, made.pop("token"))
    if invocation.as_json:
        print_json({**made, **({"file": str(output)} if output else {})})
    else:
        click.echo(made["token"] if output is None else f"wrote the token {made['token_id']} to {output}")


@token.command("list", short_help="List tokens, never themselves.")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List tokens: role, name, when they were made and last used; never the tokens themselves."""

    async def work(manager: JobManager) -> list[dict[str, Any]]:
        tokens: list[dict[str, Any]] = (await manager.request("token_list")).data["tokens"]
        return tokens

    found = invocation.ask(work)
    if invocation.as_json:
        for each in found:
            print_json(each)
        return
    print_table(
        ("token id", "role", "name", "created", "last used", "ends", "revoked"),
        (
            (
                each["token_id"],
                each["role"],
                each["name"],
                moment(each["created_at"]),
                moment(each.get("last_used_at")),
                moment(each.get("expires_at")),
                moment(each.get("revoked_at")),
            )
            for each in found
        ),
        "no tokens",
    )


@token.command("login", short_help="Print a link that signs in to the dashboard, once.")
@click.option(
    "--role",
    type=click.Choice(["admin", "monitor", "webapp"]),
    default="admin",
    show_default=True,
    help="What may be done there.",
)
@click.option("--open", "browse", is_flag=True, help="Open it in this machine's browser, too.")
@pass_invocation
def login(invocation: Invocation, role: str, browse: bool) -> None:
    """Print a link that signs in to the dashboard. It works once, and not for long: do not hand it on.

    --role chooses which of the server's tokens is used; with --token-file the role is that token's.
    """

    async def work(manager: JobManager) -> dict[str, Any]:
        return dict(await manager.login())

    made = invocation.ask(work, role=role)
    if invocation.as_json:
        print_json(made)
    else:
        click.echo(made["url"])
        say(f"works once, until {moment(made['expires_at'])}")
    if browse and click.launch(made["url"]):
        say("there is no browser here that could be opened; use the link")


@token.command("revoke", short_help="End a token and the connections made with it.")
@click.argument("token_id")
@pass_invocation
def revoke(invocation: Invocation, token_id: str) -> None:
    """End the token with this id, and the connections that were made with it."""

    async def work(manager: JobManager) -> None:
        await manager.request("token_revoke", {"token_id": token_id})

    invocation.ask(work)
    if invocation.as_json:
        print_json({"token_id": token_id, "revoked": True})
    else:
        click.echo(f"revoked the token {token_id}")
