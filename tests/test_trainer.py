"""What the ``trainer`` fixture gives: a training, judged beside its trivial answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from pytest_aibench.bounds import Estimate, Verdict, Violation, at_most
from pytest_aibench.datasets import Dataset, base, register
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.outcome import Outcome
from pytest_aibench.quality import metrics
from pytest_aibench.quality.metrics import TopK
from pytest_aibench.training import Baseline, Task, Trainer
from pytest_aibench.training.convergence import Reference
from pytest_aibench.training.distributed import Processes
from pytest_aibench.training.result import Complexity, Window
from pytest_aibench.training.runner import TrainingRun, _known_samples
from pytest_aibench.training.trainer import train
from tests.clouds import (
    N_SAMPLES,
    TASK,
    cross_entropy,
    learning,
    register_clouds,
    two_clouds,
    with_training_points_in_test,
)
from tests.lazy_files import in_files, reads
from tests.wheels import carrier_of, make_wheel

CPU = resolve("cpu")[0]
NAN = float("nan")
ERRORS = TopK(name="errors", k=1, better="lower")


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    register_clouds()
    metrics.register(ERRORS)


def judged(task: Task = TASK, *, target: float | None = None) -> tuple[TrainingRun, Outcome]:
    """Train, and judge the quality against the task's target."""
    outcomes: list[Outcome] = []
    trainer = Trainer(
        device=CPU, scale="embedded", settle=lambda run, outcome: outcomes.append(outcome)
    )
    run = trainer.run(task, target=target)
    run.require(**{task.metric: task.bound()})
    return run, outcomes[0]


def test_a_target_above_the_trivial_answer_is_judged() -> None:
    run, outcome = judged()
    assert run.baseline == TASK.baseline_quality()
    assert run.baseline.value == 0.5
    assert (outcome.verdict, outcome.violations) == (Verdict.PASSED, ())


@pytest.mark.parametrize(
    ("task", "target", "worth"),
    [
        (replace(TASK, target=0.5), "top1 0.5", "top1 0.5"),
        (replace(TASK, target=0.4), "top1 0.4", "top1 0.5"),
        (replace(TASK, metric="errors"), "errors 0.95", "errors 0.5"),
        (
            replace(TASK, baseline=Baseline(name="first class", answer=lambda *_: [NAN] * 60)),
            "top1 0.95",
            "60 of 60 outputs are not numbers, the first is that of sample 0",
        ),
    ],
)
def test_a_target_that_a_trivial_answer_meets_is_none(task: Task, target: str, worth: str) -> None:
    _, outcome = judged(task)
    assert outcome.verdict is Verdict.INVALID
    assert outcome.violations == (
        Violation(
            rule="a target is better than a trivial answer",
            evidence=f"clouds: the target is {target}, "
            f"the trivial answer (first class) gives {worth}",
        ),
    )


def no_training(**options: Any) -> str:
    """What a trainer says to a task, a seed or a target that is none, before it trains."""
    options = {"task": TASK, "seed": 0, **options}
    trainer = Trainer(device=CPU, scale="embedded", seeds=2, settle=lambda run, outcome: None)
    with pytest.raises(UserError) as error:
        trainer.run(options.pop("task"), **options)
    return str(error.value)


def test_what_is_no_task_is_refused() -> None:
    message = "'clouds' is no task: give an object of pytest_aibench.training.Task, not its name"
    assert no_training(task="clouds") == message
    trainer: Any = Trainer(device=CPU, scale="embedded", settle=lambda run, outcome: None)
    with pytest.raises(UserError, match=f"^{message}$"):
        trainer.trained("clouds")


@pytest.mark.parametrize("seed", [-1, 2**32 - 1, "0", 0.0, np.int64(3)])
def test_what_is_no_seed_is_refused(seed: object) -> None:
    expected = f"seed={seed!r} must be a whole number from 0 to 4294967294"
    assert no_training(seed=seed) == expected


@pytest.mark.parametrize("target", ["0.9", NAN, np.float32(0.9)])
def test_what_is_no_target_is_refused(target: Any) -> None:
    expected = f"target={target!r} of clouds must be a plain number, like 0.95"
    assert no_training(target=target) == expected
    assert no_training(task=replace(TASK, target=target)) == expected


def test_the_target_of_the_run_counts() -> None:
    assert judged(target=0.5)[1].verdict is Verdict.INVALID


def test_test_samples_that_were_trained_on_are_found() -> None:
    _, outcome = judged(replace(TASK, dataset="leaking"))
    assert outcome.violations == (
        Violation(
            rule="a test split holds no training samples",
            evidence="data set 'leaking': 2 of 60 test samples are in the train split too, "
            "the first is sample 58",
        ),
    )


def test_quality_on_other_data_goes_into_the_record(tmp_path: Path) -> None:
    @register("others")
    def others(split: str) -> Dataset:
        data = two_clouds(split)
        return replace(data, references=1 - data.references)

    @register("far", carriers=(carrier_of(make_wheel(tmp_path, "far-1.0-py3-none-any.whl")),))
    def far(split: str) -> Dataset:
        raise AssertionError("nothing is fetched for this")

    run, outcome = judged(replace(TASK, elsewhere=("others", "far")))
    (entry,) = run.entries()
    assert outcome.verdict is Verdict.PASSED
    assert entry.elsewhere.keys() == {"others", "far"}
    quality = run.result.quality.value
    assert quality is not None
    assert entry.elsewhere["others"] == pytest.approx(1 - quality)
    assert entry.elsewhere["far"] is None
    assert judged()[0].entries()[0].elsewhere == {}


@pytest.mark.parametrize("lazy", ["train", "test"])
def test_lazy_samples_are_not_searched_for_known_ones(lazy: str, tmp_path: Path) -> None:
    @register("leaking")
    def load(split: str) -> Dataset:
        data = with_training_points_in_test(split)
        in_memory = split != lazy
        return data if in_memory else replace(data, samples=in_files(data.samples, tmp_path / lazy))

    assert list(_known_samples(replace(TASK, dataset="leaking"))) == []
    assert not reads(tmp_path / lazy)


@pytest.mark.parametrize(
    ("test", "n_known"),
    [
        (lambda points: points, N_SAMPLES),
        (lambda points: points.view(np.int32), 0),
        (lambda points: points[:, np.newaxis], 0),
    ],
)
def test_samples_of_another_type_or_shape_are_others(
    test: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], n_known: int
) -> None:
    @register("leaking")
    def load(split: str) -> Dataset:
        data = two_clouds("train")
        return data if split == "train" else replace(data, samples=test(data.samples))

    found = [one.evidence for one in _known_samples(replace(TASK, dataset="leaking"))]
    assert len(found) == (n_known > 0)
    assert all(f"{n_known} of 60 test samples" in evidence for evidence in found)


class Frozen(nn.Linear):
    """A line whose bias is not learnt."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.bias.requires_grad_(False)


def test_every_seed_has_the_models_complexity_beside_it() -> None:
    trainer = Trainer(device=CPU, scale="embedded", settle=lambda *_: None, seeds=2)
    run = trainer.run(replace(TASK, build=Frozen))
    assert run.complexity == Complexity(n_parameters=4, macs_per_sample=4)
    assert [(one.n_parameters, one.macs_per_sample) for one in run.entries()] == [(4, 4)] * 2


def test_counting_leaves_the_random_streams_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(())
    torch.manual_seed(5)
    judged()
    assert torch.rand(()) == expected


def test_a_model_without_numbers_for_weights_is_not_asked() -> None:
    def not_a_number(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
        return cross_entropy(model, points, classes) * NAN

    run, _ = judged(learning(loss=not_a_number))
    assert run.complexity == Complexity(n_parameters=6, macs_per_sample=None)


def test_energy_is_asked_for_each_training_alone() -> None:
    asked: list[Sequence[Window]] = []

    def spent(windows: Sequence[Window]) -> Estimate:
        asked.append(windows)
        return Estimate(value=float(len(asked)), unit="J", n=9, by_value=True)

    trainer = Trainer(device=CPU, scale="embedded", settle=lambda *_: None, seeds=2, energy=spent)
    run = trainer.run(TASK)
    assert asked == [one.windows for one in run.result.by_seed]
    assert [one.energy_j for one in run.entries()] == [1.0, 2.0]
    run.require(energy_to_quality=at_most("2 J"))


def test_energy_of_several_processes_is_not_measured() -> None:
    trainer = Trainer(
        device=CPU,
        scale="embedded",
        settle=lambda *_: None,
        energy=lambda windows: Estimate(value=1.0),
        processes=Processes(0, 2),
    )
    spent = trainer._with_energy(train(TASK, CPU, seed=0)).energy
    assert (spent.value, spent.why_open) == (
        None,
        "only one process's device is watched: leave out torchrun",
    )


def test_energy_that_nobody_watches_is_not_measured() -> None:
    run, _ = judged()
    figure = run.result.estimate("energy_to_quality")
    assert (figure.value, figure.why_open) == (
        None,
        "nothing watched the device: train with the fixture `trainer`",
    )


@pytest.mark.parametrize(("target", "n_kept"), [(None, 1), (0.9, 0)])
def test_weights_that_reach_the_tasks_own_target_are_kept(
    target: float | None, n_kept: int, tmp_path: Path
) -> None:
    run, _ = judged(target=target)
    assert len(list(tmp_path.glob("weights/*"))) == n_kept
    trainer = Trainer(device=CPU, scale="embedded", settle=lambda run, outcome: None)
    weights, provenance = trainer.trained(TASK)
    assert provenance["from_cache"] is (n_kept == 1)
    assert weights["weight"].equal(run.result.by_seed[0].state_dict["weight"])


def test_weights_that_miss_the_target_are_not_kept(tmp_path: Path) -> None:
    judged(replace(TASK, dataset="shuffled"))
    assert not list(tmp_path.iterdir())


def test_each_seed_is_a_training_of_its_own(tmp_path: Path) -> None:
    lines: list[str] = []
    trainer = Trainer(
        device=CPU,
        scale="embedded",
        seeds=3,
        settle=lambda run, outcome: None,
        progress=lines.append,
    )
    results = trainer.run(TASK, seed=4).result.by_seed
    assert [result.seed for result in results] == [4, 5, 6]
    assert [result.window for result in results] == sorted(result.window for result in results)
    for result in results:
        alone = train(TASK, CPU, seed=result.seed)
        assert result.state_dict["weight"].equal(alone.state_dict["weight"])
        assert trainer.trained(TASK, seed=result.seed).provenance["from_cache"] is True
        assert lines.pop(0).startswith(f"clouds, seed {result.seed}: epoch 1 of 8, top1 ")
        del lines[: result.n_epochs - 1]
    assert not lines
    assert len(list(tmp_path.glob("weights/*"))) == 3


def test_all_seeds_are_judged_and_recorded() -> None:
    outcomes: list[Outcome] = []
    trainer = Trainer(
        device=CPU,
        scale="embedded",
        seeds=2,
        settle=lambda run, outcome: outcomes.append(outcome),
    )
    run = trainer.run(replace(TASK, dataset="shuffled"))
    run.require(top1=TASK.bound(), variation=at_most("20%"))
    worst = min(result.quality.value or 0 for result in run.result.by_seed)
    assert [check.estimate.value for check in outcomes[0].checks] == [worst, None]
    assert outcomes[0].verdict is Verdict.FAILED
    assert [(entry.seed, entry.reached_target) for entry in run.entries()] == [
        (0, False),
        (1, False),
    ]
    assert {entry.baseline.name for entry in run.entries() if entry.baseline} == {"first class"}


def test_pictures_show_the_first_seed(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    drawn: list[list[Any]] = []

    def sheet(test: Dataset, outputs: Sequence[Any]) -> npt.NDArray[np.uint8]:
        drawn.append([scores.tolist() for scores in outputs])
        return np.zeros((2, 2, 3), np.uint8)

    task = replace(TASK, pictures=sheet)
    for seeds in (1, 2):
        Trainer(
            device=CPU,
            scale="embedded",
            seeds=seeds,
            settle=lambda run, outcome: None,
            pictures=tmp_path,
        ).run(task)
    assert drawn[0] == drawn[1]
    assert (tmp_path / "clouds.png").exists()


@pytest.mark.parametrize(
    ("metric", "reference", "bound"),
    [
        ("top1", None, "≥ 0.95"),
        ("top1", "fp32", "≥ 99% of fp32"),
        ("errors", None, "≤ 0.95"),
        ("errors", "fp32", "≤ 101% of fp32"),
        ("psnr", None, "≥ 0.95 dB"),
    ],
)
def test_bound_follows_the_metrics_direction(
    metric: str, reference: str | None, bound: str
) -> None:
    assert str(replace(TASK, metric=metric).bound(reference)) == bound


def test_a_task_is_written_as_its_name() -> None:
    assert str(TASK) == "clouds"


def held_against(
    *points: Reference, task: Task = TASK, target: float | None = None
) -> tuple[TrainingRun, Outcome]:
    """Three seeds, held against these references of the task, and their outcome."""
    outcomes: list[Outcome] = []
    trainer = Trainer(
        device=CPU,
        scale="embedded",
        settle=lambda run, outcome: outcomes.append(outcome),
        seeds=3,
        references={"clouds": points},
    )
    run = trainer.run(task, target=target)
    run.require(time_to_quality=at_most("1 min"))
    return run, outcomes[0]


def test_trainings_faster_than_their_reference_are_invalid() -> None:
    run, outcome = held_against(Reference.of(16, [8, 9, 9, 10]))
    mean = run.result.estimate("epochs_to_quality").value
    assert mean is not None
    assert mean < 8
    assert outcome.verdict is Verdict.INVALID
    assert outcome.violations == (
        Violation(
            rule="trainings converge no faster than their reference",
            evidence=f"clouds: {mean:.4g} epochs on 3 seeds, the reference takes 9, "
            "and chance explains 9 or more",
        ),
    )


def test_trainings_like_their_reference_are_accepted_and_normalised() -> None:
    run, _ = held_against()
    mean = run.result.estimate("epochs_to_quality").value
    assert mean is not None
    slower = Reference(batch_size=16, mean=mean + 1, sd=2.0, n=8)
    run, outcome = held_against(slower)
    assert (outcome.verdict, outcome.not_judged) == (Verdict.PASSED, ())
    assert run.convergence is not None
    assert run.convergence.factor == pytest.approx((mean + 1) / mean)


@pytest.mark.parametrize(("target", "is_judged"), [(None, True), (0.9, False)])
def test_epochs_to_another_target_are_no_reference(target: float | None, is_judged: bool) -> None:
    run, outcome = held_against(
        Reference(batch_size=16, mean=1, sd=0, n=8, target=0.95), target=target
    )
    assert (run.convergence is not None) == is_judged
    why = () if is_judged else (("convergence_factor", "no reference for top1 0.9"),)
    assert outcome.not_judged == why


def test_seeds_that_missed_the_target_have_no_mean_to_compare() -> None:
    run, outcome = held_against(
        Reference(batch_size=16, mean=1, sd=0, n=8), task=replace(TASK, dataset="shuffled")
    )
    assert (run.convergence, outcome.violations, outcome.not_judged) == (None, (), ())


def test_a_larger_batch_than_all_references_is_refused_before_it_trains() -> None:
    lines: list[str] = []
    references = {"clouds": [Reference.of(8, [3, 4, 5, 6])]}
    trainer = Trainer(
        device=CPU,
        scale="embedded",
        settle=lambda *_: None,
        seeds=3,
        progress=lines.append,
        references=references,
    )
    with pytest.raises(UserError, match="no reference reaches batch size 16, the largest is 8: "):
        trainer.run(TASK)
    assert lines == []
