"""MLPerf's part in a benchmark: the settings in force before it, and the logs written after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_aibench.bounds import Violation
from pytest_aibench.datasets.library import SampleLibrary
from pytest_aibench.inference.job import AccuracyPass, LoadPass
from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.mlperf_conf import Conf, apply_overrides
from pytest_aibench.loadgen.mlperf_settings import (
    RequestedSettings,
    has_loadgen_name,
    loadgen_name,
    model_facts,
    official_scenario,
    requested_settings,
)
from pytest_aibench.scenarios import Offline, Scenario, SingleStream

InForce = tuple[Scenario, "int | None", list[str]]
"""A scenario, the samples in memory under load, and notes on what had no effect."""


def in_force(
    scenario: Scenario,
    performance_samples: int | None,
    total: int,
    *,
    model: str | None,
    official: bool,
    conf: Conf | None,
) -> InForce:
    """The settings with which a benchmark runs.

    The round's rules go before what the test says, and ``user.conf`` before both, as LoadGen's
    does before its ``mlperf.conf``. Scenarios that are not MLPerf's stay as they are.

    Args:
        scenario: The test's scenario.
        performance_samples: Samples in memory under load by the test; None for all.
        total: Samples in the data set.
        model: The model's name in MLPerf, if it has one.
        official: Whether the round's rules apply.
        conf: The ``user.conf``, if there is one.

    Raises:
        UserError: The round has no such model, or the settings do not fit the scenario.
    """
    if not has_loadgen_name(scenario):
        return scenario, performance_samples, []
    if official:
        scenario = official_scenario(scenario, model)
        fitting = model_facts(model).performance_samples
        if performance_samples is None and fitting is not None:
            performance_samples = min(fitting, total)
    if conf is None:
        return scenario, performance_samples, []
    name = loadgen_name(scenario)
    applied = apply_overrides(conf.overrides(name, model), scenario)
    unused = conf.keys_without(applied.without_effect, name, model)
    notes = [f"user.conf: {key} has no effect here" for key in unused]
    return applied.scenario, applied.performance_samples or performance_samples, notes


def write_benchmark_logs(
    folder: Path,
    *,
    system: str,
    library: SampleLibrary,
    alone: AccuracyPass,
    loaded: LoadPass,
    violations: Sequence[Violation],
) -> dict[str, Any]:
    """Write LoadGen's logs of what ran to ``accuracy`` and to ``performance/run_1``.

    Args:
        folder: The benchmark's own.
        system: Name of the system under test.
        library: The samples.
        alone: The accuracy pass.
        loaded: The load.
        violations: All rules broken by the load.

    Returns:
        Settings for the record: the folder, or a note that this scenario has no such logs.

    Raises:
        UserError: An answer cannot be written as bytes.
    """
    if not has_loadgen_name(loaded.scenario):
        return {"notes": [f"no MLPerf logs: the scenario {loaded.scenario.id} is not MLPerf's"]}
    from pytest_aibench.loadgen.mlperf_logs import write_logs
    from pytest_aibench.loadgen.mlperf_run import AccuracyPhase, LoggedRun, PerformancePhase

    scenario = _as_it_ran(loaded)
    run = LoggedRun(
        scenario=scenario,
        requested=_requested(scenario),
        system=system,
        library=library.dataset.name,
        total=library.total_count,
        performance_count=library.performance_count,
    )
    if alone.sets:
        accuracy = AccuracyPhase(
            sets=alone.sets,
            outputs=alone.by_index,
            began_at=alone.began_at,
            duration_s=alone.duration_s,
            violations=alone.violations,
        )
        write_logs(folder / "accuracy", replace(run, accuracy=accuracy))
    if len(loaded.load.sizes) or loaded.load.violations:
        performance = PerformancePhase(
            load=replace(_without_rest(loaded), violations=tuple(violations)),
            loaded=loaded.loaded,
            began_at=loaded.began_at,
            samples=loaded.issued,
        )
        write_logs(folder / "performance" / "run_1", replace(run, performance=performance))
    return {"mlperf_logs": str(folder)}


def _without_rest(loaded: LoadPass) -> Load:
    """The load; if it is complete, without what fell due while its last queries were answered.

    LoadGen decides beforehand how many queries there are, so it has no such rest.
    """
    load, rule = loaded.load, loaded.rule
    long_enough = load.due_ns.max(initial=0) >= rule.min_duration_ns
    if len(load.sizes) < rule.min_queries or not long_enough:
        return load
    return replace(load, overdue_ns=load.overdue_ns[:0])


def _as_it_ran(loaded: LoadPass) -> Scenario:
    """The scenario with what it left to the effort."""
    scenario, rule = loaded.scenario, loaded.rule
    scenario = replace(
        scenario,
        min_duration=f"{rule.min_duration_ns} ns",
        max_duration=None if rule.budget_ns is None else f"{rule.budget_ns} ns",
        min_queries=rule.min_queries,
    )
    if not isinstance(scenario, Offline):
        return scenario
    return replace(scenario, samples=int(loaded.load.sizes.sum()) or None)


def _requested(scenario: Scenario) -> RequestedSettings:
    """The settings in LoadGen's words.

    Under equal issue LoadGen would take its stock hint of 10 ms per query for a wish for 120 000
    queries; here the hint is one that wishes for those that there were to be.
    """
    requested = requested_settings(scenario)
    if not isinstance(scenario, SingleStream) or scenario.selection != "equal_issue":
        return requested
    hint_ns = 2e6 * requested.min_duration_ms / requested.min_query_count
    return replace(requested, single_stream_expected_latency_ns=hint_ns)
