"""What is claimed about reading the settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from crawlsock.config import DECLARATIONS, OPTIONS, ConfigError, Loaded, Settings, load
from crawlsock.config.docs import document
from crawlsock.config.kinds import (
    COUNT,
    DURATION,
    HOST,
    PATH,
    SIZE,
    TEXT,
    UID,
    Kind,
    choice,
    listing,
    optional,
)

ROOT = Path(__file__).parent.parent
PASSWORD = "tr0ub4dor&3"
URL = f"postgresql://web:{PASSWORD}@db.example/app"


class ConfigTestCase(SynchronousTestCase):
    """A test with a directory of its own."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)

    def write(self, name: str, text: str) -> str:
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def refusal(self, options: dict[str, str | None], environ: dict[str, str]) -> str:
        """Return the text of the refusal, having seen that it is one line and carries the exit code."""
        error = self.assertRaises(ConfigError, load, options, environ)
        self.assertEqual(error.exit_code, 7)
        self.assertEqual(len(str(error).splitlines()), 1)
        return str(error)

    def assert_says(self, text: str, *words: str) -> None:
        for word in words:
            self.assertIn(word, text)


class PrecedenceTests(ConfigTestCase):
    """Option, environment, file, profile, default: the first that speaks wins."""

    def layered(self, without: int) -> tuple[str, str]:
        """Say log_level on every layer but the first `without`; return the value and its place."""
        config = self.write("c.toml", 'log_level = "warn"\nprofile = "development"\n')
        only_profile = self.write("p.toml", 'profile = "development"\n')
        options = {"log_level": "critical"} if without < 1 else {}
        options["config"] = config if without < 3 else only_profile
        environ = {"CRAWLSOCK_LOG_LEVEL": "error"} if without < 2 else {}
        loaded = load(options, environ)
        return loaded.settings.log_level, str(loaded.sources["log_level"]).replace(str(self.directory), "")

    def test_each_layer_gives_way_to_the_one_above(self) -> None:
        """The first layer that speaks is the one that counts, and is named as the source."""
        self.assertEqual(
            [self.layered(n) for n in range(4)],
            [
                ("critical", "option --log-level"),
                ("error", "environment CRAWLSOCK_LOG_LEVEL"),
                ("warn", "/c.toml:1: log_level"),
                ("debug", "profile development"),
            ],
        )

    def test_nothing_said_gives_the_defaults(self) -> None:
        """Without any configuration everything is a default."""
        loaded = load({}, {})
        self.assertEqual(loaded.settings, Settings())
        self.assertEqual({source.kind for source in loaded.sources.values()}, {"default"})

    def test_a_named_env_file_stands_below_the_environment(self) -> None:
        """Variables from --env-file count, and the environment goes before them."""
        path = self.write(
            ".env", "# a comment\nexport CRAWLSOCK_QUEUE_LIMIT='5'\nCRAWLSOCK_POISON_LIMIT = 7\nOTHER=x\n"
        )
        loaded = load({"env_file": path}, {"CRAWLSOCK_POISON_LIMIT": "9"})
        self.assertEqual((loaded.settings.queue_limit, loaded.settings.poison_limit), (5, 9))
        self.assertEqual(str(loaded.sources["queue_limit"]), f"{path}:2: CRAWLSOCK_QUEUE_LIMIT")

    def test_an_env_file_that_nobody_named_is_not_read(self) -> None:
        """A .env in the working directory changes nothing by itself."""
        self.write(".env", "CRAWLSOCK_QUEUE_LIMIT=5\n")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.directory)
        self.assertEqual(load({}, {}).settings.queue_limit, 1_000_000)

    def test_the_variable_names_a_file(self) -> None:
        """CRAWLSOCK_CONFIG names the file when no option does."""
        path = self.write("c.toml", "queue_limit = 5\n")
        self.assertEqual(load({}, {"CRAWLSOCK_CONFIG": path}).settings.queue_limit, 5)

    def test_defaults_follow_other_settings(self) -> None:
        """Whoever moves the data directory moves everything in it."""
        settings = load({"data_dir": "/srv/c:s"}, {}).settings
        self.assertEqual(settings.key_file, Path("/srv/c:s/key"))
        self.assertEqual(settings.endpoint, r"unix:/srv/c\:s/run/crawlsock.sock:mode=660")
        self.assertEqual(settings.socket_path, Path("/srv/c:s/run/crawlsock.sock"))

    def test_an_empty_variable_is_not_set(self) -> None:
        """Container tools pass empty variables for what was not given."""
        self.assertEqual(load({}, {"CRAWLSOCK_QUEUE_LIMIT": ""}).settings.queue_limit, 1_000_000)

    def test_only_unix_endpoints_have_a_path(self) -> None:
        """A TCP endpoint has no socket file; a Unix endpoint may name its address."""
        self.assertIsNone(Settings(endpoint="tcp:8421").socket_path)
        self.assertEqual(Settings(endpoint="unix:mode=660:address=/s/x").socket_path, Path("/s/x"))


class RefusalTests(ConfigTestCase):
    """Every refusal names the place and the remedy."""

    def test_an_unknown_option(self) -> None:
        """An option that does not exist is refused with the nearest one."""
        self.assert_says(self.refusal({"lease_lenght": "3"}, {}), "--lease-lenght", "did you mean --lease-length?")

    def test_an_unknown_variable(self) -> None:
        """A variable with our prefix that we do not know is refused with the nearest one."""
        text = self.refusal({}, {"CRAWLSOCK_LEASE_LENGHT": "3"})
        self.assert_says(text, "environment CRAWLSOCK_LEASE_LENGHT", "did you mean CRAWLSOCK_LEASE_LENGTH?")

    def test_a_common_prefix_is_no_likeness(self) -> None:
        """A variable that is like no other is refused without a guess."""
        self.assertNotIn("did you mean", self.refusal({}, {"CRAWLSOCK_X": "3"}))

    def test_variables_of_clients_and_tests_are_left_alone(self) -> None:
        """The server is not troubled by variables that are meant for clients or for the test suite."""
        load({}, {"CRAWLSOCK_TOKEN": "x", "CRAWLSOCK_CONNECT": "tcp:h:1", "CRAWLSOCK_TEST_ANYTHING": "x"})

    def test_an_unknown_key(self) -> None:
        """A key that does not exist is refused with its line and the nearest one."""
        path = self.write("c.toml", "queue_limit = 5\n\nlog-level = 'debug'\n")
        self.assert_says(self.refusal({"config": path}, {}), f"{path}:3: log-level", "did you mean log_level?")

    def test_a_value_of_the_wrong_type(self) -> None:
        """A file's value of a type that cannot be meant is refused with its line."""
        path = self.write("c.toml", "queue_limit = true\n")
        self.assert_says(self.refusal({"config": path}, {}), f"{path}:1", "true or false", "a whole number")

    def test_a_table(self) -> None:
        """Settings stand at the top of the file; a table is no value."""
        path = self.write("c.toml", "\n[log_level]\nx = 1\n")
        self.assert_says(self.refusal({"config": path}, {}), f"{path}:2", "a table", "a string")

    def test_a_file_that_is_not_toml(self) -> None:
        """A syntax error is refused with its line."""
        path = self.write("c.toml", "queue_limit = 5\nlog_level\n")
        self.assert_says(self.refusal({"config": path}, {}), path, "line 2", "is not TOML")

    def test_a_file_that_is_not_there(self) -> None:
        """A named file must exist."""
        self.assert_says(self.refusal({"config": "/nowhere/c.toml"}, {}), "/nowhere/c.toml", "No such file")
        self.assert_says(self.refusal({"env_file": "/nowhere/.env"}, {}), "/nowhere/.env", "No such file")

    def test_a_file_that_is_not_text(self) -> None:
        """A binary file is refused as such."""
        path = self.directory / "c.toml"
        path.write_bytes(b"\xff\xfe\x00")
        self.assert_says(self.refusal({"config": str(path)}, {}), "is not UTF-8")

    def test_a_line_of_an_env_file_is_not_shown(self) -> None:
        """A line that is no assignment is named by number only: it may be a piece of a secret."""
        path = self.write(".env", f"A=1\n{PASSWORD}\n")
        text = self.refusal({"env_file": path}, {})
        self.assert_says(text, f"{path}:2", "NAME=value")
        self.assertNotIn(PASSWORD, text)

    def test_bounds(self) -> None:
        """A value out of bounds is refused with the bound."""
        self.assert_says(self.refusal({"database_pool_size": "1"}, {}), "'1'", "the least is 2")
        self.assert_says(self.refusal({"max_frame": "1 GiB"}, {}), "'1 GiB'", "the most is 64 MiB")

    def test_a_bad_profile(self) -> None:
        """A profile that does not exist is refused with those that do."""
        self.assert_says(self.refusal({}, {"CRAWLSOCK_PROFILE": "prod"}), "production, development, test")

    def test_rules_between_settings_name_both_sources(self) -> None:
        """Where two settings contradict each other, both are named with the place each came from."""
        text = self.refusal({}, {"CRAWLSOCK_LEASE_LENGTH": "15 s"})
        self.assert_says(text, "15 s (environment CRAWLSOCK_LEASE_LENGTH)", "heartbeat_interval is 10 s (default)")

    def test_other_rules(self) -> None:
        """Each of the other rules refuses what breaks it."""
        self.assert_says(self.refusal({"max_frame": "8 KiB", "max_frame_before_hello": "9 KiB"}, {}), "stranger")
        self.assert_says(self.refusal({"rate_limit_burst": "1"}, {}), "burst")
        self.assert_says(self.refusal({"embedded_postgres": "off"}, {}), "DATABASE_URL")
        self.assert_says(self.refusal({"data_dir": "/" + "x" * 120}, {}), "runtime_dir", "107")


class SecretTests(ConfigTestCase):
    """Secrets come from files and the environment, and are shown to nobody."""

    def test_database_url_is_read_from_the_usual_variable(self) -> None:
        """DATABASE_URL works, and our own variable goes before it."""
        self.assertEqual(load({}, {"DATABASE_URL": URL}).settings.database_url, URL)
        both = {"DATABASE_URL": "postgresql://other/x", "CRAWLSOCK_DATABASE_URL": URL}
        self.assertEqual(load({}, both).settings.database_url, URL)

    def test_a_secret_is_read_from_a_file(self) -> None:
        """A secret's file can be named by option, variable and key."""
        path = self.write("url", URL + "\n")
        config = self.write("c.toml", f'database_url_file = "{path}"\n')
        ways: list[tuple[dict[str, str | None], dict[str, str]]] = [
            ({"database_url_file": path}, {}),
            ({}, {"CRAWLSOCK_DATABASE_URL_FILE": path}),
            ({}, {"CRAWLSOCK_DATABASE_URL_FILE": path, "DATABASE_URL": "postgresql://other/x"}),
            ({"config": config}, {}),
        ]
        for options, environ in ways:
            self.assertEqual(load(options, environ).settings.database_url, URL)

    def test_a_secret_said_twice(self) -> None:
        """A secret and a file of it in one place contradict each other."""
        path = self.write("url", URL)
        text = self.refusal({}, {"CRAWLSOCK_DATABASE_URL_FILE": path, "CRAWLSOCK_DATABASE_URL": URL})
        self.assert_says(text, "CRAWLSOCK_DATABASE_URL_FILE", "remove one")
        self.assertNotIn(PASSWORD, text)

    def test_a_file_of_a_secret_must_hold_it(self) -> None:
        """A secret's file that is missing, empty or no text is refused by name."""
        self.assert_says(self.refusal({"database_url_file": "/nowhere/url"}, {}), "/nowhere/url", "No such file")
        self.assert_says(self.refusal({"database_url_file": self.write("url", "\n")}, {}), "is empty")

    def test_no_option_takes_a_secret(self) -> None:
        """There is no option whose value would be a secret."""
        secrets = {name for name, each in DECLARATIONS.items() if each.secret}
        self.assertEqual(secrets & {spec.key for spec in OPTIONS}, set())

    def test_a_password_on_the_command_line_is_refused(self) -> None:
        """--database takes an address, but none with a password in it, in either form of address."""
        self.assertEqual(load({"database": "postgresql://h/d"}, {}).settings.database_url, "postgresql://h/d")
        for address in (URL, f"host=h password={PASSWORD}", f"postgresql://h/d?password={PASSWORD}"):
            text = self.refusal({"database": address}, {})
            self.assert_says(text, "--database", "DATABASE_URL")
            self.assertNotIn(PASSWORD, text)

    def test_a_bad_secret_is_not_shown(self) -> None:
        """A secret that cannot be used is refused without being repeated."""
        text = self.refusal({}, {"DATABASE_URL": f"mysql://{PASSWORD}"})
        self.assertNotIn(PASSWORD, text)

    def test_listings_and_reprs_hide_secrets(self) -> None:
        """Neither the listing nor the repr of the settings shows a password."""
        loaded = load({}, {"DATABASE_URL": URL})
        self.assertEqual(loaded.masked()["database_url"][0], "postgresql://web:[hidden]@db.example/app")
        self.assertNotIn(PASSWORD, repr(loaded))


class KindTests(SynchronousTestCase):
    """How text is read."""

    def reads(self, kind: Kind[Any], *pairs: tuple[str, object]) -> None:
        for text, value in pairs:
            self.assertEqual(kind.parse(text), value)
            self.assertEqual(kind.parse(kind.show(value)), value)

    def refuses(self, kind: Kind[Any], *texts: str) -> None:
        for text in texts:
            self.assertRaises(ValueError, kind.parse, text)

    def test_durations(self) -> None:
        """A duration is a number with a unit, in seconds without one, and shows as it may be written."""
        self.reads(DURATION, ("30", 30.0), ("500ms", 0.5), ("1.5 min", 90.0), ("24 h", 86400.0), ("30d", 2592000.0))
        self.reads(DURATION, ("0", 0.0), ("1_000", 1000.0))
        self.refuses(DURATION, "", "-1", "1 year", "nan", "inf", "1e3", "s", "1 S", "١")

    def test_sizes(self) -> None:
        """A size is a whole number of bytes with a binary unit."""
        self.reads(SIZE, ("4096", 4096), ("1 MiB", 1024**2), ("0.5KiB", 512), ("10", 10))
        self.refuses(SIZE, "1 MB", "0.3", "-1", "")

    def test_counts_uids_hosts_and_texts(self) -> None:
        """Numbers, users, hosts and words are what they seem."""
        self.reads(COUNT, ("1_000", 1000))
        self.refuses(COUNT, "1.5", "", "-1", "²")
        self.reads(UID, ("root", 0), ("12", 12))
        self.refuses(UID, "no-such-user-here", "")
        self.reads(HOST, ("GitLab.example.com", "gitlab.example.com"), ("localhost:8080", "localhost:8080"))
        self.refuses(HOST, "https://gitlab.example.com", "a/b", "", "-a", "a" * 300, "a b")
        self.refuses(TEXT, "", " ", "a\nb")

    def test_choices_options_and_lists(self) -> None:
        """A choice is one of its words, an optional value may be none, a list drops repetitions."""
        self.refuses(choice("a", "b"), "c", "A", "")
        self.reads(optional(COUNT), ("none", None), ("3", 3))
        self.reads(listing(COUNT), ("none", ()), ("1, 2,1", (1, 2)))
        self.refuses(listing(COUNT), "1,,2", "", "1,")

    def test_paths_are_absolute(self) -> None:
        """A relative path is made absolute when it is read, because a daemon may change its directory."""
        self.assertEqual(PATH.parse("a/../b"), Path.cwd() / "b")
        self.assertEqual(PATH.parse("~/x"), Path.home() / "x")


class DeclarationTests(SynchronousTestCase):
    """What holds for the declarations as a whole."""

    def test_every_default_can_be_written(self) -> None:
        """Each default, and each profile's, is what its own text is read as."""
        defaults = Settings()
        for name, each in DECLARATIONS.items():
            value = getattr(defaults, name)
            self.assertEqual(each.parse(each.kind.show(value)), value, name)
            for profile, text in each.profiles.items():
                self.assertEqual(load({"profile": profile, name: text}, {}).sources[name].kind, "option")

    def test_every_profile_loads(self) -> None:
        """Each profile by itself breaks no rule."""
        for profile in ("production", "development", "test"):
            loaded: Loaded = load({"profile": profile}, {})
            self.assertEqual(loaded.settings.profile, profile)

    def test_the_page_is_current(self) -> None:
        """docs/configuration.md says what the declarations say."""
        self.assertEqual((ROOT / "docs" / "configuration.md").read_text(), document())

    def test_every_setting_is_documented(self) -> None:
        """The page has each setting, and each has an option but the secrets, which have a file's."""
        options = {spec.key for spec in OPTIONS}
        for name, each in DECLARATIONS.items():
            self.assertIn(f"| `{name}` |", document())
            self.assertIn(f"{name}_file" if each.secret else name, options)
