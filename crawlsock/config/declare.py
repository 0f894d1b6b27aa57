"""How a setting is declared: an attrs attribute that carries everything that is known about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import attrs
from attrs import frozen

from crawlsock.config.kinds import Kind

T = TypeVar("T")
_KEY = "crawlsock.setting"


@frozen
class Derived(Generic[T]):
    """A default that follows from settings declared earlier, and the words that documents show for it."""

    make: Callable[[Any], T]
    words: str


@frozen(kw_only=True)
class Declaration(Generic[T]):
    """One setting as it was declared; `name` is the attribute's name, and all other names follow from it."""

    name: str
    kind: Kind[T]
    default: T | Derived[T]
    help: str
    group: str
    secret: bool
    reloadable: bool
    minimum: float | None
    maximum: float | None
    profiles: Mapping[str, str]
    variables: tuple[str, ...]

    @property
    def option(self) -> str:
        """The long option, with its dashes."""
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default as documentation shows it."""
        if isinstance(self.default, Derived):
            return self.default.words
        return self.kind.show(self.default)

    def parse(self, text: str) -> T:
        """Read `text` and hold it to the bounds; raise `ValueError` with the second half of a sentence."""
        value = self.kind.parse(text)
        number = value if isinstance(value, (int, float)) else None
        if number is not None and self.minimum is not None and number < self.minimum:
            raise ValueError(f"is too small; the least is {self.kind.show(cast(T, self.minimum))}")
        if number is not None and self.maximum is not None and number > self.maximum:
            raise ValueError(f"is too large; the most is {self.kind.show(cast(T, self.maximum))}")
        return value


def setting(
    kind: Kind[T],
    default: T | Derived[T],
    help: str,
    *,
    group: str,
    secret: bool = False,
    reloadable: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    profiles: Mapping[str, str] | None = None,
    aliases: tuple[str, ...] = (),
) -> T:
    """Declare a setting as an attribute of a frozen attrs class.

    `profiles` holds, by profile, another default (as text); `aliases` names environment variables that are
    read after ``CRAWLSOCK_<NAME>``; `reloadable` settings may change while the server runs. The declared type
    is the attribute's type: a type checker compares it with the annotation, which is why this lies about what
    it returns.
    """

    def declare(name: str) -> Declaration[T]:
        return Declaration(
            name=name,
            kind=kind,
            default=default,
            help=help,
            group=group,
            secret=secret,
            reloadable=reloadable,
            minimum=minimum,
            maximum=maximum,
            profiles=profiles or {},
            variables=(f"CRAWLSOCK_{name.upper()}", *aliases),
        )

    made: Any = attrs.Factory(default.make, takes_self=True) if isinstance(default, Derived) else default
    # A secret stays out of repr(): a settings object may end up in a log line.
    return cast(T, attrs.field(default=made, repr=not secret, metadata={_KEY: declare}))


def declarations(settings: type[Any]) -> dict[str, Declaration[Any]]:
    """Return the declarations of an attrs class by name, in the order in which they stand."""
    return {field.name: field.metadata[_KEY](field.name) for field in attrs.fields(settings)}
