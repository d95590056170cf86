"""Training to a target, and the weights kept of it."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pytest_aibench.bounds import Estimate, Verdict, Violation, at_least, at_most, judge
from pytest_aibench.datasets import base
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from pytest_aibench.results.schema import TrainingEntry
from pytest_aibench.training.checkpoints import Checkpoint, checkpoint_key, trained
from pytest_aibench.training.predictor import TensorPredictor, predict
from pytest_aibench.training.result import TrainingResult, Trainings
from pytest_aibench.training.task import Learner, Task
from pytest_aibench.training.trainer import cpu_threads, train
from tests.clouds import (
    LEARNER,
    N_SAMPLES,
    TASK,
    cross_entropy,
    falling,
    learning,
    register_clouds,
    two_clouds,
)

CPU = resolve("cpu")[0]
NAN = float("nan")


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    register_clouds()


def not_a_number(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
    return cross_entropy(model, points, classes) * NAN


class NanPredictor(TensorPredictor):
    """Fault: a model that answers with no numbers."""

    def infer(self, inputs: Tensor) -> Tensor:
        """Spoil the outputs."""
        return super().infer(inputs) * NAN


class ConstantPredictor(TensorPredictor):
    """Fault: a model that ignores its input."""

    def infer(self, inputs: Tensor) -> Tensor:
        """Give all classes the same score."""
        return torch.zeros_like(super().infer(inputs))


def ticking() -> Callable[[], float]:
    """A clock that goes on by one second each time it is read."""
    return itertools.count().__next__


def run(task: Task = TASK, **options: Any) -> TrainingResult:
    return train(task, CPU, **{"seed": 0, "clock": ticking(), **options})


def estimate(result: TrainingResult, name: str) -> Estimate:
    """A figure of one training alone."""
    return Trainings(by_seed=(result,)).estimate(name)


def test_training_stops_at_the_first_epoch_that_reaches_the_target() -> None:
    result = run()
    *before, last = (epoch.quality.value for epoch in result.epochs)
    assert result.reached_target
    assert before
    assert all(value is not None and value < 0.95 for value in before)
    assert last is not None
    assert last >= 0.95
    assert result.violations == ()


def test_figures_of_a_training_that_reached_its_target() -> None:
    result = run()
    n_epochs = len(result.epochs)
    assert estimate(result, "top1") == result.quality
    assert estimate(result, "top1").n == N_SAMPLES
    assert estimate(result, "time_to_quality") == Estimate(
        value=3 * n_epochs, unit="s", n=1, by_value=True
    )
    assert estimate(result, "epochs_to_quality").value == n_epochs
    assert estimate(result, "steps_to_quality").value == result.steps
    assert estimate(result, "throughput") == Estimate(
        value=N_SAMPLES, unit="samples/s", n=n_epochs, by_value=True
    )
    check = judge("time_to_quality", estimate(result, "time_to_quality"), TASK.time_to_quality)
    assert check.verdict == Verdict.PASSED


def test_a_training_knows_when_it_began() -> None:
    clock = itertools.count(50)
    assert run(clock=clock.__next__).window[0] == 51  # the warm-up has looked before


def test_time_to_quality_is_steps_times_time_per_step() -> None:
    result = run()
    last_batch_is_smaller = replace(result, n_samples=2 * result.batch_size + 1)
    assert last_batch_is_smaller.steps == 3 * len(result.epochs)
    for each in (result, last_batch_is_smaller):
        steps, per_step = (estimate(each, name) for name in ("steps_to_quality", "time_per_step"))
        assert (steps.unit, per_step.unit, per_step.n) == ("", "s", each.steps)
        assert (steps.value or 0) * (per_step.value or 0) == pytest.approx(each.duration_s)


def test_entry_holds_the_whole_trace() -> None:
    result = run(target=2.0, max_epochs=3)
    assert result.entry() == TrainingEntry(
        seed=0,
        epochs=3,
        duration_s=9,
        samples_per_s=N_SAMPLES,
        quality_trace=[epoch.quality.value for epoch in result.epochs],
        seconds_trace=[3, 6, 9],
        reached_target=False,
        n_samples=N_SAMPLES,
        batch_size=16,
        train_seconds_trace=[1, 1, 1],
        target=2.0,
    )


def test_schedule_is_fitted_to_the_epochs_and_run_through() -> None:
    schedules: list[LRScheduler] = []

    def kept(optimizer: Optimizer, steps: int) -> LRScheduler:
        assert steps == 4 * 4
        schedules.append(falling(optimizer, steps))
        return schedules[-1]

    result = run(learning(schedule=kept), max_epochs=4, target=2.0)
    assert len(result.epochs) == 4
    assert schedules[-1].get_last_lr() == pytest.approx([0.1 * 0.1])


def test_loss_falls_in_training_mode() -> None:
    modes: set[bool] = set()

    def noted(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
        modes.add(model.training)
        return cross_entropy(model, points, classes)

    losses = [epoch.loss for epoch in run(learning(loss=noted), target=2.0).epochs]
    assert losses == sorted(losses, reverse=True)
    assert modes == {True}


def test_labels_shuffled_in_training_miss_the_target() -> None:
    result = run(replace(TASK, dataset="shuffled"))
    assert len(result.epochs) == 8
    assert not result.reached_target
    assert result.violations == ()
    for name in ("time_to_quality", "epochs_to_quality", "steps_to_quality"):
        figure = estimate(result, name)
        assert figure.value is None
        assert figure.why_open == (
            f"seed 0 did not reach top1 0.95 in 8 epochs, the last gave {result.quality.value:.4g}"
        )
    check = judge("time_to_quality", estimate(result, "time_to_quality"), at_most("1000 s"))
    assert check.verdict == Verdict.FAILED


def test_quality_is_that_of_the_test_split() -> None:
    result = run(replace(TASK, dataset="swapped"))
    assert result.quality.value is not None
    assert result.quality.value < 0.05


def test_model_that_ignores_its_input_misses_the_target() -> None:
    result = run(replace(TASK, predictor=ConstantPredictor))
    assert result.quality.value == 0
    assert not result.reached_target


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"learner": replace(LEARNER, loss=not_a_number)}, "the training loss is nan"),
        (
            {"predictor": NanPredictor},
            "60 of 60 outputs are not numbers, the first is that of sample 0",
        ),
    ],
)
def test_training_that_is_no_longer_a_number_ends_with_a_violation(
    fault: dict[str, Any], why: str
) -> None:
    result = run(replace(TASK, **fault), seed=7)
    evidence = f"epoch 1, seed 7: {why}"
    assert result.violations == (Violation(rule="a training stays finite", evidence=evidence),)
    assert not result.reached_target
    assert result.entry().quality_trace == []
    assert estimate(result, "time_to_quality").why_open == evidence
    check = judge("top1", estimate(result, "top1"), at_least(0))
    assert (check.verdict, check.reason) == (Verdict.FAILED, f"not measured: {why}")


def test_augmentation_changes_training_inputs_only() -> None:
    seen: list[int] = []

    def flipped(points: Tensor) -> Tensor:
        seen.append(len(points))
        return -points

    result = run(learning(augment=flipped), max_epochs=8)
    assert result.quality.value is not None
    assert result.quality.value < 0.05
    assert sum(seen) == 8 * N_SAMPLES + 2 * 16  # two steps go before


def test_same_seed_gives_the_same_weights() -> None:
    first, again, other = run(seed=3), run(seed=3), run(seed=4)
    assert torch.equal(first.state_dict["weight"], again.state_dict["weight"])
    assert not torch.equal(first.state_dict["weight"], other.state_dict["weight"])


def draw_numbers() -> list[float]:
    return [random.random(), np.random.random_sample(), torch.rand(()).item()]


def test_random_streams_of_others_go_on_undisturbed() -> None:
    streams = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = draw_numbers()
    random.setstate(streams[0])
    np.random.set_state(streams[1])
    torch.set_rng_state(streams[2])
    run()
    assert draw_numbers() == expected


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (None, 2)])
def test_training_keeps_to_its_threads(asked: int | None, used: int) -> None:
    seen: set[int] = set()

    def noted(points: Tensor) -> Tensor:
        seen.add(torch.get_num_threads())
        return points

    with cpu_threads(2):
        run(replace(learning(augment=noted), cpu_threads=asked))
        assert torch.get_num_threads() == 2
    assert seen == {used}


def test_progress_has_a_line_for_each_epoch() -> None:
    lines: list[str] = []
    result = run(progress=lines.append)
    quality = result.quality.value
    assert len(lines) == len(result.epochs)
    assert lines[-1] == (
        f"clouds, seed 0: epoch {len(lines)} of 8, top1 {quality:.4g} (target 0.95)"
    )
    run(learning(loss=not_a_number), progress=lines.append)
    assert lines[-1] == "clouds, seed 0: epoch 1 of 8, top1 not measured (target 0.95)"


def test_less_than_one_epoch_is_refused() -> None:
    with pytest.raises(UserError) as error:
        run(max_epochs=0)
    assert str(error.value) == "max_epochs=0 must be at least 1"


def test_unknown_figure_lists_those_there_are() -> None:
    with pytest.raises(UserError) as error:
        estimate(run(), "p99")
    assert str(error.value) == (
        "a training has no figure 'p99': "
        "use one of top1, time_to_quality, epochs_to_quality, steps_to_quality, energy_to_quality, "
        "variation, variation_population, time_per_step, throughput"
    )


def test_training_has_no_reference() -> None:
    with pytest.raises(UserError) as error:
        Trainings(by_seed=(run(),)).reference("fp32", "top1")
    assert str(error.value) == (
        "top1: a training has no reference 'fp32': give a bound in absolute units"
    )


def test_served_model_answers_with_the_trained_weights() -> None:
    data = two_clouds("test")
    result = run()
    outputs = predict(TASK.serve(result.state_dict, CPU, "fp32"), list(data.samples), 7)
    top1 = metric("top1")
    assert top1.estimate(top1.scores(outputs, data.references)) == result.quality


def weights(
    cache_dir: Path, task: Task = TASK, *, seed: int = 0, scale: str = "embedded"
) -> tuple[Checkpoint, list[str]]:
    """The weights, and the progress lines of the training it took, none when it took none."""
    lines: list[str] = []
    checkpoint = trained(
        task, CPU, seed=seed, scale=scale, cache_dir=cache_dir, progress=lines.append
    )
    return checkpoint, lines


def kept_file(cache_dir: Path) -> Path:
    (path,) = (cache_dir / "weights").iterdir()
    return path


def test_weights_are_trained_once(tmp_path: Path) -> None:
    first, lines = weights(tmp_path)
    again, no_lines = weights(tmp_path)
    assert lines
    assert not no_lines
    assert torch.equal(first.state_dict["weight"], again.state_dict["weight"])
    assert (first.provenance["from_cache"], again.provenance["from_cache"]) == (False, True)
    assert again.provenance == {**first.provenance, "from_cache": True}
    assert kept_file(tmp_path).name == f"clouds-{first.provenance['weights_key'][:32]}.pt"


def test_provenance_tells_how_the_weights_came_about(tmp_path: Path) -> None:
    provenance = weights(tmp_path, seed=5)[0].provenance
    result = train(TASK, CPU, seed=5)
    assert provenance["training_s"] > 0
    assert {name: provenance[name] for name in provenance if name != "training_s"} == {
        "weights_key": checkpoint_key(TASK, CPU, seed=5, scale="embedded"),
        "seed": 5,
        "epochs": len(result.epochs),
        "top1": result.quality.value,
        "target": 0.95,
        "reached_target": True,
        "from_cache": False,
    }


def test_users_cache_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    trained(TASK, CPU, seed=0, scale="embedded")
    assert kept_file(tmp_path).exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
        lambda content: b"not what torch saves",
    ],
    ids=["empty", "cut", "bit flipped", "other"],
)
def test_damaged_weights_are_trained_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    first, _ = weights(tmp_path)
    path = kept_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again, lines = weights(tmp_path)
    assert lines
    assert torch.equal(first.state_dict["weight"], again.state_dict["weight"])
    assert not weights(tmp_path)[1]


def test_weights_that_miss_the_target_are_not_kept(tmp_path: Path) -> None:
    checkpoint, _ = weights(tmp_path, replace(TASK, dataset="shuffled"))
    assert checkpoint.provenance["reached_target"] is False
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as error:
        weights(tmp_path / "file")
    assert str(error.value) == (
        f"cannot write weights to {tmp_path / 'file' / 'weights'} (Not a directory): "
        "set AIBENCH_CACHE to a folder that can be written"
    )


def build_from(folder: Path, source: str) -> Callable[[], nn.Module]:
    """The function ``build`` of a new module that holds the source."""
    path = folder / "model.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build: Callable[[], nn.Module] = module.build
    return build


def test_weights_of_other_code_are_not_used(tmp_path: Path) -> None:
    source = "from torch.nn import Linear\n\ndef build():\n    return Linear(2, 2)\n"
    code, cache = tmp_path / "code", tmp_path / "cache"
    code.mkdir()
    task = replace(TASK, build=build_from(code, source))
    assert weights(cache, task)[1]
    assert not weights(cache, task)[1]
    task = replace(TASK, build=build_from(code, source + "# other code\n"))
    assert weights(cache, task)[1]
    (code / "layers.py").write_text("# a helper beside the model\n")
    assert weights(cache, task)[1]
    assert not weights(cache, task)[1]


def test_weights_of_code_in_another_folder_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's module takes a function from a package, which takes a class from a third one."""
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {
        "model_of_two": "from shared_parts import make\n\ndef build():\n    return make()\n",
        "shared_parts": "from shared_layers import Layer\n\ndef make():\n    return Layer(2, 2)\n",
        "shared_layers": "from torch.nn import Linear\n\nclass Layer(Linear):\n    pass\n",
    }
    for name, source in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(source)
    task = replace(TASK, build=importlib.import_module("model_of_two").build)
    assert weights(tmp_path / "cache", task)[1]
    assert not weights(tmp_path / "cache", task)[1]
    (tmp_path / "shared_layers" / "__init__.py").write_text("# other code\n")
    assert weights(tmp_path / "cache", task)[1]


class Named:
    """Something to call that is neither function nor dataclass."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, model: nn.Module, steps: int) -> Learner:
        """Learn as usual."""
        return LEARNER(model, steps)


def other_loss(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
    return cross_entropy(model, points, classes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (learning(clip_norm=1.0), learning(clip_norm=2.0)),
        (learning(loss=cross_entropy), learning(loss=other_loss)),
        (learning(optimizer=partial(SGD, lr=0.1)), learning(optimizer=partial(SGD, lr=0.2))),
        (learning(optimizer=partial(SGD, lr=0.1)), learning(optimizer=partial(Adam, lr=0.1))),
        (replace(TASK, learner=Named("a")), replace(TASK, learner=Named("b"))),
        (TASK, replace(TASK, predictor=NanPredictor)),
        (TASK, replace(TASK, build=nn.Identity)),
    ],
    ids=["setting", "function", "argument", "class", "object", "predictor", "model"],
)
def test_key_depends_on_what_the_parts_are_made_of(one: Task, other: Task) -> None:
    keys = [checkpoint_key(task, CPU, seed=0, scale="embedded") for task in (one, replace(one))]
    assert keys[0] == keys[1]
    assert checkpoint_key(other, CPU, seed=0, scale="embedded") != keys[0]


@pytest.mark.parametrize("wrap", [partial, lru_cache, lambda build: learning(augment=build)])
def test_key_depends_on_code_behind_wrappers(tmp_path: Path, wrap: Callable[..., Any]) -> None:
    source = "from torch.nn import Linear\n\ndef build():\n    return Linear(2, 2)\n"
    keys = []
    for comment in ("", "# other code\n"):
        part = wrap(build_from(tmp_path, source + comment))
        task = part if isinstance(part, Task) else replace(TASK, build=part)
        keys.append(checkpoint_key(task, CPU, seed=0, scale="embedded"))
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"dataset": "shuffled"},
        {"metric": "top5"},
        {"target": 0.96},
        {"max_epochs": 9},
        {"batch_size": 17},
        {"cpu_threads": 2},
    ],
)
def test_key_depends_on_the_task(change: dict[str, Any]) -> None:
    key = checkpoint_key(TASK, CPU, seed=0, scale="embedded")
    assert key == checkpoint_key(replace(TASK), CPU, seed=0, scale="embedded")
    assert key != checkpoint_key(replace(TASK, **change), CPU, seed=0, scale="embedded")


def test_key_depends_on_seed_scale_and_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        checkpoint_key(TASK, CPU, seed=0, scale="embedded"),
        checkpoint_key(TASK, CPU, seed=1, scale="embedded"),
        checkpoint_key(TASK, CPU, seed=0, scale="full"),
    }
    monkeypatch.setattr(torch, "__version__", "0.0")
    keys.add(checkpoint_key(TASK, CPU, seed=0, scale="embedded"))
    assert len(keys) == 4


def test_what_compiling_leaves_in_a_module_is_none_of_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules[type(TASK.learner).__module__]
    key = checkpoint_key(TASK, CPU, seed=0, scale="embedded")
    monkeypatch.setitem(vars(module), "__import_tests_dot_clouds", sys.modules["tests.clouds"])
    assert checkpoint_key(TASK, CPU, seed=0, scale="embedded") == key
