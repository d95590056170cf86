"""Does the speed hold for other samples and other seeds? (The ideas of MLPerf's TEST04 and TEST05.)

TEST01, that answers under load are those of the accuracy pass, is asked of every benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pytest_aibench.bounds import Check, Estimate, Violation, at_most, judge
from pytest_aibench.inference.agreement import disagreement
from pytest_aibench.inference.job import AccuracyPass, LoadPass
from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.percentiles import percentile_estimate
from pytest_aibench.loadgen.throughput import throughput_estimate
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Seeds, SingleStream

OTHER_SEEDS = Seeds(7975553102935885558, 11403566307062068064, 15816800565822761601)
"""The alternative seeds of MLPerf's TEST05."""

ANSWERS_COMPARED = 4096
"""Answers under load that MLPerf's TEST01 asks for."""

QUERIES_FACTOR = 4
"""So many times the fewest queries of an interval are the least of an audited load.

With the fewest, an end of the interval is the slowest query: of two loads it never agrees.
"""

_MOST_GAIN = 1.10
_MOST_LOSS = 1.05
_MOST_IF_SHORT = 1.20
_SHORT_S = {SingleStream.name: 0.2e-3, MultiStream.name: 1.6e-3}

_TIMES = "x"


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit showed: its checks, and rules that its loads broke."""

    checks: tuple[Check, ...] = ()
    violations: tuple[Violation, ...] = ()


def audit(
    reload: Callable[[Scenario], LoadPass],
    scenario: Scenario,
    normal: Load,
    alone: AccuracyPass,
    may_differ: float,
) -> Audit:
    """Load the system again: with one sample repeated, with other seeds, and as before.

    The last tells the model from the machine: the interval of the usual figure spans the loads
    before and after, so that a machine that changed its speed meanwhile leaves the checks open.

    Args:
        reload: Loads the same system as before, in a scenario.
        scenario: That of the benchmark.
        normal: The benchmark's own load; one that broke a rule is not audited.
        alone: The accuracy pass.
        may_differ: Share of the answers under load that may differ from it.
    """
    __tracebackhide__ = True
    if normal.violations or alone.violations:
        return Audit()
    repeated = reload(replace(scenario, selection="same"))
    reseeded = reload(replace(scenario, seeds=OTHER_SEEDS))
    again = reload(scenario)
    figure = _span(judged_figure(scenario, normal), judged_figure(scenario, again.load))
    return Audit(
        checks=(
            caching_check(scenario, figure, judged_figure(scenario, repeated.load)),
            seeds_check(scenario, figure, judged_figure(scenario, reseeded.load)),
        ),
        violations=tuple(
            violation
            for loaded in (repeated, reseeded, again)
            for violation in (
                *loaded.load.violations,
                *disagreement(loaded.answers, alone.by_index, may_differ),
            )
        ),
    )


def judged_figure(scenario: Scenario, load: Load) -> Estimate:
    """The figure by which a scenario is judged: throughput offline, else a latency percentile."""
    if isinstance(scenario, Offline):
        return throughput_estimate(load.completions)
    return percentile_estimate(np.sort(load.latency_ns) / 1e9, scenario.judged_percentile)


def _span(before: Estimate, after: Estimate) -> Estimate:
    """The first figure, with an interval that covers both."""
    lows, highs = (before.low, after.low), (before.high, after.high)
    return replace(
        before,
        low=None if None in lows else min(filter(None, lows)),
        high=None if None in highs else max(filter(None, highs)),
        why_open=before.why_open or after.why_open,
    )


def caching_check(scenario: Scenario, normal: Estimate, repeated: Estimate) -> Check:
    """``audit_caching``: how many times as fast one repeated sample is (TEST04: under 1.1)."""
    limit = _MOST_IF_SHORT if _is_short(scenario, normal) else _MOST_GAIN
    return _check("audit_caching", limit, _speed_up(scenario, normal, repeated))


def seeds_check(scenario: Scenario, normal: Estimate, reseeded: Estimate) -> Check:
    """``audit_seeds``: how many times as fast the usual seeds are (TEST05: at most 1.05)."""
    limit = _MOST_IF_SHORT if _is_short(scenario, normal) else _MOST_LOSS
    return _check("audit_seeds", limit, _speed_up(scenario, reseeded, normal))


def _check(name: str, limit: float, speed_up: Estimate) -> Check:
    why_open = speed_up.why_open or _how_much_longer(speed_up, limit)
    bound = at_most(f"{limit:.2f} {_TIMES}")
    return judge(name, replace(speed_up, why_open=why_open), bound)


def _is_short(scenario: Scenario, normal: Estimate) -> bool:
    """Whether latencies are so short that MLPerf allows for the generator's own noise."""
    return normal.value is not None and normal.value <= _SHORT_S.get(scenario.name, -math.inf)


def _speed_up(scenario: Scenario, before: Estimate, after: Estimate) -> Estimate:
    """How many times as fast a load is as another; each end of the interval has both at worst."""
    over, under = (after, before) if isinstance(scenario, Offline) else (before, after)
    return Estimate(
        value=_quotient(over.value, under.value),
        low=_quotient(over.low, under.high),
        high=_quotient(over.high, under.low),
        unit=_TIMES,
        n=min(before.n, after.n),
        why_open=before.why_open or after.why_open,
    )


def _quotient(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under


def _how_much_longer(speed_up: Estimate, limit: float) -> str:
    """What would decide a check if there is nothing to find: intervals shrink with root n."""
    if not speed_up.low or not speed_up.high:
        return "a latency of zero cannot be compared"
    times = (math.log(speed_up.high / speed_up.low) / 2 / math.log(limit)) ** 2
    return (
        "the two loads are too noisy to tell: on a quieter machine, or with about "
        f"{max(2, math.ceil(times))} times as many queries (min_queries), it would be certain"
    )
