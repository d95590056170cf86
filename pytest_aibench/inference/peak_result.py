"""The result of a search for a peak: the highest load within the latency bound, and quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_aibench.bounds import Bound, Estimate, Violation
from pytest_aibench.errors import UserError
from pytest_aibench.inference.peak import PeakFound, PeakSearch
from pytest_aibench.inference.result import Answers, quality_reference
from pytest_aibench.outcome import LookUp, Outcome, Required, judge_all
from pytest_aibench.quality.metrics import metric_names


@dataclass(frozen=True, kw_only=True)
class PeakRun:
    """What a search for a peak showed.

    Attributes:
        search: What was searched.
        settings: The effective settings, for the record.
        found: The answer and the curve.
        answers: The accuracy pass.
        references: Quality of each reference, by the metric's name.
        provenance: Facts about the model.
        look_up: Finds the bounds that stand in a file.
        settle: Takes the outcome; raises what fails the test.
    """

    search: PeakSearch
    settings: Mapping[str, Any]
    found: PeakFound
    answers: Answers
    references: Mapping[str, Callable[[str], float]]
    provenance: Mapping[str, Any]
    look_up: LookUp = field(default=Required, repr=False)
    settle: Callable[[PeakRun, Outcome], None] = field(repr=False)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Rules broken, in the accuracy pass or by a probe."""
        return self.found.violations

    def require(self, **bounds: Bound) -> None:
        """Judge the figures; one failure names all of them.

        Raises:
            BenchmarkFailed: A bound is missed, or the run is invalid.
            UserError: A bound names no figure of this result, or has the wrong unit.
        """
        __tracebackhide__ = True
        required = self.look_up(bounds)
        self.settle(self, judge_all(self, required.bounds, (), required.uncalibrated))

    def estimate(self, name: str) -> Estimate:
        """``peak_qps`` or ``peak_streams``, or a quality metric.

        Raises:
            UserError: There is no such figure.
        """
        if name == self.search.figure:
            return self.found.peak
        if name in metric_names():
            return self.answers.quality(name)
        known = ", ".join([self.search.figure, *metric_names()])
        raise UserError(f"this benchmark has no figure {name!r}: use one of {known}")

    def excluded(self, name: str) -> str | None:
        """None: every figure of a search can be judged."""
        return None

    def reference(self, reference: str, name: str) -> float:
        """A reference's value of a quality metric.

        Raises:
            UserError: There is no such reference, or the figure is not a quality metric.
        """
        return quality_reference(self.references, reference, name)
