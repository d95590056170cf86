"""Training one model in several processes, which torchrun has started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_aibench.devices.base import Device
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed.distributed_c10d import Store

MEETING_S = 3600.0
"""The first process may wait for the device, or run loads that the others leave to it."""

STEP_S = 600.0
"""In a training all do the same; who is that late will not come."""

_BACKENDS = {"cpu": "gloo", "cuda": "nccl"}

Loss = Callable[[Any, Any], "Tensor"]
"""``(inputs, references) -> scalar`` for a batch on the device."""


class Alone:
    """A training in one process: nothing to share, and nobody to agree with."""

    rank = 0
    size = 1

    def share(self, batch: Tensor) -> Tensor:
        """All of the batch."""
        return batch

    def spread(self, loss: Loss, model: nn.Module) -> Loss:
        """The loss as it is."""
        return loss

    def same(self, values: Tensor) -> Tensor:
        """The values as they are."""
        return values

    def mean(self, value: Tensor) -> Tensor:
        """The value as it is."""
        return value


class Group:
    """The processes of one training: each learns from its share of every batch.

    Their gradients are averaged by DistributedDataParallel (Li et al., PyTorch Distributed, 2020),
    so that all take the step that one process would take with the whole batch, as long as the loss
    is a mean over samples that do not look at each other.
    """

    def __init__(self, rank: int, size: int, device: Device) -> None:
        self.rank = rank
        self.size = size
        self._place = device.torch_device()
        self._weight = 1.0

    def share(self, batch: Tensor) -> Tensor:
        """This process's samples of a batch; what they teach counts as much as they are many.

        Where there are fewer samples than processes, some learn from one that does not count.
        """
        samples = batch.tensor_split(self.size)[self.rank]
        self._weight = len(samples) * self.size / len(batch)
        return samples if len(samples) else batch[:1]

    def spread(self, loss: Loss, model: nn.Module) -> Loss:
        """The loss of this process's share, weighted: the mean over processes is that of the batch.

        Its backward pass averages the gradients of all processes.
        """
        from torch.nn.parallel import DistributedDataParallel

        places = None if self._place.index is None else [self._place.index]
        module = DistributedDataParallel(_objective(loss, model), device_ids=places)
        return lambda inputs, references: module(inputs, references) * self._weight

    def same(self, values: Tensor) -> Tensor:
        """The first process's values, in place."""
        from torch import distributed

        distributed.broadcast(values, 0)
        return values

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes, in place."""
        from torch import distributed

        distributed.all_reduce(value)
        return value.div_(self.size)


class Processes:
    """This process and the others that torchrun started beside it.

    Args:
        rank: The number of this one; the first is 0.
        size: How many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self._n_trainings = 0

    def check_alike(self, tests: Sequence[str]) -> None:
        """Check that this process is about to run the same tests as the first one.

        Raises:
            UserError: It is not.
        """
        text = "\n".join(tests)
        if self.rank == 0:
            self._store.set("tests", text)
        elif self._store.get("tests").decode() != text:
            raise UserError(
                "the processes of torchrun run other tests than the first one, or in another "
                "order: select them alike, and add -p no:randomly"
            )

    @contextmanager
    def joined(self, name: str, device: Device) -> Iterator[Group]:
        """Train together in the block; who fails in it leaves word, on which the others fail.

        Raises:
            UserError: Another process failed, or did not come; or no backend is known for the
                device.
        """
        if device.kind not in _BACKENDS:
            raise UserError(
                f"several processes cannot train on {device.id}: use --device cuda or cpu"
            )
        self._meet(name)
        try:
            self._connect(_BACKENDS[device.kind])
            yield Group(self.rank, self.size, device)
        except Exception as error:
            self._blame(error)
            raise

    def close(self) -> None:
        """Leave the group."""
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()

    @cached_property
    def _store(self) -> Store:
        """What torchrun gives its processes to leave each other words in."""
        from torch.distributed.rendezvous import rendezvous

        store: Store = next(iter(rendezvous("env://", timeout=timedelta(seconds=MEETING_S))))[0]
        return store

    def _meet(self, name: str) -> None:
        """Wait for all."""
        from torch.distributed import DistStoreError

        self._n_trainings += 1
        here = [f"training {self._n_trainings}, process {rank}" for rank in range(self.size)]
        self._store.set(here[self.rank], name)
        try:
            self._store.wait(here)
        except DistStoreError:
            raise UserError(
                f"not all of {self.size} processes came to train {name} within {MEETING_S:g} s"
            ) from None

    def _connect(self, backend: str) -> None:
        """Form the group, unless an earlier training has."""
        from torch import distributed

        # One group for all trainings: to leave it right after a step can end in a deadlock, since
        # gloo's threads may still want the interpreter that waits for their end.
        if not distributed.is_initialized():
            distributed.init_process_group(
                backend,
                store=self._store,
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(seconds=STEP_S),
            )

    def _blame(self, error: Exception) -> None:
        """Leave word of an error, unless another process has: then that one is the cause."""
        summary = next(iter(str(error).splitlines()), "")
        mine = f"process {self.rank} failed: {type(error).__name__}: {summary}"
        first = self._store.compare_set("failed", "", mine).decode()
        if first != mine:
            raise UserError(first) from None


def own_seed(seed: int, rank: int) -> int:
    """Seed of the random streams of one process; no two of any trainings are related."""
    return int(np.random.SeedSequence((seed, rank)).generate_state(1)[0])


def _objective(loss: Loss, model: nn.Module) -> nn.Module:
    """Model and loss as one module: what happens around a forward pass happens around both."""
    from torch.nn import Module

    class Objective(Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: Any, references: Any) -> Tensor:
            return loss(inputs, references)

    return Objective()
