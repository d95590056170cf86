"""Runs benchmarks of training; what the ``trainer`` fixture gives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench import datasets
from pytest_aibench.bounds import Bound, Estimate, Violation
from pytest_aibench.datasets.base import is_lazy
from pytest_aibench.devices.base import Device
from pytest_aibench.devices.cpu import CpuDevice
from pytest_aibench.errors import UserError
from pytest_aibench.outcome import LookUp, Outcome, Required, judge_all, with_violations
from pytest_aibench.quality.metrics import meets, metric
from pytest_aibench.results.schema import BaselineEntry, TrainingEntry
from pytest_aibench.training.checkpoints import (
    Checkpoint,
    StateFile,
    States,
    keep,
    trained,
)
from pytest_aibench.training.convergence import (
    Convergence,
    Reference,
    References,
    at_batch_size,
    check_convergence,
)
from pytest_aibench.training.distributed import Processes
from pytest_aibench.training.predictor import macs, predict
from pytest_aibench.training.result import (
    Complexity,
    TrainingResult,
    Trainings,
    Window,
    not_measured,
)
from pytest_aibench.training.task import Task
from pytest_aibench.training.trainer import PLAIN, Progress, Way, cpu_threads, line, seeded, train
from pytest_aibench.units import ENERGY


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """What became of a task on one seed or several.

    Attributes:
        task: What was trained.
        result: Quality and cost, seed by seed and epoch by epoch.
        baseline: Quality of the task's trivial answer.
        complexity: Size of the model, and how much an answer computes.
        references: How many epochs the task takes elsewhere; None where nobody asks.
        look_up: Finds the bounds that stand in a file.
        settle: Takes the outcome; raises what fails the test.
    """

    task: Task
    result: Trainings
    baseline: Estimate
    complexity: Complexity = field(default_factory=Complexity)
    references: list[Reference] | None = None
    look_up: LookUp = field(default=Required, repr=False)
    settle: Callable[[TrainingRun, Outcome], None] = field(repr=False)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """What makes the result worth nothing: a trivial target, known data, other mathematics."""
        return (*_trivial_target(self), *_known_samples(self.task), *_too_fast(self))

    @property
    def convergence(self) -> Convergence | None:
        """The epochs beside those of the reference; None without one, or without their mean."""
        if not self.references or self.result.estimate("epochs_to_quality").value is None:
            return None
        return check_convergence(self.result.epochs, self.references, self.task.batch_size)

    def entries(self) -> list[TrainingEntry]:
        """The training on each seed as it stands in the record."""
        baseline = BaselineEntry(
            name=self.task.baseline.name, metric=self.result.metric, value=self.baseline.value
        )
        same = {"task": self.task.name, "baseline": baseline, **asdict(self.complexity)}
        return [replace(one.entry(), **same) for one in self.result.by_seed]

    def require(self, **bounds: Bound) -> None:
        """Judge the figures; one failure names all of them.

        Args:
            bounds: What is required: the task's quality metric, ``time_to_quality``,
                ``epochs_to_quality``, ``steps_to_quality``, ``energy_to_quality``,
                ``variation``, ``variation_population``, ``time_per_step``, ``throughput``. What
                they are of several seeds: `Trainings.estimate`.

        Raises:
            BenchmarkFailed: A bound is missed, or the training broke a rule.
            UserError: A bound names no figure of a training, or has the wrong unit.
        """
        __tracebackhide__ = True
        required = self.look_up(bounds)
        outcome = judge_all(self.result, required.bounds, (), required.uncalibrated)
        if self.references == []:
            why = f"no reference for {self.result.metric} {self.result.target:g}"
            not_judged = (*outcome.not_judged, ("convergence_factor", why))
            outcome = replace(outcome, not_judged=not_judged)
        self.settle(self, with_violations(outcome, self.violations))


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains tasks on one device, and has the results judged.

    Attributes:
        device: Where.
        scale: ``embedded`` or ``full``.
        settle: Takes each result's outcome; raises what fails the test.
        seeds: On how many seeds a task is trained.
        look_up: Finds the bounds that stand in a file.
        progress: Gets one line of text after each epoch.
        pictures: Folder for a picture of the last answers of each task that can draw them.
        references: How many epochs tasks take elsewhere, by task; None asks no such thing.
        energy: What the device spent in windows, from begin to end in s on ``time.perf_counter``.
        processes: Those that train together; None for this one alone.
        states: Where trainings that were interrupted go on from; None keeps no states.
        compile: Have torch compile what trains, unless a test says otherwise.
    """

    device: Device
    scale: str
    settle: Callable[[TrainingRun, Outcome], None]
    seeds: int = 1
    look_up: LookUp = Required
    progress: Progress | None = None
    pictures: Path | None = None
    references: References | None = None
    energy: Callable[[Sequence[Window]], Estimate] | None = None
    processes: Processes | None = None
    states: States | None = None
    compile: bool = False

    def run(
        self,
        task: Task,
        *,
        seed: int = 0,
        target: float | None = None,
        precision: str = "fp32",
        compile: bool | None = None,
    ) -> TrainingRun:
        """Train a task to its target; judge with ``require`` on the result.

        Weights that reach the task's own target are kept, so that `trained` finds them, unless
        they were trained in another precision than fp32, compiled, or by several processes.
        Pictures show the answers after the first seed.

        Args:
            task: What to train.
            seed: The first seed of weights, order and augmentation; the others follow it.
            target: Quality to reach, instead of the task's.
            precision: What the steps compute in: ``fp32``, ``bf16``, or ``fp16`` on cuda.
            compile: Have torch compile model and loss; None does what ``--aibench-compile`` says.

        Raises:
            Unsupported: No training, or not the task's learner, or not the device, runs so.
            UserError: Task, seed or target is none, the precision is none that a training computes
                in, the folder for pictures, or that for weights, cannot be written, or all
                references are for smaller batches.
        """
        _check(task, seed, self.seeds, target)
        baseline = task.baseline_quality()
        references = self._references(task, task.target if target is None else target)
        compiled = self.compile if compile is None else compile
        way = Way(precision=precision, compiled=compiled, processes=self.processes)
        seeds = range(seed, seed + self.seeds)
        files = [self._state_file(task, each, target, way) for each in seeds]
        results = [
            self._train(task, each, target, way, file)
            for each, file in zip(seeds, files, strict=True)
        ]
        if self.pictures is not None:
            _draw(task, results[0], self.device, self.pictures)
        if self.states is not None:
            self.states.ended += [str(file.path) for file in files if file is not None]
        return TrainingRun(
            task=task,
            result=Trainings(by_seed=tuple(results)),
            baseline=baseline,
            complexity=_complexity(task, results[0]),
            references=references,
            look_up=self.look_up,
            settle=self.settle,
        )

    def _references(self, task: Task, target: float) -> list[Reference] | None:
        """The one at the task's batch size, of trainings to the same target, if there is any."""
        if self.references is None:
            return None
        points = self.references.get(task.name, ())
        alike = [point for point in points if point.target == target]
        alike = alike or [point for point in points if point.target is None]
        return [at_batch_size(alike, task.batch_size)] if alike else []

    def _train(
        self, task: Task, seed: int, target: float | None, way: Way, file: StateFile | None
    ) -> TrainingResult:
        ended = None if file is None else file.result()
        result = (
            self._measured(task, seed, target, way, file)
            if ended is None
            else self._taken_up(task, ended)
        )
        if target is None and way == PLAIN:
            keep(task, result, self.device, scale=self.scale)
        return replace(result, elsewhere=_elsewhere(task, result, self.device))

    def _measured(
        self, task: Task, seed: int, target: float | None, way: Way, file: StateFile | None
    ) -> TrainingResult:
        result = train(
            task,
            self.device,
            seed=seed,
            target=target,
            progress=self.progress,
            way=way,
            state_file=file,
        )
        result = self._with_energy(result)
        if file is not None:
            file.end(result)
        return result

    def _with_energy(self, result: TrainingResult) -> TrainingResult:
        if self.energy is None:
            return result
        if self.processes is not None:
            spent = not_measured(ENERGY, "only one process's device is watched: leave out torchrun")
        elif result.resumed_after:
            why = f"seed {result.seed} was interrupted, and not watched before: train it in one go"
            spent = not_measured(ENERGY, why)
        else:
            spent = self.energy(result.windows)
        return replace(result, energy=spent)

    def _taken_up(self, task: Task, ended: TrainingResult) -> TrainingResult:
        """A training as it ended before the session was interrupted; now there is nothing to do."""
        if self.progress is not None:
            where = f"had ended after epoch {ended.n_epochs} of {task.max_epochs}"
            self.progress(line(task, ended.seed, ended.target, where, ended.quality))
        now_s = time.perf_counter()
        resumed_after = (*ended.resumed_after, ended.n_epochs)
        return replace(ended, windows=((now_s, now_s),), resumed_after=resumed_after)

    def _state_file(
        self, task: Task, seed: int, target: float | None, way: Way
    ) -> StateFile | None:
        if self.states is None:
            return None
        aimed = task if target is None else replace(task, target=target)
        return self.states.file(aimed, self.device, seed=seed, scale=self.scale, way=way)

    def trained(self, task: Task, *, seed: int = 0) -> Checkpoint:
        """Trained weights of a task, from the cache where they lie, else trained now.

        Raises:
            UserError: Task or seed is none, or the folder for weights cannot be written.
        """
        _check(task, seed)
        return trained(
            task,
            self.device,
            seed=seed,
            scale=self.scale,
            progress=self.progress,
            states=self.states,
        )


def _check(task: object, seed: object, seeds: int = 1, target: object = None) -> None:
    """Refuse what is no task, no seed or no target."""
    if not isinstance(task, Task):
        raise UserError(
            f"{task!r} is no task: give an object of pytest_aibench.training.Task, not its name"
        )
    highest = 2**32 - seeds  # numpy takes seeds of 32 bits
    if not isinstance(seed, int) or not 0 <= seed <= highest:
        raise UserError(f"seed={seed!r} must be a whole number from 0 to {highest}")
    aim = task.target if target is None else target
    if not isinstance(aim, (int, float)) or not math.isfinite(aim):
        raise UserError(f"target={aim!r} of {task.name} must be a plain number, like 0.95")


def _complexity(task: Task, result: TrainingResult) -> Complexity:
    """Count once for all seeds, on the processor: the figures are the same on every device.

    A model without numbers for weights may not be able to answer.
    """
    cpu = CpuDevice()
    with cpu_threads(task.cpu_threads), seeded(result.seed, cpu):
        model = task.build()
        n_parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
        if result.violations:
            return Complexity(n_parameters=n_parameters)
        model.load_state_dict(result.state_dict)
        sample = datasets.get(task.dataset, "test").samples[0]
        macs_per_sample = macs(task.predictor(model, cpu, "fp32"), sample)
    return Complexity(n_parameters=n_parameters, macs_per_sample=macs_per_sample)


def _elsewhere(task: Task, result: TrainingResult, device: Device) -> dict[str, float | None]:
    """Quality on other data; None where they would have to be fetched first."""
    quality, carriers = metric(task.metric), datasets.registered()

    def measured(name: str) -> float | None:
        if not all(carrier.path.exists() for carrier in carriers[name]):
            return None
        test = datasets.get(name, "test")
        model = task.serve(result.state_dict, device, "fp32")
        outputs = predict(model, test.samples, task.batch_size)
        return quality.estimate(quality.scores(outputs, test.references)).value

    with cpu_threads(task.cpu_threads):
        return {name: measured(name) for name in task.elsewhere}


def _draw(task: Task, result: TrainingResult, device: Device, folder: Path) -> None:
    if task.pictures is None:
        return
    from PIL import Image

    test = datasets.get(task.dataset, "test")
    with cpu_threads(task.cpu_threads):
        model = task.serve(result.state_dict, device, "fp32")
        sheet = task.pictures(test, predict(model, test.samples, task.batch_size))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(folder / f"{task.name}.png")
    except OSError as error:
        raise UserError(
            f"cannot write pictures to {folder} ({error.strerror}): "
            "choose another folder with --aibench-pictures"
        ) from None


def _trivial_target(run: TrainingRun) -> Iterator[Violation]:
    task, trivial, target = run.task, run.baseline, run.result.target
    if trivial.value is None or meets(metric(task.metric), trivial, target):
        worth = trivial.why_open if trivial.value is None else f"{task.metric} {trivial.value:.4g}"
        yield Violation(
            rule="a target is better than a trivial answer",
            evidence=f"{task.name}: the target is {task.metric} {target:g}, "
            f"the trivial answer ({task.baseline.name}) gives {worth}",
        )


def _known_samples(task: Task) -> Iterator[Violation]:
    """Lazy samples are not looked at: it would take as long as an epoch to read them all."""
    train, test = (datasets.get(task.dataset, split).samples for split in ("train", "test"))
    if is_lazy(train) or is_lazy(test) or _kind(train) != _kind(test):
        return
    asked = {sample.tobytes() for sample in test}
    trained_on = asked.intersection(sample.tobytes() for sample in train)
    known = [index for index, sample in enumerate(test) if sample.tobytes() in trained_on]
    if known:
        yield Violation(
            rule="a test split holds no training samples",
            evidence=f"data set {task.dataset!r}: {len(known)} of {len(test)} test samples are in "
            f"the train split too, the first is sample {known[0]}",
        )


def _kind(samples: npt.NDArray[Any]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of each of the samples: those of another kind are others."""
    return samples.dtype, samples.shape[1:]


def _too_fast(run: TrainingRun) -> Iterator[Violation]:
    found, n = run.convergence, len(run.result.by_seed)
    if found is not None and not found.accepted:
        yield Violation(
            rule="trainings converge no faster than their reference",
            evidence=f"{run.task.name}: {found.mean:.4g} epochs on {n} seeds, the reference takes "
            f"{found.reference.mean:.4g}, and chance explains {found.fastest:.4g} or more",
        )
