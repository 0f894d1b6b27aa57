"""Every alert can be explained, names what exists, and has been seen to fire."""

from __future__ import annotations

import re

from twisted.trial.unittest import TestCase

from tests.metrics import prom
from tests.metrics.alert_series import CASES


class AlertTests(TestCase):
    """The alert rules that are shipped."""

    def test_prometheus_accepts_the_rules(self) -> None:
        """`promtool check rules` finds nothing wrong."""
        code, said = prom.promtool("check", "rules", prom.RULES)
        self.assertEqual(code, 0, said)

    def test_every_alert_has_been_thought_of(self) -> None:
        """There are series for every alert, and for nothing else."""
        self.assertEqual(set(CASES), set(prom.rules()))

    def test_every_alert_fires(self) -> None:
        """Each alert fires once on the series that describe its cause."""
        self.assertEqual(prom.check({name: case.loud for name, case in CASES.items()}, loud=True), "")

    def test_no_alert_cries_wolf(self) -> None:
        """Each alert stays silent on series that look similar and are fine."""
        self.assertEqual(prom.check({name: case.quiet for name, case in CASES.items()}, loud=False), "")

    def test_every_alert_says_what_to_do(self) -> None:
        """Severity, summary and the address of a section of its own in the runbook: every alert has them."""
        anchors = {
            title.lower()
            for title in re.findall(r"^### (\w+)$", prom.RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
        }
        for name, rule in prom.rules().items():
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"), name)
            self.assertTrue(rule["annotations"]["summary"], name)
            page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
            self.assertEqual((page, anchor), ("docs/runbook.md", name.lower()))
            self.assertIn(anchor, anchors, name)
        self.assertEqual(anchors, {name.lower() for name in prom.rules()}, "a section about no alert")

    def test_the_runbook_says_how_bad_it_is(self) -> None:
        """A section begins with the severity that the rule has."""
        text = prom.RUNBOOK.read_text(encoding="utf-8")
        for name, rule in prom.rules().items():
            section = text.partition(f"### {name}\n")[2].lstrip()
            self.assertTrue(section.startswith(f"*{rule['labels']['severity']}.*"), name)

    def test_references_in_the_runbook_lead_somewhere(self) -> None:
        """Every link from one section to another names one that is there."""
        text = prom.RUNBOOK.read_text(encoding="utf-8")
        for title, anchor in re.findall(r"\[(\w+)\]\(#(\w+)\)", text):
            self.assertEqual(title.lower(), anchor)
            self.assertIn(title, prom.rules())
