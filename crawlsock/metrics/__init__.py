"""The numbers of one server, for Prometheus.

The law: nothing is counted here. Parts keep plain numbers (`crawlsock.tally` and their own); they are read and named
when somebody scrapes. A registry belongs to a server, there is none for the process. Units are seconds and bytes.
Labels are bounded: message types come from the catalog, job types from `JobTally.label`, all else from closed lists.
"""

from crawlsock.metrics.registry import Metrics

__all__ = ["Metrics"]
