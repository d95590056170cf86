"""Export to github-action-benchmark: one list for each direction in which figures are better.

The action reads one direction in a step: ``customSmallerIsBetter`` or ``customBiggerIsBetter``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_aibench.results.formats import Exported, Figure, json_text, latest_figures
from pytest_aibench.results.schema import Json, Run
from pytest_aibench.units import format_interval

_FILES = {"lower": "aibench-smaller.json", "higher": "aibench-bigger.json"}


def export(runs: Sequence[Run]) -> Exported:
    """The last valid figure of each name in two files; one without figures is not written."""
    found, notes = latest_figures(runs)
    lists = {
        file: [_entry(figure) for figure in found if figure.metric.better == better]
        for better, file in _FILES.items()
    }
    return Exported({file: json_text(entries) for file, entries in lists.items() if entries}, notes)


def _entry(figure: Figure) -> dict[str, Json]:
    metric, value = figure.metric, figure.metric.value or 0.0
    entry = {"name": figure.name, "unit": figure.unit, "value": value}
    if metric.low is not None or metric.high is not None:
        entry["range"] = format_interval(metric.low, metric.high, value, "")
    return {**entry, "extra": _tooltip(figure)}


def _tooltip(figure: Figure) -> str:
    verdict = figure.entry.verdict if figure.entry else ""
    facts = {
        "verdict": verdict,
        "observations": figure.metric.n,
        "set-up": figure.key.setup,
        "run": figure.run.run_id,
    }
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items() if fact)
