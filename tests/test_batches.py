"""Batches from memory and from files: the same training, and nothing read without need."""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from pytest_aibench.datasets import Dataset, base, register
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.training import Task, batches
from pytest_aibench.training.batches import Feed, in_order
from pytest_aibench.training.checkpoints import StateFile
from pytest_aibench.training.distributed import Alone, Group
from pytest_aibench.training.result import TrainingResult
from pytest_aibench.training.trainer import train
from tests.clouds import N_SAMPLES, TASK, cross_entropy, learning, register_clouds, two_clouds
from tests.lazy_files import in_files, reads

CPU = resolve("cpu")[0]
EPOCHS = 3
ALL_ONCE = Counter(range(N_SAMPLES))

# From Python 3.12 on a fork warns of threads; torch warns of more processes than cores.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    monkeypatch.setattr(batches, "_readers", lambda: 2)
    register_clouds()


def noisy(points: Tensor) -> Tensor:
    """Draw from all random streams."""
    return points + 0.1 * torch.randn_like(points) * random.random() * np.random.random_sample()


def run(task: Task, file: StateFile | None = None) -> TrainingResult:
    return train(task, CPU, seed=3, target=2.0, max_epochs=EPOCHS, state_file=file)


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    torch.testing.assert_close(one.state_dict, other.state_dict, rtol=0, atol=0)
    assert [(epoch.loss, epoch.quality) for epoch in one.epochs] == [
        (epoch.loss, epoch.quality) for epoch in other.epochs
    ]


@pytest.mark.parametrize("lazy", [("samples",), ("references",), ("samples", "references")])
def test_a_training_on_files_is_that_on_data_in_memory(
    lazy: tuple[str, ...], tmp_path: Path
) -> None:
    @register("files")
    def load(split: str) -> Dataset:
        data = two_clouds(split)
        parts = [name for name in lazy if split == "train" or name == "samples"]
        for name in parts:
            values = in_files(getattr(data, name), tmp_path / split / name)
            data = replace(data, **{name: values})  # type: ignore[arg-type]
        return data

    task = learning(augment=noisy)
    assert_same(run(replace(task, dataset="files")), run(task))
    for name in lazy:
        warm_up = Counter(dict.fromkeys(range(TASK.batch_size), 2))
        all_epochs = Counter(dict.fromkeys(ALL_ONCE, EPOCHS))
        assert reads(tmp_path / "train" / name) == all_epochs + warm_up
    if "samples" in lazy:
        assert reads(tmp_path / "test" / "samples") == all_epochs


class Sum(nn.Module):
    """Takes records of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Scores of both classes."""
        scores: Tensor = self.line(torch.stack((inputs["x"], inputs["y"]), dim=1))
        return scores


def records(split: str) -> Dataset:
    data = two_clouds(split)
    points = np.empty(N_SAMPLES, [("x", np.float32), ("y", np.float32)])
    points["x"], points["y"] = data.samples.T
    return replace(data, samples=points)


def test_records_with_named_fields_are_read_too(tmp_path: Path) -> None:
    @register("records in files")
    def load(split: str) -> Dataset:
        data = records(split)
        return replace(data, samples=in_files(data.samples, tmp_path / split))

    register("records")(records)
    task = replace(TASK, build=Sum)
    results = [run(replace(task, dataset=name)) for name in ("records in files", "records")]
    assert_same(*results)
    assert results[0].epochs[-1].loss < results[0].epochs[0].loss


def test_each_process_reads_its_share_alone(tmp_path: Path) -> None:
    data = two_clouds("train")
    data = replace(data, samples=in_files(data.samples, tmp_path / "samples"))
    order = torch.randperm(N_SAMPLES)
    found = list(Feed(data, CPU, Group(1, 2, CPU)).batches(order, 16))
    shares = [batch.tensor_split(2)[1] for batch in torch.split(order, 16)]
    assert reads(tmp_path / "samples") == Counter(torch.cat(shares).tolist())
    assert [size for size, _, _ in found] == [16, 16, 16, 12]
    for (_, inputs, references), share in zip(found, shares, strict=True):
        assert inputs.tolist() == two_clouds("train").samples[share].tolist()
        assert references.tolist() == data.references[share].tolist()


def test_a_share_counts_when_its_step_is_taken(tmp_path: Path) -> None:
    data = two_clouds("train")
    data = replace(data, samples=in_files(data.samples, tmp_path / "samples"))
    weights: list[list[float]] = []
    for each in (data, two_clouds("train")):
        group = Group(1, 2, CPU)
        fed = Feed(each, CPU, group).batches(torch.arange(7), 3)
        weights.append([group._weight for _ in fed])
    assert weights[0] == weights[1] == [2 / 3, 2 / 3, 0]


@dataclass(frozen=True)
class Drawn:
    """Made anew each time."""

    draw: Callable[[], float]
    fingerprint: str = "drawn"

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> npt.NDArray[np.float64]:
        return np.array(self.draw())


DRAWS = [random.random, np.random.random_sample, lambda: torch.rand(()).item()]


def drawn(draw: Callable[[], float], monkeypatch: pytest.MonkeyPatch, readers: int) -> list[Any]:
    """What is read in two epochs by so many processes."""
    monkeypatch.setattr(batches, "_readers", lambda: readers)
    data = Dataset("", "", cast("npt.NDArray[Any]", Drawn(draw)), np.arange(12), "", "")
    feed = Feed(data, CPU, Alone())
    torch.manual_seed(5)
    epochs = []
    for _ in range(2):
        order = torch.randperm(12)
        epochs.append([inputs.tolist() for _, inputs, _ in feed.batches(order, 4)])
    return epochs


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_depend_on_the_seed_not_on_who_reads(
    draw: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drawn(draw, monkeypatch, 1)
    assert drawn(draw, monkeypatch, 3) == found
    assert len(np.unique(found)) == 24


def test_a_file_that_cannot_be_read_is_named() -> None:
    def broken() -> float:
        raise UserError("7.jpg is no picture: put it there again")

    data = Dataset("", "", cast("npt.NDArray[Any]", Drawn(broken)), np.arange(12), "", "")
    with pytest.raises(UserError) as error:
        next(Feed(data, CPU, Alone()).batches(torch.arange(12), 4))
    assert str(error.value) == "7.jpg is no picture: put it there again"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch needs no such sockets")
def test_a_temporary_folder_with_a_long_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = two_clouds("train")
    data = replace(data, samples=in_files(data.samples, tmp_path / "samples"))
    feed = Feed(data, CPU, Alone())
    longest = "/" + "t" * 74
    monkeypatch.setattr(tempfile, "tempdir", longest)
    batches._check_temporary_folder()
    monkeypatch.setattr(tempfile, "tempdir", f"{longest}t")
    with pytest.raises(UserError) as error:
        next(feed.batches(torch.arange(4), 2))
    assert str(error.value) == (
        f"lazy data are read by processes whose sockets cannot lie in {longest}t: set TMPDIR to a "
        "folder whose name has 75 characters at most, like /tmp"
    )


def test_an_interrupted_training_on_files_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    @register("jittering")
    def load(split: str) -> Dataset:
        data, samples = two_clouds(split), two_clouds(split).samples
        jittering = Jittering(samples) if split == "train" else samples
        return replace(data, samples=cast("npt.NDArray[Any]", jittering))

    n_steps = 0

    def loss(model: nn.Module, points: Tensor, classes: Tensor) -> Tensor:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 2 + 4 + 3:  # two of the warm-up, an epoch, and into the next
            raise KeyboardInterrupt
        return cross_entropy(model, points, classes)

    task, file = replace(TASK, dataset="jittering"), StateFile(tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        run(replace(learning(loss=loss), dataset="jittering"), file)
    resumed = run(task, file)
    assert resumed.resumed_after == (1,)
    assert_same(resumed, run(task))


@dataclass(frozen=True)
class Jittering:
    """Points that are elsewhere each time."""

    points: npt.NDArray[np.float32]
    fingerprint: str = "jittering"

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Any:
        return self.points[index] + np.float32(random.random())


def test_few_batches_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_readers", lambda: 1)
    samples = in_files(two_clouds("test").samples, tmp_path / "samples")
    taken = in_order(samples, 4)
    first = next(taken)
    taken.close()
    assert [point.tolist() for point in first] == two_clouds("test").samples[:4].tolist()
    assert len(reads(tmp_path / "samples")) <= 4 * (1 + 2)


def test_data_in_memory_take_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_ahead", None)
    assert run(TASK).n_epochs == EPOCHS
    assert list(in_order(["a", "b", "c"], 2)) == [["a", "b"], ["c"]]
