"""From a result and what is required of it to an outcome: checks, exclusions, one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_aibench.bounds import Bound, Check, Estimate, Verdict, Violation, judge, worst
from pytest_aibench.errors import UserError


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
    """

    checks: tuple[Check, ...]
    not_judged: tuple[tuple[str, str], ...]
    violations: tuple[Violation, ...]
    verdict: Verdict


def judge_all(
    result: Measured, bounds: Mapping[str, Bound], audit: Sequence[Check] = ()
) -> Outcome:
    """Judge a result.

    Args:
        result: The result.
        bounds: What is required of each figure.
        audit: Checks that were made already; they count, but do not suffice.

    Raises:
        UserError: A bound names a figure, a reference or a unit that the result does not have,
            or no bound applies, so that nothing would be judged.
    """
    excluded = {name: reason for name in bounds if (reason := result.excluded(name))}
    checks = tuple(
        _check(result, name, bound) for name, bound in bounds.items() if name not in excluded
    )
    if not checks:
        raise UserError("nothing is judged here: require a figure that this benchmark measures")
    broken = [Verdict.INVALID] if result.violations else []
    checks = (*checks, *audit)
    return Outcome(
        checks=checks,
        not_judged=tuple(excluded.items()),
        violations=tuple(result.violations),
        verdict=worst([check.verdict for check in checks] + broken),
    )


def _check(result: Measured, name: str, bound: Bound) -> Check:
    estimate = result.estimate(name)
    reference = None if bound.reference is None else result.reference(bound.reference, name)
    return judge(name, estimate, bound, reference)
