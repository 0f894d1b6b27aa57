"""What is claimed about the options of ``twistd crawlsock`` and the log that comes with them."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import cast

from twisted.application.service import Application, IServiceCollection, IServiceMaker, ServiceMaker
from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.plugin import getPlugins
from twisted.python.components import Componentized
from twisted.trial.unittest import SynchronousTestCase

from crawlsock.config import OPTIONS, load
from crawlsock.tap import Options, _Root, make_logs


class OptionsTests(SynchronousTestCase):
    """Options become settings, or one line and an exit code."""

    def refusal(self, *arguments: str) -> str:
        """Return the line on stderr, having seen that it is the only one and that the exit code is 7."""
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        ended = self.assertRaises(SystemExit, Options().parseOptions, list(arguments))
        self.assertEqual(ended.code, 7)
        self.assertEqual(stderr.getvalue().count("\n"), 1)
        return stderr.getvalue()

    def test_every_setting_has_its_option(self) -> None:
        """twistd's options are exactly those that the declarations give."""
        self.assertEqual([each[0] for each in Options.optParameters], [spec.flag[2:] for spec in OPTIONS])

    def test_options_become_settings(self) -> None:
        """An option is read, and named as the source."""
        options = Options()
        options.parseOptions(["--queue-limit=5", "--profile", "test"])
        self.assertEqual(options.loaded.settings.queue_limit, 5)
        self.assertEqual(options.loaded.settings.log_level, "warn")
        self.assertEqual(str(options.loaded.sources["queue_limit"]), "option --queue-limit")

    def test_a_wrong_option_is_one_line(self) -> None:
        """An option that does not exist is refused with the nearest one."""
        self.assertIn("did you mean --queue-limit?", self.refusal("--queue-limits=5"))

    def test_a_wrong_value_is_one_line(self) -> None:
        """A value that cannot be used is refused with its option."""
        self.assertIn("option --queue-limit: 'x'", self.refusal("--queue-limit=x"))

    def test_an_argument_is_one_line(self) -> None:
        """A word that is no option is refused as such."""
        self.assertIn("'start'", self.refusal("start"))

    def test_the_plugin_is_found(self) -> None:
        """twistd finds one plugin of our name, and it leads to these options."""
        found = [each for each in getPlugins(IServiceMaker) if each.tapname == "crawlsock"]
        self.assertEqual(len(found), 1)
        assert isinstance(found[0], ServiceMaker)
        self.assertIs(found[0].options, Options)


class LogTests(SynchronousTestCase):
    """Where the log goes is twistd's word; what it looks like is ours."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def logged(self, twistd: dict[str, object], **options: str) -> str:
        """Log one event as the options say and return what is in the file."""
        logs = make_logs(load(options, {}), twistd)
        logs.masker.register("zzTopSecret")
        Logger(namespace="n", observer=LogPublisher(logs.observer)).info("hello zzTopSecret")
        return self.path.read_text() if self.path.exists() else ""

    def test_a_log_file_gets_json(self) -> None:
        """--logfile is where the lines go, as JSON because a file is no terminal."""
        document = json.loads(self.logged({"logfile": str(self.path)}))
        self.assertEqual(document["message"], "hello [hidden]")

    def test_the_databases_password_is_registered(self) -> None:
        """The password of the database is hidden from the first event on, wherever it stands."""
        logs = make_logs(load({}, {"DATABASE_URL": "postgresql://u:hunter%402hunter@h/d"}), {"nodaemon": True})
        self.assertEqual(logs.masker.mask("it was hunter@2hunter"), "it was [hidden]")

    def test_text_may_be_asked_for(self) -> None:
        """log_format is stronger than what the destination suggests, and a file gets no colours."""
        line = self.logged({"logfile": str(self.path)}, log_format="text")
        self.assertTrue(line.endswith("info     [n] hello [hidden]\n"), line)

    def test_a_daemon_writes_its_usual_file(self) -> None:
        """A daemon that was told nothing writes twistd.log where it was started."""
        self.path.mkdir()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.path)
        self.path = self.path / "twistd.log"
        self.assertIn("hello", self.logged({}))

    def test_in_the_foreground_it_is_stdout(self) -> None:
        """In the foreground the lines go to the real stdout, which twistd does not redirect into the log."""
        stdout = io.StringIO()
        self.patch(sys, "__stdout__", stdout)
        self.logged({"nodaemon": True})
        self.assertIn("hello [hidden]", stdout.getvalue())

    def test_the_level_is_the_setting(self) -> None:
        """Events below log_level are not logged."""
        self.assertEqual(self.logged({"logfile": str(self.path)}, log_level="error"), "")

    def test_the_application_gets_the_observer(self) -> None:
        """When the service joins its application, twistd finds our observer there."""
        logs = make_logs(load({}, {}), {"nodaemon": True})
        application = Application("crawlsock")
        assert isinstance(application, Componentized)
        _Root(logs).setServiceParent(cast(IServiceCollection, application))
        self.assertIs(application.getComponent(ILogObserver), logs.observer)
