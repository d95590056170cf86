"""Change points beside otava's and ruptures': what is found, and what is cried over nothing.

The labelled series are all those that ``otava-test-data`` makes of its own accord, for several
seeds. A found change is right within 5 runs of a labelled one; each label is found at most once.
Labels count where the level changes: outliers, changes of the variance and of a phase do not.
All learn the noise from the series; otava runs with its defaults.

Run it from the repository with ``python -m benchmarks.harness.change_point_accuracy``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import log
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness._rows import Row, run
from pytest_aibench.regression.change_points import change_points
from pytest_aibench.regression.step_detectors import divisive_steps

Series = NDArray[np.float64]
Detector = Callable[[Series], list[int]]
Family = Callable[[np.random.Generator, int], Series]

SEEDS = (42, 1, 2, 3, 4, 5)
TOLERANCE_RUNS = 5
LEAST_F1 = 0.84
LEVEL_CHANGES = frozenset({"step", "regression_start", "regression_end"})
SIZES = {50: 60, 150: 40, 300: 30}
MOST_FALSE = 0.15
MOST_FALSE_WANDERING = 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """How many changes were found, how many of them are right, and how many there are."""

    right: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        """Share of the found that is right."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the true that was found."""
        return self.right / self.true

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / (self.found + self.true)


def main() -> int:
    """Measure accuracy, false alarms and time."""
    return run("Change points beside those of others.", measure)


def measure() -> list[Row]:
    """All rows."""
    return [*_accuracy_rows(), *_false_alarm_rows(), *_time_rows()]


def ours(series: Series) -> list[int]:
    """Our change points."""
    return [change.index for change in change_points(series.tolist())]


def divisive_alone(series: Series) -> list[int]:
    """One of our three detectors without the others and without clipping."""
    return divisive_steps((series - np.median(series)) / (np.ptp(series) or 1.0))


def otava(series: Series) -> list[int]:
    """Apache otava's change points, with its defaults."""
    found, _ = import_module("otava.analysis").compute_change_points(series.tolist())
    return [change.index for change in found]


def ruptures(series: Series) -> list[int]:
    """The partition of ruptures with the usual penalty, 2 s^2 ln(n), s by differences."""
    variance = max(float(np.median(np.abs(np.diff(series))) / 0.6745) ** 2 / 2, 1e-12)
    search = import_module("ruptures").KernelCPD("linear", min_size=5).fit(series)
    return list(search.predict(pen=2 * variance * log(len(series))))[:-1]


OTHERS: Mapping[str, Detector] = {"otava": otava, "ruptures": ruptures}


def labelled(seeds: Iterable[int]) -> list[tuple[Series, list[int]]]:
    """The series of ``otava-test-data`` with the runs at which their level changes."""
    combiner = import_module("otava_test_data.generators.combiner")
    cases: list[Any] = []
    for seed in seeds:
        cases += combiner.CombinationGenerator(seed=seed).generate_all_test_cases()
    return [
        (case.data, sorted({c.index for c in case.change_points if c.change_type in LEVEL_CHANGES}))
        for case in cases
    ]


def score(detect: Detector, cases: Sequence[tuple[Series, list[int]]]) -> Score:
    """Count over all series."""
    results = [(detect(series), true) for series, true in cases]
    return Score(
        right=sum(_right(found, true) for found, true in results),
        found=sum(len(found) for found, _ in results),
        true=sum(len(true) for _, true in results),
    )


def _right(found: Sequence[int], true: Sequence[int]) -> int:
    left = list(true)
    for place in found:
        near = [label for label in left if abs(label - place) <= TOLERANCE_RUNS]
        if near:
            left.remove(min(near, key=lambda label: abs(label - place)))
    return len(true) - len(left)


def _autocorrelated(share: float) -> Family:
    def series(rng: np.random.Generator, n: int) -> Series:
        from scipy.signal import lfilter

        return 100 + np.asarray(lfilter([1], [1, -share], rng.standard_normal(n + 200)))[200:]

    return series


def _outages(rng: np.random.Generator, n: int) -> Series:
    factor = np.where(rng.random(n) < 0.01, rng.uniform(2, 20, n), 1.0)
    return (100 + rng.standard_normal(n)) * factor


QUIET: Mapping[str, Family] = {
    "white noise": lambda rng, n: 100 + rng.standard_normal(n),
    "AR(1) 0.3": _autocorrelated(0.3),
    "AR(1) 0.6": _autocorrelated(0.6),
    "heavy tails (t, 3 degrees)": lambda rng, n: 100 + rng.standard_t(3, n),
    "log-normal": lambda rng, n: 10 * np.exp(0.5 * rng.standard_normal(n)),
    "whole milliseconds": lambda rng, n: np.rint(20 + 0.6 * rng.standard_normal(n)),
    "ties, 6 % one more": lambda rng, n: np.where(rng.random(n) < 0.06, 21.0, 20.0),
    "two speeds": lambda rng, n: 100 + 5 * (rng.random(n) < 0.5) + 2 * rng.standard_normal(n),
    "outages, 1 % of the runs": _outages,
    "pairs of outliers": lambda rng, n: (
        100 + rng.standard_normal(n) + 12 * np.repeat(rng.random(n) < 0.005, 2)[:n]
    ),
    "drift, 1 % of the noise per run": lambda rng, n: (
        100 + rng.standard_normal(n) + 0.01 * np.arange(n)
    ),
}


def false_alarms_per_1000(detect: Detector, family: Family, seed: int = 23) -> float:
    """Change points per 1000 runs of series whose level never changes."""
    rng = np.random.default_rng(seed)
    series = [family(rng, n) for n, repeats in SIZES.items() for _ in range(repeats)]
    return 1000 * sum(len(detect(one)) for one in series) / sum(map(len, series))


def _accuracy_rows() -> list[Row]:
    cases = labelled(SEEDS)
    mine = score(ours, cases)
    rows = [
        Row("precision", mine.precision, None, None, "none", True),
        Row("recall", mine.recall, None, None, "none", True),
        Row("F1", mine.f1, None, None, f"at least {LEAST_F1}", mine.f1 >= LEAST_F1),
    ]
    for name in filter(find_spec, OTHERS):
        theirs = score(OTHERS[name], cases)
        rows += [
            Row(f"{figure}, {name} beside", ours_, other, ours_ / other, "none", True)
            for figure, ours_, other in (
                ("precision", mine.precision, theirs.precision),
                ("recall", mine.recall, theirs.recall),
                ("F1", mine.f1, theirs.f1),
            )
        ]
    return rows


def _false_alarm_rows() -> list[Row]:
    rows = []
    for name, family in QUIET.items():
        mine, other = (false_alarms_per_1000(detect, family) for detect in (ours, divisive_alone))
        most = MOST_FALSE_WANDERING if name == "AR(1) 0.6" else MOST_FALSE
        measure = f"false per 1000 runs, E-divisive alone beside: {name}"
        rows.append(Row(measure, mine, other, None, f"at most {most}", mine <= most))
    return rows


def _time_rows() -> list[Row]:
    rng = np.random.default_rng(5)
    quiet = 100 + rng.standard_normal(5000)
    stepped = quiet + 3 * (np.arange(5000) // 40 % 2)
    figures = {"no change": _seconds(quiet), "124 changes": _seconds(stepped)}
    return [
        Row(f"CPU seconds for 5000 runs, {name}", seconds, None, None, "below 1", seconds < 1)
        for name, seconds in figures.items()
    ]


def _seconds(series: Series) -> float:
    started = process_time()
    change_points(series.tolist())
    return process_time() - started


if __name__ == "__main__":
    sys.exit(main())
