"""What keeps a load on time: a process that leaves it alone, and a rule for late generators."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pytest_aibench.bounds import Violation
from pytest_aibench.loadgen.journal import Stamps
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.scenarios import Scenario
from pytest_aibench.units import format_quantity

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter lock while another waits for it.

With Python's 5 ms a query beside a busy thread was issued up to 5 ms late; with this the 99th
percentile of lateness fell from 1.4 ms to 0.03 ms.
"""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let the generator have the interpreter lock soon, and keep old objects out of collections.

    A full garbage collection walks over all objects of the process: with torch and a test session
    that took 120 to 170 ms, which would be charged to one query of the model. What the load and
    the model make is collected as ever.
    """
    interval_s, already_frozen = sys.getswitchinterval(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(min(interval_s, SWITCH_INTERVAL_S))
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        if not already_frozen:
            gc.unfreeze()


MOST_GENERATOR_LATENESS = 0.1
"""Share of the latency bound that the generator's own p99 lateness may take."""


def late_generator(scenario: Scenario, lateness_ns: Stamps) -> tuple[Violation, ...]:
    """A violation when the generator, not the model, spoilt latencies that count from due times.

    Args:
        scenario: How the load was made.
        lateness_ns: The generator's own lateness of each query, see `Load`.
    """
    bound_s = scenario.latency_bound_s
    if not scenario.timed or bound_s is None or not len(lateness_ns):
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
