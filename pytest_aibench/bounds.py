"""What a user requires of a figure, and the verdict on it.

A bound has a sense, a limit and perhaps a reference. Judging compares an estimate (a value with
its interval) with the limit; the outcome is a `Check`, which says everything a reader needs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pytest_aibench.errors import UserError
from pytest_aibench.units import (
    RATIO,
    TIME,
    Quantity,
    format_interval,
    format_quantity,
    parse_quantity,
)

CONFIDENCE = 0.99

_RELATIVE = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*%\s+of\s+(\w+)\s*$")


class Verdict(str, Enum):
    """Outcome of a check or of a benchmark, from best to worst."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    INVALID = "invalid"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides: invalid over failed over inconclusive over passed."""
    return max(verdicts, key=list(Verdict).index)


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit on a figure.

    Attributes:
        at_least: True when larger values satisfy the bound.
        limit: The limit in base units, or the share of the reference (0.99 for "99% of fp32").
        reference: Name of the reference the limit is relative to.
        confident: Ask the whole interval of a quality metric, not its value, to satisfy the limit.
        text: The bound as the user wrote it.
        calibrated: The bound stands in the bounds file of this hardware, see `from_bounds`.
        origin: Where a calibrated bound was found; empty until it is looked up.
    """

    at_least: bool
    limit: Quantity
    reference: str | None
    confident: bool
    text: str
    calibrated: bool = False
    origin: str = ""

    def __str__(self) -> str:
        """``≥ 0.97``, ``≤ 100 ms``, ``≥ 99% of fp32`` or ``≤ 12.3 ms (calibrated)``."""
        source = " (calibrated)" if self.calibrated else ""
        return f"{'≥' if self.at_least else '≤'} {self.text}{source}"


def at_least(limit: str | float, *, confident: bool = False) -> Bound:
    """Require a figure of at least ``limit``, like ``0.97``, ``"50 samples/s"``, ``"99% of fp32"``.

    Raises:
        UserError: The limit is not a quantity with a known unit.
    """
    return _bound(True, limit, confident)


def at_most(limit: str | float, *, confident: bool = False) -> Bound:
    """Require a figure of at most ``limit``, like ``"100 ms"``.

    Raises:
        UserError: The limit is not a quantity with a known unit.
    """
    return _bound(False, limit, confident)


def from_bounds() -> Bound:
    """Require what ``--aibench-calibrate`` learnt of the figure on this class of hardware.

    It stands in ``bounds/<hardware class>.json`` beside the test; where it does not, the figure is
    not judged.
    """
    unknown = Quantity(math.nan, RATIO)
    return Bound(False, unknown, None, False, "the bound of this hardware", calibrated=True)


def _bound(is_at_least: bool, limit: str | float, confident: bool) -> Bound:
    text = limit if isinstance(limit, str) else str(limit)
    relative = _RELATIVE.match(text)
    if relative:
        share = Quantity(float(relative[1]) / 100, RATIO)
        return Bound(is_at_least, share, relative[2], confident, text.strip())
    return Bound(is_at_least, parse_quantity(limit), None, confident, text.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured figure and how far to trust it.

    Attributes:
        value: The figure in its base unit; None when it could not be measured.
        low: Lower end of the two-sided interval; None when the sample cannot support one.
        high: Upper end, likewise.
        unit: Base unit (``s``, ``samples/s``, or none).
        n: Number of observations behind it.
        by_value: Judge the value, not the interval, as MLPerf judges quality targets.
        why_open: What is missing when an end of the interval is None, and how much of it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = RATIO
    n: int = 0
    by_value: bool = False
    why_open: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One bound applied to one figure.

    Attributes:
        limit: The limit in base units; None for a share of a reference that was not measured.
    """

    name: str
    estimate: Estimate
    bound: Bound
    limit: float | None
    verdict: Verdict
    reason: str = ""

    @property
    def margin(self) -> float | None:
        """Distance to the limit as a share of it; negative when the value misses the bound."""
        if self.estimate.value is None or not self.limit:
            return None
        gap = (self.estimate.value - self.limit) / abs(self.limit)
        return gap if self.bound.at_least else -gap


def judge(name: str, estimate: Estimate, bound: Bound, reference: float | None = None) -> Check:
    """Apply a bound to an estimate.

    Args:
        name: The figure's name, for the check.
        estimate: The figure.
        bound: What is required of it.
        reference: The reference's value, for a relative bound.

    Raises:
        UserError: The bound's unit does not fit the figure.
    """
    if bound.reference is None:
        _check_unit(name, estimate, bound)
    limit = _limit(bound, reference)
    verdict, reason = _decide(estimate, bound, limit)
    return Check(
        name=name,
        estimate=estimate,
        bound=bound,
        limit=limit,
        verdict=verdict,
        reason="; ".join(filter(None, (reason, bound.origin))),
    )


def _limit(bound: Bound, reference: float | None) -> float | None:
    if bound.reference is None:
        return bound.limit.value
    return None if reference is None else bound.limit.value * reference


def _check_unit(name: str, estimate: Estimate, bound: Bound) -> None:
    if bound.limit.unit != estimate.unit:
        example = {TIME: "15 ms", RATIO: "0.97", "B": "512 MiB"}.get(
            estimate.unit, f"50 {estimate.unit}"
        )
        where = f", {bound.origin}," if bound.origin else ""
        fix = " or run with --aibench-calibrate" if bound.origin else ""
        raise UserError(
            f"{name}: the bound {bound.text!r}{where} has the wrong unit: "
            f"write it like '{example}'{fix}"
        )


def _decide(estimate: Estimate, bound: Bound, limit: float | None) -> tuple[Verdict, str]:
    if estimate.value is None or not math.isfinite(estimate.value):
        return Verdict.FAILED, f"not measured: {estimate.why_open or f'it is {estimate.value}'}"
    if limit is None:
        return Verdict.FAILED, f"the reference {bound.reference} was not measured"
    sign = 1 if bound.at_least else -1
    if estimate.by_value and not bound.confident:
        met = sign * estimate.value >= sign * limit
        return (Verdict.PASSED if met else Verdict.FAILED), ""
    worse, better = (
        (estimate.low, estimate.high) if bound.at_least else (estimate.high, estimate.low)
    )
    if worse is not None and sign * worse >= sign * limit:
        return Verdict.PASSED, ""
    if better is not None and sign * better < sign * limit:
        return Verdict.FAILED, ""
    return Verdict.INCONCLUSIVE, estimate.why_open or "the interval straddles the bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that a run broke, and the evidence; a run with one is invalid."""

    rule: str
    evidence: str


def figure_with_unit(name: str, unit: str) -> str:
    """A figure's name with its unit in it, as records name metrics: ``p99_s``."""
    return f"{name}_{unit.replace('/', '_per_')}" if unit else name


def format_estimate(estimate: Estimate) -> str:
    """``12.3 ms [11.9, 12.8]``; an open end prints as ``?``."""
    if estimate.value is None:
        return "not measured"
    value = format_quantity(estimate.value, estimate.unit)
    if estimate.low is None and estimate.high is None:
        return value
    interval = format_interval(estimate.low, estimate.high, estimate.value, estimate.unit)
    return f"{value} {interval}"
