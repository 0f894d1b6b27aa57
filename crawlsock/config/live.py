"""The settings of a running server, which may change under it: by SIGHUP or by an admin's ``config_set``.

Only settings declared reloadable change. Whoever must act on a change subscribes; everybody else reads
``live.current`` at the moment of use and keeps no copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from attrs import frozen
from twisted.logger import Logger

from crawlsock.config.errors import ConfigError, NotReloadable, UnknownSetting, suggestion
from crawlsock.config.load import Loaded, Source, check, masked_text
from crawlsock.config.settings import DECLARATIONS, Settings

Subscriber = Callable[[Settings, frozenset[str]], None]
"""Told the new settings and the names of those that changed."""


@frozen
class Change:
    """One setting that was changed, or (`applied` false) that will change with the next start only."""

    name: str
    old: str
    new: str
    applied: bool


class LiveSettings:
    """Hold the current settings and tell subscribers when they change."""

    _log = Logger()

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._overrides: dict[str, Any] = {}
        self._subscribers: list[Subscriber] = []

    @property
    def current(self) -> Settings:
        """The settings that hold now."""
        return self._loaded.settings

    @property
    def loaded(self) -> Loaded:
        """The settings that hold now, with the place each came from."""
        return self._loaded

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call `callback` after each change; return a function that ends this and may be called again."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def reload(self) -> tuple[Change, ...]:
        """Read the configuration again and apply what may change.

        What `set` changed stays as it was set. Raise `ConfigError`, with everything left as it is, when the
        configuration cannot be used. Return what changed, and what would need a restart.
        """
        fresh = self._loaded.reread()
        differing = [
            name
            for name in DECLARATIONS
            if name not in self._overrides and getattr(fresh.settings, name) != getattr(self.current, name)
        ]
        changes = {name: getattr(fresh.settings, name) for name in differing if DECLARATIONS[name].reloadable}
        changed = self._describe({name: getattr(fresh.settings, name) for name in differing})
        self._replace(changes, {name: fresh.sources[name] for name in changes})
        return changed

    def set(self, name: str, text: str) -> tuple[Change, ...]:
        """Change one setting until the next start, as if it had been an option.

        Raise `UnknownSetting`, `NotReloadable`, or for a value that cannot be used `ConfigError`.
        """
        declaration = DECLARATIONS.get(name)
        if declaration is None:
            raise UnknownSetting(f"config_set {name}: there is no such setting{suggestion(name, DECLARATIONS)}")
        if not declaration.reloadable:
            raise NotReloadable(
                f"config_set {name}: this setting is read at start only; "
                f"change {declaration.variables[0]} or the configuration file, and restart"
            )
        try:
            value = declaration.parse(text)
        except ValueError as error:
            shown = "the value" if declaration.secret else repr(text)
            raise ConfigError(f"config_set {name}: {shown} {error}") from None
        changed = self._describe({name: value}) if value != getattr(self.current, name) else ()
        self._replace({name: value}, {name: Source("config_set", f"config_set {name}")})
        self._overrides[name] = value
        return changed

    def _describe(self, values: dict[str, Any]) -> tuple[Change, ...]:
        return tuple(
            Change(
                name,
                masked_text(DECLARATIONS[name], getattr(self.current, name)),
                masked_text(DECLARATIONS[name], value),
                DECLARATIONS[name].reloadable,
            )
            for name, value in values.items()
        )

    def _replace(self, values: dict[str, Any], sources: dict[str, Source]) -> None:
        before = self.current
        settings = attrs.evolve(before, **values)
        merged = {**self._loaded.sources, **sources}
        check(settings, merged)
        self._loaded = attrs.evolve(self._loaded, settings=settings, sources=merged)
        changed = frozenset(name for name in values if getattr(before, name) != getattr(settings, name))
        if not changed:
            return
        self._log.info("Settings changed: {names}", names=", ".join(sorted(changed)))
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(settings, changed)
            except Exception:
                # One part that cannot follow must not keep the others from hearing of the change.
                self._log.failure("A part of the server did not take the change of {names}", names=sorted(changed))
