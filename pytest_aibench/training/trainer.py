"""Training a task until its quality target, with random streams and threads set for it alone."""

from __future__ import annotations

import math
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_aibench import datasets
from pytest_aibench.bounds import Estimate
from pytest_aibench.devices.base import Device, check_precision
from pytest_aibench.errors import Unsupported, UserError
from pytest_aibench.quality.metrics import meets, metric
from pytest_aibench.results.schema import from_json, to_json
from pytest_aibench.training.batches import Feed, seed_streams
from pytest_aibench.training.distributed import Alone, Group, Loss, Processes, own_seed
from pytest_aibench.training.predictor import dtype, predict
from pytest_aibench.training.result import Epoch, TrainingResult, Window
from pytest_aibench.training.task import (
    Batch,
    Learner,
    Resumable,
    Stateful,
    Supervised,
    Task,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pytest_aibench.training.checkpoints import StateFile

Progress = Callable[[str], None]

_PRECISIONS = ("fp32", "bf16", "fp16")

_NONDETERMINISTIC = re.compile(
    r"(\S+) does not have a deterministic implementation|Deterministic behavior .* CuBLAS",
    re.DOTALL,
)
"""How torch words its warnings, with the operation's name."""

_WITH_STREAMS = ("cuda", "xpu")
"""Kinds of device that draw random numbers of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a task is trained, beside what it says itself.

    Attributes:
        precision: What the steps compute in, where torch deems it safe: ``fp32``, ``bf16``, or
            ``fp16`` on cuda. Weights stay fp32.
        compiled: Have torch compile the loss of a `Supervised` learner, with the model in it.
        processes: Those that train together, each with a share of every batch; all of them train
            alike. None for this one alone.
    """

    precision: str = "fp32"
    compiled: bool = False
    processes: Processes | None = None

    def check(self, task: Task, device: Device) -> None:
        """Check that a task can be trained so.

        Raises:
            UserError: The precision is none that a training computes in.
            Unsupported: No training, or not the task's learner, or not the device, runs so.
        """
        if self.precision == "int8":
            raise Unsupported("int8 is for inference: trainings compute in fp32, bf16 or fp16")
        if self.precision not in _PRECISIONS:
            known = ", ".join(_PRECISIONS)
            raise UserError(f"no training computes in {self.precision}: use one of {known}")
        if self.precision == "fp16" and device.kind != "cuda":
            raise Unsupported("trainings compute in fp16 on cuda only: use bf16")
        check_precision(device, self.precision)
        needs = {
            "on several processes": self.processes is not None,
            "compiled": self.compiled,
            "in fp16": self.precision == "fp16",
        }
        ways = [way for way, is_asked in needs.items() if is_asked]
        if ways and not isinstance(task.learner, Supervised):
            raise Unsupported(f"{task.name}'s learner does not run {' and '.join(ways)}")


PLAIN = Way()


def train(
    task: Task,
    device: Device,
    *,
    seed: int,
    target: float | None = None,
    max_epochs: int | None = None,
    progress: Progress | None = None,
    way: Way = PLAIN,
    state_file: StateFile | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> TrainingResult:
    """Train until the model reaches the target, or the epochs are spent.

    As in MLPerf Training, quality is evaluated on the test split after every epoch, and the first
    epoch that reaches the target ends the training: the same samples choose the moment to stop
    and measure the quality then, so that figure is a little flattering. The evaluation runs
    through the task's predictor, as inference does, in fp32.

    One step on a model that is thrown away goes first: loading torch's own libraries takes
    seconds in a fresh process, and MLPerf does not count initialisation either.

    A training that misses its target is a result like any other. One whose loss or quality is no
    longer a number ends there, with a violation.

    Args:
        task: What to train.
        device: Where.
        seed: Seeds the weights, the order of samples and the augmentation.
        target: Quality to reach, instead of the task's.
        max_epochs: Epochs to spend at most, instead of the task's; the schedule is fitted to them.
        progress: Gets one line of text after each epoch.
        way: How, beside what the task says.
        state_file: Where the state goes after each epoch, and from which an interrupted training
            goes on; None keeps nothing. What that takes counts in no figure.
        clock: Monotonic seconds.

    Raises:
        UserError: ``max_epochs`` is below 1, the data set or the metric is unknown, the task
            cannot be trained so, another process failed, or the state cannot be kept.
    """
    goal = task.target if target is None else target
    most = task.max_epochs if max_epochs is None else max_epochs
    if most < 1:
        raise UserError(f"max_epochs={most!r} must be at least 1")
    way.check(task, device)
    if way.compiled:
        _forget_compiled()
    with cpu_threads(task.cpu_threads), _together(task, seed, device, way.processes) as group:
        with seeded(seed, device):
            feed = Feed(datasets.get(task.dataset, "train"), device, group)
            begin = partial(_Training, task, feed, device, most, clock, way, group)
            determinism = begin().warm_up()
        with seeded(seed, device):
            training = begin()
            if group.rank > 0:
                seed_streams(own_seed(seed, group.rank))
            epochs = training.run(seed, goal, most, progress, state_file)
    return TrainingResult(
        metric=task.metric,
        target=goal,
        seed=seed,
        n_samples=feed.n_samples,
        batch_size=task.batch_size,
        windows=training.windows(epochs[-1]),
        epochs=epochs,
        state_dict=training.weights(),
        processes=group.size,
        resumed_after=training.resumed_after,
        precision=way.precision,
        compiled=way.compiled,
        determinism=determinism,
    )


def _together(
    task: Task, seed: int, device: Device, processes: Processes | None
) -> AbstractContextManager[Alone | Group]:
    """The processes of a training, from the first step to the last."""
    if processes is None:
        return nullcontext(Alone())
    return processes.joined(f"{task.name}, seed {seed}", device)


@contextmanager
def seeded(seed: int, device: Device) -> Iterator[None]:
    """Seed Python, numpy and torch; on leaving, their streams go on as if nothing had happened."""
    before = _streams(device)
    seed_streams(seed)
    try:
        yield
    finally:
        _set_streams(before, device)


def _streams(device: Device) -> dict[str, Any]:
    """Where the random streams of Python, numpy and torch stand, as torch can save it."""
    import torch

    kind, values, *rest = np.random.get_state()
    found = {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.array(values)), *rest),
        "torch": torch.get_rng_state(),
    }
    if device.kind in _WITH_STREAMS:
        found[device.kind] = getattr(torch, device.kind).get_rng_state(device.torch_device())
    return found


def _set_streams(states: dict[str, Any], device: Device) -> None:
    """Have the random streams go on from where they stood."""
    import torch

    kind, values, *rest = states["numpy"]
    random.setstate(states["python"])
    np.random.set_state((kind, values.numpy(), *rest))
    torch.set_rng_state(states["torch"])
    if device.kind in _WITH_STREAMS:
        place = device.torch_device()
        getattr(torch, device.kind).set_rng_state(states[device.kind], place)


def _torch_settings() -> dict[str, Any]:
    import torch

    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _warned_of() -> Iterator[list[str]]:
    """In the block torch warns of operations that differ from run to run; then their names."""
    import torch

    is_on = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    names: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield names
        finally:
            torch.use_deterministic_algorithms(is_on, warn_only=only_warns)
    found = (_NONDETERMINISTIC.match(str(warning.message)) for warning in caught)
    names += sorted({match[1] or "cuBLAS" for match in found if match})


def _forget_compiled() -> None:
    """Make room: of one function torch compiles few versions, and then leaves it as it is."""
    import torch

    torch.compiler.reset()


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads, and go back to the former number on leaving; None changes none.

    Threads that share an operation wait for each other in a busy loop. A small model gains little
    from them, and loses seconds whenever another process takes a core.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Training:
    """The moving parts of one training: model and learner."""

    def __init__(
        self,
        task: Task,
        feed: Feed,
        device: Device,
        max_epochs: int,
        clock: Callable[[], float],
        way: Way,
        group: Alone | Group,
    ) -> None:
        self._task = task
        self._feed = feed
        self._way = way
        self._group = group
        self._device = device
        self._clock = clock
        self._test = datasets.get(task.dataset, "test")
        self._model = task.build().to(device.torch_device())
        steps = math.ceil(feed.n_samples / task.batch_size) * max_epochs
        self._learner = self._make_learner(steps)
        self.resumed_after: tuple[int, ...] = ()
        self._kept: list[Window] = []
        self._before_s = 0.0
        self._go_s = clock()

    def _make_learner(self, steps: int) -> Learner:
        learner = self._task.learner
        if not isinstance(learner, Supervised):
            return learner(self._model, steps)
        scales = self._way.precision == "fp16"
        return learner(self._model, steps, self._around, scales=scales)

    def _around(self, loss: Loss, model: nn.Module) -> Loss:
        import torch

        return self._group.spread(torch.compile(loss) if self._way.compiled else loss, model)

    def warm_up(self) -> dict[str, Any]:
        """Take a step; what decides whether the same seed gives the same weights, for the record.

        Of compiled steps torch does not tell which operations differ from run to run.
        """
        n, size = self._feed.n_samples, self._task.batch_size
        self._step_on(min(size, n))
        if self._way.compiled and n % size:
            self._step_on(n % size)  # torch compiles again for another size
        self._device.synchronize()
        facts = _torch_settings()
        if not self._way.compiled:
            with _warned_of() as names:
                self._step_on(min(size, n))
            facts["nondeterministic_operations"] = names
        return facts

    def _step_on(self, n_samples: int) -> None:
        import torch

        order = torch.arange(n_samples, device=self._device.torch_device())
        with closing(self._feed.batches(order, n_samples)) as batches:
            for _, inputs, references in batches:
                self._step(inputs, references)

    def run(
        self,
        seed: int,
        target: float,
        max_epochs: int,
        progress: Progress | None,
        state_file: StateFile | None,
    ) -> tuple[Epoch, ...]:
        epochs = [] if state_file is None else self._resume(state_file)

        def tell(words: str = "") -> None:
            if progress is not None:
                where = f"{words}epoch {len(epochs)} of {max_epochs}"
                progress(line(self._task, seed, target, where, epochs[-1].quality))

        if epochs:
            tell("going on after ")
        while len(epochs) < max_epochs:
            epochs.append(self._epoch())
            tell()
            if self._ends(epochs[-1].quality, target):
                break
            if state_file is not None and len(epochs) < max_epochs:
                self._keep(state_file, epochs)
        if state_file is not None:
            state_file.remove()
        return tuple(epochs)

    def _keep(self, state_file: StateFile, epochs: Sequence[Epoch]) -> None:
        """Keep all that the training depends on, while its clock stands still."""
        stop_s = self._clock()
        state_file.write(
            {
                "model": self._model.state_dict(),
                "learner": {name: part.state_dict() for name, part in self._parts().items()},
                "streams": _streams(self._device),
                "epochs": to_json(epochs),
                "resumed_after": self.resumed_after,
            }
        )
        self._kept.append((self._go_s, stop_s))
        self._before_s += stop_s - self._go_s
        self._go_s = self._clock()

    def _resume(self, state_file: StateFile) -> list[Epoch]:
        """Take up the state, if there is one; the epochs that lie behind."""
        parts, state = self._parts(), state_file.read()
        if state is None:
            return []
        self._model.load_state_dict(state["model"])
        for name, part in parts.items():
            part.load_state_dict(state["learner"][name])
        _set_streams(state["streams"], self._device)
        epochs: list[Epoch] = from_json(list[Epoch], state["epochs"])
        self.resumed_after = (*state["resumed_after"], len(epochs))
        self._before_s = epochs[-1].end_s
        self._go_s = self._clock()
        return epochs

    def _parts(self) -> Mapping[str, Stateful]:
        if not isinstance(self._learner, Resumable):
            raise UserError(
                f"{self._task.name}'s learner cannot be resumed: give it a method parts() that "
                "names its optimisers and schedules, or leave out --aibench-resume"
            )
        parts: object = self._learner.parts()
        if isinstance(parts, Mapping) and all(isinstance(one, Stateful) for one in parts.values()):
            return parts
        raise UserError(
            f"{self._task.name}'s learner cannot be resumed: have its parts() return a dict, like "
            '{"optimizer": self.optimizer}, of what has state_dict() and load_state_dict()'
        )

    def _ends(self, quality: Estimate, target: float) -> bool:
        """Whether this was the last epoch; the first process says so for all."""
        import torch

        ends = quality.value is None or meets(metric(self._task.metric), quality, target)
        return bool(self._group.same(torch.tensor(ends, device=self._device.torch_device())))

    def windows(self, last: Epoch) -> tuple[Window, ...]:
        """When its clock ran, up to the end of the last epoch."""
        return (*self._kept, (self._go_s, self._go_s + last.end_s - self._before_s))

    def weights(self) -> dict[str, Tensor]:
        return {name: value.cpu() for name, value in self._model.state_dict().items()}

    def _epoch(self) -> Epoch:
        begin_s = self._clock()
        loss = self._train_epoch()
        trained_s = self._clock()
        quality = self._evaluate(loss)
        return Epoch(
            loss=loss,
            quality=quality,
            train_s=trained_s - begin_s,
            end_s=self._before_s + self._clock() - self._go_s,
        )

    def _train_epoch(self) -> float:
        import torch

        self._model.train()
        place = self._device.torch_device()
        total = torch.zeros((), device=place)
        order = self._group.same(torch.randperm(self._feed.n_samples).to(place))
        with closing(self._feed.batches(order, self._task.batch_size)) as batches:
            for size, inputs, references in batches:
                total += self._step(inputs, references) * size
        for buffer in self._model.buffers():
            self._group.same(buffer)
        return self._group.mean(total).item() / self._feed.n_samples

    def _step(self, inputs: Batch, references: Batch) -> Tensor:
        with self._autocast():
            return self._learner.step(inputs, references)

    def _autocast(self) -> AbstractContextManager[Any]:
        """In the block, operations compute in the training's precision."""
        import torch

        if self._way.precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device.kind, dtype(self._way.precision))

    def _evaluate(self, loss: float) -> Estimate:
        if not math.isfinite(loss):
            return Estimate(value=None, by_value=True, why_open=f"the training loss is {loss}")
        predictor = self._task.predictor(self._model, self._device, "fp32")
        outputs = predict(predictor, self._test.samples, self._task.batch_size)
        quality = metric(self._task.metric)
        return quality.estimate(quality.scores(outputs, self._test.references))


def line(task: Task, seed: int, target: float, where: str, quality: Estimate) -> str:
    """How far a training is, and what the model is worth."""
    value = "not measured" if quality.value is None else f"{quality.value:.4g}"
    return f"{task.name}, seed {seed}: {where}, {task.metric} {value} (target {target:g})"
