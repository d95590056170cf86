"""Was it the generator, not the model, that was late?"""

from __future__ import annotations

import numpy as np

from pytest_aibench.bounds import Violation
from pytest_aibench.loadgen.journal import Stamps
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.scenarios import Scenario, Server, Users
from pytest_aibench.units import format_quantity

MOST_GENERATOR_LATENESS = 0.1
"""Share of the latency bound that the generator's own p99 lateness may take."""


def late_generator(scenario: Scenario, lateness_ns: Stamps) -> tuple[Violation, ...]:
    """A violation when the generator, not the model, spoilt latencies that count from due times.

    Args:
        scenario: How the load was made.
        lateness_ns: The generator's own lateness of each query, see `Load`.
    """
    bound_s = scenario.latency_bound_s
    if not isinstance(scenario, (Server, Users)) or bound_s is None or not len(lateness_ns):
        return ()
    lateness = np.sort(lateness_ns) / 1e9
    allowed_s = MOST_GENERATOR_LATENESS * bound_s
    p99_s = float(lateness[percentile_index(len(lateness), 0.99)])
    if p99_s <= allowed_s:
        return ()
    evidence = (
        f"the generator, not the model, was late: p99 lateness {format_quantity(p99_s, 's')}, "
        f"allowed {format_quantity(allowed_s, 's')}; run on a quieter machine"
    )
    return (Violation(rule="the load generator keeps time", evidence=evidence),)
