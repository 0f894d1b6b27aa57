"""``crawlsock schema``: the messages of the protocol, as this program has them; no server is asked."""

from __future__ import annotations

import difflib

import click

from crawlsock.cli.command import Invocation, pass_invocation
from crawlsock.cli.screen import print_json, print_table


@click.group(short_help="Show the messages of the protocol.")
def schema() -> None:
    """Show the messages of the protocol."""


@schema.command("list", short_help="List the message types.")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the message types: who sends them, who gets them pushed, what answers them."""
    from crawlsock.wire.catalog import Catalog

    kinds = list(Catalog.load().types.values())
    if invocation.as_json:
        for kind in kinds:
            print_json(
                {
                    "type": kind.name,
                    "requests_from": sorted(kind.requests_from),
                    "pushed_to": sorted(kind.pushed_to),
                    "replies": list(kind.replies),
                    "description": kind.description,
                }
            )
        return
    print_table(
        ("type", "sent by", "pushed to", "answered by", "meaning"),
        (
            (
                kind.name,
                ", ".join(sorted(kind.requests_from)),
                ", ".join(sorted(kind.pushed_to)),
                ", ".join(kind.replies),
                kind.description,
            )
            for kind in kinds
        ),
        "no schemas",
    )


@schema.command("show", short_help="Print the JSON Schema of one message type.")
@click.argument("type_name", metavar="TYPE")
@pass_invocation
def show(invocation: Invocation, type_name: str) -> None:
    """Print the JSON Schema of the message TYPE."""
    from crawlsock.wire.catalog import Catalog

    catalog = Catalog.load()
    kind = catalog.types.get(type_name)
    if kind is None:
        near = difflib.get_close_matches(type_name, catalog.types, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"there is no message type {type_name!r}{meant}")
    _document(invocation, kind.schema)


@schema.command("asyncapi", short_help="Print the whole protocol as an AsyncAPI 3 document.")
@pass_invocation
def asyncapi(invocation: Invocation) -> None:
    """Print the whole protocol as an AsyncAPI 3 document, in JSON."""
    from crawlsock.wire.asyncapi import document

    _document(invocation, document())


@schema.command("openapi", short_help="Print the HTTP API as an OpenAPI 3.1 document.")
@pass_invocation
def openapi(invocation: Invocation) -> None:
    """Print the HTTP API as an OpenAPI 3.1 document, in JSON."""
    from crawlsock.web.openapi import document

    _document(invocation, document())


def _document(invocation: Invocation, value: object) -> None:
    """Print a document: indented for people, on one line with --json."""
    import orjson

    if invocation.as_json:
        print_json(value)
    else:
        click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
