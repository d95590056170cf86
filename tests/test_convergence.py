"""Several trainings together: MLPerf's worked examples, and what holds of all costs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.training.convergence import (
    Reference,
    References,
    at_batch_size,
    check_convergence,
    mean_cost,
    olympic,
    olympic_mean,
    read_references,
    variation,
)

WORKED = [16, 14, 16, 17, 16, 16, 15, 16, 15, 16]
"""The reference trainings of the published policy's example."""

costs = st.lists(st.floats(0.1, 1e4), min_size=3, max_size=12)


def test_the_policy_s_worked_example() -> None:
    reference = Reference.of(256, WORKED)
    fastest = reference.fastest(3)
    figures = (reference.mean, round(reference.sd, 2), round(fastest, 2))
    assert figures == (15.75, 0.43, 15.21)
    assert round(100 * (reference.mean / fastest - 1), 2) == 3.53


def test_the_policy_s_second_example() -> None:
    reference = Reference(batch_size=512, mean=20.75, sd=0.6614, n=8)
    assert round(reference.fastest(3), 2) == 19.93
    assert round(100 * (20.75 / reference.fastest(3) - 1), 2) == 4.12


@pytest.mark.parametrize(
    ("epochs", "accepted", "factor"),
    [
        ([16, 16, 16, 17, 16], True, 1.0),
        ([15, 15.5, 15.5, 15.5, 16], True, 15.75 / 15.5),
        ([15, 15, 15, 15, 15], False, 15.75 / 15),
    ],
)
def test_too_fast_is_refused_and_lucky_is_normalised(
    epochs: list[float], accepted: bool, factor: float
) -> None:
    checked = check_convergence(epochs, [Reference.of(256, WORKED)], 256)
    assert checked.accepted is accepted
    assert checked.factor == pytest.approx(factor)


def test_between_batch_sizes_references_are_interpolated() -> None:
    references = [
        Reference(batch_size=size, mean=mean, sd=sd, n=8)
        for size, mean, sd in ((512, 24, 0.8), (256, 16, 0.4), (384, 30, 1), (1024, 60, 1))
    ]
    between = at_batch_size(references, 384)
    assert between.mean == 20  # 30 lies above its neighbours
    assert between.sd == pytest.approx(0.6)
    assert at_batch_size(references, 8).mean == 16


@pytest.mark.parametrize(
    ("trainings", "mean"),
    [
        ([7], 7),
        ([4, 8], 6),
        ([4, 8, 9], 8),
        ([4, 8, math.inf], 8),
        ([math.inf], math.inf),
        ([4, math.inf], math.inf),
        ([4, math.inf, math.inf], math.inf),
    ],
)
def test_three_trainings_have_an_olympic_mean_and_fewer_a_mean(
    trainings: list[float], mean: float
) -> None:
    assert mean_cost(trainings) == mean


def test_a_larger_batch_than_all_references_is_refused() -> None:
    with pytest.raises(UserError) as error:
        at_batch_size([Reference.of(256, WORKED)], 512)
    assert str(error.value) == (
        "no reference reaches batch size 512, the largest is 256: "
        "run the reference implementation there"
    )


def test_no_reference_at_all_is_refused() -> None:
    with pytest.raises(UserError) as error:
        check_convergence([1.0, 2.0, 3.0], [], 256)
    assert str(error.value) == "there is no reference: give one at least"


def test_a_reference_that_does_not_converge_is_refused() -> None:
    with pytest.raises(UserError) as error:
        Reference.of(256, [16, 17, math.inf, math.inf])
    assert str(error.value) == "more than 1 of the trainings at batch size 256 did not converge"


def test_one_training_that_did_not_converge_is_the_slowest() -> None:
    assert olympic_mean([10, 12, 11, math.inf, 13]) == 12
    assert olympic_mean([10, 12, math.inf, math.inf, 13]) == math.inf


def test_two_trainings_are_too_few() -> None:
    with pytest.raises(UserError) as error:
        olympic([1.0, 2.0])
    assert str(error.value) == ("2 trainings are too few to drop 1 at each end: run at least 3")


@given(costs, st.randoms(use_true_random=False))
def test_the_olympic_mean_lies_within_and_forgets_the_order(
    values: list[float], chance: object
) -> None:
    mean = olympic_mean(values)
    assert min(values) <= mean * (1 + 1e-12)
    assert mean <= max(values) * (1 + 1e-12)
    chance.shuffle(shuffled := list(values))  # type: ignore[attr-defined]
    assert olympic_mean(shuffled) == mean


@given(costs, st.floats(1e-3, 1e3))
def test_the_variation_has_no_unit(values: list[float], unit: float) -> None:
    here, there = variation(values), variation([unit * value for value in values])
    assert there.sample == pytest.approx(here.sample, rel=1e-6, abs=1e-9)
    assert here.population <= here.sample
    assert here.low <= here.sample <= here.high


def test_both_deviations_are_given() -> None:
    found = variation([9, 10, 11])
    assert found.population == pytest.approx(math.sqrt(2 / 3) / 10)
    assert found.sample == pytest.approx(0.1)


def test_the_interval_covers_the_true_variation() -> None:
    """Vangel's is made for normal costs: 5 trainings with a true variation of 10 %."""
    rng = np.random.default_rng(7)
    found = [variation(row) for row in rng.normal(100, 10, size=(2000, 5)).tolist()]
    covered = np.mean([one.low <= 0.1 <= one.high for one in found])
    assert 0.935 <= covered <= 0.965


@pytest.mark.parametrize("epochs", [[12.0], [12.0, math.inf]])
def test_without_two_converged_trainings_there_is_no_variation(epochs: list[float]) -> None:
    with pytest.raises(UserError) as error:
        variation(epochs)
    assert str(error.value) == (
        f"the variation of {epochs} is unknown: it takes two trainings or more, all converged"
    )


POINT = {"Benchmark": "clouds", "BS": 256, "Epochs to converge": WORKED}


def read(tmp_path: Path, *points: Any) -> References:
    path = tmp_path / "rcp.json"
    path.write_text(json.dumps({f"point {n}": point for n, point in enumerate(points)}))
    return read_references(path)


def test_references_are_read_from_mlperfs_format(tmp_path: Path) -> None:
    larger = {**POINT, "BS": 512, "Target": 0.9, "Hyperparams": {"optimizer": "lars"}}
    other = {**POINT, "Benchmark": "other", "Epochs to converge": [4, None, 6, 5]}
    assert read(tmp_path, POINT, larger, other) == {
        "clouds": [Reference.of(256, WORKED), replace(Reference.of(512, WORKED), target=0.9)],
        "other": [Reference.of(256, [4, 5, 6, math.inf])],
    }


def test_points_of_one_batch_size_are_taken_together(tmp_path: Path) -> None:
    halves = ({**POINT, "Epochs to converge": half} for half in (WORKED[:2], WORKED[2:]))
    assert read(tmp_path, *halves) == {"clouds": [Reference.of(256, WORKED)]}


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        (7, "TypeError: 'int' object is not subscriptable"),
        ({"Benchmark": "clouds", "BS": 256}, "KeyError: 'Epochs to converge'"),
        ({**POINT, "BS": "many"}, "ValueError: could not convert string to float: 'many'"),
        ({**POINT, "Epochs to converge": [0]}, "ValueError: a training takes more than 0 epochs"),
        (
            {**POINT, "Epochs to converge": [math.nan]},
            "ValueError: a training takes more than nan epochs",
        ),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, point: Any, problem: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, point)
    assert str(error.value) == (
        f"{tmp_path / 'rcp.json'} holds no reference convergence points ({problem}): "
        "write it with `aibench export rcp`"
    )


def test_a_file_without_points_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'rcp.json'} holds no reference convergence points: "
        "write it with `aibench export rcp`"
    )


def test_a_file_that_is_not_text_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "rcp.json").write_bytes(b"{\xff" + bytes(200))
    with pytest.raises(UserError, match=r"\(UnicodeDecodeError: .{1,100}\): write it with"):
        read_references(tmp_path / "rcp.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_references(tmp_path / "none.json")
    assert str(error.value) == (
        f"cannot read {tmp_path / 'none.json'} (No such file or directory): "
        "name a file from `aibench export rcp`"
    )


@pytest.mark.parametrize(
    ("epochs", "problem"),
    [
        ([1, 2, 3], "3 trainings are too few for a reference: run at least 4"),
        (
            [1, 2, 3, None, None],
            "more than 1 of the trainings at batch size 256 did not converge",
        ),
    ],
)
def test_a_file_without_enough_trainings_is_refused(
    tmp_path: Path, epochs: list[int | None], problem: str
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, {**POINT, "Epochs to converge": epochs})
    assert str(error.value) == f"{tmp_path / 'rcp.json'}: clouds: {problem}"
