"""The tables of ``docs/protocol.md``, written from the schemas and the list of error codes.

What lives here: schema to Markdown. What must never come here: prose about the protocol, which stands in the
document around the generated parts. ``python -m crawlsock.wire.reference`` rewrites the parts in place;
with ``--check`` it changes nothing and fails when they differ.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from crawlsock.wire.catalog import Catalog, MessageType
from crawlsock.wire.errors import ErrorCode
from crawlsock.wire.schema import OPAQUE, PUSH_ONLY, Schema

_PART = r"(<!-- generated: {} -->\n).*?(<!-- end of generated: {} -->)"


Parts = Mapping[str, Callable[[Catalog], Iterator[str]]]


def render(text: str, catalog: Catalog, parts: Parts | None = None) -> str:
    """Return the document with every generated part written anew; by default those of the protocol.

    :raises ValueError: a pair of markers is missing.
    """
    for name, write in (_PARTS if parts is None else parts).items():
        pattern = re.compile(_PART.format(name, name), re.DOTALL)
        match = pattern.search(text)
        if match is None:
            raise ValueError(f"the document must hold a pair of markers for the part {name!r}")
        body = "\n".join(write(catalog)).rstrip()
        text = f"{text[: match.end(1)]}\n{body}\n\n{text[match.start(2) :]}"
    return text


def _errors(catalog: Catalog) -> Iterator[str]:
    yield "| code | what happened | what to do | connection |"
    yield "|---|---|---|---|"
    for code in ErrorCode:
        yield f"| `{code.value}` | {code.meaning} | {code.remedy} | {'ends' if code.fatal else 'stays'} |"


def _overview(catalog: Catalog) -> Iterator[str]:
    yield "| type | requested by | pushed to | answered by | about a job | order |"
    yield "|---|---|---|---|---|---|"
    for kind in sorted(catalog.types.values(), key=lambda kind: (kind.is_reply, kind.name)):
        if not kind.is_reply:
            answers = ", ".join(f"`{name}`" for name in kind.replies) or "nothing"
            fields = {"lease": "`job_id`, `lease`", "job": "`job_id`"}.get(kind.about_job or "", "")
            yield (
                f"| [`{kind.name}`](#{kind.name}) | {_roles(kind.requests_from)} | {_roles(kind.pushed_to)} "
                f"| {answers} | {fields} | {kind.ordering} |"
            )


def _roles(roles: frozenset[str]) -> str:
    return ", ".join(role for role in ("crawler", "webapp", "monitor", "admin") if role in roles)


def _messages(catalog: Catalog) -> Iterator[str]:
    for kind in sorted(catalog.types.values(), key=lambda kind: kind.name):
        yield from _message(kind)
        yield ""


def _message(kind: MessageType) -> Iterator[str]:
    yield f"### `{kind.name}`"
    yield ""
    yield kind.description
    yield ""
    rows = list(_rows(kind.schema["properties"].get("data", {})))
    if rows:
        yield from _table(rows)
    else:
        yield "`data` is empty or absent."
    yield ""
    yield "```json"
    for example in kind.examples:
        yield orjson.dumps(example).decode()
    yield "```"


def _shared(catalog: Catalog) -> Iterator[str]:
    definitions = {reference.rsplit("/", 1)[1]: schema for reference, schema in catalog.definitions.items()}
    plain = {}
    for name, schema in sorted(definitions.items()):
        rows = list(_rows(schema))
        if not rows:
            plain[name] = schema
            continue
        yield f"### `{name}`"
        yield ""
        yield schema.get("description", "")
        yield ""
        yield from _table(rows)
        yield ""
    yield "### Plain values"
    yield ""
    yield "| name | form | meaning |"
    yield "|---|---|---|"
    for name, schema in plain.items():
        yield f'| <a id="{name}"></a>`{name}` | {_form(schema)} | {schema.get("description", "")} |'


def _table(rows: Sequence[tuple[str, bool, str, str]]) -> Iterator[str]:
    yield "| field | | form | meaning |"
    yield "|---|---|---|---|"
    for name, required, form, meaning in rows:
        yield f"| `{name}` | {'required' if required else ''} | {form} | {meaning} |"


def _rows(schema: Schema, prefix: str = "") -> Iterator[tuple[str, bool, str, str]]:
    """Iterate over the fields of an object as (dotted name, required, form, meaning), nested ones after it."""
    if schema.get("type") == "array":
        yield from _rows(schema["items"], f"{prefix}[].")
    for pattern, child in schema.get("patternProperties", {}).items():
        yield f"{prefix}*", False, _form(child), f"Names match `{_cell(pattern)}`."
        yield from _rows(child, f"{prefix}*.")
    for name, child in schema.get("properties", {}).items():
        meaning = child.get("description", "")
        if child.get(PUSH_ONLY) and not meaning.startswith("Push only"):
            meaning = f"Push only. {meaning}"
        yield prefix + name, name in schema.get("required", ()), _form(child), meaning
        is_list = child.get("type") == "array"
        yield from _rows(child["items"] if is_list else child, f"{prefix}{name}{'[].' if is_list else '.'}")


def _form(schema: Schema) -> str:
    """Return type and limits in few words; shared definitions as links."""
    if "$ref" in schema:
        target = schema["$ref"].rsplit("/", 1)[1]
        return f"[{target}](#{target})"
    if "oneOf" in schema:
        return " or ".join(map(_form, schema["oneOf"]))
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    return _FORMS[schema["type"]](schema)


def _string_form(schema: Schema) -> str:
    low, high = schema.get("minLength", 0), schema["maxLength"]
    length = f"string, {low} characters" if low == high else f"string, {low} to {high} characters"
    pattern = schema.get("pattern")
    return f"{length}, `{_cell(pattern)}`" if pattern and len(pattern) <= 80 else length


def _object_form(schema: Schema) -> str:
    limit = f" of at most {schema['maxProperties']} fields" if "maxProperties" in schema else ""
    return ("any object" if schema.get(OPAQUE) else "object") + limit


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_FORMS: dict[str, Callable[[Schema], str]] = {
    "string": _string_form,
    "integer": lambda schema: f"integer, {_number(schema['minimum'])} to {_number(schema['maximum'])}",
    "number": lambda schema: f"number, {_number(schema['minimum'])} to {_number(schema['maximum'])}",
    "boolean": lambda schema: "boolean",
    "array": lambda schema: f"list of {schema.get('minItems', 0)} to {schema['maxItems']}: {_form(schema['items'])}",
    "object": _object_form,
}


def _number(value: Any) -> str:
    return "2^53 - 1" if value == 2**53 - 1 else f"{value:g}" if isinstance(value, float) else str(value)


_PARTS: dict[str, Callable[[Catalog], Iterator[str]]] = {
    "errors": _errors,
    "overview": _overview,
    "messages": _messages,
    "shared": _shared,
}


def main(
    arguments: Sequence[str] | None = None,
    module: str = "crawlsock.wire.reference",
    page: str = "docs/protocol.md",
    parts: Parts | None = None,
) -> int:
    """Write the generated parts, or check them; return the exit code, 1 when the document is out of date."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description="Write the generated parts of a document.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail when the parts differ")
    parser.add_argument("document", nargs="?", type=Path, default=Path(page))
    options = parser.parse_args(arguments)
    before = options.document.read_text(encoding="utf-8")
    after = render(before, Catalog.load(), parts)
    if after == before:
        return 0
    if options.check:
        sys.stderr.write(f"{options.document} is out of date; run python -m {module}\n")
        return 1
    options.document.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
