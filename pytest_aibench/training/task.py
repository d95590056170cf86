"""What a task is: data, model, loss, metric, targets, once for training and inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from pytest_aibench.bounds import Bound
from pytest_aibench.devices.base import Device
from pytest_aibench.scenarios import Scenario

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class Predictor(Protocol):
    """A model that answers in three phases, which a load times apart."""

    def preprocess(self, samples: Sequence[npt.NDArray[Any]]) -> Any:
        """Make the model's input of a list of samples, on the device."""

    def infer(self, inputs: Any) -> Any:
        """Run the model; the work may still be going on when it returns."""

    def postprocess(self, raw: Any) -> list[Any]:
        """Make one output for each sample of what the model gave."""


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
        build: Makes the model, with random weights: a function or class, in the task's folder.
        loss: ``(model, inputs, references) -> scalar`` for a batch of tensors on the device.
        optimizer: Makes the optimiser of a model.
        schedule: ``(optimizer, steps)`` makes the learning-rate schedule, stepped once a batch.
        augment: Changes a batch of training inputs at random; None leaves them as they are.
        predictor: ``(model, device, precision)`` makes the model ready to answer.
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
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor]
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[Optimizer, int], LRScheduler]
    augment: Callable[[Tensor], Tensor] | None = None
    predictor: Callable[[nn.Module, Device, str], Predictor]
    time_to_quality: Bound
    scenarios: tuple[Scenario, ...]
    throughput: Bound
    provenance: Mapping[str, str]

    def serve(self, weights: Mapping[str, Any], device: Device, precision: str) -> Predictor:
        """The model with trained weights (a state dict), ready to answer.

        Raises:
            UserError: The device does not support the precision.
        """
        model = self.build()
        model.load_state_dict(weights)
        return self.predictor(model, device, precision)
