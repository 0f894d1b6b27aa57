"""What the tests of metrics share: scrapes as dictionaries, and Prometheus' own judgement through promtool.

Alerts are judged by promtool alone: series go in, and whether an alert ever fired comes out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SkipTest

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus" / "crawlsock.rules.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "crawlsock.json"
RUNBOOK: Final = ROOT / "docs" / "runbook.md"
TARGET: Final = {"job": "crawlsock", "instance": "one"}
_NAME: Final = re.compile(r"\b(?:crawlsock|process|python)_[a-z0-9_]+")

Scrape = dict[str, float]
"""Values by series: the name with its labels, as PromQL writes it."""


def promtool(*arguments: str | Path, input: bytes | None = None) -> tuple[int, str]:
    """Run promtool; return its exit code and what it said. Skips the test where there is none."""
    program = shutil.which("promtool")
    if program is None:
        raise SkipTest("promtool is not installed; Debian has it in its package prometheus")
    done = subprocess.run([program, *arguments], input=input, capture_output=True, timeout=120, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def rules() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def names_in(text: str) -> set[str]:
    """Return the names of metrics that an expression mentions."""
    return set(_NAME.findall(text))


def read(text: str) -> Scrape:
    """Return what a scrape says, with the labels that Prometheus adds."""
    found: Scrape = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in {**sample.labels, **TARGET}.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def held(before: Scrape, after: Scrape, minutes: int = 120) -> dict[str, str]:
    """Return the series of a server that was in one state for a while, and then in another."""
    return {
        series: f"{before.get(series, value)}+0x9 {value}+0x{minutes}"
        for series, value in after.items()
        if value == value
    }


def repeated(before: Scrape, after: Scrape, minutes: int = 120) -> dict[str, str]:
    """Return the series of a server in which what happened between two scrapes happens every minute from then on."""
    series = {}
    for name, value in after.items():
        first = before.get(name, 0.0)
        series[name] = f"{first}+0x9 {first}{value - first:+f}x{minutes}"
    return series


def check(cases: Mapping[str, Mapping[str, str]], *, loud: bool) -> str:
    """Judge alerts, each on series of its own: whether it fired at any time.

    :return: what promtool complains about; nothing if all of them are loud, or all of them are silent, as wanted.
    """
    known = rules()
    with tempfile.TemporaryDirectory() as directory:
        files = []
        for alert, series in cases.items():
            # One rule a file: promtool evaluates every rule that it is given, minute by minute.
            rule_file = Path(directory) / f"{alert}.rules.yml"
            rule_file.write_text(yaml.safe_dump({"groups": [{"name": alert, "rules": [known[alert]]}]}))
            document = {
                "rule_files": [str(rule_file)],
                "evaluation_interval": "1m",
                "tests": [_test(alert, series, 1 if loud else 0)],
            }
            files.append(Path(directory) / f"{alert}.test.yml")
            files[-1].write_text(yaml.safe_dump(document))
        code, said = promtool("test", "rules", *files)
    return "" if code == 0 else said


def parse(expressions: Sequence[str]) -> str:
    """Return what is wrong with PromQL expressions, variables of Grafana filled in; nothing if nothing is."""
    filled = [
        each.replace("$job", "crawlsock").replace("$instance", "one").replace("$__rate_interval", "1m")
        for each in expressions
    ]
    groups = [{"name": "panels", "rules": [{"record": f"r:{n}", "expr": each} for n, each in enumerate(filled)]}]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "panels.yml"
        path.write_text(yaml.safe_dump({"groups": groups}))
        code, said = promtool("check", "rules", path)
    return "" if code == 0 else said


def _test(alert: str, series: Mapping[str, str], count: int) -> dict[str, Any]:
    firing = f'count(count_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[3h])) > bool 0 or vector(0)'
    return {
        "name": alert,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": "2h", "exp_samples": [{"labels": "{}", "value": count}]},
        ],
    }
