"""Small files in the layouts of original data sets."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from pytest_aibench.datasets import Dataset
from pytest_aibench.devices import resolve
from pytest_aibench.training import Batch, Supervised, Task, tensors
from pytest_aibench.training.batches import seed_streams
from pytest_aibench.training.predictor import predict

(CPU,) = resolve("cpu")


def write_photograph(path: Path, width: int, height: int, seed: int = 0) -> Path:
    """A photograph of noise."""
    noise = np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(path)
    return path


def write_mnist(folder: Path, *, train: int, test: int) -> Path:
    """Scans of noise in the files of MNIST, the labels packed."""
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for name, count in (("train", train), ("t10k", test)):
        scans = random.integers(256, size=(count, 28, 28), dtype=np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(_idx(scans))
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(labels)))
    return folder


def _idx(numbers: npt.NDArray[np.uint8]) -> bytes:
    axes = numbers.ndim
    return struct.pack(f">4B{axes}I", 0, 0, 8, axes, *numbers.shape) + numbers.tobytes()


def batches(data: Dataset, size: int) -> Iterator[tuple[Batch, Batch]]:
    """What the learner gets of a data set, on the processor."""
    for first in range(0, len(data), size):
        rows = range(first, min(first + size, len(data)))
        samples, references = (
            tensors(np.stack([part[row] for row in rows]), CPU)
            for part in (data.samples, data.references)
        )
        yield samples, references


def without_weights(task: Task) -> Task:
    """The task with a learner that takes the weights as they are."""
    how = {field.name: getattr(task.learner, field.name) for field in fields(Supervised)}
    return replace(task, learner=Supervised(**how))


def after_a_step(task: Task, data: Dataset, size: int = 2) -> nn.Module:
    """The task's model after a step on the first samples, which must have changed it."""
    seed_streams(1)
    model = task.build().train()
    before = [weight.detach().clone() for weight in model.parameters()]
    loss = task.learner(model, 10).step(*next(batches(data, size)))
    assert torch.isfinite(loss)
    pairs = zip(before, model.parameters(), strict=True)
    assert any(not torch.equal(*pair) for pair in pairs)
    return model


def answers(task: Task, model: nn.Module, data: Dataset) -> list[Any]:
    """What the task's predictor says of each sample."""
    samples: list[npt.NDArray[Any]] = list(data.samples)
    return predict(task.predictor(model, CPU, "fp32"), samples, 2)
