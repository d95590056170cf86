"""What a task is: data, model, learner, metric, targets, once for training and inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pytest_aibench import datasets
from pytest_aibench.bounds import Bound, Estimate, at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.devices.base import Device
from pytest_aibench.quality.metrics import metric
from pytest_aibench.scenarios import Scenario
from pytest_aibench.training.distributed import Loss

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

Batch = Any
"""A tensor; where the data set's array has named fields, a dict of tensors by field."""


class Learner(Protocol):
    """Something with a model, which changes the model at each step."""

    def step(self, inputs: Batch, references: Batch) -> Tensor:
        """Learn from one batch on the device; returns the loss, a scalar without gradient."""


@runtime_checkable
class Stateful(Protocol):
    """What changes in training beside the model: an optimiser, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors, numbers and texts in dicts and lists."""

    def load_state_dict(self, state: Any) -> Any:
        """Take it up."""


@runtime_checkable
class Resumable(Learner, Protocol):
    """A learner that can go on where an earlier one was interrupted."""

    def parts(self) -> Mapping[str, Stateful]:
        """All that its steps change, and that is no part of the model, by name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supervised:
    """Makes the ordinary learner: one loss, one optimiser, a learning rate that follows a schedule.

    Attributes:
        loss: ``(model, inputs, references) -> scalar`` for a batch on the device.
        optimizer: Makes the optimiser of a model.
        schedule: ``(optimizer, steps)`` makes the learning-rate schedule, stepped once a batch.
        augment: Changes a batch of inputs at random; None leaves them as they are.
        clip_norm: Longest that all gradients together may be; None leaves them as they are.
    """

    loss: Callable[[nn.Module, Batch, Batch], Tensor]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer, int], LRScheduler]
    augment: Callable[[Batch], Batch] | None = None
    clip_norm: float | None = None

    def __call__(
        self,
        model: nn.Module,
        steps: int,
        around: Callable[[Loss, nn.Module], Loss] | None = None,
        *,
        scales: bool = False,
    ) -> Learner:
        """The learner of a model, for so many steps.

        Args:
            model: The model.
            steps: Number of steps to come.
            around: Makes, of the loss of a batch, the one that is learnt from: compiled, or that of
                one process's share.
            scales: Keep small gradients from vanishing in fp16 (Micikevicius et al., Mixed
                Precision Training, 2018, section 3.2); steps with infinite ones are left out.
        """

        def loss(inputs: Batch, references: Batch) -> Tensor:
            return self.loss(model, inputs, references)

        learnt = loss if around is None else around(loss, model)
        return _SupervisedLearner(self, model, steps, learnt, scales=scales)


class _SupervisedLearner:
    def __init__(
        self, how: Supervised, model: nn.Module, steps: int, loss: Loss, *, scales: bool
    ) -> None:
        from torch.amp.grad_scaler import GradScaler

        self._how = how
        self._model = model
        self._loss = loss
        self._optimizer = how.optimizer(model)
        self._schedule = how.schedule(self._optimizer, steps)
        self._scaler = GradScaler(next(model.parameters()).device.type, enabled=scales)

    def step(self, inputs: Batch, references: Batch) -> Tensor:
        import torch

        if self._how.augment is not None:
            inputs = self._how.augment(inputs)
        self._optimizer.zero_grad()
        loss = self._loss(inputs, references)
        torch.autograd.backward(self._scaler.scale(loss))
        if self._how.clip_norm is not None:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._how.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        return loss.detach()

    def parts(self) -> Mapping[str, Stateful]:
        return {
            "optimizer": self._optimizer,
            "schedule": self._schedule,
            "scaler": self._scaler,
        }


class Predictor(Protocol):
    """A model that answers in three phases, which a load times apart."""

    def preprocess(self, samples: Sequence[npt.NDArray[Any]]) -> Any:
        """Make the model's input of a list of samples, on the device."""

    def infer(self, inputs: Any) -> Any:
        """Run the model; the work may still be going on when it returns."""

    def postprocess(self, raw: Any) -> list[Any]:
        """Make one output for each sample of what the model gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A trivial answer; a target that does not beat it shows nothing.

    Attributes:
        name: What it is, like ``most frequent class``.
        answer: ``(train, test)`` gives one output for each test sample, as the metric takes them.
    """

    name: str
    answer: Callable[[Dataset, Dataset], Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One thing to learn and to serve.

    Attributes:
        name: Name in node ids and records, and of the task's folder.
        component: The AIBench component it is, like ``C1``.
        title: Name for people.
        dataset: Name of its data set in the registry.
        metric: Name of its quality metric.
        target: Quality that ends a training.
        max_epochs: Epochs after which a training has failed to converge.
        batch_size: Samples in one training step; the last of an epoch may be smaller.
        cpu_threads: Threads to compute with on the processor; None leaves torch's own choice. A
            fixed number makes a training repeatable on machines with other processors.
        build: Makes the model, with random weights; one module, however many networks it holds.
        learner: ``(model, steps)`` makes what learns, for a model on its device.
        predictor: ``(model, device, precision)`` makes the model ready to answer.
        baseline: The trivial answer that the target must beat.
        elsewhere: Other data sets on whose test splits trained weights are measured, for the
            record; those that would have to be fetched first are left out.
        pictures: ``(test set, outputs)`` draws what there is to look at, uint8 of shape
            (height, width, 3); None where there is nothing.
        time_to_quality: What is required of the time a training takes to its target.
        scenarios: The loads it is served under, with their latency bounds and rates.
        throughput: What is required of the throughput in the offline scenario.
        provenance: Which paper or code each choice follows, and where it departs.
    """

    name: str
    component: str
    title: str
    dataset: str
    metric: str
    target: float
    max_epochs: int
    batch_size: int
    cpu_threads: int | None = None
    build: Callable[[], nn.Module]
    learner: Callable[[nn.Module, int], Learner]
    predictor: Callable[[nn.Module, Device, str], Predictor]
    baseline: Baseline
    elsewhere: tuple[str, ...] = ()
    pictures: Callable[[Dataset, Sequence[Any]], npt.NDArray[np.uint8]] | None = None
    time_to_quality: Bound
    scenarios: tuple[Scenario, ...]
    throughput: Bound
    provenance: Mapping[str, str]

    def __str__(self) -> str:
        return self.name

    def serve(self, weights: Mapping[str, Any], device: Device, precision: str) -> Predictor:
        """The model with trained weights (a state dict), ready to answer.

        Raises:
            UserError: The device does not support the precision.
        """
        model = self.build()
        model.load_state_dict(weights)
        return self.predictor(model, device, precision)

    def bound(self, reference: str | None = None) -> Bound:
        """What is required of the quality: the target, or as good as a reference within 1 %."""
        quality = metric(self.metric)
        target = f"{self.target} {quality.unit}".strip()
        if quality.better == "higher":
            return at_least(f"99% of {reference}" if reference else target)
        return at_most(f"101% of {reference}" if reference else target)

    def baseline_quality(self) -> Estimate:
        """What the trivial answer is worth on the test split."""
        train, test = (datasets.get(self.dataset, split) for split in ("train", "test"))
        quality = metric(self.metric)
        return quality.estimate(quality.scores(self.baseline.answer(train, test), test.references))
