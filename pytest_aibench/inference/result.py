"""The result of a benchmark of inference: figures by name, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import Bound, Check, Estimate, Violation
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.inference.job import Mode
from pytest_aibench.loadgen.decision import Estimator
from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.percentiles import figure_percentile
from pytest_aibench.loadgen.token_figures import (
    TOKEN_FIGURES,
    Slo,
    is_token_figure,
    like_figure,
    token_estimate,
)
from pytest_aibench.outcome import LookUp, Outcome, Required, judge_all
from pytest_aibench.quality.metrics import metric, metric_names, per_sample
from pytest_aibench.scenarios import Scenario
from pytest_aibench.units import TIME

PERCENTILES = (0.50, 0.90, 0.95, 0.97, 0.99, 0.999)
"""Those that LoadGen reports."""


@dataclass(frozen=True)
class Answers:
    """The answers of an accuracy pass, and the right ones.

    Attributes:
        dataset: The data, with the right answers.
        by_index: Outputs by sample index.
    """

    dataset: Dataset
    by_index: Mapping[int, Any]

    def scores(self, name: str) -> npt.NDArray[np.float64]:
        """Per-sample scores under a metric, shape (n_samples,)."""
        return per_sample(self._scored(name))

    def quality(self, name: str) -> Estimate:
        """A quality metric with its interval; without a value when samples were not answered."""
        missing = len(self.dataset) - len(self.by_index)
        if missing:
            why = f"{missing} of {len(self.dataset)} samples were not answered"
            return Estimate(value=None, n=len(self.by_index), by_value=True, why_open=why)
        return metric(name).estimate(self._scored(name))

    def _scored(self, name: str) -> npt.NDArray[np.float64]:
        outputs = [self.by_index[index] for index in range(len(self.dataset))]
        return metric(name).scores(outputs, self.dataset.references)


def quality_reference(
    references: Mapping[str, Callable[[str], float]], reference: str, name: str
) -> float:
    """A reference's value of a quality metric.

    Raises:
        UserError: There is no such reference, or the figure is not a quality metric.
    """
    if name not in metric_names():
        raise UserError(
            f"{name}: only quality can be required relative to {reference!r}: "
            "give a bound in absolute units"
        )
    if reference not in references:
        known = ", ".join(references) or "none were given"
        raise UserError(
            f"{name}: unknown reference {reference!r} (known: {known}): "
            f"pass references={{{reference!r}: …}} to loadgen.run"
        )
    return references[reference](name)


def excluded(scenario: Scenario, name: str) -> str | None:
    """Why a scenario does not judge a figure, or None."""
    name = like_figure(name)
    is_latency = name == "mean" or figure_percentile(name) is not None
    return scenario.not_judged.get("latency" if is_latency else name)


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What one benchmark of inference showed.

    Attributes:
        scenario: How the load was made.
        settings: The effective settings, for the record.
        load: The stamps of every query.
        answers: The accuracy pass.
        references: Quality of each reference, by the metric's name.
        violations: Rules broken, in the accuracy pass or under load.
        bounds: What was required before the load, the scenario's own latency bound included.
        provenance: Facts about the model.
        phases_ms: Mean time per call in each phase of the model.
        estimator: Makes intervals that fit the way the load was ended.
        slo: What is promised of token streams, for goodput.
        audit: Checks of an audit, which are judged along with every bound.
        mode: What ran.
        uncalibrated: Figures whose bound should have been in a file, and why it is not.
        look_up: Finds the bounds that stand in a file.
        settle: Takes the outcome; raises what fails the test.
    """

    scenario: Scenario
    settings: Mapping[str, Any]
    load: Load
    answers: Answers
    references: Mapping[str, Callable[[str], float]]
    violations: tuple[Violation, ...]
    bounds: Mapping[str, Bound]
    provenance: Mapping[str, Any]
    phases_ms: Mapping[str, float]
    estimator: Estimator
    slo: Slo | None = None
    audit: tuple[Check, ...] = ()
    mode: Mode = Mode.SUBMISSION
    uncalibrated: Mapping[str, str] = field(default_factory=dict)
    look_up: LookUp = field(default=Required, repr=False)
    settle: Callable[[LoadResult, Outcome], None] = field(repr=False)

    def require(self, **bounds: Bound) -> None:
        """Judge the figures; one failure names all of them.

        Args:
            bounds: What is required of each figure, beside what was required before the load.

        Raises:
            BenchmarkFailed: A bound is missed, or the run is invalid.
            UserError: A bound names no figure of this result, or has the wrong unit.
        """
        __tracebackhide__ = True
        required = Required(self.bounds, self.uncalibrated) | self.look_up(bounds)
        self.settle(self, judge_all(self, required.bounds, self.audit, required.uncalibrated))

    def estimate(self, name: str) -> Estimate:
        """A figure: ``p50`` … ``p999``, ``mean``, ``throughput``, of tokens, or of quality.

        Raises:
            UserError: There is no such figure.
        """
        percentile = figure_percentile(name)
        if percentile is not None:
            return _with_advice(self.estimator.percentile(self.sorted_latencies_s, percentile))
        if name == "mean":
            return self._mean()
        if name == "throughput":
            return self.estimator.throughput(self.load.completions)
        if is_token_figure(name):
            return token_estimate(name, self.load, self.estimator, self.slo)
        if name in metric_names():
            return self.answers.quality(name)
        known = ", ".join(["p50 … p999", "mean", "throughput", *TOKEN_FIGURES, *metric_names()])
        raise UserError(f"this benchmark has no figure {name!r}: use one of {known}")

    def excluded(self, name: str) -> str | None:
        """Why a figure is not judged in this scenario or mode, or None."""
        return excluded(self.scenario, name) or self._not_run(name)

    def reference(self, reference: str, name: str) -> float:
        """A reference's value of a quality metric.

        Raises:
            UserError: There is no such reference, or the figure is not a quality metric.
        """
        return quality_reference(self.references, reference, name)

    def _not_run(self, name: str) -> str | None:
        self.estimate(name)  # a figure that does not exist is a mistake in every mode
        is_quality = name in metric_names()
        if self.mode is Mode.ACCURACY and not is_quality:
            return "accuracy mode has no load: use --aibench-mode submission"
        if self.mode is Mode.PERFORMANCE and is_quality:
            return "performance mode has no accuracy pass: use --aibench-mode submission"
        return None

    @cached_property
    def sorted_latencies_s(self) -> npt.NDArray[np.float64]:
        """Latencies in seconds, ascending."""
        latency_ns = self.load.latency_ns
        latency_ns.sort()
        return latency_ns / 1e9

    def _mean(self) -> Estimate:
        latencies = self.sorted_latencies_s
        if not len(latencies):
            return Estimate(value=None, unit=TIME, why_open="no query completed")
        why = "the mean of latencies has no distribution-free interval: judge a percentile"
        return Estimate(value=float(latencies.mean()), unit=TIME, n=len(latencies), why_open=why)


def _with_advice(estimate: Estimate) -> Estimate:
    """Say how to get the queries that a percentile lacks."""
    if estimate.value is None or not estimate.why_open:
        return estimate
    advice = "give the scenario min_queries=, or loadgen.run the bounds="
    return replace(estimate, why_open=f"{estimate.why_open}; {advice}")
