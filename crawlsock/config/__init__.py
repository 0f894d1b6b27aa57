"""Say once what can be set, and read it from wherever it was said.

The law: a setting is declared in ``settings.py`` and nowhere else. Options, environment variables, keys of
the file, the documentation and the typed object that the program reads all follow from that declaration.
Nobody else in the program looks at the environment or at a configuration file, and a refusal is one line that
names the place and the remedy (`ConfigError`).
"""

from crawlsock.config.errors import ConfigError, NotReloadable, UnknownSetting
from crawlsock.config.hangup import ReloadOnHangup
from crawlsock.config.live import Change, LiveSettings
from crawlsock.config.load import OPTIONS, Loaded, OptionSpec, Source, load
from crawlsock.config.settings import DECLARATIONS, Settings

__all__ = [
    "DECLARATIONS",
    "OPTIONS",
    "Change",
    "ConfigError",
    "LiveSettings",
    "Loaded",
    "NotReloadable",
    "OptionSpec",
    "ReloadOnHangup",
    "Settings",
    "Source",
    "UnknownSetting",
    "load",
]
