"""What several trainings say together: mean cost, variation, and whether it is too good.

The rules are those of MLPerf Training (results, reference convergence points) and AIBench's
run-to-run variation. Costs are epochs or seconds to quality; ``math.inf`` never got there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from pytest_aibench.errors import UserError

ALPHA = 0.05
"""Chance that trainings like the reference are called too fast."""

FEWEST_SEEDS = 3
"""Of which an olympic mean is left."""

END_CONFIDENCE = 0.975
"""Confidence of each end of the interval of the variation."""


def olympic(costs: Sequence[float], drop: int = 1) -> tuple[float, ...]:
    """The costs without the ``drop`` lowest and highest, in rising order.

    A training that did not converge may be among the highest; if one is left, so is ``math.inf``.

    Raises:
        UserError: Nothing would be left.
    """
    if len(costs) <= 2 * drop:
        raise UserError(
            f"{len(costs)} trainings are too few to drop {drop} at each end: "
            f"run at least {2 * drop + 1}"
        )
    return tuple(sorted(costs)[drop : len(costs) - drop])


def olympic_mean(costs: Sequence[float], drop: int = 1) -> float:
    """The result of MLPerf Training; infinite when more than ``drop`` trainings did not converge.

    Raises:
        UserError: Too few trainings.
    """
    return math.fsum(kept := olympic(costs, drop)) / len(kept)


def mean_cost(costs: Sequence[float]) -> float:
    """The olympic mean of three costs or more, else the mean; infinite as in `olympic_mean`."""
    return olympic_mean(costs) if len(costs) >= FEWEST_SEEDS else math.fsum(costs) / len(costs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """Run-to-run variation: the coefficient of variation of n costs, as a share of their mean.

    AIBench does not say which standard deviation it takes, so both are here.

    Attributes:
        n: Trainings.
        population: With the standard deviation of these trainings (``ddof=0``).
        sample: With that estimated for all trainings (``ddof=1``).
        low: Lower end of the two-sided 95 % interval of ``sample``.
        high: Upper end.
    """

    n: int
    population: float
    sample: float
    low: float
    high: float


def variation(costs: Sequence[float]) -> Variation:
    """Run-to-run variation, with Vangel's interval (The American Statistician 50, 1996, eq. 5).

    Raises:
        UserError: Fewer than two trainings, or one that did not converge.
    """
    from scipy.stats import chi2

    if len(costs) < 2 or not all(map(math.isfinite, costs)):
        raise UserError(
            f"the variation of {costs!r} is unknown: it takes two trainings or more, all converged"
        )
    n, mean = len(costs), float(np.mean(costs))
    sample = float(np.std(costs, ddof=1)) / mean

    def end(quantile: float) -> float:
        u = float(chi2.ppf(quantile, n - 1))
        under_root = ((u + 2) / n - 1) * sample**2 + u / (n - 1)
        return sample / math.sqrt(under_root) if under_root > 0 else math.inf

    return Variation(
        n=n,
        population=float(np.std(costs)) / mean,
        sample=sample,
        low=end(END_CONFIDENCE),
        high=end(1 - END_CONFIDENCE),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """How many epochs a trusted implementation takes at one batch size.

    Attributes:
        batch_size: Samples in a step.
        mean: Mean of the epochs, the lowest and highest dropped.
        sd: Their standard deviation (``ddof=0``).
        n: How many were left.
        target: The quality that they were trained to; None where it is not told.
    """

    batch_size: float
    mean: float
    sd: float
    n: int
    target: float | None = None

    @staticmethod
    def of(batch_size: float, epochs: Sequence[float], drop: int = 1) -> Reference:
        """Sum up the trainings of the reference.

        The published policy takes the deviation of what is left; the checker that goes with it
        takes that of all trainings, which is more lenient. This follows the policy.

        Raises:
            UserError: Too few trainings, or one of those that are left did not converge.
        """
        if len(epochs) < 2 * drop + 2:  # one that is left does not vary
            raise UserError(
                f"{len(epochs)} trainings are too few for a reference: run at least {2 * drop + 2}"
            )
        kept = olympic(epochs, drop)
        if not math.isfinite(kept[-1]):
            raise UserError(
                f"more than {drop} of the trainings at batch size {batch_size:g} did not converge"
            )
        return Reference(
            batch_size=batch_size, mean=float(np.mean(kept)), sd=float(np.std(kept)), n=len(kept)
        )

    def fastest(self, n: int) -> float:
        """The lowest mean of n trainings, the dropped ones apart, that chance still explains.

        A one-sided t-test with the reference's deviation on both sides.
        """
        from scipy.stats import t

        error = self.sd * math.sqrt(1 / self.n + 1 / n)
        return self.mean - float(t.ppf(1 - ALPHA, self.n + n - 2)) * error


References = Mapping[str, Sequence[Reference]]
"""References by task."""


def read_references(path: Path) -> References:
    """Read reference convergence points in MLPerf's format, as ``aibench export rcp`` writes them.

    Beside MLPerf's fields a point may have a ``Target``, and ``null`` among its epochs for a
    training that missed it. Points of one task, batch size and target are taken together.

    Raises:
        UserError: The file cannot be read, holds something else, or too few trainings.
    """
    references: dict[str, list[Reference]] = {}
    for (task, batch_size, target), epochs in _read_points(path).items():
        try:
            reference = Reference.of(batch_size, epochs)
        except UserError as error:
            raise UserError(f"{path}: {task}: {error}") from None
        references.setdefault(task, []).append(replace(reference, target=target))
    return references


def _read_points(path: Path) -> dict[tuple[str, float, float | None], list[float]]:
    """Epochs by task, batch size and target."""
    found: dict[tuple[str, float, float | None], list[float]] = {}
    try:
        for point in json.loads(path.read_bytes()).values():
            key = str(point["Benchmark"]), float(point["BS"]), point.get("Target")
            found.setdefault(key, []).extend(map(_epochs, point["Epochs to converge"]))
    except OSError as error:
        raise UserError(
            f"cannot read {path} ({error.strerror}): name a file from `aibench export rcp`"
        ) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} holds no reference convergence points ({type(error).__name__}: {error}): "
            "write it with `aibench export rcp`"
        ) from None
    if not found:
        raise UserError(
            f"{path} holds no reference convergence points: write it with `aibench export rcp`"
        )
    return found


def _epochs(value: float | None) -> float:
    """Epochs of one training, infinite for one that missed its target."""
    if value is None:
        return math.inf
    if not value > 0:
        raise ValueError(f"a training takes more than {value!r} epochs")
    return float(value)


def at_batch_size(references: Sequence[Reference], batch_size: int) -> Reference:
    """The reference at a batch size, between two of them by a straight line.

    Points above the line between their neighbours are left out first, for a larger batch never
    needs fewer epochs. Below the smallest batch size that one holds.

    Raises:
        UserError: The batch is larger than that of all references.
    """
    hull = _lower_hull(references)
    if batch_size <= hull[0].batch_size:
        return hull[0]
    for low, high in pairwise(hull):
        if batch_size <= high.batch_size:
            share = (batch_size - low.batch_size) / (high.batch_size - low.batch_size)
            return Reference(
                batch_size=batch_size,
                mean=low.mean + share * (high.mean - low.mean),
                sd=low.sd + share * (high.sd - low.sd),
                n=min(low.n, high.n),
            )
    raise UserError(
        f"no reference reaches batch size {batch_size}, the largest is {hull[-1].batch_size:g}: "
        "run the reference implementation there"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """Whether trainings converge as the reference does.

    Attributes:
        reference: What they are held against.
        mean: Their olympic mean of epochs.
        fastest: The lowest that chance explains.
    """

    reference: Reference
    mean: float
    fastest: float

    @property
    def accepted(self) -> bool:
        """Not faster than chance explains: the mathematics is the reference's."""
        return self.mean >= self.fastest

    @property
    def factor(self) -> float:
        """By what a result in seconds is multiplied: lucky seeds gain nothing."""
        return max(1.0, self.reference.mean / self.mean)


def check_convergence(
    epochs: Sequence[float], references: Sequence[Reference], batch_size: int, drop: int = 1
) -> Convergence:
    """Hold trainings against reference convergence points, as MLPerf Training does.

    Raises:
        UserError: Too few trainings, or no reference for the batch size.
    """
    reference = at_batch_size(references, batch_size)
    kept = len(epochs) - 2 * drop
    mean = olympic_mean(epochs, drop)
    return Convergence(reference=reference, mean=mean, fastest=reference.fastest(kept))


def _lower_hull(references: Sequence[Reference]) -> list[Reference]:
    if not references:
        raise UserError("there is no reference: give one at least")
    hull: list[Reference] = []
    for point in sorted(references, key=lambda reference: reference.batch_size):
        while len(hull) > 1 and _is_above(hull[-1], hull[-2], point):
            hull.pop()
        hull.append(point)
    return hull


def _is_above(point: Reference, left: Reference, right: Reference) -> bool:
    share = (point.batch_size - left.batch_size) / (right.batch_size - left.batch_size)
    return point.mean > left.mean + share * (right.mean - left.mean)
