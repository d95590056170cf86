"""A session against its history: which figures gate, and what becomes of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_aibench.regression.acceptance import Acceptance
from pytest_aibench.regression.baseline import (
    Baseline,
    Policy,
    at_accepted_level,
    choose,
    differing_from,
)
from pytest_aibench.regression.comparison import Change, Comparison, Evidence, kind_of
from pytest_aibench.regression.correctness import (
    compare_correctness,
    compare_scores,
    correct_bits,
    sample_scores,
)
from pytest_aibench.regression.suite import SuiteComparison, compare_suite
from pytest_aibench.results.identity import CANARY, SeriesKey, factors, invalid_reason, series_keys
from pytest_aibench.results.index import Index, Point
from pytest_aibench.results.schema import BenchmarkEntry, Metric, Run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_Array = TypeVar("_Array", bound="npt.NDArray[Any]")

LOOK_BACK = 120
"""Runs of a series among which a baseline is sought: branches and uncommitted runs are in it."""

_FLOAT32_ERROR = 1e-5
_LATENCIES = ("p50_ms", "p99_ms")
_TOKENS = ("ttft_p50_ms", "tpot_p50_ms", "tokens_per_s")
_BY_SCENARIO = {
    "single_stream": _LATENCIES,
    "multi_stream": _LATENCIES,
    "server": (*_LATENCIES, *_TOKENS),
    "users": (*_LATENCIES, *_TOKENS, "throughput_samples_per_s"),
    # An offline query's latency is the length of the run.
    "offline": ("throughput_samples_per_s",),
}
_OTHERS = ("steps_to_quality", "s_per_step", "peak_qps", "peak_streams", "energy_j_per_sample")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """One figure of the session.

    Attributes:
        key: Its series.
        comparison: What it came to.
        baseline: What it was compared with.
    """

    key: SeriesKey
    comparison: Comparison
    baseline: Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """A session against its history.

    Attributes:
        rows: Every figure that gates.
        suite: The comparisons, with what moved the whole suite.
        source: What the baselines are, like ``main at 1a2b3c4``.
        notes: What a reader should know, like that the clone is shallow.
    """

    rows: tuple[Gated, ...]
    suite: SuiteComparison
    source: str
    notes: tuple[str, ...]

    @property
    def suspects(self) -> list[Gated]:
        """Figures that a second run should confirm or refute."""
        return [row for row in self.rows if row.comparison.suspect]

    def having(self, change: Change) -> list[Gated]:
        """The figures with a verdict."""
        return [row for row in self.rows if row.comparison.change is change]

    @property
    def regressed(self) -> bool:
        """Whether anything got worse, the suite as a whole included."""
        return self.suite_regressed or bool(self.having(Change.REGRESSED))

    @property
    def suite_regressed(self) -> bool:
        """Whether all timings got worse together though the machine itself did not."""
        machine = any(canary.change is Change.REGRESSED for canary in self.suite.canaries)
        moved = any(shift.change is Change.REGRESSED for shift in self.suite.shifts)
        return moved and not machine


def gate(runs: Sequence[Run], index: Index, policy: Policy) -> GateReport:
    """Compare the runs of a session, its shards or repetitions, with their baselines.

    Args:
        runs: The session.
        index: The history, which may hold the session itself.
        policy: Which runs may be a baseline.
    """
    figures = _figures(runs)
    earlier, past = _earlier(figures, index, runs, policy), _Past(index, runs, policy)
    weighed = [_weigh(key, figures[key], earlier[key], policy, past) for key in figures]
    open_ones = [row for row in weighed if row.settled is None]
    suite = compare_suite(
        [row.evidence for row in open_ones if row.key.benchmark != CANARY],
        canaries=[row.evidence for row in open_ones if row.key.benchmark == CANARY],
    )
    verdicts = {id(comparison.evidence): comparison for comparison in suite.rows}
    rows = tuple(
        Gated(
            key=row.key,
            comparison=row.settled or _accepted(row, verdicts[id(row.evidence)]),
            baseline=row.baseline,
        )
        for row in weighed
        if row.key.benchmark != CANARY
    )
    notes = tuple(filter(None, (policy.ancestry.note,)))
    return GateReport(rows=rows, suite=suite, source=policy.source, notes=notes)


def _accepted(row: _Weighed, comparison: Comparison) -> Comparison:
    """The comparison, or that with the level that was accepted, if it is as good as that."""
    level = at_accepted_level(row.key, row.baseline)
    suspicious = comparison.suspect or comparison.change is Change.REGRESSED
    if level is None or level.acceptance is None or not suspicious:
        return comparison
    evidence = replace(row.evidence, baseline=level.values, history=level.spread, sessions=())
    (anew,) = compare_suite([evidence]).rows
    if anew.suspect or anew.change is Change.REGRESSED:
        return comparison
    reason = _accepted_reason(level.acceptance)
    return replace(anew, change=Change.NOT_WORSE, reason=reason, accepted=True)


def _accepted_reason(acceptance: Acceptance) -> str:
    day = acceptance.accepted_at[:10]
    return f"at the level that was accepted on {day}: {acceptance.reason}"


def may_gate(metric: str) -> bool:
    """Whether the metric gates in some benchmarks."""
    of_loads = {name for names in _BY_SCENARIO.values() for name in names}
    return kind_of(metric).absolute or metric in (*_OTHERS, *of_loads)


def is_gated(entry: BenchmarkEntry, metric: str) -> bool:
    """Whether a change of the metric fails the benchmark; the others are for information.

    Of figures that say the same, one is enough: each more costs power.
    """
    if kind_of(metric).absolute or metric in _OTHERS:
        return True
    return entry.load is not None and metric in _BY_SCENARIO.get(entry.load.scenario, _LATENCIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """A figure of one run of the session; ``entry`` is None for a canary."""

    run: Run
    entry: BenchmarkEntry | None
    metric: Metric


def _figures(runs: Iterable[Run]) -> dict[SeriesKey, list[_Figure]]:
    found: dict[SeriesKey, list[_Figure]] = {}
    for run in runs:
        for key, (entry, metric) in series_keys(run).items():
            if entry is None or is_gated(entry, key.metric):
                figure = _Figure(run=run, entry=entry, metric=metric)
                found.setdefault(key, []).append(figure)
    return found


def _earlier(
    keys: Iterable[SeriesKey], index: Index, runs: Sequence[Run], policy: Policy
) -> Mapping[SeriesKey, list[Point]]:
    """Points of other sessions, oldest first; those of named runs may be of any age."""
    own = {run.run_id for run in runs}
    groups = {run.group_id for run in runs if run.group_id and policy.only is None}
    found = index.latest(keys, LOOK_BACK if policy.only is None else None)
    return {
        key: [p for p in points if p.run_id not in own and p.group_id not in groups]
        for key, points in found.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighed:
    """A figure with what speaks for and against it; what is settled needs no test beside others."""

    key: SeriesKey
    evidence: Evidence
    baseline: Baseline
    settled: Comparison | None


def _weigh(
    key: SeriesKey,
    figures: Sequence[_Figure],
    points: Sequence[Point],
    policy: Policy,
    past: _Past,
) -> _Weighed:
    baseline = choose(key, points, past.differing[figures[0].run.run_id], policy)
    evidence = _evidence(key, figures, baseline)
    settled = _obstacle(evidence, figures, baseline) or _by_samples(key, figures, baseline, past)
    return _Weighed(key=key, evidence=evidence, baseline=baseline, settled=settled)


def _evidence(key: SeriesKey, figures: Sequence[_Figure], baseline: Baseline) -> Evidence:
    again = (
        figure.entry.confirmation[key.metric].value
        for figure in figures
        if figure.entry is not None and key.metric in figure.entry.confirmation
    )
    return Evidence(
        name=key.benchmark,
        metric=key.metric,
        better=figures[0].metric.better,
        baseline=baseline.values,
        candidate=tuple(_known(figure.metric.value for figure in figures)),
        again=tuple(_known(again)),
        history=baseline.spread,
        sessions=tuple(point.session for point in baseline.points),
        hardware=key.hardware,
        n=min(figure.metric.n for figure in figures),
    )


def _known(values: Iterable[float | None]) -> Iterator[float]:
    return (value for value in values if value is not None)


def _obstacle(
    evidence: Evidence, figures: Sequence[_Figure], baseline: Baseline
) -> Comparison | None:
    """What forbids a test, or makes it needless."""
    reasons = (invalid_reason(figure.run, figure.entry) for figure in figures)
    if invalid := next(filter(None, reasons), ""):
        return Comparison(evidence=evidence, change=Change.INVALID, reason=invalid)
    acceptance = baseline.acceptance
    if acceptance is not None and any(f.run.run_id == acceptance.run_id for f in figures):
        reason = _accepted_reason(acceptance)
        return Comparison(evidence=evidence, change=Change.NOT_WORSE, reason=reason, accepted=True)
    if baseline.confounded:
        differences = (f"{name}: {a} → {b}" for name, (a, b) in baseline.confounded.items())
        reason = f"confounded by {', '.join(differences)}"
        return Comparison(evidence=evidence, change=Change.CONFOUNDED, reason=reason)
    return None


class _Past:
    """Earlier runs as the session sees them, each looked at once though it is in many series."""

    def __init__(self, index: Index, runs: Sequence[Run], policy: Policy) -> None:
        self._index = index
        self.differing = {run.run_id: differing_from(factors(run), policy) for run in runs}
        self._entries: dict[str, dict[SeriesKey, BenchmarkEntry | None]] = {}

    def entry(self, run_id: str, key: SeriesKey) -> BenchmarkEntry | None:
        if run_id not in self._entries:
            found = series_keys(self._index.run(run_id)).items()
            self._entries[run_id] = {of: entry for of, (entry, _) in found}
        return self._entries[run_id][key]


def _by_samples(
    key: SeriesKey, figures: Sequence[_Figure], baseline: Baseline, past: _Past
) -> Comparison | None:
    """Compare a score sample by sample, where runs of the same code give the very same answers.

    Where they do not, as after a training, its spread between runs is what counts.
    """
    if not kind_of(key.metric).absolute or len(set(baseline.values)) != 1:
        return None
    entries = past.entry(baseline.points[-1].run_id, key), figures[-1].entry
    if bits := _paired(_bits, entries, key.metric):
        return compare_correctness(key.benchmark, key.metric, *bits)
    if scores := _paired(_scores, entries, key.metric):
        return compare_scores(key.benchmark, key.metric, figures[-1].metric.better, *scores)
    return None


def _paired(
    kept: Callable[[BenchmarkEntry, str], _Array | None],
    entries: tuple[BenchmarkEntry | None, BenchmarkEntry | None],
    metric: str,
) -> tuple[_Array, _Array] | None:
    """What both records keep of the same samples."""
    before, now = (None if entry is None else kept(entry, metric) for entry in entries)
    if before is None or now is None or len(before) != len(now):
        return None
    return before, now


def _bits(entry: BenchmarkEntry, metric: str) -> npt.NDArray[np.bool_] | None:
    """Which samples were answered right, if the record tells."""
    if entry.dataset is None or metric not in entry.correct:
        return None
    return correct_bits(entry.correct[metric], entry.dataset.n_samples)


def _scores(entry: BenchmarkEntry, metric: str) -> npt.NDArray[np.float64] | None:
    """The samples' scores, if the record tells them and the figure is their mean."""
    if entry.dataset is None or metric not in entry.scores:
        return None
    scores = sample_scores(entry.scores[metric], entry.dataset.n_samples)
    figure = entry.metrics[metric].value
    is_mean = figure is not None and math.isclose(scores.mean(), figure, rel_tol=_FLOAT32_ERROR)
    return scores if is_mean else None
