"""Results as they stand in the record."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench import datasets
from pytest_aibench.bounds import CONFIDENCE, Check, Estimate
from pytest_aibench.datasets import Dataset
from pytest_aibench.inference.peak_result import PeakRun
from pytest_aibench.inference.result import Answers, LoadResult
from pytest_aibench.loadgen.histogram import from_latencies
from pytest_aibench.loadgen.peak import ProbePoint
from pytest_aibench.loadgen.percentiles import percentile_figure, percentile_index
from pytest_aibench.loadgen.token_figures import token_summary
from pytest_aibench.outcome import Outcome
from pytest_aibench.quality.metrics import metric, metric_names
from pytest_aibench.results.schema import (
    CheckEntry,
    DatasetEntry,
    LoadEntry,
    Metric,
    NotJudged,
    PeakEntry,
    ProbeEntry,
)
from pytest_aibench.telemetry.watch import Window, energy
from pytest_aibench.training.convergence import END_CONFIDENCE
from pytest_aibench.training.runner import TrainingRun

PERCENTILES = (0.50, 0.90, 0.95, 0.97, 0.99, 0.999)
"""Those that LoadGen reports."""


def inference_fields(result: LoadResult | PeakRun, outcome: Outcome) -> dict[str, Any]:
    """Fields of a benchmark's entry that a load, or a search for a peak, fills."""
    if isinstance(result, PeakRun):
        return _peak_fields(result, outcome)
    return _load_fields(result, outcome)


def _load_fields(result: LoadResult, outcome: Outcome) -> dict[str, Any]:
    quality = _quality_fields(result.answers, outcome)
    return {
        "kind": "inference",
        "load": _load_entry(result),
        **quality,
        "metrics": {**_performance(result), **quality["metrics"]},
        "provenance": dict(result.provenance),
    }


def _peak_fields(result: PeakRun, outcome: Outcome) -> dict[str, Any]:
    quality = _quality_fields(result.answers, outcome)
    peak = _metric(result.found.peak, "higher")
    return {
        "kind": "inference",
        "peak": _peak_entry(result),
        **quality,
        "metrics": {result.search.figure: peak, **quality["metrics"]},
        "provenance": dict(result.provenance),
    }


def _quality_fields(answers: Answers, outcome: Outcome) -> dict[str, Any]:
    judged = [check.name for check in outcome.checks if check.name in metric_names()]
    figures = {name: _quality(answers, name) for name in judged}
    scores = {name: answers.scores(name) for name in judged if figures[name].value is not None}
    is_right_or_wrong = {name: bool(np.isin(each, (0, 1)).all()) for name, each in scores.items()}
    return {
        "dataset": _dataset_entry(answers.dataset),
        "metrics": figures,
        "correct": {name: _bits(scores[name]) for name in scores if is_right_or_wrong[name]},
        "scores": {name: _floats(scores[name]) for name in scores if not is_right_or_wrong[name]},
    }


def training_fields(run: TrainingRun, outcome: Outcome) -> dict[str, Any]:
    """Fields of a benchmark's entry that a training fills."""
    result, task = run.result, run.task
    first, *others = run.entries()
    variation = _metric(result.estimate("variation"), "lower", confidence=END_CONFIDENCE)
    figures = {
        result.metric: _metric(result.quality, metric(result.metric).better),
        "time_to_quality_s": _metric(result.estimate("time_to_quality"), "lower"),
        "epochs_to_quality": _metric(result.estimate("epochs_to_quality"), "lower"),
        "steps_to_quality": _metric(result.estimate("steps_to_quality"), "lower"),
        "energy_to_quality_j": _metric(result.estimate("energy_to_quality"), "lower"),
        "variation": variation,
        "variation_population": _metric(result.estimate("variation_population"), "lower"),
        "s_per_step": _metric(result.estimate("time_per_step"), "lower"),
        "throughput_samples_per_s": _metric(result.estimate("throughput"), "higher"),
    }
    if run.convergence is not None:
        factor, n = run.convergence.factor, len(run.result.by_seed)
        figures["convergence_factor"] = Metric(value=factor, better="lower", n=n)
    return {
        "kind": "training",
        "dataset": _dataset_entry(datasets.get(task.dataset, "test")),
        "training": first,
        "other_seeds": others,
        "metrics": figures,
        "provenance": {**task.provenance, "determinism": result.by_seed[0].determinism},
    }


def load_window(result: LoadResult | PeakRun | TrainingRun) -> Window | None:
    """Begin and end of what was measured, in s; None for a search, which loads again and again."""
    if isinstance(result, LoadResult):
        begin_s = result.load.begin_ns / 1e9
        return begin_s, begin_s + result.load.duration_s
    if isinstance(result, TrainingRun):
        return result.result.window
    return None


def energy_metrics(
    result: LoadResult | PeakRun | TrainingRun, telemetry: Mapping[str, Any]
) -> dict[str, Metric]:
    """The device's energy for each sample of a load, where it was measured."""
    if not isinstance(result, LoadResult):
        return {}
    spent = energy(telemetry, result.load.duration_s)
    if spent.value is None:
        return {}
    value = spent.value / int(result.load.sizes.sum())
    return {"energy_j_per_sample": Metric(value=value, better="lower", n=spent.n)}


def judged_fields(outcome: Outcome) -> dict[str, Any]:
    """Fields of a benchmark's entry that its judgement fills."""
    return {
        "verdict": outcome.verdict.value,
        "checks": [_check_entry(check) for check in outcome.checks],
        "not_judged": [NotJudged(name=name, reason=why) for name, why in outcome.not_judged],
        "violations": list(outcome.violations),
    }


def _check_entry(check: Check) -> CheckEntry:
    return CheckEntry(
        name=check.name,
        value=check.estimate.value,
        low=check.estimate.low,
        high=check.estimate.high,
        unit=check.estimate.unit,
        bound=str(check.bound),
        limit=check.limit,
        margin=check.margin,
        verdict=check.verdict.value,
        reason=check.reason,
    )


def _dataset_entry(dataset: Dataset) -> DatasetEntry:
    return DatasetEntry(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        split=dataset.split,
        n_samples=len(dataset),
        licence=dataset.licence,
        source=dataset.source,
    )


def _load_entry(result: LoadResult) -> LoadEntry:
    load = result.load
    return LoadEntry(
        scenario=result.scenario.name,
        settings=dict(result.settings),
        stopped=load.stopped,
        n_queries=len(load.sizes),
        n_samples=int(load.sizes.sum()),
        duration_s=load.duration_s,
        lateness={
            **_percentiles_ms(load.lateness_ns, ""),
            **_percentiles_ms(load.generator_lateness_ns, "generator_"),
        },
        phases=dict(result.phases_ms),
        tokens={} if load.tokens is None else token_summary(load.tokens),
        histogram=from_latencies(load.latency_ns).to_json(),
    )


def _peak_entry(result: PeakRun) -> PeakEntry:
    scenario, found = result.search.scenario, result.found
    return PeakEntry(
        scenario=scenario.name,
        settings=dict(result.settings),
        unit=result.search.unit,
        percentile=scenario.judged_percentile,
        bound_ms=result.search.bound_s * 1e3,
        stopped=found.stopped,
        curve=[_probe_entry(point) for point in found.curve],
    )


def _probe_entry(point: ProbePoint) -> ProbeEntry:
    probe = point.result
    return ProbeEntry(
        load=probe.rate,
        n_queries=probe.n,
        n_over=probe.over,
        percentile_ms=probe.percentile_s * 1e3,
        duration_s=probe.duration_s,
        verdict=point.verdict.value,
        replication=point.replication,
    )


def _percentiles_ms(values_ns: npt.NDArray[np.int64], prefix: str) -> dict[str, float | None]:
    ordered = np.sort(values_ns) / 1e6
    return {
        f"{prefix}{percentile_figure(p)}_ms": float(ordered[percentile_index(len(ordered), p)])
        for p in (0.50, 0.99)
        if len(ordered)
    }


def _performance(result: LoadResult) -> dict[str, Metric]:
    names = [*map(percentile_figure, PERCENTILES), "mean"]
    figures = {f"{name}_ms": _metric(result.estimate(name), "lower", 1e3) for name in names}
    figures["throughput_samples_per_s"] = _metric(result.estimate("throughput"), "higher")
    return figures if result.load.tokens is None else {**figures, **_tokens(result)}


def _tokens(result: LoadResult) -> dict[str, Metric]:
    times = [f"{kind}_{figure}" for kind in ("ttft", "tpot", "itl") for figure in ("p50", "p99")]
    figures = {f"{name}_ms": _metric(result.estimate(name), "lower", 1e3) for name in times}
    shares = [] if result.slo is None else ["goodput", "goodput_qps"]
    for name in ["tokens_per_s", *shares]:
        figures[name] = _metric(result.estimate(name), "higher")
    return figures


def _quality(answers: Answers, name: str) -> Metric:
    return _metric(answers.quality(name), metric(name).better)


def _metric(
    estimate: Estimate, better: str, factor: float = 1.0, confidence: float = CONFIDENCE
) -> Metric:
    value, low, high = (
        None if figure is None else figure * factor
        for figure in (estimate.value, estimate.low, estimate.high)
    )
    return Metric(
        value=value,
        low=low,
        high=high,
        confidence=None if low is None and high is None else confidence,
        n=estimate.n,
        better=better,
        why_open=estimate.why_open,
    )


def _bits(scores: npt.NDArray[np.float64]) -> str:
    return base64.b64encode(np.packbits(scores == 1).tobytes()).decode("ascii")


def _floats(scores: npt.NDArray[np.float64]) -> str:
    return base64.b64encode(scores.astype("<f4").tobytes()).decode("ascii")
