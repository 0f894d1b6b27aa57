"""Read the settings from wherever they were said: option, environment, file, profile, default, in that order.

The environment is passed in and nothing is remembered. Whatever is wrong, the error names the place where it
stands (an option, a variable, a line of a file) and what to write instead. An unknown name is an error too: a
setting that is spelled wrong must not silently be the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from crawlsock.config.declare import Declaration
from crawlsock.config.errors import ConfigError, suggestion
from crawlsock.config.files import Entry, read_env_file, read_toml
from crawlsock.config.rules import RULES
from crawlsock.config.settings import DECLARATIONS, Settings
from crawlsock.masking import mask_dsn

PREFIX = "CRAWLSOCK_"

OTHER_VARIABLES: Mapping[str, str] = {
    "CRAWLSOCK_CONFIG": "The configuration file; the option `--config` goes before it.",
    "CRAWLSOCK_CONNECT": "Where the command line and crawlers connect, as a Twisted client endpoint string.",
    "CRAWLSOCK_TOKEN": "The token with which the command line and crawlers say who they are.",
    "CRAWLSOCK_TOKEN_FILE": "A file that holds that token.",
}
"""Variables with our prefix that are no settings of the server; any that begin with ``CRAWLSOCK_TEST_`` are
left alone.
"""

_PRIVATE_PREFIX = "CRAWLSOCK_TEST_"


@frozen
class Source:
    """Where a value came from: `kind` is option, environment, file, profile, default or config_set."""

    kind: str
    place: str

    def __str__(self) -> str:
        return self.place


@frozen
class OptionSpec:
    """A command-line option for any parser; `key` is its key in the mapping given to `load`."""

    key: str
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The option with its dashes."""
        return "--" + self.key.replace("_", "-")


def _option_specs() -> Iterator[OptionSpec]:
    yield OptionSpec("config", "FILE", "Read settings from this TOML file.")
    yield OptionSpec("env_file", "FILE", "Read environment variables from this file; the environment goes before it.")
    yield OptionSpec("database", "URL", "The database, without a password; DATABASE_URL may hold one.")
    for each in DECLARATIONS.values():
        if each.secret:
            yield OptionSpec(f"{each.name}_file", "FILE", f"A file that holds: {each.help}")
        else:
            yield OptionSpec(each.name, each.kind.name.split()[0].upper().rstrip(","), each.help)


OPTIONS: tuple[OptionSpec, ...] = tuple(_option_specs())
"""Every option of the server, generated; twistd's options and the command line are made from it."""


@frozen
class Loaded:
    """Settings, and for each the place it came from; `reread` reads everything again, as SIGHUP does."""

    settings: Settings
    sources: Mapping[str, Source]
    reread: Callable[[], Loaded] = field(repr=False, eq=False)

    def masked(self) -> dict[str, tuple[str, str]]:
        """Return, by name, each value as text and its place; secrets are hidden."""
        return {
            name: (masked_text(declaration, getattr(self.settings, name)), str(self.sources[name]))
            for name, declaration in DECLARATIONS.items()
        }


def masked_text(declaration: Declaration[Any], value: object) -> str:
    """Return `value` as it may be shown to anyone."""
    text = declaration.kind.show(value)
    return mask_dsn(text) if declaration.secret else text


def load(options: Mapping[str, str | None], environ: Mapping[str, str]) -> Loaded:
    """Read all settings.

    `options` holds what was given on the command line, by `OptionSpec.key`; None stands for not given. Raise
    `ConfigError` for anything that cannot be used.
    """
    given = {key: text for key, text in options.items() if text is not None}
    flags = {spec.key: spec.flag for spec in OPTIONS}
    for key in given:
        if key not in flags:
            flag = "--" + key.replace("_", "-")
            raise ConfigError(f"option {flag}: there is no such option{suggestion(flag, flags.values(), '--')}")
    variables = _variables(given.get("env_file"), environ)
    path = given.get("config") or (variables["CRAWLSOCK_CONFIG"].text if "CRAWLSOCK_CONFIG" in variables else None)
    layers: list[tuple[str, Mapping[str, Entry]]] = [
        ("option", _from_options(given)),
        ("environment", _from_variables(variables)),
        ("file", _from_file(path)),
    ]
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name, declaration in DECLARATIONS.items():
        kind, entry = _find(declaration, layers, values.get("profile", "production"))
        sources[name] = Source(kind, entry.place if entry else "default")
        if entry is not None:
            values[name] = _parse(declaration, entry)
    settings = Settings(**values)
    check(settings, sources)
    return Loaded(settings, sources, lambda: load(options, environ))


def check(settings: Settings, sources: Mapping[str, Source]) -> None:
    """Raise `ConfigError` when `settings` break a rule, naming the settings and where they came from."""
    for rule in RULES:
        if not rule.holds(settings):
            described = (
                f"{name} is {masked_text(DECLARATIONS[name], getattr(settings, name))} ({sources[name]})"
                for name in rule.names
            )
            raise ConfigError(f"{', '.join(described)}: {rule.sentence}")


def _find(
    declaration: Declaration[Any], layers: list[tuple[str, Mapping[str, Entry]]], profile: str
) -> tuple[str, Entry | None]:
    for kind, entries in layers:
        if declaration.name in entries:
            return kind, entries[declaration.name]
    if profile in declaration.profiles:
        return "profile", Entry(declaration.profiles[profile], f"profile {profile}")
    return "default", None


def _parse(declaration: Declaration[Any], entry: Entry) -> object:
    try:
        return declaration.parse(entry.text)
    except ValueError as error:
        shown = "the value" if declaration.secret else repr(entry.text)
        raise ConfigError(f"{entry.place}: {shown} {error}") from None


def _secret(named: str, path: str, place: str) -> Entry:
    """Read a secret from the file that an option, a variable or a key names."""
    try:
        text = Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError(f"{place}: cannot read {path} ({reason}); name a file that holds the {named}") from None
    if not text:
        raise ConfigError(f"{place}: {path} is empty; write the {named} into it")
    return Entry(text, f"{place} ({path})")


def _collect(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Put ``<secret>_file`` in the place of the secret; saying both is an error."""
    found = dict(entries)
    for name, declaration in DECLARATIONS.items():
        pointer = found.pop(f"{name}_file", None) if declaration.secret else None
        if pointer is not None:
            if name in found:
                raise ConfigError(f"{pointer.place}: {found[name].place} says the same thing; remove one of the two")
            found[name] = _secret(name, pointer.text, pointer.place)
    return found


def _from_options(given: Mapping[str, str]) -> Mapping[str, Entry]:
    entries = {
        key: Entry(text, f"option --{key.replace('_', '-')}")
        for key, text in given.items()
        if key not in ("config", "env_file", "database")
    }
    if "database" in given:
        if mask_dsn(given["database"]) != given["database"]:
            raise ConfigError(
                "option --database: a password on the command line can be read by every user of the machine; "
                "put the address into DATABASE_URL, or into a file named by --database-url-file"
            )
        entries["database_url"] = Entry(given["database"], "option --database")
    return _collect(entries)


def _variables(env_file: str | None, environ: Mapping[str, str]) -> dict[str, Entry]:
    """Return every variable that could concern us; an empty one counts as not set."""
    found = {} if env_file is None else read_env_file(env_file)
    found.update((name, Entry(text, f"environment {name}")) for name, text in environ.items())
    return {name: entry for name, entry in found.items() if entry.text}


def _from_variables(variables: Mapping[str, Entry]) -> Mapping[str, Entry]:
    names: dict[str, str] = {}
    for declaration in DECLARATIONS.values():
        names.update(dict.fromkeys(declaration.variables, declaration.name))
        if declaration.secret:
            names[f"{declaration.variables[0]}_FILE"] = f"{declaration.name}_file"
    for name, entry in variables.items():
        ours = name.startswith(PREFIX) and not name.startswith(_PRIVATE_PREFIX)
        if ours and name not in names and name not in OTHER_VARIABLES:
            near = suggestion(name, (*names, *OTHER_VARIABLES), PREFIX)
            raise ConfigError(f"{entry.place}: there is no such setting{near}")
    entries: dict[str, Entry] = {}
    for variable, key in names.items():
        # setdefault: our own name for a setting stands before its alias in `names`, and goes before it.
        if variable in variables:
            entries.setdefault(key, variables[variable])
    if f"{PREFIX}DATABASE_URL_FILE" in variables and f"{PREFIX}DATABASE_URL" not in variables:
        entries.pop("database_url", None)
    return _collect(entries)


def _from_file(path: str | None) -> Mapping[str, Entry]:
    if path is None:
        return {}
    known = [*DECLARATIONS, *(f"{name}_file" for name, each in DECLARATIONS.items() if each.secret)]
    entries = read_toml(path)
    for name, entry in entries.items():
        if name not in known:
            raise ConfigError(f"{entry.place}: there is no such setting{suggestion(name.replace('-', '_'), known)}")
        declaration = DECLARATIONS.get(name)
        native = declaration.kind.native if declaration else (str,)
        if entry.native not in native:
            words = " or ".join(_TOML_NAMES[each] for each in native)
            raise ConfigError(f"{entry.place}: the value is {_TOML_NAMES[entry.native]}; write {words}")
    return _collect(entries)


_TOML_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "a table",
    object: "a date or time",
}
