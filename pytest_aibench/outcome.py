"""From a result and what is required of it to an outcome: checks, exclusions, one verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pytest_aibench.bounds import Bound, Check, Estimate, Verdict, Violation, judge, worst
from pytest_aibench.errors import UserError

CALIBRATING = "its bound is being calibrated"
"""Why a figure is not judged in a session that learns bounds."""


@dataclass(frozen=True, slots=True)
class Required:
    """What is required of a result.

    Attributes:
        bounds: Bounds by figure.
        uncalibrated: Figures whose bound should have been found in a file, and why it was not.

    Raises:
        UserError: What stands for a bound is none.
    """

    bounds: Mapping[str, Bound]
    uncalibrated: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, bound in self.bounds.items():
            if not isinstance(bound, Bound):
                raise UserError(
                    f"{name}={bound!r} is no bound: write at_least({bound!r}) or at_most({bound!r})"
                )

    def __or__(self, more: Required) -> Required:
        """Both; of two bounds on a figure the later one."""
        return Required({**self.bounds, **more.bounds}, {**self.uncalibrated, **more.uncalibrated})


LookUp = Callable[[Mapping[str, Bound]], Required]
"""Finds the bounds that the user takes from a file."""


class Measured(Protocol):
    """A result whose figures can be judged."""

    @property
    def violations(self) -> Sequence[Violation]:
        """Rules the run broke."""

    def estimate(self, name: str) -> Estimate:
        """The figure of that name; UserError listing those there are."""

    def excluded(self, name: str) -> str | None:
        """Why the figure means nothing here, or None."""

    def reference(self, reference: str, name: str) -> float:
        """The reference's value of a figure; UserError listing the references there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a benchmark.

    Attributes:
        checks: Each bound that applies, judged.
        not_judged: Bounds that do not apply: name and reason.
        violations: Rules the run broke.
        verdict: The worst of it all.
        uncalibrated: Figures that have no bound because none has been calibrated.
    """

    checks: tuple[Check, ...]
    not_judged: tuple[tuple[str, str], ...]
    violations: tuple[Violation, ...]
    verdict: Verdict
    uncalibrated: Mapping[str, Estimate] = field(default_factory=dict)


def with_violations(outcome: Outcome, violations: Sequence[Violation]) -> Outcome:
    """The outcome when more rules turn out to be broken."""
    if not violations:
        return outcome
    return replace(
        outcome,
        violations=(*outcome.violations, *violations),
        verdict=Verdict.INVALID,
    )


def judge_all(
    result: Measured,
    bounds: Mapping[str, Bound],
    audit: Sequence[Check] = (),
    uncalibrated: Mapping[str, str] | None = None,
) -> Outcome:
    """Judge a result.

    Args:
        result: The result.
        bounds: What is required of each figure.
        audit: Checks that were made already; they count, but do not suffice.
        uncalibrated: Figures without a bound, and why.

    Raises:
        UserError: A bound names a figure, a reference or a unit that the result does not have,
            or no bound applies, so that nothing would be judged.
    """
    unknown = uncalibrated or {}
    excluded = {name: why for name in (*bounds, *unknown) if (why := result.excluded(name))}
    checks = tuple(
        _check(result, name, bound) for name, bound in bounds.items() if name not in excluded
    )
    not_judged = {**unknown, **excluded}
    if not checks:
        _refuse_unless_calibrating(not_judged.values())
    broken = [Verdict.INVALID] if result.violations else []
    checks = (*checks, *audit)
    return Outcome(
        checks=checks,
        not_judged=tuple(not_judged.items()),
        violations=tuple(result.violations),
        verdict=worst([Verdict.PASSED, *(check.verdict for check in checks), *broken]),
        uncalibrated={name: result.estimate(name) for name in unknown if name not in excluded},
    )


def _refuse_unless_calibrating(reasons: Iterable[str]) -> None:
    """A benchmark must judge something; one that is calibrated measures for later ones."""
    distinct = dict.fromkeys(reasons)
    if CALIBRATING not in distinct:
        why = "; ".join(distinct)
        raise UserError(
            f"nothing is judged here{f' ({why})' if why else ''}: "
            "require a figure that this benchmark measures"
        )


def _check(result: Measured, name: str, bound: Bound) -> Check:
    estimate = result.estimate(name)
    reference = None if bound.reference is None else result.reference(bound.reference, name)
    return judge(name, estimate, bound, reference)
