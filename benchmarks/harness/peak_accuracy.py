"""Whether the peak search finds known capacities, as surely as it says, with few queries.

Run it from the repository with ``python -m benchmarks.harness.peak_accuracy``; it takes minutes on
any machine, because the servers are simulated.
"""

from __future__ import annotations

import sys
from statistics import median

from benchmarks.harness._rows import Row, run
from pytest_aibench.loadgen.peak import find_peak
from tests.simulated_servers import (
    CountedProbe,
    Server,
    known_servers,
    official_queries,
    peak_settings,
)

SEARCHES = 100
OFFICIAL_SEARCHES = 5
FEWEST_WITHIN = 95
FEWEST_COVERING = 98


def main() -> int:
    """Search every server many times."""
    return run("Search the known peaks of simulated servers.", measure)


def measure() -> list[Row]:
    """The rows of all servers."""
    return [row for server, capacity in known_servers().items() for row in _rows(server, capacity)]


def _rows(server: Server, capacity: float) -> list[Row]:
    settings = peak_settings(server)
    peaks = [find_peak(CountedProbe(server, trial), settings) for trial in range(SEARCHES)]
    within = sum(abs(peak.rate / capacity - 1) <= settings.tolerance for peak in peaks)
    covering = sum(peak.low <= capacity <= peak.high for peak in peaks)
    queries = median(peak.n_queries for peak in peaks)
    official = median(official_queries(server, trial) for trial in range(OFFICIAL_SEARCHES))
    print(server, file=sys.stderr)
    return [
        _of_all(f"{server}: searches within 3 %", within, FEWEST_WITHIN),
        _of_all(f"{server}: intervals of 98 % that hold the capacity", covering, FEWEST_COVERING),
        Row(
            f"{server}: queries",
            queries,
            official,
            queries / official,
            "fewer than the official search",
            queries < official,
        ),
    ]


def _of_all(measure: str, count: int, fewest: int) -> Row:
    goal = f"at least {fewest} of {SEARCHES}"
    return Row(measure, float(count), None, None, goal, count >= fewest)


if __name__ == "__main__":
    sys.exit(main())
