"""Every setting, declared once.

To add one, add an attribute to the class of its group in a ``settings_*.py`` beside this file, and run
``python -m crawlsock.config docs``. Durations are seconds (float), sizes are bytes. A default that follows from
another setting stands below it. What must hold between settings stands in ``rules.py``. The classes of groups have
no slots, because a class cannot inherit from two that have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from crawlsock.config.declare import Declaration, declarations
from crawlsock.config.settings_notices import NoticeSettings
from crawlsock.config.settings_peers import PeerSettings
from crawlsock.config.settings_process import LOG_LEVELS, PROFILES, ProcessSettings
from crawlsock.config.settings_web import WebSettings
from crawlsock.config.settings_work import WorkSettings

__all__ = ["DECLARATIONS", "LOG_LEVELS", "PROFILES", "Settings"]


# The last base comes first in the documentation, and its attributes are there for the defaults of the others.
@frozen(kw_only=True)
class Settings(WebSettings, NoticeSettings, WorkSettings, PeerSettings, ProcessSettings):
    """Everything that can be set, read once and never changed; `LiveSettings` replaces the whole object."""


DECLARATIONS: Mapping[str, Declaration[Any]] = declarations(Settings)
"""Every setting by name, in the order of documentation."""
