"""What a demo is to do, and the command lines that follow from it.

Law: values and texts, decided before anything starts.
"""

from __future__ import annotations

import sys
from typing import Final

from attrs import frozen

from crawlsock.demo.place import Place

ACCOUNT: Final = "demo"

_TWISTD: Final = "from twisted.scripts.twistd import run; run()"


@frozen(kw_only=True)
class Plan:
    """One demo.

    `latency` is in milliseconds, `token_seconds` how long an access token of the sample lasts; `postgres` is whose
    binaries run the database, as the setting `embedded_postgres` has it.
    """

    projects: int = 60
    items: int = 20_000
    crawlers: int = 2
    slots: int = 4
    latency: float = 5.0
    seed: int = 1
    token_seconds: float = 4.0
    data_dir: str | None = None
    postgres: str = "auto"
    keep: bool = False
    stay: bool = False

    @property
    def rate_limit(self) -> int:
        """Requests a minute that the sample allows: it is seen to go down, and holds nobody up."""
        return 2000 + 60 * self.projects + self.items // 10


def sample_command(plan: Plan) -> list[str]:
    """Return the command of the sample GitLab: with a token that expires, and with the faults of a busy one."""
    return [
        *(sys.executable, "-m", "crawlsock.demo.gitlab", "--watch-stdin"),
        *("--seed", str(plan.seed), "--projects", str(plan.projects), "--items", str(plan.items)),
        *("--latency", str(plan.latency), "--token-seconds", str(plan.token_seconds)),
        *("--rate-limit", str(plan.rate_limit)),
        *("--fault-429", "0.003", "--fault-500", "0.01", "--fault-502", "0.003", "--retry-after", "1"),
    ]


def server_command(plan: Plan, place: Place, port: int) -> list[str]:
    """Return the command of the server, as a person would type it. Its pages are on this port, here only."""
    return [
        *(sys.executable, "-c", _TWISTD, "--nodaemon", "--pidfile=", "crawlsock"),
        *(f"--data-dir={place.data}", f"--runtime-dir={place.runtime}", f"--embedded-postgres={plan.postgres}"),
        f"--http-endpoint=tcp:{port}:interface=127.0.0.1",
        *(
            "--drain-timeout=5s",
            "--progress-interval=500ms",
            "--heartbeat-interval=2s",
            "--credential-refresh-ahead=1s",
            "--log-format=text",
        ),
    ]


def crawler_command(plan: Plan, place: Place, number: int, host: str) -> list[str]:
    """Return the command of one crawler."""
    return [
        *(sys.executable, "-m", "crawlsock.cli", "crawl", "--data-dir", str(place.data)),
        *("--endpoint", str(place.socket), "--crawler-id", f"demo-crawler-{number}"),
        *("--slots", str(plan.slots), "--output", str(place.output), "--allowed-host", host),
    ]
