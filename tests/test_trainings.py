"""Several seeds judged together: their costs, how they vary, and what one of them alone decides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.bounds import Bound, Estimate, Verdict, Violation, at_most, judge
from pytest_aibench.quality import metrics
from pytest_aibench.quality.metrics import TopK
from pytest_aibench.training.convergence import olympic_mean, variation
from pytest_aibench.training.result import Epoch, TrainingResult, Trainings

MOST = 20
"""Epochs that a training spends which does not reach its target."""


@pytest.fixture(autouse=True, scope="module")
def errors() -> Iterator[None]:
    """A metric of which less is better."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
        metrics.register(TopK(name="errors", k=1, better="lower"))
        yield


def training(
    seed: int, quality: float | None, n_epochs: int, epoch_s: float = 2.0, metric: str = "top1"
) -> TrainingResult:
    """So many epochs to a quality; half of the time is spent training."""
    last = Estimate(value=quality, by_value=True, n=60, why_open="the training loss is nan")
    qualities = [Estimate(value=0.5)] * (n_epochs - 1) + [last]
    return TrainingResult(
        metric=metric,
        target=0.9,
        seed=seed,
        n_samples=10,
        batch_size=4,
        windows=((1000.0 * seed, 1000.0 * seed + epoch_s * n_epochs),),
        epochs=tuple(
            Epoch(loss=1.0, quality=quality, train_s=epoch_s / 2, end_s=epoch_s * number)
            for number, quality in enumerate(qualities, 1)
        ),
        state_dict={},
    )


def trainings(*epochs: float, epoch_s: float = 2.0) -> Trainings:
    """One seed for each number of epochs; of ``math.inf`` one that missed the target."""
    return Trainings(
        by_seed=tuple(
            training(seed, 0.95, int(n), epoch_s)
            if math.isfinite(n)
            else training(seed, 0.8, MOST, epoch_s)
            for seed, n in enumerate(epochs)
        )
    )


def of_quality(metric: str, *qualities: float | None) -> Trainings:
    """One seed for each quality."""
    return Trainings(
        by_seed=tuple(
            training(seed, quality, 3, metric=metric) for seed, quality in enumerate(qualities)
        )
    )


@pytest.mark.parametrize(
    ("epochs", "mean"),
    [
        ([7], 7),
        ([4, 7], 5.5),
        ([4, 7, 19], 7),
        ([19, 4, 7, 8], 7.5),
        ([16, 14, 16, 17, 16, 16, 15, 16, 15, 16], 15.75),
        ([4, 7, math.inf], 7),
        ([math.inf, 4, 7, 8], 7.5),
    ],
)
def test_costs_are_means_and_of_three_or_more_olympic_means(
    epochs: list[float], mean: float
) -> None:
    together = trainings(*epochs)
    for name, unit, factor in (
        ("epochs_to_quality", "", 1),
        ("steps_to_quality", "", 3),
        ("time_to_quality", "s", 2),
    ):
        expected = Estimate(value=mean * factor, unit=unit, n=len(epochs), by_value=True)
        assert together.estimate(name) == expected


@given(st.lists(st.integers(1, 50), min_size=3, max_size=9))
def test_three_or_more_are_averaged_as_mlperf_does(epochs: list[int]) -> None:
    assert trainings(*epochs).estimate("epochs_to_quality").value == olympic_mean(epochs)


def test_the_slowest_in_time_may_be_another_seed_than_that_of_most_epochs() -> None:
    slow, fast = training(0, 0.95, 2, epoch_s=60.0), training(1, 0.95, 9, epoch_s=1.0)
    together = Trainings(by_seed=(slow, fast, training(2, 0.95, 5, epoch_s=1.0)))
    assert together.estimate("time_to_quality").value == 9.0
    assert together.estimate("epochs_to_quality").value == 5.0


MISSED = "seed {} did not reach top1 0.9 in 20 epochs, the last gave 0.8"


@pytest.mark.parametrize(
    ("epochs", "missed"),
    [
        ([math.inf], [0]),
        ([5, math.inf], [1]),
        ([math.inf, 5, math.inf], [0, 2]),
        ([5, math.inf, 6, 7, math.inf], [1, 4]),
    ],
)
@pytest.mark.parametrize("name", ["time_to_quality", "epochs_to_quality", "steps_to_quality"])
def test_costs_of_too_many_seeds_that_missed_the_target_are_not_measured(
    epochs: list[float], missed: list[int], name: str
) -> None:
    why = "; ".join(map(MISSED.format, missed))
    estimate = trainings(*epochs).estimate(name)
    assert (estimate.value, estimate.n, estimate.why_open) == (None, 0, why)
    bound = at_most("1000 s" if estimate.unit else 1000)
    check = judge(name, estimate, bound)
    assert (check.verdict, check.reason) == (Verdict.FAILED, f"not measured: {why}")


def test_variation_in_both_conventions() -> None:
    epochs = [3, 4, 4, 5, 9]
    together, known = trainings(*epochs), variation(epochs)
    mean = sum(epochs) / 5
    assert together.estimate("variation") == Estimate(
        value=known.sample, low=known.low, high=known.high, n=5, by_value=True
    )
    assert known.sample == pytest.approx(np.std(epochs, ddof=1) / mean)
    assert together.estimate("variation_population") == Estimate(
        value=known.population, n=5, by_value=True
    )
    assert known.population == pytest.approx(np.std(epochs) / mean)


def test_variation_beyond_which_there_is_no_upper_end() -> None:
    estimate = trainings(1, 1, 1, 1, 10).estimate("variation")
    assert estimate.value == pytest.approx(math.sqrt(16.2) / 2.8)
    assert estimate.low is not None
    assert (estimate.high, estimate.why_open) == (None, "5 seeds are too few for an upper end")
    confident = judge("variation", estimate, at_most("300%", confident=True))
    assert (confident.verdict, confident.reason) == (Verdict.INCONCLUSIVE, estimate.why_open)


@pytest.mark.parametrize(
    ("epochs", "bound", "verdict"),
    [
        ([10, 10, 10, 10, 12], at_most("9%"), Verdict.PASSED),
        ([10, 10, 10, 10, 12], at_most(0.09), Verdict.PASSED),
        ([10, 10, 10, 10, 12], at_most("8%"), Verdict.FAILED),
        ([10, 10, 10, 10, 12], at_most("9%", confident=True), Verdict.INCONCLUSIVE),
        ([10, 10, 10, 10, 12], at_most("30%", confident=True), Verdict.PASSED),
        ([10, 12], at_most("13%"), Verdict.PASSED),
        ([10, 10], at_most("0%"), Verdict.PASSED),
    ],
)
def test_variation_is_judged_in_per_cent(epochs: list[int], bound: Bound, verdict: Verdict) -> None:
    assert judge("variation", trainings(*epochs).estimate("variation"), bound).verdict is verdict


@pytest.mark.parametrize(
    ("epochs", "why"),
    [
        ([10], "it takes two seeds: add --aibench-seeds=5"),
        ([math.inf], "it takes two seeds: add --aibench-seeds=5"),
        ([10, math.inf], MISSED.format(1)),
        ([10, 10, 10, 10, math.inf], MISSED.format(4)),
    ],
)
@pytest.mark.parametrize("name", ["variation", "variation_population"])
@pytest.mark.parametrize("confident", [False, True])
def test_variation_that_was_not_measured_never_passes(
    epochs: list[float], why: str, name: str, *, confident: bool
) -> None:
    estimate = trainings(*epochs).estimate(name)
    check = judge(name, estimate, at_most("1000%", confident=confident))
    assert (check.verdict, check.reason) == (Verdict.FAILED, f"not measured: {why}")


@pytest.mark.parametrize(
    ("metric", "qualities", "worst"),
    [
        ("top1", [0.95, 0.91, 0.97], 1),
        ("errors", [0.1, 0.02, 0.3], 2),
        ("top1", [0.95, 0.0, None], 2),
        ("errors", [None, 1.0, 0.1], 0),
        ("top1", [0.95], 0),
    ],
)
def test_the_quality_is_that_of_the_worst_seed(
    metric: str, qualities: list[float | None], worst: int
) -> None:
    together = of_quality(metric, *qualities)
    assert together.quality is together.by_seed[worst].quality
    assert together.estimate(metric) is together.quality


def test_one_seed_that_is_no_longer_a_number_breaks_the_rule_for_all() -> None:
    together = of_quality("top1", 0.95, None, 0.95)
    evidence = "epoch 3, seed 1: the training loss is nan"
    assert together.violations == (Violation(rule="a training stays finite", evidence=evidence),)
    assert of_quality("top1", 0.95, 0.8).violations == ()


def test_rates_are_means_over_all_that_was_trained() -> None:
    together = Trainings(
        by_seed=(training(0, 0.95, 1, epoch_s=2.0), training(1, 0.8, 3, epoch_s=4.0))
    )
    assert together.estimate("throughput") == Estimate(
        value=40 / 7, unit="samples/s", n=4, by_value=True
    )
    assert together.estimate("time_per_step") == Estimate(
        value=14 / 12, unit="s", n=12, by_value=True
    )


def test_of_two_seeds_time_to_quality_is_steps_times_time_per_step() -> None:
    together = Trainings(by_seed=(training(0, 0.95, 3), training(1, 0.95, 8, epoch_s=1.0)))
    time, steps, per_step = (
        together.estimate(name).value or 0.0
        for name in ("time_to_quality", "steps_to_quality", "time_per_step")
    )
    assert time == pytest.approx(steps * per_step)


def test_the_window_reaches_from_the_first_to_the_last() -> None:
    assert trainings(3, 4, 5).window == (0.0, 2000.0 + 10.0)
    assert trainings(3).window == (0.0, 6.0)


def test_what_is_aimed_at_is_the_same_for_all() -> None:
    together = of_quality("errors", 0.1, 0.2)
    assert (together.metric, together.target) == ("errors", 0.9)


def spending(*energies_j: float | None) -> Trainings:
    """One seed for each energy; of None one whose energy was not read."""
    spent = [
        Estimate(value=energy_j, unit="J", by_value=True, why_open="" if energy_j else "no driver")
        for energy_j in energies_j
    ]
    return Trainings(
        by_seed=tuple(
            replace(training(seed, 0.95, 3), energy=energy) for seed, energy in enumerate(spent)
        )
    )


@pytest.mark.parametrize(
    ("energies_j", "mean_j"),
    [([300.0], 300.0), ([300.0, 500.0], 400.0), ([900.0, 300.0, 1.0], 300)],
)
def test_energy_to_quality_is_a_cost_like_the_others(
    energies_j: list[float], mean_j: float
) -> None:
    estimate = spending(*energies_j).estimate("energy_to_quality")
    assert estimate == Estimate(value=mean_j, unit="J", n=len(energies_j), by_value=True)
    check = judge("energy_to_quality", estimate, at_most("350 J"))
    assert check.verdict is (Verdict.PASSED if mean_j <= 350 else Verdict.FAILED)


def test_energy_that_was_not_read_for_one_seed_is_not_measured() -> None:
    estimate = spending(300.0, None, 300.0).estimate("energy_to_quality")
    check = judge("energy_to_quality", estimate, at_most("500 J"))
    assert (check.verdict, check.reason) == (Verdict.FAILED, "not measured: no driver")


def test_energy_of_a_training_that_missed_its_target_is_not_that_to_quality() -> None:
    spent = Estimate(value=300.0, unit="J", by_value=True)
    missed = Trainings(by_seed=(replace(training(0, 0.8, MOST), energy=spent),))
    estimate = missed.estimate("energy_to_quality")
    assert (estimate.value, estimate.unit, estimate.why_open) == (None, "J", MISSED.format(0))
