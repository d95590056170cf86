"""Runs benchmarks of training; what the ``trainer`` fixture gives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_aibench.bounds import Bound
from pytest_aibench.devices.base import Device
from pytest_aibench.outcome import LookUp, Outcome, Required, judge_all
from pytest_aibench.training.checkpoints import Checkpoint, trained
from pytest_aibench.training.result import TrainingResult
from pytest_aibench.training.task import Task
from pytest_aibench.training.trainer import Progress, train


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One training and what was learnt of it.

    Attributes:
        task: What was trained.
        result: Quality and cost, epoch by epoch.
        ended_s: When it ended, on ``time.perf_counter``.
        look_up: Finds the bounds that stand in a file.
        settle: Takes the outcome; raises what fails the test.
    """

    task: Task
    result: TrainingResult
    ended_s: float
    look_up: LookUp = field(default=Required, repr=False)
    settle: Callable[[TrainingRun, Outcome], None] = field(repr=False)

    def require(self, **bounds: Bound) -> None:
        """Judge the figures; one failure names all of them.

        Args:
            bounds: What is required: the task's quality metric, ``time_to_quality``,
                ``epochs_to_quality``, ``steps_to_quality``, ``time_per_step``, ``throughput``.

        Raises:
            BenchmarkFailed: A bound is missed, or the training broke a rule.
            UserError: A bound names no figure of a training, or has the wrong unit.
        """
        __tracebackhide__ = True
        required = self.look_up(bounds)
        outcome = judge_all(self.result, required.bounds, (), required.uncalibrated)
        self.settle(self, outcome)


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains tasks on one device, and has the results judged.

    Attributes:
        device: Where.
        scale: ``embedded`` or ``full``.
        settle: Takes each result's outcome; raises what fails the test.
        look_up: Finds the bounds that stand in a file.
        progress: Gets one line of text after each epoch.
    """

    device: Device
    scale: str
    settle: Callable[[TrainingRun, Outcome], None]
    look_up: LookUp = Required
    progress: Progress | None = None

    def run(self, task: Task, *, seed: int = 0, target: float | None = None) -> TrainingRun:
        """Train a task to its target; judge with ``require`` on the result.

        Args:
            task: What to train.
            seed: Seed of weights, order and augmentation.
            target: Quality to reach, instead of the task's.
        """
        result = train(task, self.device, seed=seed, target=target, progress=self.progress)
        ended_s = time.perf_counter()
        return TrainingRun(
            task=task, result=result, ended_s=ended_s, look_up=self.look_up, settle=self.settle
        )

    def trained(self, task: Task, *, seed: int = 0) -> Checkpoint:
        """Trained weights of a task, from the cache where they lie, else trained now."""
        return trained(task, self.device, seed=seed, scale=self.scale, progress=self.progress)
