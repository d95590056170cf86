"""Export to the Bencher Metric Format (https://bencher.dev/v0/bmf.json), for its adapter `json`."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_aibench.results.formats import Exported, Figure, json_text, latest_figures
from pytest_aibench.results.schema import Json, Run

_PREDEFINED = {"mean_ms": ("latency", 1e6), "throughput_samples_per_s": ("throughput", 1.0)}
"""Bencher's own measures, in ns and operations/s, and what takes our figures to their units."""


def export(runs: Sequence[Run]) -> Exported:
    """The last valid figure of each name, by benchmark and measure."""
    found, notes = latest_figures(runs)
    benchmarks: dict[str, dict[str, Json]] = {}
    for figure in found:
        measure, values = _measure(figure)
        benchmark = f"{figure.key.benchmark} @ {figure.key.hardware}"
        benchmarks.setdefault(benchmark, {})[measure] = values
    return Exported({"aibench-bmf.json": json_text(benchmarks)} if benchmarks else {}, notes)


def _measure(figure: Figure) -> tuple[str, dict[str, float]]:
    slug = figure.key.metric.replace("_", "-")
    measure, factor = _PREDEFINED.get(figure.key.metric, (slug, 1.0))
    metric = figure.metric
    ends = {"value": metric.value, "lower_value": metric.low, "upper_value": metric.high}
    return measure, {name: end * factor for name, end in ends.items() if end is not None}
